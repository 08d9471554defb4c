"""What happens in the transaction of one batch, in the order in which everybody takes their locks."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from uuid import UUID

import asyncpg

from backbone import envelope, kafka, parking, pending, subjects, telemetry
from backbone.database import Connection
from backbone.envelope import Incoming, Unknown
from handoff.events import topics
from handoff.events.v1 import intake_pb2

Handler = Callable[[Connection, Sequence[Incoming]], Awaitable[None]]
"""Changes state and adds events for a batch, in the batch's transaction. Set-based: never a statement an event."""

NEVER_PARKED: Final = "PersonalDataErased"
ALWAYS_READ: Final = frozenset({"LeadMerged", "LeadUnmerged", "PersonalDataErased"})
"""Links and tombstones are every service's."""


_TAKE: Final = (
    f"SELECT {', '.join(pending.COLUMNS)}"  # noqa: S608
    " FROM take_batch($1, $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::uuid[])"
)
_DISPLACED: Final = "HD001"


class Displaced(Exception):
    """The stored offset is not where we believed: somebody else has been here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batches:
    """Applies batches for one consumer group."""

    group: str
    namespace: str
    handle: Handler
    letters: parking.Letters
    kinds: frozenset[str] | None = None
    """Event types that the handler wants; the others are passed over without being decoded. None: all."""

    async def apply(self, conn: Connection, records: Sequence[Any], believed: Mapping[kafka.Partition, int]) -> None:
        """Apply the records once. Displaced when they are not ours to apply, Poison when one of them is no event."""
        started = monotonic()
        incoming = self._open(records)
        mentioned = _mentioned(incoming)
        await self._take(conn, records, believed, mentioned)
        await self._apply(conn, incoming, mentioned)
        telemetry.batch("+".join(sorted({event.topic for event in incoming}))).observe(monotonic() - started)

    async def replay(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Apply events that were set aside, all there are of their subjects."""
        await self._apply(conn, incoming, _mentioned(incoming), replaying=True)

    async def _apply(
        self, conn: Connection, incoming: Sequence[Incoming], mentioned: set[UUID], *, replaying: bool = False
    ) -> None:
        """Lock the subjects, drop duplicates, follow links, set aside what waits behind a parked record, handle."""
        if not incoming:
            return
        known = await subjects.lock(conn, mentioned)
        fresh = _without_duplicates(incoming, known)
        waiting = set() if replaying else await self._waiting(conn, known)
        ready = [event for event in fresh if event.subject not in waiting or event.type == NEVER_PARKED]
        if waiting:
            behind = [event for event in fresh if event.subject in waiting and event.type != NEVER_PARKED]
            await parking.add_behind(conn, self.group, self.namespace, behind)
        for event in ready:
            subjects.see(conn, event.subject, event.topic, event.version)
        ready = await self._settle_identity(conn, ready, known)
        if ready:
            spans = [(event.subject, f"{self.group} {event.type}", event.traceparent) for event in ready]
            with telemetry.following(spans):
                await self.handle(conn, ready)
        for (topic, kind), count in Counter((event.topic, event.type) for event in ready).items():
            telemetry.consumed(topic, kind).inc(count)

    async def _waiting(self, conn: Connection, known: Mapping[UUID, subjects.Subject]) -> set[UUID]:
        """Return the subjects with something set aside, and take back the mark of those that have nothing any more."""
        marked = [subject_id for subject_id, subject in known.items() if subject.waits]
        if not marked:
            return set()
        waiting = await parking.parked_subjects(conn, self.group, marked)
        subjects.set_waits(conn, set(marked) - waiting, False)
        return waiting

    async def park(self, conn: Connection, record: Any, reason: str, believed: Mapping[kafka.Partition, int]) -> None:
        """Set one record aside that failed alone, and go past it."""
        await self._take(conn, [record], believed, set())
        await self._set_aside(conn, record, reason)

    async def _set_aside(self, conn: Connection, record: Any, reason: str) -> None:
        subject = envelope.subject_of(record.key)
        if subject is not None:
            await subjects.lock(conn, [subject])
            subjects.set_waits(conn, [subject], True)
        await parking.park(conn, self.group, record, reason)
        parking.copy_to_dead_letters(conn, self.letters, record, reason)

    async def _take(
        self, conn: Connection, records: Sequence[Any], believed: Mapping[kafka.Partition, int], mentioned: set[UUID]
    ) -> None:
        """Compare and set the offsets, and lock the subjects. Displaced when the records are not ours any more."""
        after: dict[kafka.Partition, int] = {}
        for record in records:
            partition = kafka.Partition(record.topic, record.partition)
            if record.offset < after.get(partition, believed.get(partition, 0)):
                # Kafka's own idea of our position lags behind ours, as after a rebalance that gave us the same again.
                raise Displaced
            after[partition] = record.offset + 1
        ordered = sorted(after)
        try:
            found = await conn.fetch(
                _TAKE,
                self.group,
                [key.topic for key in ordered],
                [key.partition for key in ordered],
                [believed.get(key, -1) for key in ordered],
                [after[key] for key in ordered],
                sorted(mentioned),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == _DISPLACED:
                raise Displaced from error
            raise
        # What those were merged into is locked with the next look at them.
        subjects.take(conn, mentioned, found)

    def _open(self, records: Iterable[Any]) -> list[Incoming]:
        incoming: list[Incoming] = []
        for record in records:
            if self._is_passed_over(record):
                continue
            try:
                incoming.append(open_record(self.namespace, record))
            except Unknown:
                telemetry.DROPPED.labels("unknown").inc()
        return incoming

    def _is_passed_over(self, record: Any) -> bool:
        if self.kinds is None:
            return False
        kind = kind_of(record)
        return kind in _KNOWN and kind not in self.kinds and kind not in ALWAYS_READ

    async def _settle_identity(
        self, conn: Connection, events: Sequence[Incoming], known: dict[UUID, subjects.Subject]
    ) -> list[Incoming]:
        """Store links and tombstones that the batch brings, then tell each event who its subject is by now."""
        said = [event for event in events if event.type in ALWAYS_READ]
        late: dict[UUID, intake_pb2.LeadMerged] = {}
        for event in said:
            message = event.message
            if isinstance(message, intake_pb2.LeadMerged):
                if _is_outdated(conn, event, UUID(message.merged_id), message.merged_version):
                    late[event.id] = message
                else:
                    subjects.link(conn, UUID(message.merged_id), UUID(message.survivor_id))
            elif isinstance(message, intake_pb2.LeadUnmerged):
                if not _is_outdated(conn, event, UUID(message.unmerged_id), message.unmerged_version):
                    subjects.unlink(conn, UUID(message.unmerged_id))
            elif isinstance(message, intake_pb2.PersonalDataErased):
                subjects.erase(conn, _erased(message))
                await parking.forget(conn, _erased(message))
        if said:
            # Handlers join what was merged by the table.
            await pending.of(conn).write(conn)
            known = await subjects.lock(conn, known)
        return [
            event.about(
                known[event.subject].subject_id,
                erased=known[event.subject].erased_at is not None,
                undone=event.id in late and _is_undone(late[event.id], known),
            )
            for event in events
        ]


_KNOWN: Final = frozenset(name for events in topics.EVENTS.values() for name in events)


def kind_of(record: Any) -> str:
    """Return the event's short name as a record's header says it, empty where it says nothing."""
    for name, value in record.headers:
        if name == "ce_type":
            return str(value.rpartition(b".")[2].decode(errors="replace"))
    return ""


def open_record(namespace: str, record: Any) -> Incoming:
    """Read a record as it came from Kafka."""
    return envelope.open_record(
        topic=kafka.short_name(namespace, record.topic),
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        raw_headers=record.headers,
        value=record.value,
    )


async def stored_offsets(
    conn: Connection, group: str, partitions: Iterable[kafka.Partition]
) -> dict[kafka.Partition, int]:
    """Return the next offset of each partition; one that was never read gets a row with offset 0."""
    ordered = sorted(partitions)
    names, numbers = [key.topic for key in ordered], [key.partition for key in ordered]
    await conn.execute(
        "INSERT INTO consumer_offset SELECT $1, v.topic, v.partition, 0"
        " FROM unnest($2::text[], $3::int[]) AS v(topic, partition) ON CONFLICT DO NOTHING",
        group,
        names,
        numbers,
    )
    rows = await conn.fetch(
        "SELECT topic, partition, next_offset FROM consumer_offset"
        " WHERE consumer_group = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))",
        group,
        names,
        numbers,
    )
    return {kafka.Partition(row[0], row[1]): row[2] for row in rows}


async def have_read(conn: Connection, group: str, ends: Mapping[kafka.Partition, int]) -> bool:
    """Say whether everything before these offsets is applied, or parked."""
    ordered = sorted(ends)
    left: int = await conn.fetchval(
        "SELECT count(*) FROM unnest($2::text[], $3::int[], $4::bigint[]) AS v(topic, partition, ending)"
        " LEFT JOIN consumer_offset o ON o.consumer_group = $1 AND o.topic = v.topic AND o.partition = v.partition"
        " WHERE coalesce(o.next_offset, 0) < v.ending",
        group,
        [key.topic for key in ordered],
        [key.partition for key in ordered],
        [ends[key] for key in ordered],
    )
    return left == 0


async def have_applied(conn: Connection, group: str, ends: Mapping[kafka.Partition, int]) -> bool:
    """Say whether everything before these offsets is applied, and nothing of it parked."""
    return await have_read(conn, group, ends) and not await parking.is_any_before(conn, group, ends)


def _is_outdated(conn: Connection, event: Incoming, merged: UUID, version: int) -> bool:
    """Say whether the merged lead's own key told it, and maybe later links, before the survivor's key does."""
    return event.subject != merged and version > 0 and subjects.has_seen(conn, merged, event.topic, version)


def _is_undone(message: intake_pb2.LeadMerged, known: Mapping[UUID, subjects.Subject]) -> bool:
    merged, survivor = (known[UUID(lead_id)].subject_id for lead_id in (message.merged_id, message.survivor_id))
    return merged != survivor


def _erased(message: intake_pb2.PersonalDataErased) -> list[UUID]:
    return [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]


def _mentioned(incoming: Iterable[Incoming]) -> set[UUID]:
    mentioned: set[UUID] = set()
    for event in incoming:
        mentioned.add(event.subject)
        if event.type not in ALWAYS_READ:
            continue
        message = event.message
        if isinstance(message, intake_pb2.LeadMerged):
            mentioned |= {UUID(message.merged_id), UUID(message.survivor_id)}
        elif isinstance(message, intake_pb2.LeadUnmerged):
            mentioned |= {UUID(message.unmerged_id), UUID(message.survivor_id)}
        elif isinstance(message, intake_pb2.PersonalDataErased):
            mentioned |= set(_erased(message))
    return mentioned


def _without_duplicates(incoming: Iterable[Incoming], known: Mapping[UUID, subjects.Subject]) -> list[Incoming]:
    seen: dict[tuple[UUID, str], int] = {}
    fresh: list[Incoming] = []
    for event in incoming:
        key = (event.subject, event.topic)
        if event.version <= seen.get(key, known[event.subject].seen.get(event.topic, 0)):
            telemetry.DROPPED.labels("duplicate").inc()
            continue
        seen[key] = event.version
        fresh.append(event)
    return fresh
