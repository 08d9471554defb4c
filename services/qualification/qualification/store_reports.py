"""What reports count: leads that became MQLs, and what reps said of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection
from backbone.weeks import Zone


async def zone(conn: Connection) -> Zone:
    """Return where reports count weeks."""
    row = await conn.fetchrow("SELECT zone, week_starts FROM setting")
    assert row is not None
    return Zone(row["zone"], row["week_starts"])


async def count_in(conn: Connection, said: Zone) -> None:
    """Count weeks there from now on."""
    await conn.execute("UPDATE setting SET zone = $1, week_starts = $2", said.name, said.week_starts)


async def passed(conn: Connection, start: datetime, end: datetime) -> list[Any]:
    """Return the leads that first became MQLs in [start, end), with what they are by now."""
    rows: list[Any] = await conn.fetch(
        "WITH first AS (SELECT DISTINCT ON (lead_id) lead_id, at, definition FROM history WHERE to_stage = 'mql'"
        " ORDER BY lead_id, history_id), rated AS (SELECT DISTINCT ON (lead_id) lead_id, rating, reason, rep_id"
        " FROM feedback ORDER BY lead_id, feedback_id DESC)"
        " SELECT f.lead_id, f.at, f.definition, l.fields, l.score, l.stage, l.reason, l.decided_by_person, l.declined,"
        " l.handed_at, coalesce(r.rep_id, l.rep_id, l.previous_rep) AS rep_id, r.rating, r.reason AS rated_for"
        " FROM first f JOIN lead l USING (lead_id) LEFT JOIN rated r USING (lead_id)"
        " WHERE f.at >= $1 AND f.at < $2 AND NOT l.closed ORDER BY f.at",
        start,
        end,
    )
    return rows


async def add_feedback(
    conn: Connection, lead_id: UUID, *, rep_id: str | None, rating: str, reason: str | None, note: str | None
) -> None:
    """Keep what a rep thinks of a lead."""
    await conn.execute(
        "INSERT INTO feedback (lead_id, rep_id, rating, reason, note) VALUES ($1, $2, $3, $4, $5)",
        lead_id,
        rep_id,
        rating,
        reason,
        note,
    )


async def created(conn: Connection, start: datetime, end: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """Return leads that were created in [start, end), in the order of their ids."""
    rows = await conn.fetch(
        "SELECT lead_id FROM lead WHERE occurred_at >= $1 AND occurred_at < $2 AND lead_id > $3 AND NOT closed"
        " AND fields IS NOT NULL ORDER BY lead_id LIMIT $4",
        start,
        end,
        after,
        limit,
    )
    return [row[0] for row in rows]


async def reps(conn: Connection) -> int:
    """Return how many reps hold leads."""
    count: int = await conn.fetchval("SELECT count(DISTINCT rep_id) FROM lead WHERE rep_id IS NOT NULL")
    return count
