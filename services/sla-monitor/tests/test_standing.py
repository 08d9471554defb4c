"""Which alerts stand when leads turn out to be one, and two after all: those of deadlines that were missed."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from tests.monitor import Monitor, at
from tests.telling import Told, captured, merged, touch, unmerged

ARRIVED = "clocks: [{kind: first_response_1d, within: 30s, from: arrival}]"
KEY = ("first_response_1d", 0)


class Two:
    """X came first, and is merged into Y; both were missed, and told of."""

    def __init__(self, monitor: Monitor) -> None:
        self.x, self.y = ids.new(), ids.new()
        self.monitor = monitor
        self.came = {self.x: at(-10), self.y: at(0)}

    async def come(self, **sources: str) -> None:
        for lead, name in ((self.x, "x"), (self.y, "y")):
            await self.monitor.tell("intake", captured(lead, self.came[lead], source=sources.get(name, "web")))
        await self.monitor.fire()
        await self.monitor.tell("intake", *merged(self.y, self.x, at(100), came_at=at(-10)))
        await self.monitor.fire()

    async def part(self, *, first: UUID) -> None:
        told = unmerged(self.y, self.x, at(300), came=self.came)
        for one in sorted(told, key=lambda half: half[0] != first):
            await self.monitor.tell("intake", one)
        await self.monitor.fire()


async def stands(db: Database) -> dict[UUID, list[bool]]:
    """Return by lead which of its alerts stand, in the order in which they were told."""
    found: dict[UUID, list[bool]] = {}
    async with db.reading() as conn:
        for row in await conn.fetch("SELECT lead_id, retracted_at FROM alert WHERE level = 'breach' ORDER BY seq"):
            found.setdefault(row["lead_id"], []).append(row["retracted_at"] is None)
    return found


async def retractions(db: Database, kind: str = "BreachRetracted") -> int:
    """Return how often it was told that an alert was wrong, or of that `kind`."""
    async with db.reading() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM outbox WHERE type LIKE '%' || $1", kind))


@pytest.mark.parametrize("first", ["x", "y"])
@pytest.mark.parametrize("called", ["x", "y"])
async def test_whose_touch_it_was_has_the_alert_taken_back_when_two_are_parted(
    db: Database, monitor: Monitor, called: str, first: str
) -> None:
    two = Two(monitor)
    await monitor.put(ARRIVED)
    await two.come()
    # One promise by now, that of who came first; nobody was late for the other.
    assert await stands(db) == {two.x: [True], two.y: [False]}
    told = touch(getattr(two, called), at(5))
    await monitor.tell("intake", (two.y, told[1]))
    assert await stands(db) == {two.x: [False], two.y: [False]}
    await two.part(first=getattr(two, first))
    met = {two.x: called == "x", two.y: called == "y"}
    assert {lead: (await monitor.states(lead))[KEY] == "met" for lead in met} == met
    assert await stands(db) == {lead: [not is_met] for lead, is_met in met.items()}
    assert await retractions(db, "AlertRestored") == 1
    assert not await monitor.contradictions([two.x, two.y])


async def test_a_breach_of_nobodys_deadline_is_taken_back_when_two_are_parted(db: Database, monitor: Monitor) -> None:
    slow = ARRIVED.replace("30s", "9d").replace("clocks:", "applies: lead.source == 'slow'\nclocks:")
    await monitor.put(slow, "slow")
    await monitor.put(slow.replace("slow", "web").replace("9d", "30s"), "fast")
    two = Two(monitor)
    await two.come(x="slow")
    assert await stands(db) == {two.y: [False, True]}
    await two.part(first=two.x)
    assert await stands(db) == {two.y: [True, False]}
    assert await monitor.states(two.x) == {KEY: "running"}


async def test_what_is_wrong_is_told_once(db: Database, monitor: Monitor) -> None:
    two = Two(monitor)
    await monitor.put(ARRIVED)
    await two.come()
    told: Told = touch(two.x, at(5))
    before: Any = await retractions(db)
    await monitor.tell("intake", (two.y, told[1]))
    await two.part(first=two.x)
    assert await retractions(db) == before + 1
