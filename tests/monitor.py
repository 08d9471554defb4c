"""sla-monitor without its loops, on a database alone: a test says when it reads and when it fires."""

import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from backbone import batches, ids, parking, times
from backbone.database import Database
from backbone.envelope import Incoming
from backbone.outbox import Outbox
from sla_monitor import clocks, policies, recomputing, reports_attainment, store_clocks, store_policies
from sla_monitor.applying import Applying
from sla_monitor.consumer import Handler
from sla_monitor.domain import ARRIVAL, NEXT_AT, OF_ASSIGNMENTS, STATUS_UPDATE, Level, State
from sla_monitor.firing import Firing
from sla_monitor.store_policies import Policies
from tests.telling import Told, captured, now

Outcome = dict[tuple[str, int, str], tuple[str, datetime | None, datetime]]
"""By clock, cycle of an assignment, and start of those that begin one after the other: state, met at, due at."""


Versions = dict[tuple[str, UUID], int]
"""The last one of each topic and lead."""


_TABLES = (
    *("clock", "clock_change", "lead", "lead_before", "link", "assignment", "touch", "mark", "alert", "outbox"),
    *("subject", "rep", "rep_version"),
)
START = now().replace(microsecond=0) - timedelta(days=1)


def at(seconds: float) -> datetime:
    """Return an instant of a day ago."""
    return START + timedelta(seconds=seconds)


class Monitor:
    """What reads, what fires, and what follows changed hours."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._versions: Versions = {}
        outbox = Outbox(topic="sla", namespace="t", partitions=2)
        self._applying = Applying(outbox, Policies())
        handler = Handler(self._applying)
        letters = parking.Letters(topic="t.dead", partitions=2)
        self._batches = batches.Batches(group="t", namespace="t", handle=handler.handle, letters=letters)
        # Nothing in the policy takes a lead away, so nobody has to know how far topics were read.
        self._firing = Firing(db, outbox, cast(Any, None), namespace="t", partitions=2, catch_up_s=1)

    async def put(self, policy: str, name: str = "standard") -> None:
        """Put a policy in force."""
        document = policies.parse(policy.encode(), [])
        async with self._db.transaction() as conn:
            await store_policies.add(conn, name, policy, document.data, "somebody")

    async def read(self, events: Sequence[Incoming]) -> None:
        """Apply events as one batch."""
        async with self._db.transaction() as conn:
            await self._batches.replay(conn, events)

    async def tell(self, topic: str, *told: Told) -> None:
        """Apply what one topic tells next as one batch."""
        await self.read(read_in(random.Random(0), {topic: told}, self._versions))

    async def fire(self) -> None:
        """Fire what is due, until nothing is."""
        left = None
        while (due := await self._due()) and due != left:
            self._firing._sweep_at = 0.0
            await self._firing._round(await self._firing._look())
            left = due

    async def _due(self) -> Sequence[int]:
        """Return which steps are due."""
        async with self._db.reading() as conn:
            rows = await conn.fetch("SELECT step FROM clock WHERE next_at <= now() ORDER BY lead_id, clock, cycle")
        return [row["step"] for row in rows]

    async def recompute(self, *, at_most: int | None = None) -> None:
        """Bring clocks to changed hours and teams, until nothing is left to do, or in so many transactions."""
        for _ in itertools.count() if at_most is None else range(at_most):
            async with self._db.transaction() as conn:
                if not await recomputing._some(conn, self._applying):
                    return

    async def arrive(self, policy: str, *leads: UUID) -> None:
        """Put a policy in force, and let leads come at `at(0)`."""
        await self.put(policy)
        await self.tell("intake", *(captured(lead, at(0)) for lead in leads))

    async def states(self, lead: UUID) -> dict[tuple[str, int], str]:
        """Return how a lead's clocks stand, by name and cycle."""
        async with self._db.reading() as conn:
            rows = await conn.fetch("SELECT clock, cycle, state FROM clock WHERE lead_id = $1", lead)
        return {(row["clock"], row["cycle"]): row["state"] for row in rows}

    async def alerts(self) -> list[tuple[str, bool]]:
        """Return the levels of what was told, in order, and which of it was taken back."""
        async with self._db.reading() as conn:
            rows = await conn.fetch("SELECT level, retracted_at FROM alert ORDER BY seq")
        return [(row["level"], row["retracted_at"] is not None) for row in rows]

    async def contradictions(self, leads: Sequence[UUID]) -> list[UUID]:
        """Return the alerts of leads' arrivals that say otherwise than their clocks, of the windows that run now.

        One that several clocks have stands while any of them was missed.
        """
        missed: dict[UUID, bool] = {}
        async with self._db.reading() as conn:
            stands = {one[0]: one[1] is None for one in await conn.fetch("SELECT alert_id, retracted_at FROM alert")}
            for clock in itertools.chain(*(await store_clocks.clocks(conn, leads)).values()):
                for number, step in enumerate(clock.steps[: clock.step]):
                    if clock.terms.source == ARRIVAL and step["level"] == Level.BREACH and "of_the_past" not in step:
                        alert = clocks.alert_id(clock, Level.BREACH, number)
                        missed[alert] = missed.get(alert, False) or clock.state is State.BREACHED
        return [alert for alert, is_missed in missed.items() if stands[alert] != is_missed]

    async def forget(self) -> None:
        """Begin with nothing but policies, as an empty database does."""
        async with self._db.transaction() as conn:
            for table in _TABLES:
                await conn.execute(f"DELETE FROM {table}")
        self._versions.clear()

    async def attained(self, *, as_of: datetime | None = None) -> dict[Any, dict[str, int]]:
        """Return by rep and kind what clocks came to, by what is stored or by the facts known at an instant."""
        asked = reports_attainment.Asked(start=at(-3600), end=at(3600), by=("rep",))
        async with self._db.reading() as conn:
            counted = await reports_attainment.counted(conn, asked, as_of=as_of)
        some = {key: {str(what): count for what, count in found.items() if count} for key, found in counted.items()}
        return {key: found for key, found in some.items() if found}

    async def unfired(self, leads: Sequence[UUID]) -> list[str]:
        """Return which clocks of leads are due still, though all was fired that could be."""
        async with self._db.reading() as conn:
            rows = await conn.fetch(
                "SELECT clock FROM clock WHERE lead_id = ANY($1::uuid[]) AND next_at <= now()", list(leads)
            )
        return [row["clock"] for row in rows]

    async def outcome(self, lead: UUID) -> Outcome:
        """Return what became of a lead's clocks, but for those that turned out to have no reason."""
        async with self._db.reading() as conn:
            rows = await conn.fetch(
                "SELECT * FROM clock WHERE lead_id = $1 AND reason NOT IN ('covered', 'not_begun')", lead
            )
        return {_which(row): (row["state"], row["met_at"], row["due_at"]) for row in rows}


def _which(row: Any) -> tuple[str, int, str]:
    is_assignments = row["source"] in OF_ASSIGNMENTS
    begins_anew = not is_assignments or row["kind"] == STATUS_UPDATE or row["source"] == NEXT_AT
    start = f"{times.text(row['started_at'])} for {row['within_seconds']} s"
    return (row["clock"], row["cycle"] if is_assignments else 0, start if begins_anew else "")


def read_in(
    chance: random.Random, told: Mapping[str, Sequence[Told]], versions: Versions | None = None
) -> list[Incoming]:
    """Return the events as one reader may meet them: each topic in its own order, the topics in any."""
    versions = {} if versions is None else versions
    left = {topic: list(events) for topic, events in told.items()}
    read: list[Incoming] = []
    while any(left.values()):
        topic = chance.choice([name for name, events in left.items() if events])
        subject, message = left[topic].pop(0)
        versions[topic, subject] = versions.get((topic, subject), 0) + 1
        read.append(
            Incoming(
                id=ids.new(),
                type=message.DESCRIPTOR.name,
                topic=topic,
                subject=subject,
                original_subject=subject,
                version=versions[topic, subject],
                time=now(),
                message=message,
                traceparent="",
                partition=0,
                offset=len(read),
            )
        )
    return read
