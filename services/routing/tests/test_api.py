"""routing with its neighbours' topics in the test's hands."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2
from services.routing.tests import desk
from services.routing.tests.desk import put_rep, qualified

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr", strategy: weighted_round_robin}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: named accounts, to: owner}
  - {rule: sales ready, when: lead.stage == "srl", to: paired, else: sales}
  - {rule: everyone, to: sdr}
"""


async def put_policy(routing: Actor, text: str = POLICY) -> None:
    await desk.put_policy(routing, text)


async def holders(routing: Actor) -> dict[UUID, str]:
    async with routing.database.reading() as conn:
        return {row[0]: row[1] for row in await conn.fetch("SELECT lead_id, rep_id FROM assignment")}


async def test_a_lead_goes_to_a_rep_and_the_decision_explains_itself(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", active=False)
    await put_policy(routing)
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    events = await routing.published(lambda seen: any(event.type == "LeadRouted" for event in seen))
    (routed,) = [event.message for event in events if event.type == "LeadRouted"]
    assert (routed.rep_id, routed.rule, routed.pool, routed.policy_version) == ("ana", "everyone", "sdr", 1)
    assert (routed.rep.time_zone, routed.rep.team, routed.stamp.live, routed.starts_clocks) == (
        "UTC",
        "north",
        True,
        True,
    )
    (decision,) = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    reasons = {one["rep_id"]: one["reason"] for one in decision["considered"]}
    assert reasons == {"ana": "chosen", "ben": "inactive"}
    assert (await routing.http.get(f"/v1/leads/{lead}/assignment")).json()["rep_id"] == "ana"


async def test_turns_are_fair_and_follow_weights(routing: Actor) -> None:
    for rep_id, weight in (("ana", 1), ("ben", 1), ("cem", 2)):
        await put_rep(routing, rep_id, weight=weight)
    await put_policy(routing)
    await routing.publish("qualification", [qualified(ids.new()) for _ in range(40)])
    await routing.settled()
    assert Counter((await holders(routing)).values()) == {"ana": 10, "ben": 10, "cem": 20}


async def test_the_cap_holds_and_room_drains_the_queue_best_first(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_policy(routing)
    first, worse, better = ids.new(), ids.new(), ids.new()
    await routing.publish("qualification", [qualified(first)])
    await routing.settled()
    await routing.publish("qualification", [qualified(worse, grade="C1"), qualified(better, grade="A1")])
    await routing.settled()
    waiting = (await routing.http.get("/v1/waiting")).json()["items"]
    assert [(item["lead_id"], item["reason_code"]) for item in waiting] == [
        (str(better), "no_capacity"),
        (str(worse), "no_capacity"),
    ]
    close = {"outcome": "disqualified", "reason": "spam"}
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{first}/close", json=close)).status_code == 200
    assert await holders(routing) == {better: "ana"}


async def test_a_declined_lead_never_comes_back_to_the_same_rep(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing)
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    await routing.settled()
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/decline", json={"reason": "timing"})).status_code == 200
    (waits,) = (await routing.http.get("/v1/waiting")).json()["items"]
    assert waits["reason_code"] == "no_match"
    await put_rep(routing, "ben")
    assert await holders(routing) == {lead: "ben"}


async def test_hours_open_and_the_waiting_lead_is_routed_at_that_moment(routing: Actor) -> None:
    await put_rep(routing, "ana", working_hours=[])
    await put_policy(routing)
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    await routing.settled()
    assert (await routing.http.get("/v1/waiting")).json()["items"][0]["reason_code"] == "nobody_working"
    await routing.http.post("/v1/reps/ana/pause")
    await put_rep(routing, "ana")
    assert await holders(routing) == {}
    await routing.http.post("/v1/reps/ana/resume")
    assert await holders(routing) == {lead: "ana"}


async def test_an_srl_moves_from_its_sdr_to_sales_in_one_transaction(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", role="sales")
    await put_policy(routing, POLICY + "pairs: [{sdr: ana, sales: [ben]}]")
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    # Read in one batch, the lead would go to sales at once.
    await routing.settled()
    await routing.publish("qualification", [qualified(lead, stage="srl", sdr_id="ana")])
    events = await routing.published(lambda seen: sum(event.type == "LeadRouted" for event in seen) == 2)
    about = [event for event in events if event.subject == lead]
    assert [event.type for event in about] == ["LeadRouted", "AssignmentReleased", "LeadRouted"]
    assert about[1].message.outcome == "converted"
    assert (about[2].message.rep_id, about[2].message.cycle, about[2].message.sourced_by) == ("ben", 2, "ana")


async def test_a_named_account_goes_to_its_owner(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "zoe", kind="farmer")
    await put_policy(routing)
    assert (await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "zoe"})).status_code == 200
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    await routing.settled()
    assert await holders(routing) == {lead: "zoe"}


async def test_history_is_routed_to_nobody(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing)
    await routing.publish("qualification", [qualified(ids.new(), live=False)])
    await routing.settled()
    assert await holders(routing) == {}
    assert (await routing.http.get("/v1/waiting")).json()["items"] == []


async def test_open_work_of_another_system_is_taken_over_even_past_the_cap(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    lead = ids.new()
    now = times.stamp(times.parse("2026-11-10T12:00:00Z"))
    stamp = common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=now, recorded_at=now)
    standing = common_pb2.Standing(owner_id="ana", stage="mql")
    captured = intake_pb2.LeadCaptured(stamp=stamp, lead=common_pb2.LeadFields(created_at=now), standing=standing)
    await routing.publish("intake", [(lead, captured)])
    events = await routing.published(lambda seen: any(event.type == "LeadRouted" for event in seen))
    routed = events[-1].message
    assert (routed.outcome, routed.over_cap, routed.starts_clocks) == ("taken_over", True, False)


async def test_managers_reassign_past_the_cap_and_it_is_recorded(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing)
    lead = ids.new()
    await routing.publish("qualification", [qualified(lead)])
    await routing.settled()
    await put_rep(routing, "ben", cap=0)
    body = {"rep_id": "ben", "reason": "knows them"}
    assert (
        await routing.as_role("sdr", rep="ana").post(f"/v1/assignments/{lead}/reassign", json=body)
    ).status_code == 403
    assert (await routing.http.post(f"/v1/assignments/{lead}/reassign", json=body)).json()["rep_id"] == "ben"
    load = (await routing.http.get("/v1/reps/ben/load")).json()
    assert (load["open"], load["cap"], load["over_cap"]) == (1, 0, True)


async def test_four_routers_fill_every_place_and_not_one_more(start: Stage) -> None:
    first = await start("routing")
    for number in range(5):
        await put_rep(first, f"rep{number}", cap=12)
    await put_policy(first)
    for _ in range(3):
        await start("routing", database_url=first.settings.database_url)
    leads = [ids.new() for _ in range(180)]
    await asyncio.gather(*(start.publish("qualification", [qualified(lead) for lead in leads[n::4]]) for n in range(4)))

    async def all_decided() -> None:
        waiting = await first.database.pool.fetchval("SELECT count(*) FROM waiting")
        assert (len(await holders(first)), waiting) == (60, 120)

    await eventually(all_decided)
    assert Counter((await holders(first)).values()) == {f"rep{number}": 12 for number in range(5)}


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("POST /v1/assignments/{lead}/close", {"outcome": "recycled", "reason": "a\x00b"}),
        ("POST /v1/assignments/{lead}/close", {"note": "\x00"}),
        ("POST /v1/assignments/{lead}/decline", {"reason": "\x00"}),
        ("POST /v1/assignments/{lead}/reassign", {"rep_id": "ben", "reason": "\x00"}),
        ("PATCH /v1/assignments/{lead}", {"next_step": "\x00"}),
        ("POST /v1/hand-over", {"from": "ana", "to": "ben", "reason": "\x00"}),
    ],
)
async def test_text_that_no_database_holds_reaches_no_event(routing: Actor, call: str, body: dict[str, str]) -> None:
    method, path = call.format(lead=ids.new()).split()
    answer = await routing.http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{list(body)[-1]}")


async def test_explain_takes_a_lead_as_intake_does(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales")
    await put_policy(routing)

    async def given_to(**said: object) -> str:
        answer = await routing.http.post("/v1/policy/explain", json={"lead": said})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["rep_id"])

    ignored = {"cost": "1.00", "currency": "EUR", "consent": [], "live": True, "owner_id": "x", "status": "open"}
    more = {"keep": False, "assigned_at": None, "disqualified_reason": None, "connection_id": "direct"}
    assert await given_to(email="a@b.example", phone=None, stage="new", **ignored, **more) == "ana"
    assert await given_to(website="http://[::1") == "ana"
    assert await given_to(stage="sql") == "sam"
    schema = (await routing.http.get("/openapi.json")).json()
    assert "requestBody" in schema["paths"]["/v1/policy"]["put"]


async def test_decisions_over_a_lead_come_in_pages(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing)
    lead = ids.new()
    await desk.learn(routing, "qualification", qualified(lead))
    await routing.http.post(f"/v1/assignments/{lead}/decline", json={"reason": "other"})
    await put_rep(routing, "ben")
    everything = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    assert [one["outcome"] for one in everything] == ["assigned", "waiting", "assigned"]
    paged, asked = [], {"limit": "1"}
    while asked:
        page = (await routing.http.get(f"/v1/leads/{lead}/decisions", params=asked)).json()
        assert len(page["items"]) <= 1
        paged += page["items"]
        asked = {"limit": "1", "cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert paged == everything
