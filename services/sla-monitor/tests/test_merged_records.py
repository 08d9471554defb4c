"""What reps did of leads that turned out to be one: no merge cleans a record."""

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_attainment
from tests.monitor import Monitor, at
from tests.telling import (
    captured,
    disqualified,
    engaged,
    merged,
    now,
    qualified,
    released,
    rep,
    routed,
    touch,
    unmerged,
)


async def attained(db: Database, seconds: float | None = None) -> tuple[int, int]:
    """Return what was met and missed, as of so many seconds, or now."""
    as_of = at(seconds) if seconds is not None else None
    async with db.reading() as conn:
        (one,) = await reports_attainment.attainment(conn, at(-60), at(60), by="none", as_of=as_of)
    return one["met"], one["missed"]


async def test_what_two_reps_did_before_their_leads_turned_out_to_be_one_stays(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.put("clocks: [{kind: first_response_5m, within: 30s, from: assignment}]")
    for one, who in ((lead, "ana"), (lost, "ben")):
        await monitor.tell("intake", captured(one, at(0)))
        await monitor.tell("routing", routed(one, at(0), who=rep(who)))
    await monitor.tell("intake", touch(lead, at(10)))
    await monitor.fire()
    assert await attained(db, 90) == (1, 1)
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    await monitor.tell("routing", released(lost, at(100), outcome="merged"))
    assert await attained(db) == await attained(db, 110) == (1, 1)


@pytest.mark.parametrize("seconds", [10, 50])
async def test_what_was_answered_before_a_merge_moved_it_stays_answered(
    db: Database, monitor: Monitor, seconds: float
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 30s, from: assignment}]", lead, lost)
    await monitor.tell("routing", routed(lost, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lost, at(seconds)))
    before = (1, 0) if seconds < 30 else (0, 1)
    assert await attained(db) == before
    moved = routed(lead, at(0), rule="merged", starts_clocks=False)
    moved[1].stamp.recorded_at.FromDatetime(at(100))
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    await monitor.tell("routing", released(lost, at(100), outcome="merged"), moved)
    assert await attained(db) == await attained(db, 110) == before


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_a_merged_lead_had_kept_stays_kept_however_much_is_read_at_once(
    db: Database, monitor: Monitor, at_once: bool
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.put("clocks: [{kind: first_response_5m, within: 30s, from: arrival}]")
    told = [captured(lead, at(0)), captured(lost, at(0)), touch(lost, at(10))]
    told += merged(lead, lost, at(100), came_at=at(0))
    for some in [told] if at_once else [[one] for one in told]:
        await monitor.tell("intake", *some)
    assert await attained(db) == await attained(db, 110) == (2, 0)


async def test_what_was_kept_before_a_lead_was_out_is_kept_though_it_is_read_with_a_merge(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 30s, from: arrival}]", lead, lost)
    await monitor.tell("qualification", disqualified(lost, at(20)))
    assert await monitor.states(lost) == {("first_response_5m", 0): "cancelled"}
    await monitor.tell("intake", touch(lost, at(10)), *merged(lead, lost, at(100), came_at=at(0)))
    assert await attained(db) == await attained(db, 110) == (2, 0)


async def test_what_else_happened_in_the_instant_of_anothers_promise_does_not_make_it_ones_own(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: handoff, within: 30s, from: qualification}]", lead, lost)
    await monitor.tell("routing", routed(lead, at(10)))
    await monitor.tell("intake", engaged(lead, at(10), "meeting_booked"))
    await monitor.tell("intake", *merged(lead, lost, at(20), came_at=at(0)))
    await monitor.tell("qualification", qualified(lost, at(10)))
    await monitor.tell("intake", *unmerged(lead, lost, at(25)))
    await monitor.fire()
    async with db.reading() as conn:
        for as_of in (None, now()):
            (one,) = await reports_attainment.attainment(conn, at(-60), at(60), by="none", as_of=as_of)
            assert (one["met"], one["missed"]) == (0, 1)


@pytest.mark.parametrize("order", ["fact merge", "merge fact", "fire fact merge", "fire merge fact", "merge fire fact"])
@pytest.mark.parametrize("what", ["called", "taken back"])
async def test_what_happened_in_time_counts_though_it_is_read_after_its_lead_was_merged(
    db: Database, monitor: Monitor, order: str, what: str
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 30s, from: assignment}]", lead, lost)
    await monitor.tell("routing", routed(lost, at(0)), routed(lead, at(0), who=rep("ben")))
    late = [("intake", touch(lost, at(10)))] if what == "called" else [("routing", released(lost, at(10)))]
    for step in order.split():
        if step == "fire":
            await monitor.fire()
        elif step == "merge":
            await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
            if what == "called":
                await monitor.tell("routing", released(lost, at(100), outcome="merged"))
        else:
            for topic, told in late:
                await monitor.tell(topic, told)
    await monitor.fire()
    assert list((await monitor.states(lost)).values()) == ["met" if what == "called" else "cancelled"]
    assert await attained(db) == await attained(db, 200) == ((1, 1) if what == "called" else (0, 1))
    assert not await monitor.contradictions([lead, lost])


async def test_what_was_due_before_a_merge_and_put_off_is_over_with_it(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 30s, from: assignment}]", lead, lost)
    await monitor.tell("routing", routed(lost, at(0)))
    async with db.transaction() as conn:
        await conn.execute("UPDATE clock SET next_at = now() + interval '1 minute'")
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM clock WHERE lead_id = $1 AND next_at IS NOT NULL", lost) == 0
    assert await attained(db) == (0, 1)
