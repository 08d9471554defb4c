"""What is learned late or turns out to be wrong: merges, undone ones, releases, teams, managers, hours, erasures."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from backbone.outbox import Outbox
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2, sla_pb2
from sla_monitor import policies, recomputing, reports_attainment, store_policies
from sla_monitor.applying import Applying
from sla_monitor.store_policies import Policies
from tests import telling
from tests.monitor import Monitor
from tests.telling import (
    Told,
    captured,
    engaged,
    merged,
    now,
    qualified,
    queued,
    released,
    rep,
    routed,
    touch,
    unmerged,
)

START = now().replace(microsecond=0) - timedelta(days=1)
ESCALATED = """
clocks: [{kind: first_response_5m, within: 5m, from: SOURCE}]
escalations: [{kind: first_response_5m, after: 2d, to: manager}, {kind: first_response_5m, after: 3d, to: reassign}]
"""
FIVE = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]"
HANDOFF = "clocks: [{kind: handoff, within: 3d, from: qualification}]"
HOUR = 3600


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("sla")


@pytest.fixture
def monitor(db: Database) -> Monitor:
    return Monitor(db)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def changed(who: common_pb2.Rep, seconds: float = 0) -> Told:
    message = routing_pb2.RepChanged(stamp=telling.stamp(ids.new(), now()), rep=who)
    message.stamp.lead_id = ""
    message.changed_at.FromDatetime(at(seconds))
    return ids.derived("rep", who.rep_id), message


async def arrive(monitor: Monitor, policy: str, *leads: UUID) -> None:
    await monitor.put(policy)
    await monitor.tell("intake", *(captured(lead, at(0)) for lead in leads))


async def states(db: Database, lead: UUID) -> dict[tuple[str, int], str]:
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT clock, cycle, state FROM clock WHERE lead_id = $1", lead)
    return {(row["clock"], row["cycle"]): row["state"] for row in rows}


async def alerts(db: Database) -> list[tuple[str, bool]]:
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT level, retracted_at FROM alert ORDER BY seq")
    return [(row["level"], row["retracted_at"] is not None) for row in rows]


@pytest.mark.parametrize("tell", [qualified, queued])
async def test_a_clock_of_qualifications_starts_though_intake_is_read_later(
    db: Database, monitor: Monitor, tell: Callable[[UUID, datetime], Told]
) -> None:
    await monitor.put(
        "clocks: [{kind: handoff, within: 3d, from: qualification}, {kind: review, within: 3d, from: queued}]"
    )
    lead = ids.new()
    await monitor.tell("qualification", tell(lead, at(1)))
    await monitor.tell("intake", captured(lead, at(0)))
    assert list((await states(db, lead)).values()) == ["running"]


@pytest.mark.parametrize("first", ["routing", "qualification"])
async def test_who_qualifies_again_is_promised_a_handoff_again(db: Database, monitor: Monitor, first: str) -> None:
    lead = ids.new()
    await arrive(monitor, HANDOFF, lead)
    await monitor.tell("qualification", qualified(lead, at(0)))
    given = routed(lead, at(30)), released(lead, at(60))
    if first == "routing":
        await monitor.tell("routing", *given)
    await monitor.tell("qualification", qualified(lead, at(100)))
    if first == "qualification":
        await monitor.tell("routing", *given)
    assert await states(db, lead) == {("handoff", 1): "met", ("handoff", 2): "running"}


async def test_a_booking_told_late_leaves_the_second_miss_a_clock(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, "clocks: [{kind: no_show_rebook, within: 3d, from: meeting_missed}]", lead)
    await monitor.tell("intake", engaged(lead, at(10), "meeting_missed"))
    await monitor.tell("intake", engaged(lead, at(30), "meeting_missed"))
    assert await states(db, lead) == {("no_show_rebook", 1): "running"}
    await monitor.tell("intake", engaged(lead, at(20), "meeting_booked"))
    assert await states(db, lead) == {("no_show_rebook", 1): "met", ("no_show_rebook", 2): "running"}
    # And it is one promise again when that booking turns out to be of before both.
    await monitor.tell("intake", engaged(lead, at(5), "meeting_missed"))
    assert await states(db, lead) == {
        ("no_show_rebook", 1): "cancelled",
        ("no_show_rebook", 2): "running",
        ("no_show_rebook", 3): "met",
    }


async def test_a_touch_after_the_release_starts_no_next_step(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, "clocks: [{kind: next_step, within: 2m, from: last_touch}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(100)))
    await monitor.tell("routing", released(lead, at(60), outcome="reassigned"))
    await monitor.fire()
    assert await alerts(db) == []
    assert await states(db, lead) == {("next_step", 1): "cancelled"}


@pytest.mark.parametrize("source", ["assignment", "arrival"])
async def test_of_an_erased_lead_nothing_is_escalated(db: Database, monitor: Monitor, source: str) -> None:
    lead = ids.new()
    await arrive(monitor, ESCALATED.replace("SOURCE", source), lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    erased = intake_pb2.PersonalDataErased(stamp=telling.stamp(lead, now()), erasure_id=str(ids.new()))
    await monitor.tell("intake", (lead, erased))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock WHERE lead_id = $1", lead) is None


async def test_of_a_merged_lead_nothing_is_escalated(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    await arrive(monitor, ESCALATED.replace("SOURCE", "arrival"), lead, lost)
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(400), came_at=at(0)))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock WHERE lead_id = $1", lost) is None


async def test_the_breach_of_a_window_that_was_kept_is_taken_back_though_another_runs_by_now(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await arrive(monitor, "clocks: [{kind: stale, within: 10h, from: last_touch}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(18 * HOUR)))
    assert await alerts(db) == [("breach", False)]
    await monitor.tell("intake", touch(lead, at(9 * HOUR)))
    assert await alerts(db) == [("breach", True)]
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT breached_at FROM clock") is None
        stored = await reports_attainment.attainment(conn, at(-1), at(1), by="none")
        assert stored == await reports_attainment.attainment(conn, at(-1), at(1), by="none", as_of=now())


async def test_what_followed_a_wrong_breach_is_taken_back_with_it(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, FIVE + "\nescalations: [{kind: first_response_5m, after: 0s, to: manager}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(60)))
    assert await alerts(db) == [("breach", True), ("escalation", True)]


async def test_a_colleague_is_who_was_of_the_team_then(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, FIVE + "\ncounts: {by: team}", lead)
    await monitor.tell("routing", changed(rep("ben"), -HOUR), routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    assert set((await states(db, lead)).values()) == {"met"}
    await monitor.tell("routing", changed(rep("ben", team="south", version=2), 90), telling.updated(lead, at(120)))
    assert set((await states(db, lead)).values()) == {"met"}


def applying() -> Applying:
    return Applying(Outbox(topic="sla", namespace="t", partitions=2), Policies())


async def test_a_colleagues_touch_counts_though_nobody_knew_of_the_colleague(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, FIVE + "\ncounts: {by: team}", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    await monitor.tell("routing", changed(rep("ben")))
    for _ in range(4):
        async with db.transaction() as conn:
            await recomputing._some(conn, applying())
    assert set((await states(db, lead)).values()) == {"met"}


async def test_a_window_that_a_late_touch_began_is_missed_by_changed_hours_too(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, "clocks: [{kind: stale, within: 10h, from: last_touch, hours: rep}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(9 * HOUR)))
    assert await alerts(db) == [("breach", True)]
    hours = [
        common_pb2.WorkingHours(days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], start="00:00", end="23:00")
    ]
    await monitor.tell("routing", changed(rep(version=2, working_hours=hours)))
    for _ in range(2):
        async with db.transaction() as conn:
            await recomputing._some(conn, applying())
    await monitor.fire()
    assert await alerts(db) == [("breach", True), ("breach", False)]
    await monitor.tell("routing", released(lead, at(23 * HOUR)))
    assert set((await states(db, lead)).values()) == {"breached"}


async def test_an_alert_goes_to_who_leads_the_rep_by_now(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await arrive(monitor, FIVE + "\nescalations: [{kind: first_response_5m, after: 0s, to: manager}]", lead)
    await monitor.tell("routing", routed(lead, at(0)), changed(rep(manager_id="mia", version=2)))
    await monitor.fire()
    async with db.reading() as conn:
        (told,) = await conn.fetch("SELECT value FROM outbox WHERE type LIKE '%SlaEscalated'")
    assert list(sla_pb2.SlaEscalated.FromString(told["value"]).alert.manager_ids) == ["mia"]


async def test_an_undone_merge_takes_its_touches_and_its_promises_along(db: Database, monitor: Monitor) -> None:
    lead, lost, slow, other = (ids.new() for _ in range(4))
    await arrive(
        monitor,
        "clocks:\n  - {kind: first_response_5m, within: 5m, from: assignment}\n"
        "  - {kind: handoff, within: 3d, from: qualification}\n"
        "  - {kind: first_response_1d, within: 3d, from: arrival}",
        *(lead, lost, slow, other),
    )
    await monitor.tell("routing", routed(lead, at(0)), routed(slow, at(0)))
    await monitor.fire()
    await monitor.tell("qualification", telling.disqualified(lost, at(20)), qualified(other, at(10)))
    await monitor.tell("intake", touch(lost, at(60)), touch(other, at(600)))
    await monitor.tell(
        "intake", *merged(lead, lost, at(700), came_at=at(0)), *merged(slow, other, at(700), came_at=at(0))
    )
    assert (await states(db, lead))["first_response_5m", 1] == "met"
    assert (await states(db, slow))["handoff", 1] == "met"
    await monitor.tell("intake", *unmerged(lead, lost, at(800)), *unmerged(slow, other, at(800)))
    await monitor.fire()
    assert await states(db, lead) == {("first_response_5m", 1): "breached", ("first_response_1d", 0): "running"}
    async with db.reading() as conn:
        five = await conn.fetchrow("SELECT met_at, retracted FROM clock WHERE lead_id = $1 AND cycle = 1", lead)
        assert (five["met_at"], five["retracted"]) == (None, False)
        late = "SELECT met_at FROM clock WHERE lead_id = $1 AND clock = 'first_response_5m'"
        assert await conn.fetchval(late, slow) is None
    assert (await states(db, slow))["handoff", 1] == "cancelled"
    assert (await states(db, other))["handoff", 1] == "running"
    assert dict(await alerts(db)) == {"breach": False}


@pytest.mark.parametrize("first", ["intake", "routing"])
async def test_what_was_told_before_a_merge_is_told_and_counted_once(
    db: Database, monitor: Monitor, first: str
) -> None:
    lead, lost = ids.new(), ids.new()
    await arrive(monitor, FIVE, lead, lost)
    await monitor.tell("routing", routed(lost, at(0)))
    await monitor.fire()
    said: dict[str, list[Any]] = {
        "intake": merged(lead, lost, at(400), came_at=at(0)),
        "routing": [released(lost, at(400), outcome="merged"), routed(lead, at(0), rule="merged")],
    }
    for topic in sorted(said, key=lambda one: one != first):
        await monitor.tell(topic, *said[topic])
    await monitor.fire()
    assert await alerts(db) == [("breach", False)]
    async with db.reading() as conn:
        (kept,) = await reports_attainment.attainment(conn, at(-1), at(1), by="none")
    assert (kept["met"], kept["missed"], kept["running"]) == (0, 1, 0)


async def test_a_touched_lead_that_changes_hands_has_every_clock_but_first_responses(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await arrive(
        monitor,
        "clocks:\n  - {kind: first_response_5m, within: 5m, from: assignment}\n"
        "  - {kind: acceptance, within: 1d, from: assignment}\n"
        "  - {kind: minimum_touches, within: 7d, from: assignment, touches: {call: 4}}",
        lead,
    )
    await monitor.tell("routing", routed(lead, at(0), cycle=2, starts_clocks=False))
    assert {clock for clock, _ in await states(db, lead)} == {"acceptance", "minimum_touches"}


async def test_what_is_still_to_be_escalated_follows_changed_hours(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    policy = ESCALATED.replace("SOURCE", "assignment, hours: rep")
    await arrive(monitor, policy, lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    away = rep(version=2)
    leave = away.time_off.add()
    leave.start.FromDatetime(now())
    leave.end.FromDatetime(now() + timedelta(days=14))
    await monitor.tell("routing", changed(away))
    for _ in range(4):
        async with db.transaction() as conn:
            await recomputing._some(conn, applying())
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock") > now() + timedelta(days=13)


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
    lead, noon_in_tokyo = ids.new(), START.replace(hour=3, minute=0, second=0)
    await monitor.tell("intake", captured(lead, noon_in_tokyo))
    await monitor.tell("routing", routed(lead, noon_in_tokyo, who=rep(time_zone="Asia/Tokyo")))
    async with db.reading() as conn:
        before = await conn.fetchval("SELECT steps FROM clock")
    async with db.transaction() as conn:
        await store_policies.add_calendar(conn, "firm", {**body, "closed": ["2001-01-01"]})
    for _ in range(4):
        async with db.transaction() as conn:
            await recomputing._some(conn, applying())
    async with db.reading() as conn:
        row = await conn.fetchrow("SELECT steps, calendar FROM clock")
    assert (row["calendar"], row["steps"]) == ("firm@2", before)
