"""Of leads that were one some still are and some are not, or an assignment moved: each keeps what is its own."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports, reports_attainment
from tests.monitor import Monitor, at
from tests.telling import (
    Told,
    captured,
    merged,
    now,
    numbered,
    qualified,
    released,
    routed,
    touch,
    unmerged,
    updated,
)

ARRIVAL = "clocks: [{kind: first_response_1d, within: 9d, from: arrival}]"


class Three:
    """X is merged into Y, and Y into Z; then Y is parted from Z and takes X along, or X alone is."""

    def __init__(self, parted: str) -> None:
        x, y, z = self.leads = ids.new(), ids.new(), ids.new()
        self.told = [captured(lead, at(0)) for lead in self.leads]
        self.told += [*merged(y, x, at(100), came_at=at(0)), *merged(z, y, at(200), came_at=at(0))]
        # The oldest of those that go stands for them from then on; of the others it is said that they are as before.
        self.told += unmerged(z, x, at(300), came=dict.fromkeys(self.leads, at(0)))
        self.told += merged(x, y, at(300), came_at=at(0)) if parted == "y" else merged(z, y, at(300), came_at=at(0))
        self.touch = touch(y, at(400))
        self.touched, self.left = (x, z) if parted == "y" else (z, x)


async def touched(db: Database) -> list[tuple[int, int]]:
    """Return how many leads came, and how many of them were touched."""
    async with db.reading() as conn:
        found = await reports.speed(conn, at(-1), at(500), by="none", as_of=at(500))
    return [(one["from_arrival"]["leads"], one["from_arrival"]["touched"]) for one in found]


@pytest.mark.parametrize("parted", ["y", "x"])
@pytest.mark.parametrize("at_once", [False, True])
async def test_a_touch_counts_for_whom_a_lead_was_grouped_with_anew_and_for_nobody_else(
    db: Database, monitor: Monitor, parted: str, at_once: bool
) -> None:
    three = Three(parted)
    await monitor.put(ARRIVAL)
    for some in [three.told] if at_once else [[one] for one in three.told]:
        await monitor.tell("intake", *some)
    await monitor.tell("intake", three.touch)
    assert await monitor.states(three.touched) == {("first_response_1d", 0): "met"}
    assert await monitor.states(three.left) == {("first_response_1d", 0): "running"}
    assert await touched(db) == [(2, 1)]
    async with db.reading() as conn:
        still = "SELECT survivor_id FROM link WHERE member_id = $1 AND until IS NULL"
        assert [row[0] for row in await conn.fetch(still, three.leads[1])] == [three.touched]


@pytest.mark.parametrize("parted", ["y", "x"])
async def test_a_promise_that_another_brought_goes_with_them(db: Database, monitor: Monitor, parted: str) -> None:
    three = Three(parted)
    await monitor.put("clocks: [{kind: handoff, within: 9d, from: qualification}]")
    await monitor.tell("intake", *three.told[:3])
    await monitor.tell("qualification", *(qualified(lead, at(20 + 10 * n)) for n, lead in enumerate(three.leads)))
    await monitor.tell("routing", *(routed(lead, at(25 + 10 * n)) for n, lead in enumerate(three.leads)))
    for one in three.told[3:]:
        await monitor.tell("intake", one)
    asked = reports_attainment.Asked(start=at(-60), end=at(600), by=("none",))
    async with db.reading() as conn:
        by_now = [+counts for counts in (await reports_attainment.counted(conn, asked)).values()]
        then = [+counts for counts in (await reports_attainment.counted(conn, asked, as_of=now())).values()]
    assert by_now == then
    assert by_now == [Counter({"met": 3})]


def by_key(told: Sequence[Told]) -> Mapping[UUID, Sequence[Told]]:
    """Return what each partition tells, if each lead is on one of its own."""
    found: dict[UUID, list[Told]] = defaultdict(list)
    for subject, message in told:
        found[subject].append((subject, message))
    return found


@pytest.mark.parametrize("parted", ["y", "x"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_whichever_partition_is_read_first_a_lead_is_grouped_with_the_same(
    db: Database, monitor: Monitor, parted: str, order: Sequence[int]
) -> None:
    three = Three(parted)
    await monitor.put(ARRIVAL)
    told = by_key(numbered([*three.told, (three.touched, three.touch[1])]))
    for one in order:
        await monitor.tell("intake", *told[three.leads[one]])
    assert await monitor.states(three.touched) == {("first_response_1d", 0): "met"}
    assert await monitor.states(three.left) == {("first_response_1d", 0): "running"}
    assert await touched(db) == [(2, 1)]
    async with db.reading() as conn:
        found = await conn.fetch("SELECT subject_id, merged_into FROM subject WHERE merged_into IS NOT NULL")
    assert [tuple(row) for row in found] == [(three.leads[1], three.touched)]


MOVED = """
clocks:
  - {kind: first_response_5m, within: 5m, from: assignment}
  - {kind: status_update, within: 9d, from: assignment}
"""


def moved(lead: UUID, lost: UUID) -> dict[str, list[Told]]:
    """Nobody has a lead, until one is merged into it that somebody has; and it stays so when that is undone."""
    return {
        "intake": [captured(lead, at(0)), captured(lost, at(0))],
        "routing": [routed(lost, at(20))],
        "merge": merged(lead, lost, at(100), came_at=at(0)),
        "move": [released(lost, at(100), outcome="merged"), routed(lead, at(20), rule="merged")],
        "undo": unmerged(lead, lost, at(200), came={lead: at(0), lost: at(0)}),
    }


@pytest.mark.parametrize("read", ["in turn", "routing first", "links first"])
async def test_an_assignment_that_a_merge_moved_keeps_its_promises_when_that_is_undone(
    db: Database, monitor: Monitor, read: str
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.put(MOVED)
    told = moved(lead, lost)
    await monitor.tell("intake", *told["intake"])
    await monitor.tell("routing", *told["routing"])
    if read == "routing first":
        await monitor.tell("routing", *told["move"])
    if read == "in turn":
        await monitor.tell("intake", *told["merge"])
        await monitor.tell("routing", *told["move"])
        await monitor.tell("intake", *told["undo"])
    else:
        await monitor.tell("intake", *told["merge"], *told["undo"])
    if read == "links first":
        await monitor.tell("routing", *told["move"])
    await monitor.fire()
    assert await monitor.states(lead) == {("first_response_5m", 1): "breached", ("status_update", 1): "running"}
    # What the rep says from then on begins promises as it does anywhere.
    await monitor.tell("routing", updated(lead, at(300), next_at=at(86_400 * 9)))
    async with db.reading() as conn:
        rounds = await conn.fetch("SELECT clock, state FROM clock WHERE lead_id = $1 ORDER BY started_at, clock", lead)
    assert [tuple(row) for row in rounds] == [
        ("first_response_5m", "breached"),
        ("status_update", "met"),
        ("next_step", "running"),
        ("status_update", "running"),
    ]


async def test_who_has_a_lead_by_an_undone_merge_is_reported_of_an_instant_as_it_is_of_now(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.put(MOVED)
    told = moved(lead, lost)
    for step, some in told.items():
        await monitor.tell("routing" if step in ("routing", "move") else "intake", *some)
    await monitor.fire()

    async def reported(seconds: float | None) -> list[Any]:
        async with db.reading() as conn:
            as_of = at(seconds) if seconds is not None else None
            return await reports_attainment.attainment(conn, at(-1), at(500), by="rep", as_of=as_of)

    assert await reported(86_400) == await reported(None)
    async with db.reading() as conn:
        speed = [await reports.speed(conn, at(-1), at(500), by="rep", as_of=at(then)) for then in (90, 150, 250)]
    keys = [{one["key"]: one["from_arrival"]["leads"] for one in found} for found in speed]
    assert keys == [{"": 1, "ana": 1}, {"ana": 1}, {"ana": 2}]
