"""What changed for whom, in the order of commits: what streams send and replay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from backbone import streams
from backbone.database import Connection

STREAM: Final = "changes"
REPLAYED_S: Final = 300
"""An older gap is not replayed: the page is read again."""
KEPT_S: Final = 600
NOBODY: Final = ""
"""The rep of a change to a lead that nobody has: only who looks at that lead hears of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Something on a rep's pages is different. Kinds: lead (with the `clocks` that changed), gone, load, notice."""

    rep_id: str
    kind: str
    lead_id: UUID | None = None
    data: dict[str, Any]


async def add(conn: Connection, changes: Sequence[Change], first: int) -> None:
    """Write changes at the positions from `first` on, which were taken from the stream."""
    if changes:
        await conn.execute(
            "INSERT INTO change (seq, rep_id, lead_id, kind, data) SELECT $5 + c.nth - 1, c.rep_id, c.lead_id, c.kind,"
            " c.data FROM unnest($1::text[], $2::uuid[], $3::text[], $4::jsonb[])"
            " WITH ORDINALITY AS c(rep_id, lead_id, kind, data, nth)",
            [change.rep_id for change in changes],
            [change.lead_id for change in changes],
            [change.kind for change in changes],
            [change.data for change in changes],
            first,
        )


async def take(conn: Connection, count: int) -> int:
    """Take positions and return the first. The last lock of a transaction."""
    return await streams.take(conn, STREAM, count)


async def last(conn: Connection) -> int:
    """Return the newest position that is committed."""
    return int(await conn.fetchval("SELECT coalesce(max(last), 0) FROM stream_counter WHERE stream = $1", STREAM))


async def is_too_old(conn: Connection, after: int) -> bool:
    """Say whether something after this position is older than what is replayed, or the position is none of ours."""
    return bool(
        await conn.fetchval(
            "SELECT $1 > coalesce((SELECT last FROM stream_counter WHERE stream = $3), 0)"
            " OR $1 < (SELECT seq FROM change_floor)"
            # Positions are taken under a lock and rows get their time after: the first that follows is the oldest.
            " OR (SELECT at FROM change WHERE seq > $1 ORDER BY seq LIMIT 1)"
            " < clock_timestamp() - make_interval(secs => $2)",
            after,
            REPLAYED_S,
            STREAM,
        )
    )


async def of_rep(conn: Connection, rep_id: str, after: int, limit: int) -> list[Any]:
    """Return a rep's changes after a position, in order."""
    rows: list[Any] = await conn.fetch(
        "SELECT seq, kind, lead_id, data FROM change WHERE rep_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        rep_id,
        after,
        limit,
    )
    return rows


async def of_leads(conn: Connection, lead_ids: Iterable[UUID], after: int, limit: int) -> list[Any]:
    """Return the changes of leads after a position, in order."""
    rows: list[Any] = await conn.fetch(
        "SELECT seq, kind, lead_id, data FROM change WHERE lead_id = ANY($1::uuid[]) AND seq > $2"
        " ORDER BY seq LIMIT $3",
        list(lead_ids),
        after,
        limit,
    )
    return rows


async def prune(conn: Connection) -> None:
    """Forget changes that nobody may ask for any more, and note up to where."""
    await conn.execute(
        "WITH kept AS (SELECT seq FROM change WHERE at >= clock_timestamp() - make_interval(secs => $1)"
        " ORDER BY seq LIMIT 1),"
        " gone AS (DELETE FROM change WHERE seq < coalesce((SELECT seq FROM kept), 9223372036854775807) RETURNING seq)"
        " UPDATE change_floor SET seq = greatest(seq, (SELECT coalesce(max(seq), 0) FROM gone))",
        KEPT_S,
    )
