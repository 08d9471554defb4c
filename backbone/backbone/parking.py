"""Records set aside: a record that cannot be applied, and what follows of its subject, in order, until a person acts.

`parked` holds per subject on all topics of the service; a row goes only in the transaction that applied it. A copy of
what failed goes to the service's dead-letter topic.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from backbone import clock, envelope, ids, kafka, pending
from backbone.database import Connection
from backbone.envelope import Incoming, Poison
from backbone.outbox import SHARDS

LIMIT: Final = 20
WINDOW_S: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """Where copies go."""

    topic: str
    partitions: int


def reason_of(error: BaseException) -> str:
    """Return why, in words without any value of the record: exception texts carry values, their classes do not."""
    if isinstance(error, Poison):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        return f"the database refused it: {type(error).__name__} ({error.sqlstate})"
    return f"the handler failed: {type(error).__name__}"


async def is_halted(conn: Connection, group: str) -> bool:
    """Say whether the group waits for a person, whichever of its members came to the limit."""
    return bool(await conn.fetchval("SELECT true FROM consumer_halt WHERE consumer_group = $1", group))


async def may_park(conn: Connection, group: str) -> bool:
    """Say whether another subject may be set aside; past the limit the group halts until somebody resumes it."""
    if await is_halted(conn, group):
        return False
    count = await conn.fetchval(
        "SELECT count(DISTINCT coalesce(subject_id::text, parked_id::text)) FROM parked"
        " WHERE consumer_group = $1 AND failed AND parked_at > now() - make_interval(secs => $2)",
        group,
        WINDOW_S,
    )
    if count < LIMIT:
        return True
    await conn.execute(
        "INSERT INTO consumer_halt (consumer_group, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        group,
        f"{LIMIT} leads were parked within {WINDOW_S} seconds",
    )
    return False


async def resume(conn: Connection) -> None:
    """Let a halted group go on; what it parked so far no longer counts for the limit."""
    await conn.execute("UPDATE parked SET parked_at = parked_at - make_interval(secs => $1)", WINDOW_S)
    await conn.execute("DELETE FROM consumer_halt")


async def parked_subjects(conn: Connection, group: str, subject_ids: Iterable[UUID]) -> set[UUID]:
    """Return which of the subjects have something set aside."""
    rows = await conn.fetch(
        "SELECT DISTINCT subject_id FROM parked WHERE subject_id = ANY($2::uuid[]) AND consumer_group = $1",
        group,
        list(subject_ids),
    )
    return {row[0] for row in rows}


async def is_any_before(conn: Connection, group: str, ends: Mapping[kafka.Partition, int]) -> bool:
    """Say whether a record before these offsets is set aside."""
    rows = await conn.fetch(
        "SELECT topic, partition, min(record_offset) FROM parked WHERE consumer_group = $1 GROUP BY topic, partition",
        group,
    )
    return any(offset < ends.get(kafka.Partition(topic, partition), 0) for topic, partition, offset in rows)


async def park(conn: Connection, group: str, record: Any, reason: str) -> None:
    """Set aside a record that failed."""
    await conn.execute(
        "INSERT INTO parked"
        " (consumer_group, subject_id, topic, partition, record_offset, key, headers, value, reason, failed)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true) ON CONFLICT DO NOTHING",
        group,
        envelope.subject_of(record.key),
        record.topic,
        record.partition,
        record.offset,
        record.key,
        _text_headers(record.headers),
        record.value or b"",
        reason,
    )


async def add_behind(conn: Connection, group: str, namespace: str, events: Sequence[Incoming]) -> None:
    """Set aside, in order, what follows of subjects that have something set aside already."""
    if not events:
        return
    headers = [
        _text_headers(
            envelope.headers(
                event_id=event.id,
                ce_type=f"handoff.{event.topic}.v1.{event.type}",
                source=event.topic,
                key=event.subject.bytes,
                version=event.version,
                occurred_at=event.time,
                traceparent=event.traceparent,
            )
        )
        for event in events
    ]
    await conn.execute(
        "INSERT INTO parked"
        " (consumer_group, subject_id, topic, partition, record_offset, key, headers, value, reason, failed)"
        " SELECT $1, e.subject_id, e.topic, e.partition, e.record_offset, uuid_send(e.subject_id), e.headers, e.value,"
        " 'waits behind an earlier record', false"
        " FROM unnest($2::uuid[], $3::text[], $4::int[], $5::bigint[], $6::jsonb[], $7::bytea[])"
        " WITH ORDINALITY AS e(subject_id, topic, partition, record_offset, headers, value, position)"
        " ORDER BY e.position ON CONFLICT DO NOTHING",
        group,
        [event.subject for event in events],
        [kafka.topic_name(namespace, event.topic) for event in events],
        [event.partition for event in events],
        [event.offset for event in events],
        headers,
        [event.message.SerializeToString() for event in events],
    )


def copy_to_dead_letters(conn: Connection, letters: Letters, record: Any, reason: str) -> None:
    """Publish the record as it was, with the reason beside it."""
    key = record.key or b""
    attributes = dict(record.headers)
    partition = kafka.partition_of(key, letters.partitions)
    pending.of(conn).events.append(
        (
            partition % SHARDS,
            letters.topic,
            partition,
            key,
            ids.new(),
            attributes.get("ce_type", b"").decode(errors="replace").replace("\x00", ""),
            0,
            clock.now(),
            attributes.get("traceparent", b"").decode(errors="replace").replace("\x00", ""),
            record.value or b"",
            reason,
        )
    )


async def forget(conn: Connection, subject_ids: Collection[UUID]) -> None:
    """Delete what is set aside of erased subjects."""
    await conn.execute("DELETE FROM parked WHERE subject_id = ANY($1::uuid[])", list(subject_ids))


def _text_headers(headers: envelope.Headers) -> dict[str, str]:
    return {name: value.decode(errors="replace").replace("\x00", "") for name, value in headers}
