"""One row per subject (a lead, a rep, an opportunity): locked before any other fact about it is read.

Events about a subject come on several topics that have no common order, and people act on it at the same time. Whoever
comes first makes the row, everybody locks it, in sorted order. It carries the version of what we publish about the
subject, the last version seen on each topic, and what is never forgotten: that it was merged or erased.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone.database import Connection

_LOCK: Final = (
    "SELECT subject_id, merged_into, seen, erased_at FROM subject"
    " WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id FOR NO KEY UPDATE"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A locked row. `subject_id` is the survivor where the subject asked for was merged."""

    subject_id: UUID
    seen: Mapping[str, int]
    erased_at: datetime | None


async def lock(conn: Connection, subject_ids: Iterable[UUID]) -> dict[UUID, Subject]:
    """Create-or-lock the rows in sorted order, then those that they were merged into.

    Returns the survivor for each id asked for (and for each link on the way), with the `seen` of the id itself.
    """
    rows: dict[UUID, tuple[UUID | None, Mapping[str, int], datetime | None]] = {}
    wanted = set(subject_ids)
    while wanted:
        ordered = sorted(wanted)
        made = await conn.fetch(
            "INSERT INTO subject (subject_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING subject_id",
            ordered,
        )
        # What this transaction has made nobody else can hold, and nothing is known of it.
        rows.update({row[0]: (None, {}, None) for row in made})
        present = [subject_id for subject_id in ordered if subject_id not in rows]
        # A statement of its own: it has to see what the transactions did that it waited for.
        locked = await conn.fetch(_LOCK, present) if present else []
        rows.update({row[0]: (row[1], row[2], row[3]) for row in locked})
        wanted = {row[1] for row in locked if row[1] is not None and row[1] not in rows}
    return {subject_id: _resolve(subject_id, rows) for subject_id in rows}


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
        "SELECT subject_id FROM subject WHERE subject_id = ANY($1::uuid[]) AND merged_into IS NULL"
        " AND erased_at IS NULL ORDER BY subject_id FOR NO KEY UPDATE SKIP LOCKED",
        sorted(subject_ids),
    )
    return {row[0] for row in rows}


def _resolve(subject_id: UUID, rows: Mapping[UUID, tuple[UUID | None, Mapping[str, int], datetime | None]]) -> Subject:
    survivor, erased_at = subject_id, rows[subject_id][2]
    while (merged_into := rows[survivor][0]) is not None:
        survivor = merged_into
        erased_at = erased_at or rows[survivor][2]
    return Subject(subject_id=survivor, seen=rows[subject_id][1], erased_at=erased_at)


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


async def see(conn: Connection, seen: Mapping[UUID, Mapping[str, int]]) -> None:
    """Note the last version read per topic. The rows have to be locked."""
    await conn.execute(
        "UPDATE subject s SET seen = s.seen || v.seen"
        " FROM unnest($1::uuid[], $2::jsonb[]) AS v(subject_id, seen) WHERE s.subject_id = v.subject_id",
        list(seen),
        [dict(versions) for versions in seen.values()],
    )
