"""One row per subject (a lead, a rep, an opportunity): locked before any other fact about it is read.

Events about a subject come on several topics that have no common order, and people act on it at the same time. Whoever
comes first makes the row, everybody locks it, in sorted order. It carries the version of what we publish about the
subject, the last version seen on each topic, and what is never forgotten: that it was merged or erased. What changes of
it is written at the transaction's end (`pending`).
"""

from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from backbone import clock, pending
from backbone.database import Connection
from backbone.pending import Row

_COLUMNS: Final = ", ".join(pending.COLUMNS)
_LOCK: Final = (
    f"SELECT {_COLUMNS} FROM subject WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id FOR NO KEY UPDATE"  # noqa: S608
)
_TRY_LOCK: Final = (
    f"SELECT {_COLUMNS} FROM subject WHERE subject_id = ANY($1::uuid[]) AND merged_into IS NULL"  # noqa: S608
    " AND erased_at IS NULL ORDER BY subject_id FOR NO KEY UPDATE SKIP LOCKED"
)


class Subject(msgspec.Struct, frozen=True):
    """A locked row. `subject_id` is the survivor where the subject asked for was merged."""

    subject_id: UUID
    seen: Mapping[str, int]
    erased_at: datetime | None
    waits: bool


async def lock(conn: Connection, subject_ids: Iterable[UUID]) -> dict[UUID, Subject]:
    """Lock the rows in sorted order, then those that they were merged into; one that is missing is made at the end.

    Returns the survivor for each id asked for (and for each link on the way), with the `seen` of the id itself.
    """
    rows = pending.of(conn).rows
    asked = set(subject_ids)
    onward = {row.merged_into for one in asked if (row := rows.get(one)) is not None}
    wanted = {one for one in asked | onward if one is not None and one not in rows}
    while wanted:
        wanted = take(conn, wanted, await conn.fetch(_LOCK, sorted(wanted)))
    return {subject_id: _resolve(subject_id, rows) for subject_id in _on_the_way(asked, rows)}


def take(conn: Connection, wanted: Set[UUID], found: Iterable[Any]) -> set[UUID]:
    """Take in rows that were locked out of those wanted; returns what they were merged into and is not locked yet."""
    rows = pending.of(conn).rows
    onward = set()
    for columns in found:
        row = rows[columns[0]] = Row(*columns)
        if row.merged_into is not None:
            onward.add(row.merged_into)
    make(conn, wanted - rows.keys())
    return onward - rows.keys()


def make(conn: Connection, subject_ids: Iterable[UUID]) -> None:
    """Say of subjects that nobody knows yet that this transaction makes their rows."""
    rows = pending.of(conn).rows
    for subject_id in subject_ids:
        rows[subject_id] = Row(subject_id, is_new=True, is_changed=True)


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
    rows = pending.of(conn).rows
    asked = set(subject_ids)
    held = asked & rows.keys()
    found = await conn.fetch(_TRY_LOCK, sorted(asked - held)) if len(held) < len(asked) else []
    rows.update((row[0], Row(*row)) for row in found)
    ours = {one for one in held if rows[one].merged_into is None and rows[one].erased_at is None}
    return {row[0] for row in found} | ours


def _on_the_way(asked: Iterable[UUID], rows: Mapping[UUID, Row]) -> set[UUID]:
    passed: set[UUID] = set()
    for one in asked:
        subject_id: UUID | None = one
        while subject_id is not None and subject_id not in passed:
            passed.add(subject_id)
            subject_id = rows[subject_id].merged_into
    return passed


def _resolve(subject_id: UUID, rows: Mapping[UUID, Row]) -> Subject:
    row = rows[subject_id]
    survivor, erased_at, passed = row, row.erased_at, {subject_id}
    # Of leads that were grouped anew, links of before and since make a circle until all their keys are read.
    while survivor.merged_into is not None and survivor.merged_into not in passed:
        survivor = rows[survivor.merged_into]
        passed.add(survivor.subject_id)
        erased_at = erased_at or survivor.erased_at
    return Subject(survivor.subject_id, row.seen, erased_at, row.waits)


# What changes of rows that are locked


def link(conn: Connection, merged: UUID, survivor: UUID) -> None:
    """Say that `merged` is `survivor` from now on."""
    _changed(conn, merged).merged_into = survivor


def unlink(conn: Connection, merged: UUID) -> None:
    """Undo the link."""
    _changed(conn, merged).merged_into = None


def erase(conn: Connection, subject_ids: Iterable[UUID]) -> None:
    """Set the tombstones, which stay for ever."""
    for subject_id in subject_ids:
        row = _changed(conn, subject_id)
        row.erased_at = row.erased_at or clock.now()


def has_seen(conn: Connection, subject_id: UUID, topic: str, version: int) -> bool:
    """Say whether a version, or a later one, was read on a topic of a subject that is locked."""
    return _locked(conn, subject_id).seen.get(topic, 0) >= version


def see(conn: Connection, subject_id: UUID, topic: str, version: int) -> None:
    """Note the last version read on a topic."""
    row = _changed(conn, subject_id)
    row.seen = {**row.seen, topic: version}


def set_waits(conn: Connection, subject_ids: Iterable[UUID], waits: bool) -> None:
    """Note whether something of the subjects may be set aside."""
    for subject_id in subject_ids:
        _changed(conn, subject_id).waits = waits


def next_version(conn: Connection, subject_id: UUID) -> int:
    """Return the version of the next event about a subject. LookupError for one that is not locked."""
    row = _changed(conn, subject_id)
    row.published += 1
    return row.published


def version(conn: Connection, subject_id: UUID) -> int:
    """Return the version of the last event about a subject. LookupError for one that is not locked."""
    return _locked(conn, subject_id).published


def _changed(conn: Connection, subject_id: UUID) -> Row:
    row = _locked(conn, subject_id)
    row.is_changed = True
    return row


def _locked(conn: Connection, subject_id: UUID) -> Row:
    try:
        return pending.of(conn).rows[subject_id]
    except KeyError:
        raise LookupError("the subject was not locked before it was changed or an event about it was added") from None
