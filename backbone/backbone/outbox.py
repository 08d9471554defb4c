"""Events leave in the transaction that made them true: a row beside the state, sent and deleted by the relay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import clock, ids, kafka, pending, subjects, telemetry
from backbone.database import Connection
from handoff.events import topics

SHARDS: Final = 4
"""Relays of several instances share the work by shard; a partition belongs to one shard, so its order holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happened to `subject`. `event_id` is new when not given, `occurred_at` is now."""

    subject: UUID
    message: Message
    event_id: UUID | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbox:
    """Adds events to the topic that the service owns."""

    topic: str
    namespace: str
    partitions: int

    async def add(self, conn: Connection, events: Sequence[Event]) -> list[UUID]:
        """Add the events, in order, to what the caller's transaction writes at its end, and return their ids.

        Their subjects have to be locked (`subjects.lock`): the row's lock makes the order of ids the order of versions,
        without which a slower transaction's event would be dropped as old. LookupError for one that is not.
        """
        now = clock.now()
        topic = kafka.topic_name(self.namespace, self.topic)
        rows = pending.of(conn).events
        added = []
        for event in events:
            key, event_id = event.subject.bytes, event.event_id or ids.new()
            partition = kafka.partition_of(key, self.partitions)
            rows.append(
                (
                    partition % SHARDS,
                    topic,
                    partition,
                    key,
                    event_id,
                    topics.event_type(self.topic, event.message),
                    subjects.next_version(conn, event.subject),
                    event.occurred_at or now,
                    telemetry.current_trace(event.subject),
                    event.message.SerializeToString(),
                    None,
                )
            )
            added.append(event_id)
        return added
