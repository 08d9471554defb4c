"""A decision that names its rep explains itself like any other."""

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
