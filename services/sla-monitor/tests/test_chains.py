"""Leads that become one in a chain, and are parted again: each has the verdict and the alerts that it had alone."""

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backbone import ids
from backbone.database import Database
from sla_monitor import clocks, store_clocks
from sla_monitor.domain import Level, State
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import Told, captured, merged, touch

WITHIN_S: Final = 30
ARRIVED: Final = f"clocks: [{{kind: first_response_1d, within: {WITHIN_S}s, from: arrival}}]"
_BREACHES: Final = """
SELECT due_at, retracted_at IS NULL AS stands FROM alert WHERE lead_id = ANY($1::uuid[]) AND level = 'breach'
"""


@dataclass(slots=True)
class Chain:
    """Leads, each of which is merged into the next; whoever they are one with is the last of them."""

    monitor: Monitor
    chance: random.Random
    came: Mapping[UUID, datetime]
    into: dict[UUID, UUID]
    instant: int = 100

    def head(self, lead: UUID) -> UUID:
        while lead in self.into:
            lead = self.into[lead]
        return lead

    def arrived(self, head: UUID) -> datetime:
        return min(came for lead, came in self.came.items() if self.head(lead) == head)

    async def tell(self, told: Sequence[Told]) -> None:
        """Tell in either order, as partitions do; whoever fires may come in between."""
        for one in self.chance.sample(told, len(told)):
            await self.monitor.tell("intake", one)
            if self.chance.random() < 0.5:
                await self.monitor.fire()

    async def merge(self, lost: UUID, survivor: UUID) -> None:
        self.into[lost] = survivor
        self.instant += 10
        await self.tell(merged(survivor, lost, at(self.instant), came_at=self.arrived(survivor)))

    async def part(self, lost: UUID) -> None:
        survivor = self.into.pop(lost)
        self.instant += 10
        came = {one: self.arrived(one) for one in (survivor, lost)}
        await self.tell(telling.unmerged(survivor, lost, at(self.instant), came=came))

    async def touch(self, lead: UUID, seconds: int) -> None:
        await self.tell([(self.head(lead), touch(lead, at(seconds))[1])])


async def problems(db: Database, leads: Sequence[UUID], wanted: Mapping[UUID, State]) -> list[str]:
    """Return what is said of leads that is not so: verdicts, whether what was told was wrong, what was told twice."""
    found = []
    async with db.reading() as conn:
        of = await store_clocks.clocks(conn, leads)
        alerts = await conn.fetch(_BREACHES, leads)
    due = Counter(clock.terms.due_at for (clock,) in of.values())
    told = Counter(row["due_at"] for row in alerts)
    found += [f"told twice of {due_at}" for due_at, times in told.items() if times > due[due_at]]
    missed = Counter(clock.terms.due_at for (clock,) in of.values() if clock.state is State.BREACHED)
    standing = Counter(row["due_at"] for row in alerts if row["stands"])
    # Who came at the same instant may have been told of together while they were one.
    found += [
        f"{standing[due_at]} stand of {missed[due_at]} of {due_at}"
        for due_at in due
        if standing[due_at] > missed[due_at] or bool(standing[due_at]) is not bool(missed[due_at])
    ]
    for number, lead in enumerate(leads):
        (clock,) = of[lead]
        is_told = any(step["level"] == Level.BREACH for step in clocks.told_now(clock))
        if clock.state is not wanted[lead]:
            found.append(f"lead {number} is {clock.state}")
        # What it told of another's deadline while they were one may have been taken back, too.
        if clock.retracted is not (clock.state is State.MET and (is_told or clock.retracted)):
            found.append(f"lead {number} has retracted {clock.retracted}")
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    arrivals=st.one_of(st.permutations([-20, -10, 0]), st.permutations([-10, -10, 0]), st.just([0, 0, 0])),
    touches=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([5, 15, 25, 40, 90])), max_size=3),
    length=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
@example(arrivals=[0, 0, 0], touches=[(0, 5)], length=2, seed=311)
async def test_who_is_parted_again_has_the_verdict_and_the_alerts_of_its_own(
    db: Database, monitor: Monitor, arrivals: list[int], touches: list[tuple[int, int]], length: int, seed: int
) -> None:
    await monitor.put(ARRIVED)
    leads = [ids.new() for _ in arrivals]
    chain = Chain(monitor, random.Random(seed), dict(zip(leads, map(at, arrivals), strict=True)), {})
    for lead in leads:
        await chain.tell([captured(lead, chain.came[lead])])
    left = list(touches)
    links = list(itertools.pairwise(leads))[:length]
    for step in (*links, *((lost,) for lost, _ in reversed(links))):
        if left and chain.chance.random() < 0.5:
            number, seconds = left.pop()
            await chain.touch(leads[number], seconds)
        await (chain.merge(*step) if len(step) == 2 else chain.part(*step))
    for number, seconds in left:
        await chain.touch(leads[number], seconds)
    await monitor.fire()
    met = {leads[number] for number, seconds in touches if 0 <= seconds - arrivals[number] <= WITHIN_S}
    wanted = {lead: State.MET if lead in met else State.BREACHED for lead in leads}
    assert await problems(db, leads, wanted) == []
    assert not await monitor.contradictions(leads)
