"""An owner elsewhere who is not active here is no owner: the lead is routed as if nobody had been named."""

from typing import Any

import pytest

from backbone import ids, times
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2
from services.routing.tests.desk import (
    FIELDS,
    NOW,
    decision,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    stamp,
    taken_over,
    told_again,
    waiting,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules:
  - {rule: back, when: lead.cycle > 1, to: previous}
  - {rule: ready, when: lead.stage == "srl", to: sales}
  - {rule: all, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    """An SDR and one of sales, and of each kind one who left."""
    actor = await start("routing")
    await put_policy(actor, POLICY)
    for rep_id, role, active in (
        ("ana", "sdr", True),
        ("gone1", "sdr", False),
        ("zoe", "sales", True),
        ("gone2", "sales", False),
    ):
        await put_rep(actor, rep_id, role=role, active=active)
    return actor


async def post(routing: Actor, posted: tuple[Any, Any], stage: str, order: int = 1) -> None:
    """Post a lead with its standing, and let qualification take the stage."""
    lead, message = posted
    told = [("intake", posted), ("qualification", qualified(lead, stage=stage, standing=message.standing))]
    for topic, one in told[::order]:
        await learn(routing, topic, one)


@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
@pytest.mark.parametrize(("stage", "who", "gets"), [("mql", "gone1", "ana"), ("srl", "gone2", "zoe")])
async def test_a_new_lead_of_an_owner_who_left_is_routed_and_starts_its_clocks(
    routing: Actor, stage: str, who: str, gets: str, order: int
) -> None:
    lead = ids.new()
    await post(routing, taken_over(lead, who, stage), stage, order)
    assert await holder(routing, lead) == gets
    events = await routing.published(lambda seen: any(event.type == "LeadRouted" for event in seen))
    told = [event.message for event in events if event.type == "LeadRouted"]
    assert [(one.outcome, one.starts_clocks) for one in told] == [("assigned", True)]


@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
async def test_nobody_who_left_takes_a_lead_from_its_sdr(routing: Actor, order: int) -> None:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    assert await holder(routing, lead) == "ana"
    await post(routing, told_again(lead, "gone2", "srl"), "srl", order)
    assert await holder(routing, lead) == "zoe"


async def test_a_lead_that_waits_for_sales_waits_on_whoever_left_has_it_elsewhere(routing: Actor) -> None:
    await put_rep(routing, "zoe", role="sales", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl"))
    await learn(routing, "intake", told_again(lead, "gone2", "srl"))
    assert (await holder(routing, lead), await waiting(routing)) == ("ana", {str(lead): "no_capacity"})


async def test_who_left_keeps_no_lead_that_they_brought(routing: Actor) -> None:
    lead, standing = ids.new(), common_pb2.Standing(owner_id="gone1", keep=True)
    captured = intake_pb2.LeadCaptured(stamp=stamp(lead), lead=FIELDS, standing=standing)
    await learn(routing, "intake", (lead, captured))
    assert await holder(routing, lead) is None
    await learn(routing, "qualification", qualified(lead))
    assert await holder(routing, lead) == "ana"


@pytest.mark.parametrize("away", ["paused", "on leave", "off hours"])
async def test_who_is_away_for_a_time_is_an_owner_as_before(routing: Actor, away: str) -> None:
    if away == "paused":
        assert (await routing.http.post("/v1/reps/ana/pause")).is_success
    elif away == "on leave":
        now = await routing.database.pool.fetchval("SELECT now()")
        leave = {"start": times.text(NOW), "end": times.text(now.replace(year=now.year + 1))}
        assert (await routing.http.post("/v1/reps/ana/time-off", json=leave)).is_success
    else:
        await put_rep(routing, "ana", working_hours=[])
    lead = ids.new()
    await learn(routing, "intake", taken_over(lead, "ana"))
    assert (await holder(routing, lead), (await decision(routing, lead))["outcome"]) == ("ana", "taken_over")


async def test_who_left_had_what_they_closed_elsewhere_and_has_it_again_when_both_are_back(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "intake", taken_over(lead, "gone1", "disqualified"))
    await put_rep(routing, "gone1", cap=1)
    await put_rep(routing, "ana", cap=0)
    await learn(routing, "qualification", qualified(lead, cycle=2))
    assert (await holder(routing, lead), (await decision(routing, lead))["rule"]) == ("gone1", "back")
