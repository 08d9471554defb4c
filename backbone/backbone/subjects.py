"""One row per subject (a lead, a rep, an opportunity): locked before any other fact about it is read.

Events about a subject come on several topics that have no common order, and people act on it at the same time. Whoever
comes first makes the row, everybody locks it, in sorted order. It carries the version of what we publish about the
subject, the last version seen on each topic, and what is never forgotten: that it was merged or erased.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection

_MAKE: Final = (
    "INSERT INTO subject (subject_id, seen) SELECT * FROM unnest($1::uuid[], $2::jsonb[])"
    " ON CONFLICT DO NOTHING RETURNING subject_id"
)
_LOCK: Final = (
    "SELECT subject_id, merged_into, seen, erased_at, published FROM subject"
    " WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id FOR NO KEY UPDATE"
)


_NOTHING: Final[Mapping[Any, Any]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A locked row. `subject_id` is the survivor where the subject asked for was merged."""

    subject_id: UUID
    seen: Mapping[str, int]
    erased_at: datetime | None
    made: bool
    """Whether this very call has made the row."""


@dataclass(slots=True)
class Ledger:
    """What a batch changes of its subjects' rows, written once at its end: each update is one more copy of a row."""

    published: dict[UUID, int] = field(default_factory=dict)
    """By row locked in the batch: the version of what we published last."""
    seen: dict[UUID, Mapping[str, int]] = field(default_factory=dict)
    """By row to be written: the last version seen on each topic."""
    raised: set[UUID] = field(default_factory=set)
    """Rows of which something was published."""

    def next_version(self, subject_id: UUID) -> int:
        """Return the version of the next event about the subject. LookupError for one that the batch did not lock."""
        if subject_id not in self.published:
            raise LookupError("an event's subject was not locked before the event was added")
        self.raised.add(subject_id)
        self.published[subject_id] += 1
        return self.published[subject_id]


_ledgers: Final[dict[Connection, Ledger]] = {}


@asynccontextmanager
async def ledger(conn: Connection) -> AsyncIterator[Ledger]:
    """Gather what this transaction changes of `published` and `seen`, and write it when the block ends well."""
    kept = _ledgers[conn] = Ledger()
    try:
        yield kept
        await _write(conn, kept)
    finally:
        del _ledgers[conn]


def ledger_of(conn: Connection) -> Ledger | None:
    """Return the ledger of the batch that this connection's transaction applies, if it does."""
    return _ledgers.get(conn)


def _note_published(conn: Connection, published: Mapping[UUID, int]) -> None:
    kept = ledger_of(conn)
    if kept is not None:
        for subject_id, version in published.items():
            # What the ledger has is newer than the row.
            kept.published.setdefault(subject_id, version)


async def lock(
    conn: Connection, subject_ids: Iterable[UUID], *, bringing: Mapping[UUID, Mapping[str, int]] = _NOTHING
) -> dict[UUID, Subject]:
    """Create-or-lock the rows in sorted order, then those that they were merged into.

    Returns the survivor for each id asked for (and for each link on the way), with the `seen` of the id itself. A row
    that has to be made has seen what the batch is `bringing` for it.
    """
    rows: dict[UUID, tuple[UUID | None, Mapping[str, int], datetime | None]] = {}
    published: dict[UUID, int] = {}
    fresh: set[UUID] = set()
    wanted = set(subject_ids)
    while wanted:
        ordered = sorted(wanted)
        made = await conn.fetch(_MAKE, ordered, [bringing.get(subject_id, _NOTHING) for subject_id in ordered])
        # What this transaction has made nobody else can hold, and nothing is known of it.
        rows.update({row[0]: (None, {}, None) for row in made})
        fresh.update(row[0] for row in made)
        present = [subject_id for subject_id in ordered if subject_id not in rows]
        # A statement of its own: it has to see what the transactions did that it waited for.
        locked = await conn.fetch(_LOCK, present) if present else []
        rows.update({row[0]: (row[1], row[2], row[3]) for row in locked})
        published.update({row[0]: row[4] for row in locked})
        wanted = {row[1] for row in locked if row[1] is not None and row[1] not in rows}
    _note_published(conn, {**dict.fromkeys(fresh, 0), **published})
    return {subject_id: _resolve(subject_id, rows, made=subject_id in fresh) for subject_id in rows}


async def survivor(conn: Connection, subject_id: UUID) -> UUID:
    """Return whom a subject was merged into at last, itself when it was not; locks nothing."""
    found: UUID | None = await conn.fetchval(
        "WITH RECURSIVE link AS (SELECT subject_id, merged_into FROM subject WHERE subject_id = $1 UNION"
        " SELECT s.subject_id, s.merged_into FROM link JOIN subject s ON s.subject_id = link.merged_into)"
        " SELECT subject_id FROM link WHERE merged_into IS NULL",
        subject_id,
    )
    return found or subject_id


async def try_lock(conn: Connection, subject_ids: Iterable[UUID]) -> set[UUID]:
    """Lock those of the existing rows that nobody else holds, and return them.

    For work that is found after other locks were taken, where waiting could be waiting in a circle.
    """
    rows = await conn.fetch(
        "SELECT subject_id, published FROM subject WHERE subject_id = ANY($1::uuid[]) AND merged_into IS NULL"
        " AND erased_at IS NULL ORDER BY subject_id FOR NO KEY UPDATE SKIP LOCKED",
        sorted(subject_ids),
    )
    _note_published(conn, {row[0]: row[1] for row in rows})
    return {row[0] for row in rows}


def _resolve(
    subject_id: UUID, rows: Mapping[UUID, tuple[UUID | None, Mapping[str, int], datetime | None]], *, made: bool
) -> Subject:
    survivor, erased_at = subject_id, rows[subject_id][2]
    while (merged_into := rows[survivor][0]) is not None:
        survivor = merged_into
        erased_at = erased_at or rows[survivor][2]
    return Subject(subject_id=survivor, seen=rows[subject_id][1], erased_at=erased_at, made=made)


async def link(conn: Connection, merged: UUID, survivor: UUID) -> None:
    """Say that `merged` is `survivor` from now on. Both have to be locked."""
    await conn.execute("UPDATE subject SET merged_into = $2 WHERE subject_id = $1", merged, survivor)


async def unlink(conn: Connection, merged: UUID) -> None:
    """Undo the link. The row has to be locked."""
    await conn.execute("UPDATE subject SET merged_into = NULL WHERE subject_id = $1", merged)


async def erase(conn: Connection, subject_ids: Iterable[UUID]) -> None:
    """Set the tombstones, which stay for ever. The rows have to be locked."""
    await conn.execute(
        "UPDATE subject SET erased_at = coalesce(erased_at, now()) WHERE subject_id = ANY($1::uuid[])",
        list(subject_ids),
    )


async def _write(conn: Connection, kept: Ledger) -> None:
    changed = kept.seen.keys() | kept.raised
    if changed:
        ordered = sorted(changed)
        status = await conn.execute(
            "UPDATE subject s SET published = v.published, seen = coalesce(v.seen, s.seen)"
            " FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[]) AS v(subject_id, published, seen)"
            " WHERE s.subject_id = v.subject_id",
            ordered,
            [kept.published[subject_id] for subject_id in ordered],
            [kept.seen.get(subject_id) for subject_id in ordered],
        )
        if int(status.split()[-1]) != len(ordered):
            raise LookupError("the row of a subject is gone that its batch had locked")
