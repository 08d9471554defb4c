"""From which arrival clocks run when leads turn out to be one, or two after all; and who is told, once."""

from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import store_changes
from tests.monitor import Monitor, at
from tests.telling import Told, captured, merged, touch, unmerged

ARRIVAL = """
clocks: [{kind: first_response_5m, within: 5m, from: arrival}]
escalations: [{kind: first_response_5m, after: 60s, to: manager}, {kind: first_response_5m, after: 3d, to: manager}]
"""


class Two:
    """A lead that came at 600, and one merged into it at 610 that had come at 0."""

    def __init__(self, monitor: Monitor, db: Database) -> None:
        self.monitor, self.db = monitor, db
        self.newer, self.older = ids.new(), ids.new()
        self.came = {self.newer: at(600), self.older: at(0)}
        self.link = merged(self.newer, self.older, at(610), came_at=at(0))
        self.undone = unmerged(self.newer, self.older, at(3000), came=self.came)

    def captured(self) -> list[Told]:
        return [captured(lead, when) for lead, when in self.came.items()]

    async def read(self, *told: Told, batches: bool = False) -> None:
        for some in [told] if batches else [(one,) for one in told]:
            await self.monitor.tell("intake", *some)

    async def clock(self, lead: UUID) -> tuple[str, float, float]:
        """Return its state, when it started and when it is due, in seconds."""
        async with self.db.reading() as conn:
            row = await conn.fetchrow("SELECT state, started_at, due_at FROM clock WHERE lead_id = $1", lead)
        return row["state"], *((row[name] - at(0)).total_seconds() for name in ("started_at", "due_at"))

    async def alerts(self, *, retracted: bool = False) -> list[tuple[UUID, str]]:
        async with self.db.reading() as conn:
            rows = await conn.fetch(
                "SELECT lead_id, level FROM alert WHERE (retracted_at IS NOT NULL) = $1 ORDER BY seq", retracted
            )
        return [(row["lead_id"], row["level"]) for row in rows]


@pytest.fixture
async def two(monitor: Monitor, db: Database) -> Two:
    await monitor.put(ARRIVAL)
    return Two(monitor, db)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("first", ["newer", "older"])
async def test_the_time_since_arrival_keeps_running_through_a_merge_into_the_newer_lead(
    two: Two, batches: bool, first: str
) -> None:
    told = two.captured() if first == "newer" else two.captured()[::-1]
    await two.read(*told, *two.link, batches=batches)
    assert await two.clock(two.newer) == ("running", 0, 300)
    # The touch of either counts.
    await two.read(touch(two.older, at(100)))
    assert await two.clock(two.newer) == ("met", 0, 300)
    await two.read(*two.undone, batches=batches)
    assert await two.clock(two.newer) == ("running", 600, 900)
    assert await two.clock(two.older) == ("met", 0, 300)
    await two.read(touch(two.newer, at(601)))
    assert await two.clock(two.newer) == ("met", 600, 900)


async def test_what_was_told_of_the_older_lead_is_not_told_again_by_the_newer_one(two: Two) -> None:
    await two.read(two.captured()[1])
    await two.monitor.fire()
    told = [(two.older, "breach"), (two.older, "escalation")]
    assert await two.alerts() == told
    await two.read(two.captured()[0], touch(two.newer, at(601)))
    assert await two.clock(two.newer) == ("met", 600, 900)
    await two.read(*two.link)
    await two.monitor.fire()
    assert await two.clock(two.newer) == ("breached", 0, 300)
    assert await two.alerts() == told
    # And what is taken back is taken back as it was told.
    await two.read(touch(two.newer, at(100)))
    assert await two.clock(two.newer) == ("met", 0, 300)
    assert (await two.alerts(), await two.alerts(retracted=True)) == ([], told)


async def test_what_was_told_of_the_newer_leads_own_arrival_is_taken_back_until_the_merge_is_undone(two: Two) -> None:
    await two.read(two.captured()[0])
    await two.monitor.fire()
    own = [(two.newer, "breach"), (two.newer, "escalation")]
    assert await two.alerts() == own
    await two.read(two.captured()[1], touch(two.older, at(10)), *two.link)
    assert await two.clock(two.newer) == ("met", 0, 300)
    assert (await two.alerts(), await two.alerts(retracted=True)) == ([], own)
    await two.read(*two.undone)
    await two.monitor.fire()
    assert await two.clock(two.newer) == ("breached", 600, 900)
    assert (await two.alerts(), await two.alerts(retracted=True)) == (own, [])


async def test_what_was_told_while_two_were_one_is_not_told_again_when_they_are_two(two: Two) -> None:
    await two.read(*two.captured(), *two.link)
    await two.monitor.fire()
    one = [(two.newer, "breach"), (two.newer, "escalation")]
    assert await two.alerts() == one
    await two.read(*two.undone)
    await two.monitor.fire()
    assert await two.clock(two.older) == ("breached", 0, 300)
    # Of its own arrival the newer one has not been told so far.
    assert await two.alerts() == one * 2
    await two.read(touch(two.older, at(20)), touch(two.newer, at(700)))
    assert (await two.clock(two.older), await two.clock(two.newer)) == (("met", 0, 300), ("met", 600, 900))
    assert await two.alerts() == []


async def test_what_an_earlier_arrival_moved_is_on_record(two: Two) -> None:
    await two.read(*two.captured(), *two.link)
    async with two.db.reading() as conn:
        (move,) = await store_changes.changes(conn, two.newer)
    assert (move["due_before"], move["due_at"]) == (at(900), at(300))


@pytest.mark.parametrize("first", ["survivor", "other"])
async def test_leads_that_came_at_one_instant_are_told_of_each_once_they_are_two_again(
    two: Two, monitor: Monitor, first: str
) -> None:
    two.came = dict.fromkeys(two.came, at(0))
    await two.read(*two.captured(), *merged(two.newer, two.older, at(10), came_at=at(0)), batches=True)
    await monitor.fire()
    halves = unmerged(two.newer, two.older, at(3000), came=two.came)
    for one in halves if first == "survivor" else halves[::-1]:
        await two.read(one)
        await monitor.fire()
    # One that somebody had called in time takes its own miss back alone.
    await two.read(touch(two.newer, at(60)))
    assert {lead for lead, level in await two.alerts() if level == "breach"} == {two.older}
    assert {lead for lead, level in await two.alerts(retracted=True) if level == "breach"} == {two.newer}
    assert not await monitor.contradictions(list(two.came))
