"""What waits: leads for a person's judgement, leads for time to change their score, leads for a new definition."""

from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection


async def queue(
    conn: Connection, *, after: tuple[int, datetime, UUID] | None, rep_id: str | None, limit: int
) -> list[Any]:
    """Return what waits for judgement, best grade first, then oldest; with `rep_id` theirs and nobody's."""
    rank, since, lead_id = after or (-1, None, UUID(int=0))
    rows: list[Any] = await conn.fetch(
        "SELECT lead_id, queue_kind, queue_rank, queue_since, rep_id, score FROM lead WHERE queue_kind IS NOT NULL"
        " AND (queue_rank, queue_since, lead_id) > ($1, $2::timestamptz, $3)"
        " AND ($4::text IS NULL OR rep_id IS NULL OR rep_id = $4)"
        " ORDER BY queue_rank, queue_since, lead_id LIMIT $5",
        rank,
        since,
        lead_id,
        rep_id,
        limit,
    )
    return rows


async def due(conn: Connection, limit: int) -> list[UUID]:
    """Return leads whose score may have changed by time alone, the longest overdue first."""
    rows = await conn.fetch(
        "SELECT lead_id FROM lead WHERE next_score_at <= now() ORDER BY next_score_at LIMIT $1", limit
    )
    return [row[0] for row in rows]


async def add_rescoring(conn: Connection, reason: str, due_at: datetime) -> None:
    """Note that every lead is to be scored anew, from an instant on."""
    await conn.execute(
        "INSERT INTO rescoring (reason, after, due_at) VALUES ($1, '00000000-0000-0000-0000-000000000000', $2)"
        " ON CONFLICT (reason) DO UPDATE SET after = excluded.after, due_at = excluded.due_at, done = 0",
        reason,
        due_at,
    )


async def claim_rescoring(conn: Connection) -> Any:
    """Lock a rescoring that is due and that no other replica works on; None when there is none."""
    return await conn.fetchrow(
        "SELECT reason, after, done FROM rescoring WHERE due_at <= now() ORDER BY due_at LIMIT 1"
        " FOR NO KEY UPDATE SKIP LOCKED"
    )


async def next_to_rescore(conn: Connection, after: UUID, limit: int) -> list[UUID]:
    """Return the leads that follow in a rescoring."""
    rows = await conn.fetch(
        "SELECT lead_id FROM lead WHERE lead_id > $1 AND NOT closed AND fields IS NOT NULL ORDER BY lead_id LIMIT $2",
        after,
        limit,
    )
    return [row[0] for row in rows]


async def go_on(conn: Connection, reason: str, after: UUID, done: int) -> None:
    """Note how far a rescoring is."""
    await conn.execute("UPDATE rescoring SET after = $2, done = $3 WHERE reason = $1", reason, after, done)


async def end_rescoring(conn: Connection, reason: str) -> None:
    """Every lead is scored anew."""
    await conn.execute("DELETE FROM rescoring WHERE reason = $1", reason)
