"""What-if: over decisions that were really made, from the events alone."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import (
    come,
    decision,
    fields,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    taken_over,
    what_if,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: rest, to: sdr}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    return actor


async def test_what_another_policy_would_have_done(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", skills=["german"], cap=2)
    leads = await come(routing, 6)
    before = {lead: await holder(routing, lead) for lead in leads}
    assert sorted(str(one) for one in before.values()) == ["ana"] * 4 + ["ben"] * 2
    same = await what_if(routing, POLICY)
    assert (same["leads"], same["same"], same["other"], same["waited"]) == (6, 6, 0, 0)
    narrow = POLICY.replace("to: sdr}", "reps: '\"german\" in rep.skills', to: sdr}")
    other = await what_if(routing, narrow)
    assert (other["leads"], other["waited"], other["still_waiting"]) == (6, 4, 4)
    assert other["reps"] == [
        {"rep_id": "ana", "actual": 4, "simulated": 0, "most_open": 0},
        {"rep_id": "ben", "actual": 2, "simulated": 2, "most_open": 2},
    ]
    assert other["load"][0]["most_open"] == {"ben": 2}
    assert {one["would_be"] for one in other["others"]} <= {"ben", None}
    assert (await routing.http.post("/v1/policy/simulate", json={"policy": "pools: 1"})).status_code == 422
    # Nothing was written, and nobody's turn moved.
    assert {lead: await holder(routing, lead) for lead in leads} == before


async def test_what_decisions_do_not_keep_is_as_of_a_lead_of_whom_nothing_is_known(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await come(routing, 1)
    async with routing.database.reading() as conn:
        read = await conn.fetchval("SELECT convert_from(inputs, 'UTF8')::jsonb->'values' FROM decision")
    assert not {"lead.owner_id", "lead.assigned_at", "lead.consent", "lead.live"} & read.keys()
    when = 'lead.live && lead.owner_id == "" && lead.assigned_at == timestamp(0) && size(lead.consent) == 0'
    asked = await what_if(routing, POLICY.replace("to: sdr}", f"when: '{when}', to: sdr}}"))
    assert (asked["leads"], asked["same"]) == (1, 1)


async def test_a_simulated_lead_is_held_as_long_as_it_really_was(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", team="small", cap=1)
    ana = routing.as_role("sdr", rep="ana")
    ben = routing.as_role("sdr", rep="ben")
    for _ in range(4):
        (lead,) = await come(routing, 1)
        who = ana if await holder(routing, lead) == "ana" else ben
        assert (await who.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled"})).status_code == 200
    small = POLICY.replace('rep.role == "sdr"', 'rep.team == "small"')
    found = await what_if(routing, small)
    assert (found["waited"], found["still_waiting"]) == (0, 0)
    assert found["reps"][-1] == {"rep_id": "ben", "actual": 2, "simulated": 4, "most_open": 1}


async def test_the_policy_in_force_comes_out_as_itself_for_a_batch_too(routing: Actor) -> None:
    by_load = POLICY.replace("}]\nrules", ", strategy: least_loaded}]\nrules")
    await put_policy(routing, by_load)
    for rep_id, cap in (("ana", 60), ("ben", 30), ("cem", 30), ("dee", 30)):
        await put_rep(routing, rep_id, cap=cap)
    await come(routing, 20)
    found = await what_if(routing, by_load)
    assert (found["same"], found["other"]) == (20, 0)


async def reassign(routing: Actor, lead: UUID, rep_id: str) -> None:
    said = {"rep_id": rep_id, "reason": "territory"}
    assert (await routing.http.post(f"/v1/assignments/{lead}/reassign", json=said)).status_code == 200


async def close(routing: Actor, *leads: UUID) -> None:
    for lead in leads:
        done = await routing.http.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled"})
        assert done.status_code == 200


async def test_what_people_and_imports_gave_is_load_under_every_policy(routing: Actor) -> None:
    by_load = POLICY.replace("}]\nrules", ", strategy: least_loaded}]\nrules")
    await put_policy(routing, by_load)
    for rep_id in ("ana", "ben"):
        await put_rep(routing, rep_id, cap=5)
    imported = [ids.new() for _ in range(3)]
    await learn(routing, "intake", *(taken_over(lead, "ana") for lead in imported))
    first = await come(routing, 3)  # three each
    assert {await holder(routing, lead) for lead in first} == {"ben"}
    since = times.text(datetime.now(UTC))
    await close(routing, first[2])  # before the first decision of the second span
    await reassign(routing, first[0], "ana")
    assert [await holder(routing, lead) for lead in await come(routing, 1)] == ["ben"]
    move = {"from": "ana", "to": "ben", "what": ["assignments"], "reason": "leaves"}
    assert (await routing.http.post("/v1/hand-over", json=move)).json()["moved"]["assignments"] == 4
    *rest, last = await come(routing, 6)  # ben has 6, so ana has 5, and the last waits
    assert {await holder(routing, lead) for lead in rest} == {"ana"}
    assert await holder(routing, last) is None
    await reassign(routing, last, "ben")
    await close(routing, *imported, last, *rest[:3])
    await come(routing, 2)
    to_sdrs = {**move, "from": "ben", "to": "sdr"}
    assert (await routing.http.post("/v1/hand-over", json=to_sdrs)).json()["moved"]["assignments"] == 2
    await come(routing, 1)
    for span in ("2026-01-01T00:00:00Z", since):
        found = await what_if(routing, by_load, span)
        assert (found["other"], found["others"], found["still_waiting"]) == (0, [], 0)
        assert max(day["most_open"]["ben"] for day in found["load"]) == 7


async def test_a_decision_is_made_again_with_the_holidays_of_its_year(routing: Actor) -> None:
    await put_rep(routing, "ana", holidays="US")
    await put_rep(routing, "ben")
    (lead,) = await come(routing, 1)
    # Years ago, at Thanksgiving.
    async with routing.database.transaction() as conn:
        await conn.execute("UPDATE decision SET at = '2019-11-28T12:00:00Z'")
    thought = {one["rep_id"]: one["reason"] for one in (await decision(routing, lead))["considered"]}
    assert thought == {"ana": "off_hours", "ben": "chosen"}


TWO_QUEUES = """
pools:
  - {pool: german, reps: rep.team == "german"}
  - {pool: small, reps: rep.team == "small"}
rules:
  - {rule: german, when: lead.country == "DE", to: german}
  - {rule: rest, to: small}
"""


async def test_who_waits_for_one_pool_keeps_nobody_from_another_in_a_what_if(routing: Actor) -> None:
    await put_policy(routing, TWO_QUEUES)
    await put_rep(routing, "gert", team="german", cap=0)
    await put_rep(routing, "ben", team="small", cap=1)
    german = fields(company="Acme", country="DE")
    await learn(routing, "qualification", *(qualified(ids.new(), told=german) for _ in range(20)))
    leads = await come(routing, 12)
    for lead in leads:
        assert await holder(routing, lead) == "ben"
        await close(routing, lead)
    found = await what_if(routing, TWO_QUEUES)
    assert (found["leads"], found["other"], found["still_waiting"]) == (32, 0, 20)
    assert found["reps"] == [{"rep_id": "ben", "actual": 12, "simulated": 12, "most_open": 1}]


async def test_a_what_if_lets_a_fallback_have_whom_the_router_let_it_have(routing: Actor) -> None:
    falls_back = TWO_QUEUES.replace("to: german}", "to: german, fallback: small, after: 1s}")
    await put_policy(routing, falls_back)
    await put_rep(routing, "gert", team="german", cap=0)
    await put_rep(routing, "ben", team="small", cap=1)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, told=fields(company="Acme", country="DE")))

    async def has_fallen_back() -> None:
        assert await holder(routing, lead) == "ben"

    await eventually(has_fallen_back)
    found = await what_if(routing, falls_back)
    assert (found["leads"], found["waited"], found["other"], found["still_waiting"]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("account.open_opportunities", "when: account.open_opportunities > 0, to: big"),
        ("account.active_rep", "when: account.active_rep != '', to: big"),
        ("account.active_rep", "to: account_rep"),
    ],
)
async def test_a_what_if_says_of_how_many_leads_it_does_not_know_what_it_asks(
    routing: Actor, name: str, rule: str
) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "big", role="sales")
    draft = f"""
pools: [{{pool: sdr, reps: rep.role == "sdr"}}, {{pool: big, reps: rep.role == "sales"}}]
rules: [{{rule: other, {rule}}}, {{rule: rest, to: sdr}}]
"""
    await come(routing, 2)
    assert (await what_if(routing, POLICY))["not_recorded"] == {}
    assert (await what_if(routing, draft))["not_recorded"] == {name: 2}
    await put_policy(routing, draft)
    await come(routing, 3)
    found = await what_if(routing, draft)
    assert (found["leads"], found["not_recorded"]) == (5, {name: 2})
    since = times.text(datetime.now(UTC))
    await come(routing, 1)
    assert (await what_if(routing, draft, since))["not_recorded"] == {}
