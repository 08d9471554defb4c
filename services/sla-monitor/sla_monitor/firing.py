"""Alerts leave at their instant, once per step: whoever raises the step, tells it, in one transaction.

Every instance looks for the next instant and sleeps until then. The update that raises `step` holds only for the step,
the version and the instant that were read, so of two that fire the same step one finds nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from backbone import database, kafka, parking, relay, subjects, times
from backbone.consumer import Consumer
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from sla_monitor import chain, events, raising, recipients, store, store_alerts, store_clocks, store_links
from sla_monitor.store_alerts import Fired
from sla_monitor.store_clocks import Clock, Key
from sla_monitor.unread import Unread

FIRED_AT_ONCE: Final = 500
RECENT: Final = timedelta(seconds=1)
"""How long after their instants due steps are looked for each time."""
LONGEST_SLEEP_S: Final = 0.25
SHORTEST_SLEEP_S: Final = 0.01
COALESCED_S: Final = 0.025
"""How far apart transactions begin: one costs as much as twenty alerts in it, which share it when due meanwhile."""
SWEEP_EVERY_S: Final = 1.0
"""How often what fell due before that is looked for: clocks that started late, or were locked meanwhile."""
AWAY: Final = timedelta(seconds=LONGEST_SLEEP_S + raising.LATE_S)
"""Whoever has not looked for longer was stopped, or the database was away: what happened meanwhile is not read yet."""
SETTLING: Final = timedelta(seconds=relay.SEND_DEADLINE_S + relay.LONGEST_BACKOFF_S)
"""How long after Kafka is back the other services' relays may be about to tell what happened meanwhile."""
LOOK_AGAIN_S: Final = 0.05
READING_ON: Final = timedelta(seconds=2)
"""How long whoever has read what was there when it came back also waits for what came since, at most."""
ENDS_TIMEOUT_S: Final = 2.0
POSTPONED: Final = timedelta(milliseconds=100)
UNREAD_FOR: Final = timedelta(milliseconds=500)
"""After which time it is asked again whether a clock's partition is read: thousands may wait for that."""
ACTS_ON: Final = ("intake", "routing")
"""Topics that may say that the rep called after all."""

_LOOK: Final = """
(SELECT lead_id, next_at, now() AS now FROM clock WHERE {since} next_at <= now() ORDER BY next_at LIMIT {limit})
UNION ALL (SELECT lead_id, next_at, now() AS now FROM clock WHERE next_at > now() ORDER BY next_at LIMIT 1)
"""
"""What is due and what is next after it, in one round trip outside any transaction: now() is when the look began.

Without parameters, so that it is planned once.
"""
_SWEEP: Final = _LOOK.format(limit=FIRED_AT_ONCE, since="")
"""Passes all that was fired and is not vacuumed away yet: 20 ms for 60,000 while somebody holds an old snapshot."""
_RECENT: Final = _LOOK.format(limit=FIRED_AT_ONCE, since=f"next_at > now() - interval '{RECENT}' AND")

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ends:
    """Where topics ended, as read at or after an instant of the database's clock."""

    at: datetime
    offsets: Mapping[kafka.Partition, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What is due, and what is next after it."""

    now: datetime
    """By the database's clock: it goes on while a process is stopped, or its machine is."""
    rows: Sequence[Any]
    began_s: float
    sweeps: bool


class Firing:
    """Fires for ever, once the backlog of facts has been read."""

    def __init__(
        self, db: Database, outbox: Outbox, consumer: Consumer, *, namespace: str, partitions: int, catch_up_s: float
    ) -> None:
        self._db, self._outbox, self._consumer = db, outbox, consumer
        self._topics, self._partitions = [kafka.topic_name(namespace, topic) for topic in ACTS_ON], partitions
        self._catch_up = timedelta(seconds=catch_up_s)
        self._ends: Ends | None = None
        self._wants_ends = asyncio.Event()
        self._is_kafka_away = False
        self._settled_at = _NEVER
        """When all that happened while Kafka was away is told."""
        self._looked_at = _NEVER
        self._back_at: datetime | None = None
        """Since when the backlog is waited for; None while it is not."""
        self._read_at: datetime | None = None
        """Since when that one is read."""
        self._unread = Unread(db, consumer, partitions=partitions, patience=self._catch_up)
        self._sweep_at = 0.0

    async def run(self) -> None:
        """Wait for the backlog, then fire what falls due; wait again after an absence."""
        while True:
            try:
                look = await self._look()
                await self._unread.tell()
                rest_s = await self._round(look) if await self._is_current(look.now) else LOOK_AGAIN_S
            except Exception as error:
                if not database.is_transient(error):
                    raise
                rest_s = LONGEST_SLEEP_S
            if rest_s:
                await asyncio.sleep(rest_s)

    async def _look(self) -> Look:
        began_s = asyncio.get_running_loop().time()
        sweeps = began_s >= self._sweep_at
        async with self._db.reading() as conn:
            rows = await conn.fetch(_SWEEP if sweeps else _RECENT)
            now = rows[0]["now"] if rows else await times.now(conn)
            if sweeps or (rows and rows[0]["next_at"] <= now):
                await self._unread.load(conn)
        return Look(now, rows, began_s, sweeps)

    async def _is_current(self, now: datetime) -> bool:
        """Say whether what had happened when this instance came back is read, whoever of us reads it.

        A touch that waits in Kafka must not be a breach. Starting is coming back too. What came since then is waited
        for a little as well: else what is overdue would leave in no order.
        """
        if now - self._looked_at > AWAY:
            self._back_at, self._read_at = now, None
        self._looked_at = now
        if self._back_at is None:
            return True
        if now - self._back_at >= self._catch_up:
            patience_s = self._catch_up.total_seconds()
            log.warning("the backlog was not read in time; alerts go out now", after_seconds=patience_s)
        elif self._read_at is None and not await self._have_read_up_to(self._back_at):
            return False
        else:
            self._read_at = self._read_at or now
            if self._unread.is_behind and now - self._read_at < READING_ON:
                return False
        self._back_at = None
        return True

    async def _have_read_up_to(self, instant: datetime) -> bool:
        if self._ends is None or self._ends.at < instant:
            self._wants_ends.set()
            return False
        async with self._db.reading() as conn:
            return await self._consumer.have_read(conn, self._ends.offsets)

    async def _round(self, look: Look) -> float:
        """Fire what is due, and return for how many seconds to rest then."""
        loop = asyncio.get_running_loop()
        due = {row["lead_id"] for row in look.rows if row["next_at"] <= look.now}
        fired = await self._db.run(lambda conn: self._fire(conn, due, look.now)) if due else ()
        if fired and len(look.rows) >= FIRED_AT_ONCE:
            return 0.0
        if look.sweeps:
            self._sweep_at = look.began_s + SWEEP_EVERY_S
        if any(one.clock.next_at is not None and one.clock.next_at < look.now - RECENT for one in fired):
            self._sweep_at = 0.0  # After an outage a clock's next step may be as late as the one that left.
        if due:
            return max(SHORTEST_SLEEP_S, look.began_s + COALESCED_S - loop.time() if fired else 0.0)
        left = (look.rows[0]["next_at"] - look.now).total_seconds() if look.rows else LONGEST_SLEEP_S
        return max(SHORTEST_SLEEP_S, min(left, LONGEST_SLEEP_S))

    async def _read_ends(self) -> Ends | None:
        """Return where the topics end; None while Kafka or the database is away."""
        try:
            async with self._db.reading() as conn:
                at = await times.now(conn)
            async with asyncio.timeout(ENDS_TIMEOUT_S):
                return Ends(at, await self._consumer.ends())
        except (kafka.KafkaError, TimeoutError, OSError):
            return None
        except Exception as error:
            if not database.is_transient(error):
                raise
            return None

    async def keep_ends(self) -> None:
        """Look where the topics end whenever somebody waits for it; who does not, never waits for Kafka."""
        while True:
            await self._wants_ends.wait()
            self._wants_ends.clear()
            ends = await self._read_ends()
            if ends is not None and self._is_kafka_away:
                self._settled_at = ends.at + SETTLING
            self._is_kafka_away = ends is None
            self._ends = ends or self._ends

    async def _fire(self, conn: Connection, due: set[UUID], now: datetime) -> Sequence[Fired]:
        """Fire what was due of these leads a moment ago and still is; returns those steps."""
        # Whoever holds one of these leads is changing its clocks; they are looked at again at once.
        free = await subjects.try_lock(conn, due)
        if not free:
            return ()
        query = "SELECT * FROM clock WHERE lead_id = ANY($1::uuid[]) AND next_at <= $2 ORDER BY next_at, lead_id"
        rows = await conn.fetch(query, list(free), now)
        found = [store_clocks.clock_of(row) for row in rows]
        held = await self._held(conn, found, now)
        due_now = [clock for clock in found if clock.key not in held]
        spent = await raising.spent(conn, due_now)
        to = await recipients.of(conn, due_now)
        fired = [raising.step(clock, to[id(clock)], now) for clock in due_now]
        await self._write(conn, fired, spent, now)
        return fired

    async def _held(self, conn: Connection, found: Sequence[Clock], now: datetime) -> set[Key]:
        """Put off those whose step has to wait, and return them; another that is due of them goes before it."""
        unread = await self._unread.of(conn, found, now)
        keys = {clock.key for clock in unread}
        acting = [one for one in found if one.key not in keys and one.steps[one.step]["to"] in chain.ACTS]
        unsure = await self._unsure(conn, acting) if acting else ()
        sure = {clock.key for clock in acting} - {clock.key for clock in unsure}
        held = await self._later(conn, [clock for clock in acting if clock.key in sure]) if sure else []
        passed: list[Clock] = []
        for clock in unsure:
            steps = chain.let_pass(clock.steps, clock.step, now)
            clock.steps = steps or clock.steps
            (passed if steps else held).append(clock)
        await store_clocks.reorder(conn, passed)
        for some, until in ((held, now + POSTPONED), (unread, now + UNREAD_FOR)):
            if some:
                await store_clocks.postpone(conn, some, until)
        return keys | {clock.key for clock in held}

    async def _later(self, conn: Connection, acting: Sequence[Clock]) -> list[Clock]:
        """Return those before whose step another clock of the lead has one to tell, as after an outage."""
        query = "SELECT * FROM clock WHERE lead_id = ANY($1::uuid[]) AND next_at IS NOT NULL"
        rows = await conn.fetch(query, list({clock.lead_id for clock in acting}))
        first: dict[UUID, datetime] = {}
        for clock in map(store_clocks.clock_of, rows):
            at = raising.due_at(clock)
            first[clock.lead_id] = min(at, first.get(clock.lead_id, at))
        return [clock for clock in acting if raising.due_at(clock) > first[clock.lead_id]]

    async def _unsure(self, conn: Connection, acting: Sequence[Clock]) -> Sequence[Clock]:
        """Return those of whose lead a fact may wait that says it is not to be taken away."""
        members = await store_links.members(conn, {clock.lead_id for clock in acting})
        parked = await parking.parked_subjects(
            conn, self._consumer.group, {one for some in members.values() for one in some}
        )
        unsure = [
            clock
            for clock in acting
            if not parked.isdisjoint(members[clock.lead_id])
            or not await self._may_act(conn, clock, members[clock.lead_id])
        ]
        if unsure:
            self._wants_ends.set()
        return unsure

    async def _may_act(self, conn: Connection, clock: Clock, members: Sequence[UUID]) -> bool:
        """Say whether the lead's topics were read past the ends seen after the deadline, and after an outage.

        Taking a lead away waits for that, as it does for what is parked of the lead: neither an outage nor a record
        that cannot be applied may take leads from people who called.
        """
        if self._ends is None or self._ends.at < max(raising.due_at(clock), self._settled_at):
            return False
        numbers = {kafka.partition_of(lead_id.bytes, self._partitions) for lead_id in members}
        mine = {
            partition: end
            for partition, end in self._ends.offsets.items()
            if partition.partition in numbers and partition.topic in self._topics
        }
        return await self._consumer.have_read(conn, mine)

    async def _write(self, conn: Connection, fired: Sequence[Fired], spent: set[Key], now: datetime) -> None:
        """Raise the steps, and tell those that nobody else raised; a step that is spent passes in silence."""
        won = await store_clocks.raise_steps(conn, [(one.clock, one.step, one.version) for one in fired], now)
        mine = [one for one in fired if one.clock.key in won - spent]
        if not mine:
            return
        leads = await store.load(conn, {one.clock.lead_id for one in mine})
        await self._outbox.add(conn, [events.alert(leads[one.clock.lead_id], one.clock, one.alert) for one in mine])
        await store_alerts.add(conn, mine)
