"""What is known of leads: who they are elsewhere, who has them, what they reached; and the settings of reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from backbone import subjects
from backbone.database import Connection

_COLUMNS = (
    ("lead_id", None),
    ("live", False),
    ("created_at", None),
    ("recorded_at", None),
    ("source", ""),
    ("account", ""),
    ("rep_id", None),
    ("routed_at", None),
    ("sdr_id", None),
)


async def note(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note what was told of leads; what was not told stays as it was."""
    await conn.execute(
        "INSERT INTO lead (lead_id, live, created_at, recorded_at, source, account, rep_id, routed_at, sdr_id)"
        " SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[],"
        " $7::text[], $8::timestamptz[], $9::text[])"
        " ON CONFLICT (lead_id) DO UPDATE SET live = lead.live OR excluded.live,"
        " created_at = coalesce(excluded.created_at, lead.created_at),"
        " recorded_at = least(lead.recorded_at, excluded.recorded_at),"
        " source = coalesce(nullif(excluded.source, ''), lead.source),"
        " account = coalesce(nullif(excluded.account, ''), lead.account),"
        " rep_id = coalesce(excluded.rep_id, lead.rep_id),"
        " routed_at = coalesce(excluded.routed_at, lead.routed_at),"
        " sdr_id = coalesce(excluded.sdr_id, lead.sdr_id)",
        *([row.get(name, default) for row in rows] for name, default in _COLUMNS),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Milestone:
    """A lead reached a stage, or was disqualified."""

    lead_id: UUID
    stage: str
    at: datetime
    recorded_at: datetime
    definition: str


async def reach(conn: Connection, reached: Sequence[Milestone]) -> None:
    """Keep what leads reached."""
    await conn.execute(
        "INSERT INTO milestone SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[],"
        " $5::text[]) ON CONFLICT DO NOTHING",
        [one.lead_id for one in reached],
        [one.stage for one in reached],
        [one.at for one in reached],
        [one.recorded_at for one in reached],
        [one.definition for one in reached],
    )


async def link_references(conn: Connection, references: Mapping[str, UUID]) -> list[UUID]:
    """Note which lead a source's reference names, and give it the opportunities that came before it: returns those."""
    ordered = sorted(references)
    leads = [references[reference] for reference in ordered]
    await conn.execute(
        "INSERT INTO lead_reference SELECT * FROM unnest($1::text[], $2::uuid[])"
        " ON CONFLICT (reference) DO UPDATE SET lead_id = excluded.lead_id",
        ordered,
        leads,
    )
    waiting = "SELECT opportunity_id FROM opportunity WHERE lead_reference = ANY($1::text[]) AND lead_id IS NULL"
    # Whoever moves one of them has its subject first, and its row then.
    await subjects.lock(conn, [row[0] for row in await conn.fetch(waiting, ordered)])
    rows = await conn.fetch(
        "UPDATE opportunity o SET lead_id = v.lead_id FROM unnest($1::text[], $2::uuid[]) AS v(reference, lead_id)"
        " WHERE o.lead_reference = v.reference AND o.lead_id IS NULL RETURNING o.opportunity_id",
        ordered,
        leads,
    )
    return [row[0] for row in rows]


async def of_reference(conn: Connection, reference: str) -> UUID | None:
    """Return the lead that a reference names; None while nobody knows, and whoever learns it finds what waits for it.

    The row is there from now on, so that an opportunity and its lead that come at once do not miss each other.
    """
    await conn.execute("INSERT INTO lead_reference VALUES ($1, NULL) ON CONFLICT DO NOTHING", reference)
    lead_id: UUID | None = await conn.fetchval("SELECT lead_id FROM lead_reference WHERE reference = $1", reference)
    return lead_id


async def find(conn: Connection, lead_id: UUID) -> Any:
    """Return what is known of a lead."""
    return await conn.fetchrow("SELECT * FROM lead WHERE lead_id = $1", lead_id)


@dataclass(frozen=True, slots=True)
class Reporting:
    """In which zone days begin, with which day weeks do, and in which currency sums are."""

    zone: str
    base: str
    week_starts: str = "mon"

    @property
    def tz(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)


_LOCK: Final = 4_711
"""Of the settings: an advisory lock, because every move takes it, and a row's share lock is a write."""


async def reporting(conn: Connection, *, lock: bool = False) -> Reporting:
    """Return the settings; locked, they stay until the transaction ends, so that counters are of one zone."""
    if lock:
        await conn.execute("SELECT pg_advisory_xact_lock_shared($1)", _LOCK)
    row = await conn.fetchrow("SELECT zone, base_currency, week_starts FROM setting")
    assert row is not None
    return Reporting(row[0], row[1], row[2])


async def set_reporting(conn: Connection, new: Reporting) -> bool:
    """Put other settings in force; True when months begin at other instants than before."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    before = await conn.fetchval("SELECT zone FROM setting")
    await conn.execute(
        "UPDATE setting SET zone = $1, base_currency = $2, week_starts = $3", new.zone, new.base, new.week_starts
    )
    return bool(before != new.zone)


async def note_progress(conn: Connection, progress: Mapping[str, datetime]) -> None:
    """Note until when what each topic told is taken in."""
    await conn.execute(
        "INSERT INTO progress SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT (topic)"
        " DO UPDATE SET recorded_at = greatest(progress.recorded_at, excluded.recorded_at)",
        sorted(progress),
        [progress[topic] for topic in sorted(progress)],
    )


async def complete_until(conn: Connection) -> datetime | None:
    """Return until when everything that was recorded anywhere is taken in; None while nothing came."""
    instant: datetime | None = await conn.fetchval("SELECT min(recorded_at) FROM progress")
    return instant
