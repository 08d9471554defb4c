"""Since when a rep is of a team, or works when they do, is told by the rep's own events, whatever is read first."""

import asyncio
import random
from typing import Any

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_attainment, store_changes
from tests.monitor import Monitor, at, read_in
from tests.telling import captured, merged, rep, rep_changed, routed, touch

TEAM = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]\ncounts: {by: team}"
SOUTH = rep("ben", team="south", version=2)


@pytest.mark.parametrize("at_once", [False, True])
async def test_versions_that_are_read_at_once_are_kept_each(monitor: Monitor, at_once: bool) -> None:
    lead = ids.new()
    await monitor.arrive(TEAM, lead)
    await monitor.tell("routing", rep_changed(rep("ben"), at(-3600)), routed(lead, at(0)))
    some = [rep_changed(SOUTH, at(10)), rep_changed(rep("ben", version=3), at(200))]
    for part in [some] if at_once else [[one] for one in some]:
        await monitor.tell("routing", *part)
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    await monitor.recompute()
    await monitor.fire()
    assert await monitor.states(lead) == {("first_response_5m", 1): "breached"}


@pytest.mark.parametrize("order", ["told first", "seen first", "at once"])
async def test_a_version_holds_since_it_was_made_not_since_a_lead_came_with_it(
    db: Database, monitor: Monitor, order: str
) -> None:
    lead, other = ids.new(), ids.new()
    await monitor.arrive(TEAM, lead, other)
    await monitor.tell("routing", rep_changed(rep("ben"), at(-3600)), routed(lead, at(0)))
    told, seen = rep_changed(SOUTH, at(30)), routed(other, at(200), who=SOUTH)
    for some in {"told first": [[told], [seen]], "seen first": [[seen], [told]]}.get(order, [[told, seen]]):
        await monitor.tell("routing", *some)
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT since, team FROM rep_version WHERE rep_id = 'ben' ORDER BY since")
    assert [tuple(row) for row in rows] == [(at(-3600), "north"), (at(30), "south")]
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))
    await monitor.fire()
    assert (await monitor.states(lead))["first_response_5m", 1] == "breached"


async def test_a_report_of_the_past_stays_though_a_lead_of_then_moves_with_who_the_rep_is_now(
    db: Database, monitor: Monitor
) -> None:
    lead, lost, kept = ids.new(), ids.new(), ids.new()
    await monitor.arrive(TEAM, lead, lost, kept)
    ben = routed(lost, at(10), who=rep("ben"))
    await monitor.tell("routing", rep_changed(rep("ben"), at(-3600)), routed(lead, at(0)), ben)
    await monitor.tell("intake", touch(lead, at(60), rep_id="ben"))

    async def report() -> list[tuple[Any, ...]]:
        async with db.reading() as conn:
            found = await reports_attainment.attainment(conn, at(-3600), at(5), by="rep", as_of=at(1000))
        return [(one["key"], one["met"], one["missed"]) for one in found]

    before = await report()
    await monitor.tell("intake", *merged(kept, lost, at(3700), came_at=at(0)))
    moved = routed(kept, at(10), who=SOUTH, rule="merged")
    moved[1].stamp.recorded_at.FromDatetime(at(3700))
    await monitor.tell("routing", moved, rep_changed(SOUTH, at(3600)))
    assert await report() == before == [("ana", 1, 0)]


async def test_two_batches_about_the_same_reps_do_not_wait_for_each_other_in_a_circle(monitor: Monitor) -> None:
    leads, reps = [ids.new(), ids.new()], [rep("ana"), rep("ben")]
    kinds = ("{kind: stale, within: 5h, from: last_touch", "{kind: first_response_30m, within: 30m, from: assignment")
    await monitor.arrive(f"clocks: [{', '.join(f'{kind}, hours: rep}}' for kind in kinds)}]", *leads)
    await monitor.tell("routing", *(routed(lead, at(0), who=who) for lead, who in zip(leads, reps, strict=True)))
    for number in range(6):
        batches = []
        # Each gives one rep a lead, and tells of a touch on one that the other rep has.
        for lead, who in zip(leads, reversed(reps), strict=True):
            new = ids.new()
            said = {
                "routing": [routed(new, at(number), who=who)],
                "intake": [captured(new, at(number)), touch(lead, at(number))],
            }
            batches.append(read_in(random.Random(number), said, monitor._versions))
        await asyncio.gather(*map(monitor.read, batches))
        assert set(await monitor.states(new)) == {("first_response_30m", 1), ("stale", 1)}


@pytest.mark.parametrize(("changed", "judged"), [({"name": "Benjamin"}, 0), ({"team": "south"}, 1)])
async def test_touches_are_judged_anew_when_the_team_changes_not_with_each_change_of_a_rep(
    db: Database, monitor: Monitor, changed: dict[str, str], judged: int
) -> None:
    lead = ids.new()
    await monitor.arrive(TEAM, lead)
    await monitor.tell("routing", rep_changed(rep("ben"), at(-3600)), routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(600), rep_id="ben"))
    await monitor.recompute()
    await monitor.fire()
    await monitor.tell("routing", rep_changed(rep("ben", version=2, **changed), at(3600)))
    async with db.reading() as conn:
        judged_to = await conn.fetchval("SELECT judged_to FROM rep WHERE rep_id = 'ben'")
        left = await store_changes.touched_by_colleague(conn, "ben", after=judged_to, limit=10)
    assert left == [lead][:judged]
    await monitor.recompute()
    async with db.reading() as conn:
        assert not await conn.fetchval("SELECT recompute FROM rep WHERE rep_id = 'ben'")
