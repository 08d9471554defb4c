"""A decision that names its rep explains itself like any other, and says whether it went over the cap."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2
from services.routing.tests.desk import (
    FIELDS,
    decision,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    stamp,
    taken_over,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules: [{rule: ready, when: lead.stage == "srl", to: sales}, {rule: everyone, to: sdr}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    await put_rep(actor, "gone", active=False)
    await put_rep(actor, "sam", role="sales")
    return actor


async def handed_back(routing: Actor, lead: UUID) -> None:
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    seen = common_pb2.Qualification(stage="mql", cycle=1)
    back = qualification_pb2.LeadHandedBack(stamp=stamp(lead), qualification=seen, lead=FIELDS, sdr_id="ana")
    await learn(routing, "qualification", (lead, back))


async def merged(routing: Actor, lead: UUID) -> None:
    other = ids.new()
    await learn(routing, "qualification", qualified(other))
    message = intake_pb2.LeadMerged(stamp=stamp(lead), survivor_id=str(lead), merged_id=str(other), lead=FIELDS)
    await learn(routing, "intake", (lead, message), (other, message))


async def come_with_owner(routing: Actor, lead: UUID) -> None:
    await learn(routing, "intake", taken_over(lead, "ana"))


async def reassigned(routing: Actor, lead: UUID, rep_id: str = "ana") -> Any:
    if await holder(routing, lead) is None:
        await put_rep(routing, "ana", cap=0)
        await learn(routing, "qualification", qualified(lead))
    answer = await routing.http.post(f"/v1/assignments/{lead}/reassign", json={"rep_id": rep_id, "reason": "knows"})
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (handed_back, "handed back to its SDR"),
        (merged, "merged"),
        (come_with_owner, "taken over"),
        (reassigned, "by hand"),
    ],
)
async def test_a_decision_that_names_its_rep_says_so_and_why_nobody_else(routing: Actor, given: Any, rule: str) -> None:
    lead = ids.new()
    await given(routing, lead)
    made = await decision(routing, lead)
    assert (made["rule"], made["considered"]) == (
        rule,
        [
            {"rep_id": "ana", "chosen": True, "reason": "chosen"},
            {"rep_id": "gone", "chosen": False, "reason": "inactive"},
            {"rep_id": "sam", "chosen": False, "reason": "no_match"},
        ],
    )
    await put_rep(routing, "later")
    again = (await routing.http.post(f"/v1/decisions/{made['decision_id']}/replay")).json()
    assert again == {"same": True, "rep_id": "ana", "considered": made["considered"]}
    events = await routing.published(lambda seen: any(event.type == "LeadRouted" for event in seen))
    (told,) = [event.message for event in events if getattr(event.message, "decision_id", "") == made["decision_id"]]
    assert [(one.rep_id, one.chosen) for one in told.considered] == [("ana", True)]


async def test_a_person_who_goes_over_the_cap_is_seen_to_have_done_so(routing: Actor) -> None:
    await put_rep(routing, "ben", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    assert (await assignment(routing, lead))["over_cap"] is False
    assert (await reassigned(routing, lead, "ben"))["over_cap"] is True
    await put_rep(routing, "ben", cap=5)
    assert (await assignment(routing, lead))["over_cap"] is True, "it was so when it was given"
    await reassigned(routing, lead, "ana")
    assert (await assignment(routing, lead))["over_cap"] is False
    items = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    assert [(one["rep_id"], one["over_cap"]) for one in items] == [("ana", False), ("ben", True), ("ana", False)]


async def test_each_decision_of_a_hand_over_says_whether_that_one_went_over_the_cap(routing: Actor) -> None:
    leads = [ids.new() for _ in range(3)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    await put_rep(routing, "ben", cap=1)
    order = {"from": "ana", "to": "ben", "reason": "leaves"}
    assert (await routing.http.post("/v1/hand-over", json=order)).json()["over_cap"] == 2
    assert sorted([(await decision(routing, lead))["over_cap"] for lead in leads]) == [False, True, True]


async def assignment(routing: Actor, lead: UUID) -> Any:
    return (await routing.http.get(f"/v1/leads/{lead}/assignment")).json()
