"""A promise is missed by the hours of when it fell due, whichever is read first: the lead or the change."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backbone import ids
from backbone.database import Database
from handoff.events.v1 import common_pb2
from sla_monitor import policies, recomputing, store_policies
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import HOURS, captured, now, rep, rep_changed, routed, touch

OWN = "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: rep}]"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def due(db: Database) -> datetime:
    async with db.reading() as conn:
        found: datetime = await conn.fetchval("SELECT due_at FROM clock")
        return found


@pytest.mark.parametrize("order", ["fired between", "both", "hours first", "one batch"])
async def test_what_was_missed_before_the_hours_changed_is_missed(monitor: Monitor, order: str) -> None:
    lead = ids.new()
    await monitor.arrive(OWN, lead)
    given = routed(lead, at(0), who=rep(working_hours=HOURS))
    changed = rep_changed(rep(version=2, working_hours=[]), at(7200))
    told = {"hours first": [[changed], [given]], "one batch": [[given, changed]]}
    for some in told.get(order, [[given], [changed]]):
        await monitor.tell("routing", *some)
        if order == "fired between":
            await monitor.fire()
    await monitor.recompute()
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False)]
    assert await monitor.states(lead) == {("first_response_30m", 1): "breached"}


async def test_what_was_too_late_is_in_time_when_the_hours_say_so(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive(OWN, lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep(working_hours=HOURS)))
    await monitor.tell("intake", touch(lead, at(2000)))
    leave = common_pb2.TimeOff()
    leave.start.FromDatetime(at(-60))
    leave.end.FromDatetime(at(1000))
    await monitor.tell("routing", rep_changed(rep(version=2, time_off=[leave]), at(600)))
    await monitor.recompute()
    assert await monitor.states(lead) == {("first_response_30m", 1): "met"}
    await monitor.fire()
    assert await monitor.alerts() == []


async def put_firm(db: Database, days: list[str], made_at: datetime) -> None:
    body = {"time_zone": "UTC", "working_hours": [{"days": days, "start": "00:00", "end": "24:00"}]}
    async with db.transaction() as conn:
        version = await store_policies.add_calendar(conn, "firm", body)
        await conn.execute("UPDATE calendar SET made_at = $2 WHERE version = $1", version, made_at)


async def put_firm_policy(db: Database, text: str) -> None:
    async with db.transaction() as conn:
        await store_policies.add(conn, "standard", text, policies.parse(text.encode(), ["firm"]).data, "somebody")


async def put_stale(db: Database, within: str) -> None:
    await put_firm_policy(db, f"clocks: [{{kind: stale, within: {within}, from: last_touch, hours: firm}}]")


@pytest.mark.parametrize("is_late", [True, False])
async def test_a_window_that_a_changed_calendar_let_run_out_is_told_of_once(
    db: Database, monitor: Monitor, is_late: bool
) -> None:
    lead, opened = ids.new(), at(600)
    closed = [DAYS[(opened.weekday() + 3) % 7]]
    await put_firm(db, closed, at(-3600))
    await put_stale(db, "4m")
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(0)))
    called = touch(lead, at(60))
    if not is_late:
        await monitor.tell("intake", called)
    await put_firm(db, DAYS, opened)
    await monitor.recompute()
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False)]
    if is_late:
        await monitor.tell("intake", called)
        await monitor.recompute()
        await monitor.fire()
    # What ran out is another window now, which ran out at the same instant: it is told of by itself.
    assert await monitor.alerts() == [("breach", True), ("breach", False)][not is_late :]
    assert await due(db) == opened


async def test_what_had_ended_keeps_its_deadline_though_the_calendar_changes_later(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await put_firm(db, DAYS, at(-3600))
    await put_stale(db, "60m")
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(0)), telling.released(lead, at(60), outcome="reassigned"))
    before = await due(db)
    await put_firm(db, [DAYS[(at(0).weekday() + 3) % 7]], at(5000))
    await monitor.recompute()
    await monitor.tell("intake", touch(lead, at(5100)))
    assert await due(db) == before == at(3600)


async def test_a_missed_deadline_stays_with_the_calendar_that_made_it(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    text = "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: firm}]\n"
    text += "escalations: [{kind: first_response_30m, after: 9d, to: manager}]"
    await put_firm(db, DAYS, at(-3600))
    await put_firm_policy(db, text)
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    async with db.reading() as conn:
        before = await conn.fetchrow("SELECT state, calendar, due_at, next_at FROM clock")
    await put_firm(db, [DAYS[(at(0).weekday() + 3) % 7]], now())
    await monitor.recompute(at_most=20)
    async with db.reading() as conn:
        after = await conn.fetchrow("SELECT state, calendar, due_at, next_at FROM clock")
        assert await conn.fetch("SELECT FROM clock_change") == []
    assert tuple(after)[:3] == tuple(before)[:3] == ("breached", "firm@1", at(1800))
    # What is to come follows the hours of now.
    assert after["next_at"] > before["next_at"]


async def test_a_next_step_in_the_last_year_of_all_ends_nothing(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: next_step, within: 2d, from: last_touch, hours: rep, warn: [50%]}]", lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep(working_hours=HOURS)))
    await monitor.tell("intake", touch(lead, at(60), next_at=datetime(2200, 12, 31, 20, tzinfo=UTC)))
    await monitor.tell("routing", rep_changed(rep(version=2, working_hours=[]), now()))
    following: asyncio.Task[Any] = asyncio.ensure_future(recomputing.run(db, monitor._applying))
    await monitor.recompute()
    _, waiting = await asyncio.wait([following], timeout=0.1)
    assert waiting
    following.cancel()
    assert await due(db) > now() + timedelta(days=60_000)
