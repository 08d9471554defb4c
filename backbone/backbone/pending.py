"""What a transaction has yet to write: its subjects' rows and its events, once each, at its end.

Rows are locked and read at the beginning (`subjects.lock`), changed in memory, and written before the commit. A row
that nobody has made yet cannot be locked; it is made at the end, and whoever finds then that somebody else was first
rolls back and does everything again.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

Connection = Any
"""A connection in a transaction; `database` has its type, and imports this module."""
Rows = list[tuple[Any, ...]]

_EVENT: Final = (
    *("shard", "topic", "partition", "key", "event_id", "type", "version", "occurred_at", "traceparent", "value"),
    "reason",
)


class Row(msgspec.Struct):
    """A subject's row; its first fields are the table's columns in order."""

    subject_id: UUID
    published: int = 0
    seen: dict[str, int] = {}
    """The last version read on each topic. Replaced, never changed in place."""
    merged_into: UUID | None = None
    erased_at: datetime | None = None
    waits: bool = False
    """Something of it may be set aside; looked up where it says so."""
    is_new: bool = False
    is_changed: bool = False

    @property
    def columns(self) -> tuple[Any, ...]:
        """Return what is written."""
        return self.subject_id, self.published, self.seen, self.merged_into, self.erased_at, self.waits


COLUMNS: Final = Row.__struct_fields__[:6]
_CHANGE: Final = """
UPDATE subject s SET published = v.published, seen = v.seen, merged_into = v.merged_into, erased_at = v.erased_at,
    waits = v.waits
FROM unnest($1::subject_row[]) AS v WHERE s.subject_id = v.subject_id
"""
_ALL: Final = f"""
WITH changed AS ({_CHANGE}), made AS (
    INSERT INTO subject ({", ".join(COLUMNS)}) SELECT * FROM unnest($2::subject_row[])
)
INSERT INTO outbox ({", ".join(_EVENT)}) SELECT * FROM unnest($3::outbox_row[])
"""  # noqa: S608 - our own names
FEW: Final = 50
"""Up to so many rows one statement is cheapest, however many tables it writes; COPY costs half as much a row."""


class Collision(asyncpg.SerializationError):
    """Somebody else made a subject's row meanwhile. Rolled back, and tried again with what stands there by now."""


class Pending:
    """Of one transaction."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Row] = {}
        """Every subject that the transaction has locked, as it will be."""
        self.events: list[tuple[Any, ...]] = []
        """Rows of the outbox, in order."""
        self.publishes = False
        """Whether it ever had events."""

    async def write(self, conn: Connection) -> None:
        """Write everything so far. Collision when a row that was to be made exists by now."""
        rows = [row for row in self.rows.values() if row.is_changed]
        changed = [row.columns for row in rows if not row.is_new]
        # In order, as everybody does: two who make the same rows wait for each other in a line, not in a circle.
        made = sorted(row.columns for row in rows if row.is_new)
        events, self.events = self.events, []
        try:
            if len(rows) + len(events) <= FEW:
                if rows or events:
                    await conn.execute(_ALL, changed, made, events)
            else:
                await _copy(conn, changed, made, events)
        except asyncpg.UniqueViolationError as error:
            raise Collision("a subject's row was made by somebody else") from error
        for row in rows:
            row.is_new = row.is_changed = False
        self.publishes |= bool(events)


async def _copy(conn: Connection, changed: Rows, made: Rows, events: Rows) -> None:
    if changed:
        await conn.execute(_CHANGE, changed)
    if made:
        await conn.copy_records_to_table("subject", columns=COLUMNS, records=made)
    if events:
        await conn.copy_records_to_table("outbox", columns=_EVENT, records=events)


_of: Final[dict[int, Pending]] = {}


def begin(conn: Connection) -> Pending:
    """Gather, from now on, for the transaction that the connection is in."""
    kept = _of[id(conn)] = Pending()
    return kept


def end(conn: Connection) -> None:
    """Gather no more; what was not written is forgotten."""
    del _of[id(conn)]


def of(conn: Connection) -> Pending:
    """Return what the connection's transaction has gathered. LookupError for one outside `Database.transaction`."""
    try:
        return _of[id(conn)]
    except KeyError:
        raise LookupError("subjects and events need a transaction of Database.transaction or Database.run") from None
