"""Quiet hours that name no zone are the rep's, or of a lead's own clocks the company's, and follow when it changes."""

from datetime import datetime, timedelta

from backbone import ids, times
from backbone.database import Database
from handoff.events.v1 import console_pb2
from sla_monitor import store_changes
from tests.monitor import Monitor, at
from tests.telling import now, rep, rep_changed, routed

QUIET = """
clocks:
  - {clock: own, kind: first_response_1d, within: 2d, from: arrival}
  - {clock: theirs, kind: first_response_1d, within: 2d, from: assignment}
escalations: [{kind: first_response_1d, after: 0s, to: manager}]
quiet_hours: {start: 'START', end: 'END'}
"""


async def escalated(db: Database) -> dict[str, datetime]:
    """Return when each clock is escalated."""
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT clock, steps FROM clock")
    return {row["clock"]: times.parse(row["steps"]["steps"][-1]["at"]) for row in rows}


async def test_quiet_hours_follow_a_changed_zone_and_the_deadline_stays(db: Database, monitor: Monitor) -> None:
    lead, due_at = ids.new(), at(0) + timedelta(days=2)
    quiet = {"START": due_at - timedelta(hours=1), "END": due_at + timedelta(hours=2)}
    text = QUIET
    for name, instant in quiet.items():
        text = text.replace(name, f"{instant:%H:%M}")
    morning = quiet["END"].replace(second=0)
    await monitor.arrive(text, lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep()))
    assert await escalated(db) == {"own": morning, "theirs": morning}
    # Nine hours east it is later there, and nobody sleeps.
    await monitor.tell("routing", rep_changed(rep(version=2, time_zone="Asia/Tokyo"), now()))
    await monitor.recompute()
    assert await escalated(db) == {"own": morning, "theirs": due_at}
    said = console_pb2.SettingsChanged(zone="Asia/Tokyo", week_starts="mon", base_currency="EUR", version=1)
    await monitor.tell("console", (ids.new(), said))
    await monitor.recompute()
    assert await escalated(db) == {"own": due_at, "theirs": due_at}
    async with db.reading() as conn:
        assert {row[0] for row in await conn.fetch("SELECT due_at FROM clock")} == {due_at}
        assert await store_changes.changes(conn, lead) == []


async def test_a_zone_that_changes_when_a_deadline_is_over_does_not_put_it_off(db: Database, monitor: Monitor) -> None:
    lead, due_at = ids.new(), at(300)
    text = QUIET.replace("2d", "5m").replace("START", "00:00").replace("END", "00:01")
    await monitor.arrive(text, lead)
    await monitor.tell("routing", routed(lead, at(0), who=rep()))
    # Both are over and nobody was told yet, as after an outage.
    await monitor.tell("routing", rep_changed(rep(version=2, time_zone="Asia/Tokyo"), now()))
    await monitor.recompute()
    async with db.reading() as conn:
        row = await conn.fetchrow("SELECT * FROM clock WHERE clock = 'theirs'")
    assert (row["rep_version"], row["due_at"], row["next_at"]) == (2, due_at, due_at)
    assert [one["level"] for one in row["steps"]["steps"]] == ["breach", "escalation"]
