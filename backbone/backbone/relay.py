"""The outbox's other half: sends what is committed, in order, and deletes it after the broker's acknowledgement.

Woken by each commit of this process, with a slow poll for what another process left behind. A row that is sent and not
yet deleted when the process dies is sent again with the same id and version; readers drop it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import asyncpg
import structlog

from backbone import database, envelope, kafka, pacing, telemetry
from backbone.outbox import SHARDS
from backbone.settings import ServiceSettings

LIMIT: Final = 500
POLL_S: Final = 0.5
SEND_DEADLINE_S: Final = 8.0
FIRST_BACKOFF_S: Final = 0.2
LONGEST_BACKOFF_S: Final = 2.0
LOCK_SPACE: Final = 7_263_115
"""First half of the advisory locks; the shard is the second."""

_TAKE: Final = """
SELECT id, topic, partition, key, event_id, type, version, occurred_at, traceparent, value, reason
FROM take_outbox($1, $2, $3)
"""
"""Takes the shards that nobody else has, then reads; whoever finds nothing lets them go. They are this session's until
its next look, so that nobody sends a row again that is being sent."""

log = structlog.get_logger()


class Unsent(Exception):
    """The broker did not acknowledge in time; whether it has the records is unknown."""


@dataclass(slots=True)
class Relay:
    """Runs in the service's process. `wake()` after each commit that may have added events."""

    settings: ServiceSettings
    source: str
    _woken: asyncio.Event
    _backoff: float = FIRST_BACKOFF_S

    @classmethod
    def of(cls, settings: ServiceSettings, source: str) -> "Relay":
        """Make the relay of a service's process."""
        return cls(settings=settings, source=source, _woken=asyncio.Event())

    def wake(self) -> None:
        """Say that events may wait."""
        self._woken.set()

    async def run(self) -> None:
        """Send for ever. A broken broker or database is tried again with a new client, with growing pauses."""
        while True:
            try:
                await self._with_clients()
            except (Unsent, kafka.KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) and not database.is_transient(
                    error
                ):
                    raise
                telemetry.RELAY_FAULTS.labels(type(error).__name__).inc()
                log.warning("the relay starts over", reason=type(error).__name__, rest_seconds=self._backoff)
                await asyncio.sleep(self._backoff)
                self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_S)

    async def _with_clients(self) -> None:
        # A stopped process must not hold its shards for long: the server ends a session that idles past the send.
        conn = await database.connect_single(
            self.settings.database_url, name=f"{self.source} relay", idle_ms=int((SEND_DEADLINE_S + 2) * 1000)
        )
        producer = kafka.producer(self.settings)
        try:
            await producer.start()
            while True:
                started = asyncio.get_running_loop().time()
                sent = await self._flush(conn, producer)
                self._backoff = FIRST_BACKOFF_S
                if sent == LIMIT:
                    continue
                if sent:
                    worked = asyncio.get_running_loop().time() - started
                    await asyncio.sleep(pacing.rest_s(worked))
                else:
                    await self._wait()
                if not kafka.is_alive(producer):
                    raise Unsent
        finally:
            conn.terminate()
            await kafka.cut(producer)

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), POLL_S)
        except TimeoutError:
            return
        self._woken.clear()

    async def _flush(self, conn: "asyncpg.Connection[asyncpg.Record]", producer: kafka.Producer) -> int:
        self._woken.clear()
        rows = await conn.fetch(_TAKE, SHARDS, LOCK_SPACE, LIMIT)
        telemetry.OUTBOX.set(len(rows))
        if not rows:
            return 0
        await self._send(producer, rows)
        await conn.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row[0] for row in rows])
        for topic, count in Counter(row[1] for row in rows).items():
            telemetry.published(topic).inc(count)
        return len(rows)

    async def _send(self, producer: kafka.Producer, rows: Sequence[asyncpg.Record]) -> None:
        by_partition = groupby(sorted(rows, key=itemgetter(1, 2, 0)), key=itemgetter(1, 2))
        sends = [
            self._send_partition(producer, topic, partition, list(some)) for (topic, partition), some in by_partition
        ]
        try:
            await asyncio.wait_for(asyncio.gather(*sends), SEND_DEADLINE_S)
        except TimeoutError as error:
            raise Unsent from error

    async def _send_partition(
        self, producer: kafka.Producer, topic: str, partition: int, rows: Sequence[asyncpg.Record]
    ) -> None:
        acknowledged: list[Any] = []
        batch = producer.create_batch()
        for row in rows:
            if not self._append(batch, row):
                acknowledged.append(await self._hand_over(producer, batch, topic, partition))
                batch = producer.create_batch()
                if not self._append(batch, row):
                    raise ValueError("a record does not fit into an empty batch")
        acknowledged.append(await self._hand_over(producer, batch, topic, partition))
        for future in acknowledged:
            await future

    async def _hand_over(self, producer: kafka.Producer, batch: Any, topic: str, partition: int) -> Any:
        batch.close()
        return await producer.send_batch(batch, topic, partition=partition)

    def _append(self, batch: Any, row: asyncpg.Record) -> bool:
        _, _, _, key, event_id, ce_type, version, occurred_at, traceparent, value, reason = row
        headers = envelope.headers(
            event_id=event_id,
            ce_type=ce_type,
            source=self.source,
            key=key,
            version=version,
            occurred_at=occurred_at,
            traceparent=traceparent,
        )
        if reason is not None:
            headers.append(("handoff_reason", reason.encode()))
        return batch.append(timestamp=None, key=key, value=value, headers=headers) is not None
