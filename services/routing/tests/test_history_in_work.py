"""History is not routed; what came as history with who has it is in work, and goes on when it is given back."""

from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import intake_pb2
from services.routing.tests.desk import (
    FIELDS,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
    taken_over,
    told_again,
    waiting,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules: [{rule: ready, when: 'lead.stage == "srl"', to: sales}, {rule: others, to: sdr}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def with_ana(routing: Actor) -> UUID:
    """Return a lead of last year that ana has."""
    lead = ids.new()
    _, told = taken_over(lead, "ana")
    told.stamp.CopyFrom(stamp(lead, live=False))
    told.standing.status = "negotiating"
    await learn(routing, "intake", (lead, told))
    await learn(routing, "qualification", qualified(lead, live=False))
    answer = (await routing.http.get(f"/v1/leads/{lead}/assignment")).json()
    assert (answer["rep_id"], answer["status"]) == ("ana", "negotiating")
    return lead


@pytest.mark.parametrize("how", ["decline", "return"])
async def test_what_is_given_back_goes_to_the_next_or_waits(routing: Actor, how: str) -> None:
    lead = await with_ana(routing)
    answer = await routing.http.post(f"/v1/assignments/{lead}/{how}", json={"reason": "no_time"})
    assert answer.status_code == 200, answer.text
    assert (await holder(routing, lead), set(await waiting(routing))) == (None, {str(lead)})
    await put_rep(routing, "ben")
    assert (await holder(routing, lead), await waiting(routing)) == ("ben", {})


async def test_what_its_sdr_makes_ready_goes_to_sales(routing: Actor) -> None:
    lead = await with_ana(routing)
    await learn(routing, "qualification", qualified(lead, stage="srl", live=False, sdr_id="ana"))
    assert (await holder(routing, lead), set(await waiting(routing))) == ("ana", {str(lead)})
    await put_rep(routing, "zoe", role="sales")
    assert (await holder(routing, lead), await waiting(routing)) == ("zoe", {})


async def test_whose_work_is_over_is_history_again_until_it_does_something(routing: Actor) -> None:
    lead = await with_ana(routing)
    await learn(routing, "qualification", recycled(lead))
    await learn(routing, "qualification", qualified(lead, live=False, cycle=2))
    assert (await holder(routing, lead), await waiting(routing)) == (None, {})
    await learn(routing, "intake", (lead, intake_pb2.EngagementRecorded(stamp=stamp(lead), kind="form_submitted")))
    await learn(routing, "qualification", qualified(lead, cycle=2))
    assert await holder(routing, lead) == "ana"


async def test_what_came_as_history_is_news_by_what_it_does(routing: Actor) -> None:
    lead = ids.new()
    told = intake_pb2.LeadCaptured(stamp=stamp(lead, live=False), lead=FIELDS)
    await learn(routing, "intake", (lead, told))
    await learn(routing, "qualification", qualified(lead, live=False))
    assert (await holder(routing, lead), await waiting(routing)) == (None, {})
    await learn(routing, "intake", (lead, intake_pb2.EngagementRecorded(stamp=stamp(lead), kind="form_submitted")))
    await learn(routing, "qualification", qualified(lead, live=False))
    assert await holder(routing, lead) == "ana"


async def test_who_gave_it_back_does_not_get_it_by_a_list(routing: Actor) -> None:
    lead = await with_ana(routing)
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/decline", json={"reason": "no_time"})).status_code == 200
    await learn(routing, "qualification", qualified(lead, standing=told_again(lead, "ana", "mql")[1].standing))
    assert (await holder(routing, lead), set(await waiting(routing))) == (None, {str(lead)})
    await learn(routing, "intake", told_again(lead, "ana", "mql"))
    assert await holder(routing, lead) is None
    await put_rep(routing, "ben")
    assert await holder(routing, lead) == "ben"
