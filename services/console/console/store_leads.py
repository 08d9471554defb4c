"""Leads as the topics tell of them: whole rows under the lead's lock, facts once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection

Jsonb = dict[str, Any]


@dataclass(slots=True)
class Lead:
    """A lead while a batch works on it. `fields` and `qualification` are serialized messages; `*_by` says by whom."""

    lead_id: UUID
    v: int = 0
    live: bool = False
    arrived_at: datetime | None = None
    created_at: datetime | None = None
    fields: bytes | None = None
    fields_by: str = ""
    company: str = ""
    job_title: str = ""
    source: str = ""
    sealed: bytes | None = None
    key_lead_id: UUID | None = None
    to_open: bool = False
    qualification: bytes | None = None
    qualified_by: str = ""
    stage: str = ""
    grade: str = ""
    why_passed: str = ""
    bant: bytes | None = None
    hot_at: datetime | None = None


@dataclass(slots=True)
class Assigned:
    """An assignment while a batch works on it."""

    lead_id: UUID
    cycle: int
    rep_id: str
    assigned_at: datetime
    accepted_at: datetime | None = None
    status: str = ""
    next_step: str = ""
    next_at: datetime | None = None
    released_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a batch adds, each as the columns of its table."""

    touches: list[tuple[Any, ...]] = field(default_factory=list)
    consents: dict[tuple[UUID, str], tuple[Any, ...]] = field(default_factory=dict)
    reps: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    opportunities: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    """(event id, lead, at, kind, value); they get their `seq` when they are written."""


_LEAD_COLUMNS: Final = {
    "lead_id": "uuid",
    "v": "bigint",
    "live": "boolean",
    "arrived_at": "timestamptz",
    "created_at": "timestamptz",
    "fields": "bytea",
    "fields_by": "text",
    "company": "text",
    "job_title": "text",
    "source": "text",
    "sealed": "bytea",
    "key_lead_id": "uuid",
    "to_open": "boolean",
    "qualification": "bytea",
    "qualified_by": "text",
    "stage": "text",
    "grade": "text",
    "why_passed": "text",
    "bant": "bytea",
    "hot_at": "timestamptz",
}
_ASSIGNED_COLUMNS: Final = {
    "lead_id": "uuid",
    "cycle": "int",
    "rep_id": "text",
    "assigned_at": "timestamptz",
    "accepted_at": "timestamptz",
    "status": "text",
    "next_step": "text",
    "next_at": "timestamptz",
    "released_at": "timestamptz",
    "outcome": "text",
}


def _upsert(table: str, columns: dict[str, str], keys: Sequence[str], *, newer: str = "") -> str:
    """Return INSERT of arrays that replaces what is there; `newer`: only what has a higher value of this column."""
    names = ", ".join(columns)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1))
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    guard = f" WHERE excluded.{newer} >= {table}.{newer}" if newer else ""
    return (
        f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our own names
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}{guard}"
    )


_SAVE: Final = _upsert("lead", _LEAD_COLUMNS, ["lead_id"])
_SAVE_ASSIGNED: Final = _upsert("assignment", _ASSIGNED_COLUMNS, ["lead_id", "cycle"])
_SAVE_CONSENTS: Final = _upsert(
    "consent",
    {
        "lead_id": "uuid",
        "purpose": "text",
        "basis": "text",
        "granted": "boolean",
        "at": "timestamptz",
        "text_version": "text",
    },
    ["lead_id", "purpose"],
    newer="at",
)
_SAVE_REPS: Final = """
INSERT INTO rep (rep_id, version, name, value)
SELECT v.rep_id, v.version, v.name, v.value
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[]) AS v(rep_id, version, name, value)
WHERE NOT EXISTS (SELECT FROM rep r WHERE r.rep_id = v.rep_id AND r.version = v.version AND r.value = v.value)
ON CONFLICT (rep_id) DO UPDATE SET version = excluded.version, name = excluded.name, value = excluded.value
WHERE excluded.version >= rep.version
"""
"""Each routed lead brings its rep, who is mostly known: what stands there already is not even locked."""
_SAVE_OPPORTUNITIES: Final = _upsert(
    "opportunity",
    {"opportunity_id": "text", "lead_id": "uuid", "account": "text", "value": "bytea"},
    ["opportunity_id"],
)


_LOAD: Final = f"""
SELECT v.lead_id, s.merged_into IS NOT NULL, s.erased_at IS NOT NULL, l.lead_id IS NOT NULL,
       {", ".join(f"l.{name}" for name in _LEAD_COLUMNS)}
FROM unnest($1::uuid[]) AS v(lead_id) LEFT JOIN subject s ON s.subject_id = v.lead_id
LEFT JOIN lead l ON l.lead_id = v.lead_id
"""  # noqa: S608 - our own names


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> tuple[dict[UUID, Lead], dict[UUID, str]]:
    """Return the leads (one not known yet is new), and which are in no list any more, and why: merged, erased.

    Their subjects have to be locked.
    """
    leads: dict[UUID, Lead] = {}
    hidden: dict[UUID, str] = {}
    for lead_id, merged, erased, known, *row in await conn.fetch(_LOAD, list(lead_ids)):
        leads[lead_id] = Lead(*row) if known else Lead(lead_id)
        if merged or erased:
            hidden[lead_id] = "erased" if erased else "merged"
    return leads, hidden


async def assignments(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, dict[int, Assigned]]:
    """Return every assignment of the leads by its cycle, ended ones too."""
    rows = await conn.fetch(
        f"SELECT {', '.join(_ASSIGNED_COLUMNS)} FROM assignment WHERE lead_id = ANY($1::uuid[])"  # noqa: S608
        " ORDER BY lead_id, cycle",
        list(lead_ids),
    )
    found: dict[UUID, dict[int, Assigned]] = {}
    for row in rows:
        found.setdefault(row[0], {})[row[1]] = Assigned(*row)
    return found


async def save(conn: Connection, leads: Sequence[Lead]) -> None:
    """Write what is known of leads, but for what was opened."""
    if leads:
        await conn.execute(_SAVE, *([getattr(lead, name) for lead in leads] for name in _LEAD_COLUMNS))


async def raise_versions(conn: Connection, lead_ids: Sequence[UUID], v: int) -> None:
    """Give what is shown of leads a new version."""
    if lead_ids:
        await conn.execute(
            "INSERT INTO lead (lead_id, v) SELECT unnest($1::uuid[]), $2"
            " ON CONFLICT (lead_id) DO UPDATE SET v = excluded.v",
            lead_ids,
            v,
        )


async def save_assignments(conn: Connection, rows: Sequence[Assigned]) -> None:
    """Write whole assignments."""
    if rows:
        await conn.execute(_SAVE_ASSIGNED, *([getattr(row, name) for row in rows] for name in _ASSIGNED_COLUMNS))


async def add(conn: Connection, facts: Facts) -> None:
    """Write a batch's facts, but for its journey."""
    for statement, rows in (
        (_SAVE_CONSENTS, list(facts.consents.values())),
        (_SAVE_REPS, list(facts.reps.values())),
        (_SAVE_OPPORTUNITIES, list(facts.opportunities.values())),
    ):
        if rows:
            await conn.execute(statement, *map(list, zip(*rows, strict=True)))
    if facts.touches:
        await conn.execute(
            "INSERT INTO touch SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])"
            " ON CONFLICT DO NOTHING",
            *map(list, zip(*facts.touches, strict=True)),
        )


async def add_entries(conn: Connection, entries: Sequence[tuple[Any, ...]], first: int) -> None:
    """Write lines of journeys; they get the positions from `first` on."""
    if entries:
        await conn.execute(
            "INSERT INTO entry (event_id, lead_id, at, kind, value, seq) SELECT e.event_id, e.lead_id, e.at, e.kind,"
            " e.value, $6 + e.nth - 1 FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::bytea[])"
            " WITH ORDINALITY AS e(event_id, lead_id, at, kind, value, nth)",
            *map(list, zip(*entries, strict=True)),
            first,
        )


async def erase(conn: Connection, lead_ids: Sequence[UUID]) -> None:
    """Delete what is held of persons: what was opened, what is sealed, and everything that says what they did."""
    for table in ("entry", "consent", "touch"):
        await conn.execute(f"DELETE FROM {table} WHERE lead_id = ANY($1::uuid[])", lead_ids)  # noqa: S608
    await conn.execute("DELETE FROM opportunity WHERE lead_id = ANY($1::uuid[])", lead_ids)
    await conn.execute(
        "UPDATE lead SET fields = NULL, company = '', job_title = '', source = '', sealed = NULL, to_open = false,"
        " opened = NULL, qualification = NULL, qualified_by = '', why_passed = '', bant = NULL"
        " WHERE lead_id = ANY($1::uuid[])",
        lead_ids,
    )


# What is opened


async def to_open(conn: Connection, limit: int) -> list[Any]:
    """Return leads whose person is sealed still: (lead, whose key, sealed), the newest first."""
    rows: list[Any] = await conn.fetch(
        "SELECT lead_id, key_lead_id, sealed FROM lead WHERE to_open ORDER BY lead_id DESC LIMIT $1", limit
    )
    return rows


async def keep_opened(conn: Connection, opened: Sequence[tuple[UUID, bytes, Jsonb | None]], v: int) -> None:
    """Keep persons that were opened (None: cannot be), each unless it was sealed anew or erased meanwhile."""
    await conn.execute(
        "UPDATE lead l SET opened = o.opened, to_open = false, v = $4"
        " FROM unnest($1::uuid[], $2::bytea[], $3::jsonb[]) AS o(lead_id, sealed, opened), subject s"
        " WHERE l.lead_id = o.lead_id AND l.sealed = o.sealed AND s.subject_id = l.lead_id AND s.erased_at IS NULL",
        [row[0] for row in opened],
        [row[1] for row in opened],
        [row[2] for row in opened],
        v,
    )


assert tuple(_LEAD_COLUMNS) == tuple(one.name for one in fields(Lead))
