"""Hours, calendars and teams that change while clocks run, and what is learned of them late."""

from datetime import timedelta

import pytest

from backbone import database, ids, times
from backbone.database import Database
from backbone.testing import eventually
from backbone.testing.stage import Actor
from handoff.events.v1 import common_pb2
from sla_monitor import policies, recomputing, store_policies
from tests import telling
from tests.monitor import Monitor, at
from tests.shown import clocks, put
from tests.telling import captured, learn, merged, now, released, rep, rep_changed, routed, touch


async def test_a_colleague_is_who_was_of_the_team_then(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 5m, from: assignment}]\ncounts: {by: team}", lead)
    await monitor.tell("routing", rep_changed(rep("ben"), at(-3600)), routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    assert set((await monitor.states(lead)).values()) == {"met"}
    await monitor.tell(
        "routing", rep_changed(rep("ben", team="south", version=2), at(90)), telling.updated(lead, at(120))
    )
    assert set((await monitor.states(lead)).values()) == {"met"}


async def test_a_colleagues_touch_counts_though_nobody_knew_of_the_colleague(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 5m, from: assignment}]\ncounts: {by: team}", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    await monitor.tell("routing", rep_changed(rep("ben"), at(0)))
    await monitor.recompute()
    assert set((await monitor.states(lead)).values()) == {"met"}


async def test_a_window_that_a_late_touch_began_is_missed_by_changed_hours_too(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: stale, within: 10h, from: last_touch, hours: rep}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(9 * 3600)))
    assert await monitor.alerts() == [("breach", True)]
    hours = [
        common_pb2.WorkingHours(days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], start="00:00", end="23:00")
    ]
    await monitor.tell("routing", rep_changed(rep(version=2, working_hours=hours), at(0)))
    await monitor.recompute()
    await monitor.fire()
    assert await monitor.alerts() == [("breach", True), ("breach", False)]
    await monitor.tell("routing", released(lead, at(23 * 3600)))
    assert set((await monitor.states(lead)).values()) == {"breached"}


async def test_what_is_still_to_be_escalated_follows_changed_hours(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    policy = """
clocks: [{kind: first_response_5m, within: 5m, from: assignment, hours: rep}]
escalations: [{kind: first_response_5m, after: 2d, to: manager}, {kind: first_response_5m, after: 3d, to: reassign}]
"""
    await monitor.arrive(policy, lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    away = rep(version=2)
    leave = away.time_off.add()
    leave.start.FromDatetime(now())
    leave.end.FromDatetime(now() + timedelta(days=14))
    await monitor.tell("routing", rep_changed(away, at(0)))
    await monitor.recompute()
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock") > now() + timedelta(days=13)


async def test_a_breach_stays_told_though_the_hours_change_that_its_window_ran_on(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: stale, within: 5h, from: last_touch, hours: rep}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    off = rep(version=2)
    leave = off.time_off.add()
    leave.start.FromDatetime(at(0))
    leave.end.FromDatetime(at(3600))
    await monitor.tell("routing", rep_changed(off, at(0)))
    await monitor.tell("qualification", telling.qualified(lead, at(4000)))
    assert await monitor.alerts() == [("breach", False)]
    assert set((await monitor.states(lead)).values()) == {"breached"}


async def test_quiet_hours_stay_the_reps_when_a_calendar_changes(db: Database, monitor: Monitor) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    body = {"time_zone": "UTC", "working_hours": [{"days": days, "start": "00:00", "end": "24:00"}]}
    text = (
        "clocks: [{kind: first_response_1d, within: 20d, from: assignment, hours: firm, warn: [14d]}]\n"
        "quiet_hours: {start: '20:00', end: '08:00'}"
    )
    async with db.transaction() as conn:
        await store_policies.add_calendar(conn, "firm", body)
        await store_policies.add(conn, "standard", text, policies.parse(text.encode(), ["firm"]).data, "somebody")
    lead, noon_in_tokyo = ids.new(), at(0).replace(hour=3, minute=0, second=0)
    await monitor.tell("intake", captured(lead, noon_in_tokyo))
    await monitor.tell("routing", routed(lead, noon_in_tokyo, who=rep(time_zone="Asia/Tokyo")))
    async with db.reading() as conn:
        before = await conn.fetchval("SELECT steps FROM clock")
    async with db.transaction() as conn:
        await store_policies.add_calendar(conn, "firm", {**body, "closed": ["2001-01-01"]})
    await monitor.recompute()
    async with db.reading() as conn:
        row = await conn.fetchrow("SELECT steps, calendar FROM clock")
    assert (row["calendar"], row["steps"]) == ("firm@2", before)


async def test_open_clocks_follow_a_changed_calendar_each_move_on_record(sla: Actor) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    async def calendar(end: str) -> None:
        body = {"time_zone": "UTC", "working_hours": [{"days": days, "start": "00:00", "end": end}]}
        assert (await sla.http.put("/v1/calendars/firm", json=body)).status_code == 200

    await calendar("24:00")
    await put(sla, "clocks: [{kind: first_response_1d, within: 2d, from: assignment, hours: firm, warn: [50%]}]")
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    before = (await clocks(sla, lead))["first_response_1d", 1]
    assert (before["calendar"], times.parse(before["due_at"])) == ("firm@1", at + timedelta(days=2))
    await calendar("12:00")

    async def moved() -> None:
        clock = (await clocks(sla, lead))["first_response_1d", 1]
        assert clock["calendar"] == "firm@2"
        (move,) = clock["moved"]
        assert (move["due_before"], move["due_at"]) == (before["due_at"], clock["due_at"])
        # Half days: it takes twice as long.
        assert abs(times.parse(clock["due_at"]) - at - timedelta(days=4)) <= timedelta(hours=12)

    await eventually(moved)
    told = await sla.published(lambda seen: sum(event.type == "ClockStarted" for event in seen) == 2)
    assert told[-1].message.clock.calendar == "firm@2"


async def test_a_reps_changed_hours_move_open_deadlines_on_record(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: rep}]")
    lead, late, at = ids.new(), ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    before = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()[0]
    assert (before["calendar"], times.parse(before["due_at"])) == ("ana@1", at + timedelta(minutes=30))
    away = common_pb2.TimeOff(start=times.stamp(at - timedelta(days=1)), end=times.stamp(at + timedelta(days=2)))
    # An assignment that was decided with the hours of before is read after them, from another partition.
    await learn(sla, "routing", rep_changed(rep(version=2, time_off=[away]), at))
    await learn(sla, "routing", routed(late, at))

    async def moved() -> None:
        for one in (lead, late):
            (clock,) = (await sla.http.get(f"/v1/leads/{one}/clocks")).json()
            assert (clock["calendar"], clock["state"]) == ("ana@2", "running")
            assert times.parse(clock["due_at"]) == at + timedelta(days=2, minutes=30)

    await eventually(moved)
    events = await sla.published(lambda seen: sum(event.type == "ClockStarted" for event in seen) >= 3)
    assert "ana@2" in {event.message.clock.calendar for event in events if event.subject == lead}


async def test_calendars_that_change_together_keep_no_other_waiting(db: Database, monitor: Monitor) -> None:
    text = """
clocks:
  - {kind: first_response_1d, within: 2d, from: assignment, hours: firm}
  - {kind: acceptance, within: 2d, from: assignment, hours: works}
"""
    body = {"time_zone": "UTC", "working_hours": [{"days": ["mon", "wed", "fri"], "start": "08:00", "end": "20:00"}]}

    async def calendars(closed: list[str]) -> None:
        async with db.transaction() as conn:
            for name in ("firm", "works"):
                await store_policies.add_calendar(conn, name, {**body, "closed": closed})

    await calendars([])
    async with db.transaction() as conn:
        data = policies.parse(text.encode(), ["firm", "works"]).data
        await store_policies.add(conn, "standard", text, data, "somebody")
    lead = ids.new()
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(0)))
    await calendars(["2001-01-01"])
    await monitor.recompute()
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT calendar FROM clock WHERE hours <> 'wall' ORDER BY 1")
    assert [row[0] for row in rows] == ["firm@2", "works@2"]


async def test_every_lead_that_a_colleague_touched_is_judged_though_they_are_many_and_some_are_held(
    db: Database, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputing, "AT_ONCE", 2)
    leads, lost = sorted(ids.new() for _ in range(5)), ids.new()
    policy = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]\ncounts: {by: team}"
    await monitor.arrive(policy, *leads, lost)
    await monitor.tell("routing", *(routed(lead, at(0)) for lead in leads))
    # One of them was touched as another lead, which it is one with since then.
    await monitor.tell("intake", *(touch(lead, at(60), rep_id="ben") for lead in [lost, *leads[1:]]))
    await monitor.tell("intake", *merged(leads[0], lost, at(90), came_at=at(0)))
    await monitor.tell("routing", rep_changed(rep("ben"), at(0)))
    holding = await database.connect_single(db.url, name="tests", idle_ms=0)
    async with holding.transaction():
        await holding.execute("SELECT FROM subject WHERE subject_id = $1 FOR NO KEY UPDATE", leads[3])
        await monitor.recompute(at_most=6)
        states = [(await monitor.states(lead))["first_response_5m", 1] for lead in leads]
        assert states == ["met", "met", "met", "running", "running"]
    await holding.close()
    await monitor.recompute()
    assert [(await monitor.states(lead))["first_response_5m", 1] for lead in leads] == ["met"] * 5
