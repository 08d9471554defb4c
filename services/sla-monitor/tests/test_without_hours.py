"""Promises on hours that do not come: they run, on record, and have a deadline once the hours change."""

from typing import Any
from uuid import UUID

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_attainment, store_changes
from sla_monitor.hours import NEVER
from tests.monitor import Monitor, at
from tests.telling import HOURS, rep, rep_changed, routed, touch

POLICY = "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: rep}]"
IDLE, BACK = rep(working_hours=[]), rep(version=2, working_hours=HOURS)


async def clock(db: Database) -> Any:
    async with db.reading() as conn:
        return await conn.fetchrow("SELECT * FROM clock")


async def moves(db: Database, lead: UUID) -> list[tuple[str, Any, Any]]:
    async with db.reading() as conn:
        return [(row["calendar"], row["due_before"], row["due_at"]) for row in await store_changes.changes(conn, lead)]


async def running(db: Database, seconds: float) -> list[tuple[int, int, int]]:
    async with db.reading() as conn:
        groups = await reports_attainment.attainment(conn, at(-3600), at(9000), by="none", as_of=at(seconds))
    return [(one["met"], one["missed"], one["running"]) for one in groups]


def counted() -> float:
    return REGISTRY.get_sample_value("handoff_clocks_without_hours_total") or 0


async def test_a_promise_without_hours_runs_and_is_due_once_they_are_changed(db: Database, monitor: Monitor) -> None:
    lead, before = ids.new(), counted()
    await monitor.arrive(POLICY, lead)
    with capture_logs() as said:
        await monitor.tell("routing", routed(lead, at(0), who=IDLE))
        await monitor.tell("intake", touch(lead, at(-9000), kind="email"))
    warned = [one for one in said if one["log_level"] == "warning"]
    assert [(one["lead_id"], one["calendar"]) for one in warned] == [(str(lead), "ana@1")]
    assert counted() - before == 1
    row = await clock(db)
    assert (row["state"], row["calendar"], row["due_at"]) == ("running", "ana@1", at(0) + NEVER)
    assert await running(db, 60) == [(0, 0, 1)]
    await monitor.tell("routing", rep_changed(BACK, at(600)))
    await monitor.recompute()
    row = await clock(db)
    assert (row["state"], row["calendar"]) == ("running", "ana@2")
    assert row["due_at"] == at(1800)
    assert await moves(db, lead) == [("ana@2", at(0) + NEVER, row["due_at"])]
    assert await running(db, 60) == [(0, 0, 1)]
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False)]


async def test_it_does_not_matter_whether_the_hours_or_the_lead_are_read_first(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive(POLICY, lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep(working_hours=HOURS)))
    await monitor.tell("routing", rep_changed(rep(version=2, working_hours=[]), at(600)))
    await monitor.recompute()
    row = await clock(db)
    assert (row["state"], row["calendar"], row["due_at"]) == ("running", "ana@2", at(0) + NEVER)
    await monitor.tell("intake", touch(lead, at(3600)))
    assert await monitor.states(lead) == {("first_response_30m", 1): "met"}


async def test_what_was_neglected_stays_told_though_the_hours_are_gone(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: stale, within: 5h, from: last_touch, hours: rep}]", lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep(working_hours=HOURS)))
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False)]
    await monitor.tell("routing", rep_changed(rep(version=2, working_hours=[]), at(20000)))
    await monitor.recompute()
    await monitor.tell("intake", touch(lead, at(21000)))
    await monitor.recompute()
    assert await monitor.alerts() == [("breach", False)]
    assert await running(db, 30000) == [(0, 1, 0)]
