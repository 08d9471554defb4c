"""A rep's open leads as rows: one statement for all of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import times
from backbone.database import Connection
from console import domain, shaping
from console.views import Availability, InboxRow, Load, Person
from handoff.events.v1 import common_pb2

_ROWS: Final = """
SELECT a.lead_id, a.cycle, a.rep_id, a.assigned_at, a.accepted_at, l.arrived_at, l.created_at, l.opened, l.hot_at,
       coalesce(l.v, 0) AS v, coalesce(l.live, false) AS live, coalesce(l.company, '') AS company,
       coalesce(l.job_title, '') AS job_title, coalesce(l.source, '') AS source, coalesce(l.grade, '') AS grade,
       coalesce(l.why_passed, '') AS why_passed, t.touched_at, coalesce(t.touches, '{}') AS touches,
       ARRAY(SELECT unnest(c.said) FROM clock c WHERE c.lead_id = a.lead_id AND c.cycle IN (0, a.cycle)) AS clocks
FROM assignment a
JOIN subject s ON s.subject_id = a.lead_id AND s.merged_into IS NULL AND s.erased_at IS NULL
LEFT JOIN lead l ON l.lead_id = a.lead_id
LEFT JOIN LATERAL (
    SELECT max(k.touched_at) AS touched_at,
           jsonb_object_agg(k.kind, k.since) FILTER (WHERE k.since > 0) AS touches
    FROM (SELECT kind, max(at) AS touched_at, count(*) FILTER (WHERE at >= a.assigned_at) AS since
          FROM touch WHERE lead_id IN (SELECT lead_family(a.lead_id)) GROUP BY kind) AS k
) AS t ON true
WHERE a.rep_id = $1 AND a.released_at IS NULL AND ($2::uuid[] IS NULL OR a.lead_id = ANY($2))
"""
_DUE: Final = """
SELECT a.lead_id, bool_or(c.missed) AS missed
FROM assignment a
JOIN subject s ON s.subject_id = a.lead_id AND s.merged_into IS NULL AND s.erased_at IS NULL
JOIN lead l ON l.lead_id = a.lead_id AND l.live
JOIN clock c ON c.lead_id = a.lead_id AND c.cycle IN (0, a.cycle) AND c.waits
WHERE a.rep_id = $1 AND a.released_at IS NULL
GROUP BY a.lead_id
"""
"""Leads with a clock that waits for somebody; whether one of them was missed."""


async def rows(conn: Connection, rep_id: str, lead_ids: Iterable[UUID] | None = None) -> list[InboxRow]:
    """Return a rep's open leads (of these ids), in the order in which they are shown."""
    now = await times.now(conn)
    return await rows_at(conn, rep_id, list(lead_ids) if lead_ids is not None else None, now)


async def rows_at(conn: Connection, rep_id: str, lead_ids: list[UUID] | None, now: datetime) -> list[InboxRow]:
    """Return the rows as they stand at an instant."""
    resting = {} if (one := await _availability(conn, rep_id, now)) is None or one.available else {rep_id: one}
    records = await conn.fetch(_ROWS, rep_id, lead_ids)
    return sorted((shaping.row(record, now, resting) for record in records), key=domain.order)


async def _availability(conn: Connection, rep_id: str, now: datetime) -> Availability | None:
    value = await conn.fetchval("SELECT value FROM rep WHERE rep_id = $1", rep_id)
    return shaping.availability(common_pb2.Rep.FromString(value), now) if value is not None else None


async def load(conn: Connection, rep_id: str | None) -> Load:
    """Return how full a rep is."""
    now = await times.now(conn)
    row = await conn.fetchrow(
        "SELECT (SELECT value FROM rep WHERE rep_id = $1) AS value,"
        " (SELECT count(*) FROM assignment a JOIN subject s ON s.subject_id = a.lead_id AND s.merged_into IS NULL"
        " AND s.erased_at IS NULL WHERE a.rep_id = $1 AND a.released_at IS NULL) AS open",
        rep_id,
    )
    assert row is not None
    if row["value"] is None:
        return Load(open=row["open"], cap=0, availability=Availability(available=False, reason="inactive"))
    rep = common_pb2.Rep.FromString(row["value"])
    return Load(open=row["open"], cap=rep.cap, availability=shaping.availability(rep, now))


async def counts(conn: Connection, person: Person) -> dict[str, int]:
    """Return the numbers beside the sidebar's entries: what is due, and `inbox_missed` of them missed."""
    if person.rep_id is None:
        return {}
    waiting = await conn.fetch(_DUE, person.rep_id)
    return {"inbox": len(waiting), "inbox_missed": sum(one["missed"] for one in waiting)}


async def due(conn: Connection, rep_id: str) -> list[InboxRow]:
    """Return the rows of which a clock waits for somebody, in the order in which they are shown."""
    return await rows(conn, rep_id, [one["lead_id"] for one in await conn.fetch(_DUE, rep_id)])
