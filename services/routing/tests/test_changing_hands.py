"""Why a lead is to change hands: each reason stands until it is done or withdrawn, whatever other reason comes."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import (
    booked,
    escalated,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    touched,
    waiting,
)

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: everyone, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    await put_rep(actor, "sam", role="sales", cap=0)
    return actor


async def sales_ready(routing: Actor, lead: UUID) -> None:
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))


async def waits_for_sales(routing: Actor) -> UUID:
    """Return a lead that ana made ready for sales, who have no room."""
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await sales_ready(routing, lead)
    assert (await holder(routing, lead), await waiting(routing)) == ("ana", {str(lead): "no_capacity"})
    return lead


async def hand_over(routing: Actor, to: str) -> None:
    order = {"from": "ana", "to": to, "reason": "left"}
    assert (await routing.http.post("/v1/hand-over", json=order)).status_code == 200


async def released(routing: Actor, count: int = 1) -> list[tuple[str, str, str]]:
    events = await routing.published(lambda seen: sum(event.type == "AssignmentReleased" for event in seen) >= count)
    ends = [event.message for event in events if event.type == "AssignmentReleased"]
    return [(end.rep_id, end.outcome, end.released_by) for end in ends]


async def test_a_missed_sla_and_a_touch_leave_a_lead_waiting_for_sales(routing: Actor) -> None:
    lead = await waits_for_sales(routing)
    await learn(routing, "sla", escalated(lead, cycle=1))
    await learn(routing, "intake", touched(lead))
    assert await waiting(routing) == {str(lead): "no_capacity"}
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"
    assert await released(routing) == [("ana", "converted", "qualification")]


async def test_a_late_answer_leaves_a_lead_waiting_for_sales(routing: Actor) -> None:
    await put_policy(routing, f"{POLICY}accept_within: 1s")
    lead = await waits_for_sales(routing)

    async def has_lapsed() -> None:
        assert await routing.database.pool.fetchval("SELECT accept_by FROM assignment") is None

    await eventually(has_lapsed)
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.patch(f"/v1/assignments/{lead}", json={"status": "working"})).status_code == 200
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"


async def test_what_is_left_out_of_an_update_stays_and_only_a_plan_can_be_withdrawn(routing: Actor) -> None:
    await put_rep(routing, "ana")
    lead, at = ids.new(), "2031-01-02T03:04:05.000000Z"
    await learn(routing, "qualification", qualified(lead))
    ana, path = routing.as_role("sdr", rep="ana"), f"/v1/assignments/{lead}"

    async def said(**update: Any) -> tuple[str | None, str | None, str | None]:
        shown = (await ana.patch(path, json=update)).json()
        return shown["status"], shown["next_step"], shown["next_at"]

    assert await said(status="working", next_step="call", next_at=at) == ("working", "call", at)
    assert await said(status="contacted") == ("contacted", "call", at)
    assert await said(next_step=None, next_at=None) == ("contacted", None, None)
    events = await routing.published(lambda seen: sum(event.type == "AssignmentUpdated" for event in seen) == 3)
    told = [event.message.HasField("next_at") for event in events if event.type == "AssignmentUpdated"]
    assert told == [True, True, False]
    for nothing, pointer in (({}, ""), ({"status": None}, "/status")):
        refused = await ana.patch(path, json=nothing)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_touch_does_not_make_a_managers_hand_over_forgotten(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await hand_over(routing, "sales")
    await learn(routing, "sla", escalated(lead, cycle=1))
    await learn(routing, "intake", touched(lead))
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"
    assert await released(routing) == [("ana", "reassigned", "manager")]


async def test_a_colleagues_touch_makes_up_for_nobodys_missed_sla(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "sla", escalated(lead, cycle=1))
    await learn(routing, "intake", touched(lead, "sam"))
    assert set(await waiting(routing)) == {str(lead)}
    await put_rep(routing, "ben")
    assert await holder(routing, lead) == "ben"


async def test_a_leavers_lead_waits_for_sales_with_another_sdr_of_the_pool(routing: Actor) -> None:
    lead = await waits_for_sales(routing)
    await put_rep(routing, "ben")
    await hand_over(routing, "sdr")
    assert (await holder(routing, lead), await waiting(routing)) == ("ben", {str(lead): "no_capacity"})
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"
    assert await released(routing, 2) == [("ana", "reassigned", "manager"), ("ben", "converted", "qualification")]


@pytest.mark.parametrize("to", ["sdr", "policy"])
async def test_a_leavers_lead_goes_to_sales_when_they_have_room_first(routing: Actor, to: str) -> None:
    lead = await waits_for_sales(routing)
    await hand_over(routing, to)
    assert set(await waiting(routing)) == {str(lead)}, "ana is the only one"
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"
    assert await released(routing) == [("ana", "converted", "qualification")]


async def test_a_later_word_of_a_manager_counts(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await hand_over(routing, "sales")
    await hand_over(routing, "policy")
    await put_rep(routing, "ben")
    assert await holder(routing, lead) == "ben"


async def test_what_is_sales_work_is_not_made_ready_for_them_again(routing: Actor) -> None:
    await put_rep(routing, "sam", role="sales")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await sales_ready(routing, lead)
    await learn(routing, "intake", touched(lead, "sam"))
    await put_rep(routing, "sue", role="sales")
    await sales_ready(routing, lead)
    found: dict[str, Any] = (await routing.http.get(f"/v1/leads/{lead}/assignment")).json()
    assert (found["rep_id"], found["cycle"]) == ("sam", 2)


async def test_a_closed_lead_that_books_a_meeting_is_nobodys_until_it_qualifies(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    answer = await routing.http.post(f"/v1/assignments/{lead}/close", json={"outcome": "disqualified"})
    assert answer.status_code == 200
    await learn(routing, "intake", booked(lead, "ana@kestrel.example"))
    assert (await holder(routing, lead), await waiting(routing)) == (None, {})
    await learn(routing, "qualification", qualified(lead, cycle=2))
    assert await holder(routing, lead) == "ana"


async def test_an_escalation_of_a_cycle_that_is_over_pauses_nobody(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))

    async def is_paused() -> bool:
        return bool((await routing.http.get("/v1/reps/ana")).json()["paused"])

    await learn(routing, "sla", escalated(lead, cycle=7, to="pause", rep_id="ana"))
    assert not await is_paused()
    await learn(routing, "sla", escalated(lead, cycle=1, to="pause", rep_id="ana"))
    assert await is_paused()


async def test_from_whom_a_lead_was_taken_for_it_is_paused_whoever_has_it_now(routing: Actor) -> None:
    await put_rep(routing, "ben")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    first = await holder(routing, lead) or ""
    await learn(routing, "sla", escalated(lead, cycle=1, to="reassign", rep_id=first))
    second = await holder(routing, lead) or ""
    assert {first, second} == {"ana", "ben"}
    for rep_id in (second, first):
        await learn(routing, "sla", escalated(lead, cycle=1, to="pause", rep_id=rep_id))
    reps = {rep_id: (await routing.http.get(f"/v1/reps/{rep_id}")).json()["paused"] for rep_id in (first, second)}
    assert reps == {first: True, second: False}


@pytest.mark.parametrize("outcome", ["converted", "recycled"])
async def test_an_sdr_closes_what_waits_for_sales_and_it_still_comes_to_them(routing: Actor, outcome: str) -> None:
    lead = await waits_for_sales(routing)
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/close", json={"outcome": outcome})).status_code == 200
    assert (await holder(routing, lead), await waiting(routing)) == (None, {str(lead): "no_capacity"})
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"
    assert await released(routing) == [("ana", outcome, "rep")]


@pytest.mark.parametrize("who", ["ana", "bea"])
async def test_what_an_sdr_was_given_and_says_yes_to_goes_to_sales(routing: Actor, who: str) -> None:
    """Whether a manager gave it back to who made it ready, or to another one."""
    lead = ids.new()
    await put_rep(routing, "sam", role="sales")
    await put_rep(routing, "bea", cap=0)
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    assert await holder(routing, lead) == "sam"
    answer = await routing.http.post(f"/v1/assignments/{lead}/reassign", json={"rep_id": who, "reason": "other"})
    assert answer.status_code == 200, answer.text
    sdr = routing.as_role("sdr", rep=who)
    assert (await sdr.post(f"/v1/assignments/{lead}/close", json={"outcome": "converted"})).status_code == 200
    assert await holder(routing, lead) == "sam"


async def test_one_of_sales_who_left_does_not_keep_what_is_made_ready_for_sales(routing: Actor) -> None:
    """Another one gets it, as soon as one has room."""
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    answer = await routing.http.post(f"/v1/assignments/{lead}/reassign", json={"rep_id": "sam", "reason": "other"})
    assert answer.status_code == 200, answer.text
    await put_rep(routing, "sam", role="sales", active=False)
    await sales_ready(routing, lead)
    assert (await holder(routing, lead), set(await waiting(routing))) == ("sam", {str(lead)})
    await put_rep(routing, "ben", role="sales")
    assert (await holder(routing, lead), await waiting(routing)) == ("ben", {})
    assert await released(routing, 2) == [("ana", "reassigned", "manager"), ("sam", "converted", "qualification")]
