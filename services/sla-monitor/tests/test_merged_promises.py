"""What was promised to leads that turned out to be one counts once: where it was over, or else for the survivor."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_attainment
from sla_monitor.known import Decided
from tests.monitor import Monitor, at, read_in
from tests.telling import (
    Told,
    captured,
    disqualified,
    engaged,
    merged,
    now,
    qualified,
    released,
    rep,
    routed,
    unmerged,
)

WITHIN_S: Final = 50
HANDOFF: Final = f"clocks: [{{kind: handoff, within: {WITHIN_S}s, from: qualification}}]"
MERGED: Final = (100, 200)
"""When the first of three becomes one with the second, and that with the third."""


async def counted(db: Database, as_of: datetime | None = None) -> Counter[Decided]:
    """Return what became of all promises: by what was known, or as stored, which says what is known now."""
    asked = reports_attainment.Asked(start=at(-60), end=at(600), by=("none",))
    async with db.reading() as conn:
        found = await reports_attainment.counted(conn, asked, as_of=as_of)
        assert as_of is not None or found == await reports_attainment.counted(conn, asked, as_of=now())
    return sum(found.values(), Counter[Decided]())


async def standing(db: Database) -> set[datetime]:
    """Return of which deadlines it stands that they were missed.

    Two leads that were promised the same at one instant may have been told of each before they were one.
    """
    async with db.reading() as conn:
        alerts = await conn.fetch("SELECT due_at FROM alert WHERE level = 'breach' AND retracted_at IS NULL")
    return {row["due_at"] for row in alerts}


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_promise_that_was_kept_before_a_merge_is_kept_once(
    db: Database, monitor: Monitor, is_late: bool
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(HANDOFF, lead, lost)
    told = [qualified(lead, at(10)), qualified(lost, at(20))], [routed(lead, at(15)), routed(lost, at(25))]
    if is_late:
        await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    for topic, some in zip(("qualification", "routing"), told, strict=True):
        await monitor.tell(topic, *some)
    if not is_late:
        await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    assert await counted(db) == Counter({Decided.MET: 2})


async def test_what_was_missed_and_is_still_open_at_a_merge_goes_on_with_the_survivor(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(HANDOFF, lead, lost)
    await monitor.tell("qualification", qualified(lost, at(20)))
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    await monitor.fire()
    assert (await monitor.states(lead), await monitor.states(lost)) == (
        {("handoff", 1): "breached"},
        {("handoff", 1): "cancelled"},
    )
    assert await monitor.alerts() == [("breach", False)]
    assert await counted(db) == Counter({Decided.MISSED: 1})
    await monitor.tell("intake", *unmerged(lead, lost, at(200)))
    assert (await monitor.states(lead), await monitor.states(lost)) == (
        {("handoff", 1): "cancelled"},
        {("handoff", 1): "breached"},
    )
    assert await monitor.alerts() == [("breach", False)]
    assert await counted(db) == Counter({Decided.MISSED: 1})


async def test_a_meeting_that_was_booked_again_before_a_merge_is_not_to_be_booked_again(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 1h, from: meeting_missed}]", lead, lost)
    await monitor.tell("routing", routed(lost, at(5)))
    missed = engaged(lost, at(10), "meeting_missed", meeting_id="m1")
    await monitor.tell("intake", missed, engaged(lost, at(20), "meeting_booked", meeting_id="m2"))
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    assert await monitor.states(lead) == {}
    assert await counted(db) == Counter({Decided.MET: 1})


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_handoff_is_dated_by_its_own_leads_reps_once_a_merge_is_undone(
    db: Database, monitor: Monitor, is_late: bool
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(HANDOFF, lead, lost)
    await monitor.tell("routing", routed(lost, at(15)))
    await monitor.tell("qualification", qualified(lead, at(20)))
    await monitor.fire()
    moved = routed(lead, at(15), rule="merged")
    moved[1].stamp.recorded_at.FromDatetime(at(100))
    taken_over = [released(lost, at(100), outcome="merged"), moved]
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    if not is_late:
        await monitor.tell("routing", *taken_over)
        assert await monitor.states(lead) == {("handoff", 1): "met"}
        assert await monitor.alerts() == [("breach", True)]
    await monitor.tell("intake", *unmerged(lead, lost, at(200)))
    if is_late:
        await monitor.tell("routing", *taken_over)
    # By then it was one with who had a rep; by itself it waited until it got that one.
    assert await counted(db, at(150)) == Counter({Decided.MET: 1})
    assert await counted(db) == Counter({Decided.MISSED: 1})
    assert await monitor.alerts() == [("breach", False)]


async def test_a_meeting_missed_before_a_merge_counts_for_who_had_the_lead_that_it_was_of(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 1m, from: meeting_missed}]", lead, lost)
    await monitor.tell("routing", routed(lead, at(1)), routed(lost, at(1), who=rep("ben")))
    await monitor.tell("intake", engaged(lost, at(10), "meeting_missed"))
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    asked = reports_attainment.Asked(start=at(-60), end=at(600), by=("rep",))
    async with db.reading() as conn:
        for as_of in (None, now()):
            found = await reports_attainment.counted(conn, asked, as_of=as_of)
            assert found == {(("ben",), "no_show_rebook"): Counter({Decided.MISSED: 1})}


async def test_a_promise_stays_where_it_was_over_when_its_rep_goes_on_with_the_survivor(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(HANDOFF, lead, lost)
    await monitor.tell("qualification", qualified(lost, at(10)))
    await monitor.tell("routing", routed(lost, at(80)))
    await monitor.fire()
    assert await counted(db) == Counter({Decided.MISSED: 1})
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    await monitor.tell("qualification", qualified(lead, at(100), reason="merged"))
    await monitor.tell("routing", released(lost, at(100), outcome="merged"), routed(lead, at(80), rule="merged"))
    assert await monitor.states(lead) == {}
    assert await counted(db) == Counter({Decided.MISSED: 1})


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_was_told_of_a_lead_is_not_told_again_when_it_is_merged_twice_in_a_row(
    db: Database, monitor: Monitor, at_once: bool
) -> None:
    leads = [ids.new() for _ in range(3)]
    await monitor.arrive(
        "clocks: [{kind: no_show_rebook, within: 1m, from: meeting_missed}]\n"
        "escalations: [{kind: no_show_rebook, after: 1m, to: manager}]",
        *leads,
    )
    await monitor.tell("routing", *(routed(lead, at(1)) for lead in leads))
    await monitor.tell("intake", engaged(leads[0], at(10), "meeting_missed"))
    await monitor.fire()
    merges = [merged(leads[1], leads[0], at(500), came_at=at(0)), merged(leads[2], leads[1], at(600), came_at=at(0))]
    for told in [[*merges[0], *merges[1]]] if at_once else merges:
        await monitor.tell("intake", *told)
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False), ("escalation", False)]
    assert await counted(db) == Counter({Decided.MISSED: 1})


async def test_that_the_survivor_was_out_before_a_merge_ends_nothing_of_what_the_other_was_promised(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(HANDOFF, lead, lost)
    await monitor.tell("qualification", qualified(lost, at(10)), disqualified(lead, at(20)))
    await monitor.tell("intake", *merged(lead, lost, at(30), came_at=at(0)))
    await monitor.fire()
    assert await monitor.states(lead) == {("handoff", 1): "breached"}
    assert await counted(db) == Counter({Decided.MISSED: 1})
    # After the merge it is the survivor that is out.
    await monitor.tell("qualification", disqualified(lead, at(40)))
    assert await monitor.states(lead) == {("handoff", 1): "cancelled"}
    assert await counted(db) == Counter()


def expected(promised: Sequence[int | None], given_at: Sequence[int | None], merges: Sequence[int]) -> Counter[Decided]:
    """Return what becomes of promises of leads, each of which becomes one with the next, by the rule and no clocks."""
    found: Counter[Decided] = Counter()
    brought: list[int] = []
    for number, (own, had_at) in enumerate(zip(promised, given_at, strict=True)):
        marks = sorted([*brought, *([own] if own is not None else [])])
        until = merges[number] if number < len(merges) else None
        if until is not None and (had_at is None or had_at > until):
            brought = marks
            continue
        brought, last = [], None
        for mark in marks:
            is_over = last is None or (had_at is not None and max(had_at, last) < mark)
            if is_over:
                kept = had_at is not None and max(had_at, mark) - mark <= WITHIN_S
                found[Decided.MET if kept else Decided.MISSED] += 1
                last = mark
    return found


def happened(
    leads: Sequence[UUID], promised: Sequence[int | None], given_at: Sequence[int | None]
) -> dict[str, list[Told]]:
    """Return what each topic tells of three leads that become one."""
    return {
        "intake": [
            *(captured(lead, at(0)) for lead in leads),
            *(
                told
                for number, instant in enumerate(MERGED)
                for told in merged(leads[number + 1], leads[number], at(instant), came_at=at(0))
            ),
        ],
        "qualification": [
            qualified(lead, at(seconds)) for lead, seconds in zip(leads, promised, strict=True) if seconds is not None
        ],
        "routing": [
            routed(lead, at(seconds)) for lead, seconds in zip(leads, given_at, strict=True) if seconds is not None
        ],
    }


INSTANTS = [None, 5, 15, 25, 60, 95]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    promised=st.tuples(*(st.sampled_from([None, 10, 20, 30, 90]) for _ in range(3))),
    given_at=st.tuples(*(st.sampled_from([*INSTANTS, *more]) for more in ([], [150], [150, 250, 350]))),
    is_parted=st.booleans(),
    in_turn=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(promised=(10, None, 10), given_at=(5, 5, None), is_parted=False, in_turn=False, seed=238)
@example(promised=(10, None, 10), given_at=(None, None, 5), is_parted=False, in_turn=True, seed=0)
async def test_each_promise_counts_once_in_whatever_order_it_is_read(
    db: Database,
    monitor: Monitor,
    promised: Sequence[int | None],
    given_at: Sequence[int | None],
    is_parted: bool,
    in_turn: bool,
    seed: int,
) -> None:
    chance, leads = random.Random(seed), [ids.new() for _ in promised]
    await monitor.put(HANDOFF)
    async with db.transaction() as conn:
        await conn.execute("DELETE FROM clock; DELETE FROM alert")  # Of the example before.
    told = happened(leads, promised, given_at)
    wanted = expected(promised, given_at, MERGED)
    if is_parted:
        told["intake"] += unmerged(leads[2], leads[1], at(300), came=dict.fromkeys(leads, at(0)))
        wanted = expected(promised[:2], given_at[:2], MERGED[:1]) + expected(promised[2:], given_at[2:], ())
    events = read_in(chance, told, monitor._versions)
    if in_turn:
        events.sort(key=lambda event: event.message.stamp.recorded_at.ToNanoseconds())  # type: ignore[attr-defined]
    while events:
        number = 1 if in_turn else chance.randint(1, len(events))
        await monitor.read(events[:number])
        events = events[number:]
        if chance.random() < 0.5:
            await monitor.fire()
    await monitor.fire()
    assert await counted(db) == wanted
    assert len(await standing(db)) <= wanted[Decided.MISSED]
    if in_turn:
        # Between the merges, as it was known then; of what is read at once with a merge no clock was there before.
        known = [seconds if seconds is not None and seconds <= 150 else None for seconds in given_at]
        then = expected(promised[:2], known[:2], MERGED[:1]) + expected(promised[2:], known[2:], ())
        assert await counted(db, at(150)) == then
