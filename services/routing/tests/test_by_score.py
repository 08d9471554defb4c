"""That a lead no longer meets the definition is nobody's word, and its assignment says so."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor
from handoff.events.v1 import common_pb2, qualification_pb2
from services.routing.tests.desk import learn, put_policy, put_rep, qualified, stamp

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""


@pytest.mark.parametrize("by_score", [True, False])
async def test_an_assignment_says_whether_the_score_ended_it(routing: Actor, by_score: bool) -> None:
    await put_policy(routing, POLICY)
    await put_rep(routing, "ana")
    demoted, out = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(demoted), qualified(out))
    seen = {name: common_pb2.Qualification(stage=name) for name in ("nurture", "disqualified")}
    shape = qualification_pb2.LeadDemoted if by_score else qualification_pb2.LeadRecycled
    gone = qualification_pb2.LeadDisqualified(stamp=stamp(out), qualification=seen["disqualified"], by_score=by_score)
    below = shape(stamp=stamp(demoted), qualification=seen["nurture"])
    await learn(routing, "qualification", (demoted, below), (out, gone))

    def over(events: Sequence[Any]) -> list[tuple[UUID, str, bool]]:
        released = [event for event in events if event.type == "AssignmentReleased"]
        return [(event.subject, event.message.outcome, event.message.by_score) for event in released]

    events = await routing.published(lambda some: len(over(some)) == 2)
    assert set(over(events)) == {(demoted, "recycled", by_score), (out, "disqualified", by_score)}
