"""Topics as a test reads them, and as somebody may spoil them."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from backbone import kafka
from backbone.batches import open_record
from backbone.envelope import Incoming
from backbone.settings import ServiceSettings
from backbone.testing import PATIENCE_S

Predicate = Callable[[Sequence[Incoming]], bool]
_NO_EVENT: Final = [("ce_type", b"handoff.intake.v1.TouchRecorded")]


@dataclass(slots=True)
class Tap:
    """Reads a topic from its beginning, beside everybody."""

    settings: ServiceSettings
    topic: str
    events: list[Incoming] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    """The events as they came from Kafka."""
    _client: kafka.Client | None = None

    async def until(self, predicate: Predicate) -> list[Incoming]:
        """Read on until the predicate holds over all events so far, and return them."""
        if self._client is None:
            await kafka.ensure_topics(self.settings, [self.topic])
            self._client = kafka.consumer(self.settings, group=None)
            await self._client.start()
            partitions = [kafka.Partition(self.topic, number) for number in range(self.settings.partitions)]
            self._client.assign(partitions)
            await self._client.seek_to_beginning(*partitions)
        deadline = time.monotonic() + PATIENCE_S
        while not predicate(self.events):
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen on {self.topic}: {Counter(event.type for event in self.events)}")
            for records in (await self._client.getmany(timeout_ms=200)).values():
                self.records += records
                self.events += [open_record(self.settings.namespace, record) for record in records]
        return list(self.events)

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await kafka.stop(self._client.stop())


async def garbage(settings: ServiceSettings, *leads: UUID) -> None:
    """Publish records on intake's topic that have a lead's key and are no events."""
    producer = kafka.producer(settings)
    await producer.start()
    topic = kafka.topic_name(settings.namespace, "intake")
    for lead in leads:
        partition = kafka.partition_of(lead.bytes, settings.partitions)
        await producer.send_and_wait(topic, b"\xff", key=lead.bytes, partition=partition, headers=_NO_EVENT)
    await producer.stop()
