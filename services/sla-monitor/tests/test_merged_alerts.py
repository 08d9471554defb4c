"""What was told of promises of leads that turn out to be one stands as long as it is so, and again if they are two."""

from datetime import datetime
from typing import Final

import pytest

from backbone import ids
from backbone.database import Database
from tests.monitor import Monitor, at
from tests.telling import merged, qualified, touch, unmerged

KEPT: Final = """
clocks: [{kind: first_response_1d, within: 50s, from: qualification}]
escalations: [{kind: first_response_1d, after: 10s, to: manager}]
"""
"""By a touch; also by one some seconds before it began."""


async def standing(db: Database) -> list[tuple[str, datetime]]:
    """Return what was told and stands: levels, and of which deadlines."""
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT level, due_at FROM alert WHERE retracted_at IS NULL ORDER BY due_at, level")
    return [(row["level"], row["due_at"]) for row in rows]


async def test_what_was_told_of_a_promise_that_an_earlier_one_of_the_survivor_covers_is_taken_back(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(KEPT, lead, lost)
    await monitor.tell("qualification", qualified(lead, at(5)), qualified(lost, at(20)))
    await monitor.fire()
    own, others = [[(level, at(seconds)) for level in ("breach", "escalation")] for seconds in (55, 70)]
    assert await standing(db) == own + others
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    assert await standing(db) == own
    # Of the survivor's it is known only now that it was kept, before the other one began: that one goes on.
    await monitor.tell("intake", touch(lead, at(8)))
    await monitor.fire()
    assert await monitor.states(lead) == {("first_response_1d", 1): "met", ("first_response_1d", 2): "breached"}
    assert await standing(db) == others
    await monitor.tell("intake", *unmerged(lead, lost, at(200)))
    assert await monitor.states(lost) == {("first_response_1d", 1): "breached"}
    assert await standing(db) == others


@pytest.mark.parametrize("instants", [(5, 20), (20, 5)])
async def test_what_was_covered_stands_again_when_the_two_are_two(
    db: Database, monitor: Monitor, instants: tuple[int, int]
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(KEPT, lead, lost)
    await monitor.tell(
        "qualification", *(qualified(one, at(when)) for one, when in zip((lead, lost), instants, strict=True))
    )
    await monitor.fire()
    before = await standing(db)
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    await monitor.tell("intake", *unmerged(lead, lost, at(200)))
    await monitor.fire()
    assert await standing(db) == before
    async with db.reading() as conn:
        assert not await conn.fetchval("SELECT bool_or(retracted) FROM clock")


async def test_nothing_counts_as_taken_back_once_what_the_survivor_kept_is_the_other_leads_again(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(KEPT, lead, lost)
    await monitor.tell("intake", touch(lead, at(15)))
    await monitor.tell("qualification", qualified(lost, at(20)))
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(100), came_at=at(0)))
    assert await monitor.alerts() == [("breach", True), ("escalation", True)]
    await monitor.tell("intake", *unmerged(lead, lost, at(200)))
    assert await monitor.alerts() == [("breach", False), ("escalation", False)]
    async with db.reading() as conn:
        assert not await conn.fetchval("SELECT bool_or(retracted) FROM clock")
