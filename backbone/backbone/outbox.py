"""Events leave in the transaction that made them true: a row beside the state, sent and deleted by the relay."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import ids, kafka, subjects, telemetry
from backbone.database import Connection
from handoff.events import topics

SHARDS: Final = 4
"""Relays of several instances share the work by shard; a partition belongs to one shard, so its order holds."""

_ADD: Final = """
WITH raised AS (
    UPDATE subject s SET published = s.published + v.events
    FROM unnest($11::uuid[], $12::int[]) AS v(subject_id, events)
    WHERE s.subject_id = v.subject_id
    RETURNING s.subject_id, s.published - v.events AS before
), added AS (
    INSERT INTO outbox (shard, topic, partition, key, event_id, type, version, occurred_at, traceparent, value)
    SELECT e.partition % $1, $2, e.partition, uuid_send(e.subject_id), e.event_id, e.type, r.before + e.nth,
           e.occurred_at, e.traceparent, e.value
    FROM unnest($3::uuid[], $4::int[], $5::uuid[], $6::text[], $7::int[], $8::timestamptz[], $9::text[], $10::bytea[])
         WITH ORDINALITY AS e(subject_id, partition, event_id, type, nth, occurred_at, traceparent, value, position)
    JOIN raised r ON r.subject_id = e.subject_id
    ORDER BY e.position
    RETURNING 1
)
SELECT count(*) FROM added
"""


_ADD_NUMBERED: Final = """
INSERT INTO outbox (shard, topic, partition, key, event_id, type, version, occurred_at, traceparent, value)
SELECT e.partition % $1, $2, e.partition, uuid_send(e.subject_id), e.event_id, e.type, e.version,
       e.occurred_at, e.traceparent, e.value
FROM unnest($3::uuid[], $4::int[], $5::uuid[], $6::text[], $7::bigint[], $8::timestamptz[], $9::text[], $10::bytea[])
     WITH ORDINALITY AS e(subject_id, partition, event_id, type, version, occurred_at, traceparent, value, position)
ORDER BY e.position
"""
"""For the subjects of a batch, whose rows are locked and read, and are written at the batch's end."""


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
        event_ids = [event.event_id or ids.new() for event in events]
        now = datetime.now(UTC)

        def columns(versions: Sequence[int]) -> tuple[Any, ...]:
            return (
                SHARDS,
                kafka.topic_name(self.namespace, self.topic),
                [event.subject for event in events],
                [kafka.partition_of(event.subject.bytes, self.partitions) for event in events],
                event_ids,
                [topics.event_type(self.topic, event.message) for event in events],
                versions,
                [event.occurred_at or now for event in events],
                [telemetry.current_trace(event.subject) for event in events],
                [event.message.SerializeToString() for event in events],
            )

        ledger = subjects.ledger_of(conn)
        if ledger is not None:
            await conn.execute(_ADD_NUMBERED, *columns([ledger.next_version(event.subject) for event in events]))
            return event_ids
        raised: Counter[UUID] = Counter()
        nth = []
        for event in events:
            raised[event.subject] += 1
            nth.append(raised[event.subject])
        added = await conn.fetchval(_ADD, *columns(nth), list(raised), list(raised.values()))
        if added != len(events):
            raise LookupError("an event's subject was not locked before the event was added")
        return event_ids
