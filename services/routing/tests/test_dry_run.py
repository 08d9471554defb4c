"""The dry run of a lead that there is says what the router would do with it now, and changes nothing."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import (
    decision,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    recycled,
    waiting,
)

POOLS = """
pools:
  - {pool: sdr, reps: rep.team == "north"}
  - {pool: second, reps: rep.team == "second"}
  - {pool: sales, reps: rep.role == "sales"}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_rep(actor, "ana")
    return actor


async def explained(routing: Actor, lead: UUID) -> dict[str, Any]:
    answer = await routing.http.post("/v1/policy/explain", json={"lead": {"lead_id": str(lead)}})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def thoughts(said: dict[str, Any]) -> dict[str, str]:
    return {one["rep_id"]: one["reason"] for one in said["considered"]}


async def hand_over(routing: Actor, to: str) -> None:
    said = {"from": "ana", "to": to, "what": ["assignments"], "reason": "leaves"}
    answer = await routing.http.post("/v1/hand-over", json=said)
    assert (answer.status_code, answer.json()["waiting"]) == (200, 1)


async def test_a_lead_that_was_handed_over_waits_for_the_pool_that_was_named(routing: Actor) -> None:
    await put_rep(routing, "zoe")
    await put_rep(routing, "sid", team="second", cap=0)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    assert await holder(routing, lead) == "ana"
    await hand_over(routing, "second")
    before = (await decision(routing, lead), await waiting(routing), await loads(routing))
    said = await explained(routing, lead)
    found = (said["outcome"], said["rule"], said["pool"], said["rep_id"], said["reason_code"])
    assert found == ("waiting", "handed over", "second", None, "no_capacity")
    assert thoughts(said) == {"sid": "at_cap", "ana": "no_match", "zoe": "no_match"}
    assert (await decision(routing, lead), await waiting(routing), await loads(routing)) == before
    assert await holder(routing, lead) == "ana"


async def test_a_lead_made_ready_for_sales_waits_for_them_beside_the_pool_that_was_named(routing: Actor) -> None:
    await put_rep(routing, "sid", team="second", cap=0)
    await put_rep(routing, "sam", role="sales", team="sales", cap=0)
    rules = 'rules: [{rule: ready, when: lead.stage == "srl", to: sales}, {rule: rest, to: sdr}]'
    await put_policy(routing, f"{POOLS}{rules}")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    await hand_over(routing, "second")
    said = await explained(routing, lead)
    assert (said["outcome"], await holder(routing, lead)) == ("waiting", "ana")
    assert thoughts(said) == {"sid": "at_cap", "sam": "at_cap", "ana": "no_match"}


async def test_a_fallback_is_asked_once_the_lead_has_waited_long_enough(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    await put_rep(routing, "sid", team="second", cap=0)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr, fallback: second, after: 1s}}]")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))

    async def fallback_is_due() -> None:
        assert thoughts(await explained(routing, lead)) == {"ana": "at_cap", "sid": "at_cap"}

    await eventually(fallback_is_due)


async def test_why_a_lead_is_not_routed_is_said_beside_what_the_policy_would_do_with_it(routing: Actor) -> None:
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    news, old, out = ids.new(), ids.new(), ids.new()
    await learn(routing, "qualification", qualified(news), qualified(old, live=False), qualified(out))
    await learn(routing, "qualification", recycled(out))
    said = {lead: await explained(routing, lead) for lead in (news, old, out)}
    assert {(one["outcome"], one["rep_id"]) for one in said.values()} == {("assigned", "ana")}
    assert [one["not_routed"] for one in said.values()] == [
        None,
        "It is history, which is not routed until it does something.",
        "Only a qualified lead is routed.",
    ]


async def test_the_place_of_the_lead_itself_is_free_to_it(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    said = await explained(routing, lead)
    assert (said["outcome"], said["rep_id"]) == ("assigned", "ana")
    assert await loads(routing) == {"ana": 1}
    unknown = await routing.http.post("/v1/policy/explain", json={"lead": {"lead_id": str(ids.new())}})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/lead/lead_id")
