"""Hand-overs that are to be made at an instant, and what came of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection


async def save(conn: Connection, hand_over_id: UUID, at: datetime, body: Mapping[str, Any], made_by: str) -> None:
    """Keep a hand-over for later."""
    await conn.execute(
        "INSERT INTO hand_over (hand_over_id, at, body, made_by) VALUES ($1, $2, $3, $4)",
        hand_over_id,
        at,
        body,
        made_by,
    )


async def find(conn: Connection, hand_over_id: UUID) -> Any:
    """Return one, None when there is none."""
    return await conn.fetchrow("SELECT * FROM hand_over WHERE hand_over_id = $1", hand_over_id)


async def due(conn: Connection, now: datetime) -> Any:
    """Return the first that is to be made by now, locked; None when there is none, or somebody else makes it."""
    return await conn.fetchrow(
        "SELECT * FROM hand_over WHERE at <= $1 AND answer IS NULL ORDER BY at LIMIT 1 FOR UPDATE SKIP LOCKED", now
    )


async def answer(conn: Connection, hand_over_id: UUID, said: Mapping[str, Any]) -> None:
    """Keep what came of it."""
    await conn.execute("UPDATE hand_over SET answer = $2 WHERE hand_over_id = $1", hand_over_id, said)
