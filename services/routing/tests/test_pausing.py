"""Who is paused for a missed promise comes back when it was kept after all, if nothing else keeps them offline."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import escalated, holder, learn, put_policy, put_rep, qualified, taken_back, waiting

POLICY = "pools: [{pool: sdr, reps: 'true'}]\nrules: [{rule: all, to: sdr}]"


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana", cap=10)
    return actor


@pytest.fixture
async def leads(routing: Actor) -> tuple[UUID, UUID]:
    """Two leads that ana has."""
    one, other = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(one), qualified(other))
    return one, other


async def is_paused(routing: Actor) -> bool:
    return bool((await routing.http.get("/v1/reps/ana")).json()["paused"])


def pause(lead: UUID, alert: UUID) -> tuple[UUID, Any]:
    return escalated(lead, cycle=1, to="pause", rep_id="ana", alert_id=str(alert))


async def test_whoever_kept_the_promise_after_all_comes_back_and_gets_who_waited(routing: Actor, leads: Any) -> None:
    alert, late = ids.new(), ids.new()
    await learn(routing, "sla", pause(leads[0], alert))
    await learn(routing, "qualification", qualified(late))
    assert (await is_paused(routing), await holder(routing, late)) == (True, None)
    await learn(routing, "sla", taken_back(leads[0], "ana", str(alert)))
    assert not await is_paused(routing)
    await routing.published(lambda seen: any(event.type == "LeadRouted" and event.subject == late for event in seen))
    assert (await holder(routing, late), await waiting(routing)) == ("ana", {})


async def test_what_is_taken_back_in_the_same_batch_leaves_nothing(routing: Actor, leads: Any) -> None:
    alert = ids.new()
    await learn(routing, "sla", pause(leads[0], alert), taken_back(leads[0], "ana", str(alert)))
    assert not await is_paused(routing)


async def test_another_missed_promise_keeps_them_offline(routing: Actor, leads: Any) -> None:
    alerts = ids.new(), ids.new()
    for lead, alert in zip(leads, alerts, strict=True):
        await learn(routing, "sla", pause(lead, alert))
    for lead, alert, stays in zip(leads, alerts, (True, False), strict=True):
        await learn(routing, "sla", taken_back(lead, "ana", str(alert)))
        assert await is_paused(routing) is stays


@pytest.mark.parametrize("first", [True, False])
async def test_whom_a_person_paused_stays_so(routing: Actor, leads: Any, *, first: bool) -> None:
    alert = ids.new()
    if first:
        await routing.http.post("/v1/reps/ana/pause")
    await learn(routing, "sla", pause(leads[0], alert))
    if not first:
        await routing.http.post("/v1/reps/ana/pause")
    await learn(routing, "sla", taken_back(leads[0], "ana", str(alert)))
    assert await is_paused(routing)
