"""Events leave in the transaction that made them true: a row beside the state, sent and deleted by the relay."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import ids, kafka, telemetry
from backbone.database import Connection
from handoff.events import topics

SHARDS: Final = 4
"""Relays of several instances share the work by shard; a partition belongs to one shard, so its order holds."""

_ADD: Final = """
WITH raised AS (
    UPDATE subject s SET published = s.published + v.events
    FROM unnest($1::uuid[], $2::int[]) AS v(subject_id, events)
    WHERE s.subject_id = v.subject_id
    RETURNING s.subject_id, s.published - v.events AS before
), added AS (
    INSERT INTO outbox (shard, topic, partition, key, event_id, type, version, occurred_at, traceparent, value)
    SELECT e.partition % $3, $4, e.partition, uuid_send(e.subject_id), e.event_id, e.type, r.before + e.nth,
           e.occurred_at, e.traceparent, e.value
    FROM unnest($5::uuid[], $6::int[], $7::uuid[], $8::text[], $9::int[], $10::timestamptz[], $11::text[], $12::bytea[])
         WITH ORDINALITY AS e(subject_id, partition, event_id, type, nth, occurred_at, traceparent, value, position)
    JOIN raised r ON r.subject_id = e.subject_id
    ORDER BY e.position
    RETURNING 1
)
SELECT count(*) FROM added
"""


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
        """Write the events, in order, in the caller's transaction, and return their ids.

        Their subjects have to be locked (`subjects.lock`): the row's lock makes the order of ids the order of versions,
        without which a slower transaction's event would be dropped as old. LookupError for a subject without a row.
        """
        if not events:
            return []
        raised = Counter(event.subject for event in events)
        so_far: Counter[UUID] = Counter()
        nth = []
        for event in events:
            so_far[event.subject] += 1
            nth.append(so_far[event.subject])
        event_ids = [event.event_id or ids.new() for event in events]
        now = datetime.now(UTC)
        added = await conn.fetchval(
            _ADD,
            list(raised),
            list(raised.values()),
            SHARDS,
            kafka.topic_name(self.namespace, self.topic),
            [event.subject for event in events],
            [kafka.partition_of(event.subject.bytes, self.partitions) for event in events],
            event_ids,
            [topics.event_type(self.topic, event.message) for event in events],
            nth,
            [event.occurred_at or now for event in events],
            [telemetry.current_trace(event.subject) for event in events],
            [event.message.SerializeToString() for event in events],
        )
        if added != len(events):
            raise LookupError("an event's subject was not locked before the event was added")
        return event_ids
