"""What is reported of an instant stays, whatever is learned after it of what happened before."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import (
    reports,
    reports_attainment,
    reports_conversion,
    reports_leaks,
    reports_marketing,
    reports_meetings,
    reports_persistence,
)
from tests.monitor import Monitor, at
from tests.telling import Told, captured, engaged, merged, qualified, released, rep, routed, touch, unmerged

POLICY = """
clocks:
  - {kind: first_response_1d, within: 10m, from: arrival}
  - {kind: no_show_rebook, within: 10m, from: meeting_missed}
"""
ARRIVED, REBOOK, NEXT = "first_response_1d", "no_show_rebook", "next_step"
THEN, LATER = 2000, 4000
Counts = dict[str, tuple[int, int, int]]
"""By kind: met, missed, running."""


@pytest.fixture
async def monitor(db: Database) -> Monitor:
    made = Monitor(db)
    await made.put(POLICY)
    return made


def learned(told: Told, seconds: float) -> Told:
    """Say it as it comes when it is recorded late."""
    told[1].stamp.recorded_at.FromDatetime(at(seconds))
    return told


async def attained(db: Database, seconds: float) -> Counts:
    async with db.reading() as conn:
        groups = await reports_attainment.attainment(conn, at(-3600), at(9000), by="none", as_of=at(seconds))
    return {one["kind"]: (one["met"], one["missed"], one["running"]) for one in groups}


async def delivered(db: Database, seconds: float) -> dict[str, Any]:
    asked = reports_marketing.Asked(start=at(-3600), end=at(9000), by="none", as_of=at(seconds))
    async with db.reading() as conn:
        return await reports_marketing.report(conn, asked)


async def reported(db: Database, seconds: float) -> dict[str, Any]:
    """Return every report, by rep where it has reps."""
    span: dict[str, Any] = {"start": at(-3600), "end": at(9000), "as_of": at(seconds)}
    async with db.reading() as conn:
        return {
            "speed": await reports.speed(conn, **span, by="rep"),
            "attainment": await reports_attainment.attainment(conn, **span, by="rep"),
            "persistence": await reports_persistence.persistence(conn, **span, by="rep"),
            "meetings": await reports_meetings.meetings(conn, **span, by="rep"),
            "leaks": await reports_leaks.leaks(conn, **span),
            "conversion": await reports_conversion.conversion(conn, **span, by="rep"),
            "marketing": await reports_marketing.report(conn, reports_marketing.Asked(**span, by="none")),
        }


async def test_a_lead_that_was_posted_later_is_in_no_report_of_before(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    before = await delivered(db, THEN)
    await monitor.tell("intake", learned(captured(lead, at(0)), THEN + 1))
    assert await attained(db, THEN) == {}
    assert await delivered(db, THEN) == before
    assert await attained(db, LATER) == {ARRIVED: (0, 1, 0)}
    weeks = [await delivered(db, seconds) for seconds in (THEN, LATER)]
    assert [sum(week["first_response"]["missed"] for week in one["weeks"]) for one in weeks] == [0, 1]


@pytest.mark.parametrize("first", ["intake", "qualification", "routing"])
async def test_a_lead_that_came_to_life_later_was_history_before(db: Database, monitor: Monitor, first: str) -> None:
    lead = ids.new()
    mql = qualified(lead, at(100))
    mql[1].stamp.live = False
    await monitor.tell("intake", captured(lead, at(0), live=False))
    await monitor.tell("qualification", mql)
    before = await delivered(db, THEN)
    (total,) = before["totals"]
    assert (total["history"], total["qualified"], total["handoff"]["waiting"]) == (1, 0, 0)
    said = {
        "intake": learned(engaged(lead, at(50), "demo_requested"), THEN + 1),
        "qualification": learned(qualified(lead, at(THEN + 10)), THEN + 1),
        "routing": learned(routed(lead, at(THEN + 20)), THEN + 1),
    }
    for _, message in said.values():
        message.stamp.arrived_at.FromDatetime(at(50))
    for topic in sorted(said, key=lambda one: one != first):
        await monitor.tell(topic, said[topic])
    assert await delivered(db, THEN) == before
    assert await attained(db, THEN) == {}
    (total,) = (await delivered(db, LATER))["totals"]
    assert (total["history"], total["qualified"]) == (0, 1)


async def test_a_next_step_that_was_told_later_was_no_promise_before(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(10)))
    await monitor.tell("intake", touch(lead, at(100), next_at=at(1000)))
    before = await attained(db, THEN)
    assert before == {ARRIVED: (1, 0, 0), NEXT: (0, 1, 0)}
    await monitor.tell("intake", learned(touch(lead, at(1500), next_at=at(6000)), THEN + 1))
    assert await attained(db, THEN) == before
    assert await attained(db, LATER) == {ARRIVED: (1, 0, 0), NEXT: (0, 1, 1)}


async def test_a_lead_that_moved_in_later_was_nobodys_before(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.put("clocks: [{kind: stale, within: 60d, from: last_touch}]")
    await monitor.tell("intake", learned(captured(lead, at(0)), THEN + 1))
    await monitor.tell("routing", learned(routed(lead, at(10), starts_clocks=False), THEN + 1))
    assert await attained(db, THEN) == {}
    assert await attained(db, 365 * 86_400) == {"stale": (0, 1, 0)}


async def test_who_is_said_later_to_have_had_a_lead_all_the_while_did_not_have_it_before(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await monitor.put("clocks: [{kind: handoff, within: 10m, from: qualification}]")
    await monitor.tell("intake", captured(lead, at(0)), engaged(lead, at(60), "meeting_booked", meeting_id="m"))
    await monitor.tell("qualification", qualified(lead, at(20)))
    before = await reported(db, THEN)
    await monitor.tell("routing", learned(routed(lead, at(10), starts_clocks=False, accepted=True), THEN + 1))
    assert await reported(db, THEN) == before
    after = await reported(db, LATER)
    by_rep = ("speed", "attainment", "persistence", "meetings", "conversion")
    assert {name: {one["key"] for one in before[name]} for name in by_rep} == {name: {""} for name in by_rep}
    assert {name: {one["key"] for one in after[name]} for name in by_rep} == {name: {"ana"} for name in by_rep}
    # Of who gets it next the lead's newest fact was recorded before.
    await monitor.tell("routing", released(lead, at(LATER + 1), outcome="reassigned"))
    await monitor.tell("routing", learned(routed(lead, at(LATER + 1), cycle=2, who=rep("bob")), THEN + 1))
    assert await reported(db, LATER) == after


async def missed_once(db: Database, monitor: Monitor, lead: UUID, lost: UUID) -> Counts:
    """Two leads are one, of which one had not come to a meeting; until they are two again, after `THEN`."""
    await monitor.tell("intake", captured(lead, at(0)), captured(lost, at(0)))
    await monitor.tell("intake", engaged(lost, at(100), "meeting_missed", meeting_id="m"))
    await monitor.tell("intake", *merged(lead, lost, at(300), came_at=at(0)))
    return await attained(db, THEN)


async def test_what_leads_missed_while_they_were_one_stays_when_they_are_two_again(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    before = await missed_once(db, monitor, lead, lost)
    assert before == {ARRIVED: (0, 1, 0), REBOOK: (0, 1, 0)}
    apart = await attained(db, 200)
    assert apart == {ARRIVED: (0, 0, 2), REBOOK: (0, 0, 1)}
    await monitor.tell("intake", *unmerged(lead, lost, at(THEN + 1)))
    assert await attained(db, THEN) == before
    assert await attained(db, 200) == apart
    assert await attained(db, LATER) == {ARRIVED: (0, 2, 0), REBOOK: (0, 1, 0)}


async def test_what_began_with_anothers_touch_stays_when_they_are_two_again(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.put("clocks: [{kind: next_step, within: 10m, from: last_touch}]")
    await monitor.tell("intake", captured(lead, at(0)), captured(lost, at(0)))
    await monitor.tell("routing", routed(lead, at(10)))
    await monitor.tell("intake", touch(lost, at(100)), *merged(lead, lost, at(300), came_at=at(0)))
    before = await attained(db, THEN)
    assert before == {NEXT: (0, 1, 0)}
    await monitor.tell("intake", *unmerged(lead, lost, at(THEN + 1)))
    assert await attained(db, THEN) == before
    assert await attained(db, LATER) == {}


@pytest.mark.parametrize("late", ["meeting_missed", "meeting_booked"])
async def test_which_promise_was_the_first_is_decided_by_what_was_known(
    db: Database, monitor: Monitor, late: str
) -> None:
    lead = ids.new()
    await monitor.tell("intake", captured(lead, at(0)), engaged(lead, at(10), "meeting_missed", meeting_id="a"))
    await monitor.tell("intake", engaged(lead, at(300), "meeting_missed", meeting_id="b"))
    before = await attained(db, THEN)
    assert before[REBOOK] == (0, 1, 0)
    # An earlier miss, or a booking in between, that is recorded late: the first of them is another, or there are two.
    seconds = 5 if late == "meeting_missed" else 100
    await monitor.tell("intake", learned(engaged(lead, at(seconds), late, meeting_id="c"), THEN + 1))
    assert await attained(db, THEN) == before
    assert (await attained(db, LATER))[REBOOK] == ((0, 1, 0) if late == "meeting_missed" else (1, 1, 0))


def came(told: Told, seconds: float) -> Told:
    """Say it as intake stamps it, with when the lead arrived."""
    told[1].stamp.arrived_at.FromDatetime(at(seconds))
    return told


async def attained_from(db: Database, start: float, end: float, seconds: float) -> tuple[int, int, int] | None:
    """Return what became of the promises that began with an arrival in a span."""
    async with db.reading() as conn:
        asked = reports_attainment.Asked(start=at(start), end=at(end), by=["none"])
        found = await reports_attainment.counted(conn, asked, as_of=at(seconds))
    counts = found.get((("all",), ARRIVED))
    return (counts["met"], counts["missed"], counts["running"]) if counts is not None else None


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_lead_arrived_when_it_did_until_it_turned_out_to_be_an_older_one(
    db: Database, monitor: Monitor, at_once: bool
) -> None:
    newer, older = ids.new(), ids.new()
    told = [captured(newer, at(600)), captured(older, at(0))]
    # Where it is read before the merge, hours that changed had moved its deadline from 1200.
    answer = came(touch(newer, at(700 if at_once else 1400)), 600)
    link = merged(newer, older, at(THEN + 1), came_at=at(0))
    if at_once:
        await monitor.tell("intake", *told, answer, *link)
    else:
        await monitor.tell("intake", *told)
        async with db.transaction() as conn:
            await conn.execute("UPDATE clock SET due_at = $2 WHERE lead_id = $1", newer, at(1500))
        await monitor.tell("intake", answer, *link)

    async def seen() -> list[Any]:
        return [await attained_from(db, 300, 9000, seconds) for seconds in (650, THEN, LATER)]

    before = [(0, 0, 1), (1, 0, 0), None]
    assert await seen() == before
    # Of the older one's arrival it was answered too late, and that one had been promised an answer as well.
    since = await attained_from(db, -300, 300, LATER)
    assert since == (0, 2, 0)
    await monitor.tell("intake", *unmerged(newer, older, at(LATER + 1), came={newer: at(600), older: at(0)}))
    assert await seen() == before
    assert await attained_from(db, 300, 9000, 2 * 86_400) == ((1, 0, 0) if at_once else (0, 1, 0))


async def test_what_ran_when_its_lead_was_merged_ran_then_wherever_the_lead_arrives_later(
    db: Database, monitor: Monitor
) -> None:
    lead, kept, older = ids.new(), ids.new(), ids.new()
    await monitor.tell("intake", captured(lead, at(600)), captured(kept, at(600)), captured(older, at(0)))
    await monitor.tell("intake", *merged(kept, lead, at(700), came_at=at(600)))
    before = await attained(db, THEN)
    assert before == {ARRIVED: (0, 2, 0)}
    undone = unmerged(kept, lead, at(THEN + 1), came={kept: at(600), lead: at(600)})
    await monitor.tell("intake", *undone, *merged(lead, older, at(THEN + 2), came_at=at(0)))
    assert await attained(db, THEN) == before


async def test_what_was_scored_before_a_lead_came_to_life_stays_history_if_it_is_an_older_one_after_all(
    db: Database, monitor: Monitor
) -> None:
    lead, older = ids.new(), ids.new()
    scored = qualified(lead, at(300))
    scored[1].stamp.live = False
    await monitor.tell("intake", captured(lead, at(100), live=False), captured(older, at(0)))
    await monitor.tell("qualification", scored)
    await monitor.tell("intake", engaged(lead, at(600), "demo_requested"))
    await monitor.tell("qualification", came(qualified(lead, at(700)), 600))
    await monitor.tell("routing", came(routed(lead, at(800)), 600))
    before = await delivered(db, THEN)
    await monitor.tell("intake", *merged(lead, older, at(THEN + 1), came_at=at(0)))
    after = await delivered(db, LATER)
    assert await delivered(db, THEN) == before
    assert [one["totals"][0]["handoff"]["p50_seconds"] for one in (before, after)] == [100, 500]


async def test_a_touch_that_came_after_a_merge_is_known_from_then_on(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 5m, from: assignment}]", lead, lost)
    await monitor.tell("routing", routed(lost, at(0)), released(lost, at(100), outcome="reassigned"))
    await monitor.tell("intake", *merged(lead, lost, at(500), came_at=at(0)))
    _, message = learned(touch(lost, at(60)), 600)
    await monitor.tell("intake", (lead, message))
    then = await attained(db, 1000)
    assert then == {"first_response_5m": (1, 0, 0)}
    await monitor.tell("intake", *unmerged(lead, lost, at(LATER)))
    assert await attained(db, 1000) == then
