"""Alerts in the order in which they fired, and what is said of them later: commit order is position order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import streams
from backbone.database import Connection
from sla_monitor.store_clocks import Clock

ALERTS: Final = "alerts"
"""The stream in which alerts, and what is said of them later, have their positions."""


@dataclass(frozen=True, slots=True)
class Fired:
    """A clock whose step was raised in memory, the alert that it gives, and what it was before."""

    clock: Clock
    alert: dict[str, Any]
    step: int
    version: int


async def add(conn: Connection, fired: Sequence[Fired]) -> None:
    """Keep alerts; they take their positions last, so that nobody waits behind an open transaction for less."""
    seq = await streams.take(conn, ALERTS, len(fired))
    await conn.execute(
        "INSERT INTO alert (alert_id, seq, at, lead_id, clock, kind, cycle, level, step, rep_id, due_at,"
        " late_by_seconds, late, goes_to)"
        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[],"
        " $7::int[], $8::text[], $9::int[], $10::text[], $11::timestamptz[], $12::float8[], $13::boolean[],"
        " $14::text[])",
        [one.alert["alert_id"] for one in fired],
        list(range(seq, seq + len(fired))),
        [one.alert["at"] for one in fired],
        [one.clock.lead_id for one in fired],
        [one.clock.clock for one in fired],
        [one.clock.terms.kind for one in fired],
        [one.clock.cycle for one in fired],
        [one.alert["level"] for one in fired],
        [one.alert["step"] for one in fired],
        [one.alert["rep_id"] for one in fired],
        [one.clock.terms.due_at for one in fired],
        [one.alert["late_by_seconds"] for one in fired],
        [one.alert["late"] for one in fired],
        [one.alert["goes_to"] for one in fired],
    )


async def settle(conn: Connection, stand: Mapping[UUID, bool], now: datetime) -> dict[UUID, str]:
    """Say which alerts stand, and which were wrong; returns those of which that is new, with whom they named.

    Each takes a position.

    Not as the last thing of the transaction: what is locked after it is of leads whose subjects are locked already.
    """
    said = await conn.fetch(
        "SELECT v.alert_id, v.stands, a.rep_id"
        " FROM unnest($1::uuid[], $2::boolean[]) WITH ORDINALITY AS v(alert_id, stands, number)"
        " JOIN alert a USING (alert_id) WHERE (a.retracted_at IS NULL) <> v.stands ORDER BY v.number",
        list(stand.keys()),
        list(stand.values()),
    )
    if not said:
        return {}
    seq = await streams.take(conn, ALERTS, len(said))
    await conn.execute(
        "UPDATE alert a SET retracted_at = CASE WHEN v.stands THEN NULL ELSE $4::timestamptz END,"
        " changed_seq = $3::bigint + v.number - 1"
        " FROM unnest($1::uuid[], $2::boolean[]) WITH ORDINALITY AS v(alert_id, stands, number)"
        " WHERE a.alert_id = v.alert_id",
        [row["alert_id"] for row in said],
        [row["stands"] for row in said],
        seq,
        now,
    )
    return {row["alert_id"]: row["rep_id"] for row in said}


async def taken_away(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return how often these leads were taken from a rep so far, by whichever clock."""
    rows = await conn.fetch(
        "SELECT lead_id, count(*) AS times FROM alert WHERE lead_id = ANY($1::uuid[]) AND goes_to = 'reassign'"
        " AND retracted_at IS NULL GROUP BY lead_id",
        list(lead_ids),
    )
    return {row["lead_id"]: row["times"] for row in rows}


async def after(
    conn: Connection,
    position: int,
    *,
    lead_ids: Sequence[UUID] | None = None,
    rep_id: str | None = None,
    kind: str | None = None,
    limit: int,
) -> list[Any]:
    """Return alerts after a position."""
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM alert WHERE seq > $1 AND ($2::uuid[] IS NULL OR lead_id = ANY($2))"
        " AND ($3::text IS NULL OR rep_id = $3) AND ($4::text IS NULL OR kind = $4) ORDER BY seq LIMIT $5",
        position,
        lead_ids,
        rep_id,
        kind,
        limit,
    )
    return rows


# Each part by its own index: positions are few after the last one that a client has.
_NEWS: Final = """
(SELECT seq AS position, false AS is_change, a.* FROM alert a
 WHERE seq > $1 AND ($2::text IS NULL OR rep_id = $2) ORDER BY seq LIMIT $3)
UNION ALL
(SELECT changed_seq, true, a.* FROM alert a
 WHERE changed_seq > $1 AND ($2::text IS NULL OR rep_id = $2) ORDER BY changed_seq LIMIT $3)
ORDER BY position LIMIT $3
"""


async def news(conn: Connection, position: int, *, rep_id: str | None, limit: int) -> list[Any]:
    """Return what was told after a position: alerts, and those that were retracted since, or stand again.

    What was said of one twice stands at its last position alone: whoever has an earlier one gets how it is now.
    """
    rows: list[Any] = await conn.fetch(_NEWS, position, rep_id, limit)
    return rows


async def position_of(conn: Connection, alert_id: UUID) -> int | None:
    """Return where an alert stands, None when there is no such."""
    seq: int | None = await conn.fetchval("SELECT seq FROM alert WHERE alert_id = $1", alert_id)
    return seq


async def newest(conn: Connection) -> int:
    """Return the last position of all."""
    return int(await conn.fetchval("SELECT coalesce(greatest(max(seq), max(changed_seq)), 0) FROM alert"))
