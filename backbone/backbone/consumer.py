"""Reads topics as one member of a consumer group and applies each event once.

One transaction a batch: the stored offsets are compared and set, the subjects' rows are locked, duplicates of the relay
are dropped, the handler changes state and adds events. So offsets live with the state, and whoever reads a record a
second time (a zombie, a rebalance, a rollback) finds that the offset has moved on. What becomes of a batch that fails:
`applying`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from backbone import batches, kafka, pacing, parking, progress, telemetry
from backbone.applying import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Applier, Ending
from backbone.batches import Displaced, Handler
from backbone.database import Connection, Database
from backbone.ends import Ends
from backbone.envelope import Incoming, Poison
from backbone.settings import ServiceSettings

__all__ = ["Consumer", "Displaced", "Handler", "Incoming", "Poison"]

POLL_MS: Final = 250

log = structlog.get_logger()


class Consumer:
    """One member of a service's consumer group."""

    def __init__(
        self,
        settings: ServiceSettings,
        db: Database,
        *,
        service: str,
        reads: Iterable[str],
        handle: Handler,
        kinds: frozenset[str] | None = None,
        rest_s: float = pacing.REST_S,
        stopping: asyncio.Event,
    ) -> None:
        self.group = kafka.group_name(settings.namespace, service)
        self.topics = [kafka.topic_name(settings.namespace, topic) for topic in reads]
        self._settings = settings
        self._rest_s = rest_s
        self._stopping = stopping
        letters = kafka.dead_letter_name(settings.namespace, service)
        of_group = batches.Batches(
            group=self.group,
            namespace=settings.namespace,
            handle=handle,
            kinds=kinds,
            letters=parking.Letters(topic=letters, partitions=settings.partitions),
        )
        self.applier = Applier(db, of_group, stopping=stopping)
        self._ends = Ends(settings, self.topics)
        self._assignments = kafka.Assignments()
        self._client: kafka.Client | None = None
        self._stuck: set[kafka.Partition] = set()
        self._moved = asyncio.Condition()
        self._backoff = FIRST_BACKOFF_S
        self._progress = progress.Progress()

    # What others may ask

    @property
    def halted(self) -> bool:
        """Say whether the group stands still until a person has looked."""
        return self.applier.halted

    @property
    def is_ready(self) -> bool:
        """Say whether partitions are being read, or will be as soon as there are some for this member."""
        return self._client is not None and not self.halted and not self._stuck

    async def caught_up(self, topics: Iterable[str] | None = None) -> None:
        """Wait until this member has applied everything that stands now in its partitions (of these short names)."""
        wanted = {kafka.topic_name(self._settings.namespace, topic) for topic in topics} if topics else None
        ends: dict[kafka.Partition, int] = {}
        async with self._moved:
            await self._moved.wait_for(lambda: self._client is not None and bool(self.applier.positions))
        owned = [partition for partition in self.applier.positions if wanted is None or partition.topic in wanted]
        ends = dict(await self._ends.read(owned)) if owned else {}
        async with self._moved:
            # A partition that went to another member is that member's to catch up with.
            await self._moved.wait_for(
                lambda: all(self.applier.positions.get(partition, end) >= end for partition, end in ends.items())
            )

    @property
    def lags(self) -> Mapping[kafka.Partition, float]:
        """How old, in seconds, what waits in each partition of ours may be at most: 0 where nothing waits.

        Infinite where it is not known since when; left out where it is not known whether anything waits.
        """
        return self._progress.lags(stands_still=self._assignments.awaited)

    async def ends(self, before: datetime | None = None) -> Mapping[kafka.Partition, int]:
        """Return where each partition of the topics ends now, or with what was sent before then, whoever reads it.

        KafkaError while Kafka is away.
        """
        if self._client is None:
            raise kafka.KafkaError("not connected")
        return await self._ends.read(before=before)

    async def have_read(self, conn: Connection, ends: Mapping[kafka.Partition, int]) -> bool:
        """Say whether this service, be it by another member, has applied or parked everything before these offsets."""
        return await batches.have_read(conn, self.group, ends)

    async def have_applied(self, conn: Connection, ends: Mapping[kafka.Partition, int]) -> bool:
        """Say the same, where nothing of it may be parked."""
        return await batches.have_applied(conn, self.group, ends)

    # The loop

    async def run(self) -> None:
        """Read until the process stops; a broken client is replaced, with growing pauses."""
        while not self._stopping.is_set():
            client = kafka.consumer(self._settings, group=self.group)
            try:
                await kafka.ensure_topics(self._settings, self.topics)
                await client.start()
                client.subscribe(self.topics, listener=self._assignments)
                self._client = client
                await self._read(client)
            except Ending:
                return
            except (kafka.KafkaError, OSError, TimeoutError) as error:
                log.warning("the consumer starts over", reason=type(error).__name__, rest_seconds=self._backoff)
                await self.applier.rest(self._backoff)
                self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_S)
            finally:
                self._client = None
                self._progress.forget(self.applier.positions)
                self.applier.positions.clear()
                await self._progress.stop()
                await kafka.stop(client.stop())
                await self._ends.close()

    async def _read(self, client: kafka.Client) -> None:
        while not self._stopping.is_set():
            if not kafka.is_alive(client):
                raise kafka.KafkaError("a background task of the client ended")
            # Never cancelled: a cancelled poll leaves the client without its watch over slow members.
            fetched = await client.getmany(timeout_ms=POLL_MS, max_records=kafka.MAX_POLL_RECORDS)
            if self._assignments.changed:
                await self._take_over(client)
                continue
            if not fetched:
                self._progress.note(client, self.applier.positions)
                continue
            started = asyncio.get_running_loop().time()
            records = [record for partition in sorted(fetched) for record in fetched[partition]]
            if await self._lost_some(client, fetched):
                continue
            await self._settle(client, records)
            self._backoff = FIRST_BACKOFF_S
            if len(records) < kafka.MAX_POLL_RECORDS:
                worked = asyncio.get_running_loop().time() - started
                await asyncio.sleep(pacing.rest_s(worked, least_s=self._rest_s))

    async def _take_over(self, client: kafka.Client) -> None:
        """Go to the stored offsets of what is assigned now; what was fetched before is fetched again."""
        self._assignments.changed = False
        assigned = client.assignment()
        stored = await self.applier.patiently(lambda conn: batches.stored_offsets(conn, self.group, assigned))
        kept = await self._ends.kept(assigned)
        self._progress.forget(self.applier.positions.keys() - assigned)
        self.applier.positions, self._stuck = {}, set()
        if self._assignments.changed or client.assignment() != assigned:
            # Handed out anew while the offsets were read; the next round starts from there.
            self._assignments.changed = True
            return
        for partition in assigned:
            offset = stored[partition]
            if offset == 0:
                # Never read: whatever the log still has.
                client.seek(partition, kept[partition][0])
                self.applier.positions[partition] = 0
                continue
            begin, end = kept[partition]
            if not begin <= offset <= end:
                log.error(
                    "the stored offset is outside the log: restore the topic, or set the offset by hand and restart",
                    topic=partition.topic,
                    partition=partition.partition,
                )
                client.pause(partition)
                self._stuck.add(partition)
                continue
            client.seek(partition, offset)
            self.applier.positions[partition] = offset
        telemetry.STUCK.labels(self.group).set(len(self._stuck))
        async with self._moved:
            self._moved.notify_all()
        log.info("partitions assigned", count=len(assigned), group=self.group)
        await self.applier.wait_while(parking.is_halted)

    async def _lost_some(self, client: kafka.Client, fetched: Mapping[kafka.Partition, Sequence[Any]]) -> bool:
        """Stop partitions whose next record the log has deleted: aiokafka goes on behind the gap without a word."""
        jumped = [one for one, records in fetched.items() if 0 < self.applier.positions.get(one, 0) < records[0].offset]
        if not jumped:
            return False
        begins = await client.beginning_offsets(jumped)
        if all(begins[partition] <= self.applier.positions[partition] for partition in jumped):
            return False
        await self._take_over(client)
        return True

    async def _settle(self, client: kafka.Client, records: Sequence[Any]) -> None:
        """Apply the records, however often it takes; returns early when they turn out not to be ours."""
        self._progress.begin()
        try:
            await self.applier.apply(records)
        except Displaced:
            log.info("somebody else has applied these records", group=self.group)
            await self._take_over(client)
        async with self._moved:
            self._moved.notify_all()
        self._progress.note(client, self.applier.positions)
        self._progress.tell(client, self.applier.positions)
