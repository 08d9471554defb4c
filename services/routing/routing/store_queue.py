"""Those who wait, by what they wait for. A queue of any length costs an arriving lead a few index look-ups."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from backbone.database import Connection
from routing.parting import Reasons

REFRESHED: Final = 500
"""Leads at the head of the queue that a change of a rep decides anew, so that their reason codes are of today."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits, where and since when. `key` names the queue: leads with the same `targets` have the same."""

    lead_id: UUID
    pool: str
    rule: str
    reason_code: str
    rank: int
    created_at: datetime
    since: datetime
    decision_id: UUID
    retry_at: datetime | None
    key: UUID
    targets: Sequence[Any]
    reasons: Reasons
    """Why it is to leave the rep who still has it; none for a lead without a rep."""
    domain: str
    company: str
    """The lead's company, by domain and by name: who waits is decided over anew when it stands otherwise."""
    only_pool: str | None = None
    """It was handed over to this pool by a person's word."""


async def of(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Waiting]:
    """Return which of the leads wait."""
    rows = await conn.fetch("SELECT * FROM waiting WHERE lead_id = ANY($1::uuid[])", list(lead_ids))
    return {row["lead_id"]: _waiting(row) for row in rows}


def _waiting(row: Any) -> Waiting:
    return Waiting(**{**row, "targets": row["targets"]["of"], "reasons": frozenset(row["reasons"]["of"])})


async def save(conn: Connection, waits: Sequence[Waiting]) -> None:
    """Write who waits; since when stays."""
    await conn.execute(
        "INSERT INTO waiting (lead_id, pool, rule, reason_code, rank, created_at, since, decision_id, retry_at, key,"
        " targets, reasons, domain, company, only_pool)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[],"
        " $6::timestamptz[], $7::timestamptz[], $8::uuid[], $9::timestamptz[], $10::uuid[], $11::jsonb[], $12::jsonb[],"
        " $13::text[], $14::text[], $15::text[])"
        " ON CONFLICT (lead_id) DO UPDATE SET pool = excluded.pool, rule = excluded.rule,"
        " reason_code = excluded.reason_code, rank = excluded.rank, decision_id = excluded.decision_id,"
        " retry_at = excluded.retry_at, key = excluded.key, targets = excluded.targets,"
        " reasons = excluded.reasons, domain = excluded.domain, company = excluded.company,"
        " only_pool = excluded.only_pool",
        [one.lead_id for one in waits],
        [one.pool for one in waits],
        [one.rule for one in waits],
        [one.reason_code for one in waits],
        [one.rank for one in waits],
        [one.created_at for one in waits],
        [one.since for one in waits],
        [one.decision_id for one in waits],
        [one.retry_at for one in waits],
        [one.key for one in waits],
        [{"of": one.targets} for one in waits],
        [{"of": sorted(one.reasons)} for one in waits],
        [one.domain for one in waits],
        [one.company for one in waits],
        [one.only_pool for one in waits],
    )


async def delete(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete who no longer waits."""
    await conn.execute("DELETE FROM waiting WHERE lead_id = ANY($1::uuid[])", list(lead_ids))


_QUEUES: Final = """
WITH RECURSIVE queue AS (
    (SELECT key, targets FROM waiting ORDER BY key LIMIT 1)
    UNION ALL
    SELECT next.key, next.targets FROM queue CROSS JOIN LATERAL
        (SELECT key, targets FROM waiting WHERE key > queue.key ORDER BY key LIMIT 1) AS next
)
SELECT key, targets FROM queue
"""


async def queues(conn: Connection) -> dict[UUID, list[Any]]:
    """Return every queue with what its leads wait for."""
    return {row["key"]: row["targets"]["of"] for row in await conn.fetch(_QUEUES)}


async def next_for(conn: Connection, keys: Sequence[UUID], *, limit: int, but: Iterable[UUID]) -> list[UUID]:
    """Return who is next of these queues: best, then oldest."""
    rows = await conn.fetch(
        "SELECT next.lead_id FROM unnest($1::uuid[]) AS queue(key) CROSS JOIN LATERAL"
        " (SELECT lead_id, rank, created_at FROM waiting WHERE key = queue.key AND lead_id <> ALL($3::uuid[])"
        " ORDER BY rank, created_at, lead_id LIMIT $2) AS next ORDER BY rank, created_at, lead_id LIMIT $2",
        list(keys),
        limit,
        list(but),
    )
    return [row[0] for row in rows]


async def due(conn: Connection, now: datetime, *, limit: int, but: Iterable[UUID]) -> list[UUID]:
    """Return who is to be decided over anew, because hours opened, a fallback fell due, or what decides changed."""
    rows = await conn.fetch(
        # Asked first, by itself: where nobody is due, the planner may look for them along the order of the whole queue.
        "SELECT lead_id FROM waiting WHERE (SELECT min(retry_at) FROM waiting) <= $1"
        " AND retry_at <= $1 AND lead_id <> ALL($3::uuid[])"
        " ORDER BY rank, created_at, lead_id LIMIT $2",
        now,
        limit,
        list(but),
    )
    return [row[0] for row in rows]


class Due(NamedTuple):
    """When there is something to do next, and what time it is; None: nothing is waited for."""

    settle_at: datetime | None
    """Somebody who waits is decided over anew, or who did not accept in time loses a lead."""
    hand_over_at: datetime | None
    weigh_at: datetime | None
    """Performance is computed anew."""
    now: datetime


_DUE: Final = """
SELECT least(
    (SELECT min(retry_at) FROM waiting),
    (SELECT min(accept_by) FROM assignment),
    (SELECT now() FROM routing_group WHERE drain AND EXISTS (SELECT FROM waiting))
), (SELECT min(at) FROM hand_over WHERE answer IS NULL),
(SELECT coalesce(performance_at + interval '1 day', now()) FROM routing_group WHERE (
    SELECT document->'pools' @> '[{"strategy": "performance_weighted"}]' FROM policy ORDER BY version DESC LIMIT 1
)), now()
"""


async def next_due(conn: Connection) -> Due:
    """Return when there is something to do next; at once where the last transaction left leads over."""
    row = await conn.fetchrow(_DUE)
    assert row is not None
    return Due(*row)


async def decide_anew(conn: Connection, *, everybody: bool) -> None:
    """Say that what decides has changed: for all who wait, or for those at the head whose reasons people see."""
    await conn.execute(
        "UPDATE waiting SET retry_at = now() WHERE $1 OR lead_id IN"
        " (SELECT lead_id FROM waiting ORDER BY rank, created_at, lead_id LIMIT $2)",
        everybody,
        REFRESHED,
    )


async def decide_company_anew(conn: Connection, domains: Collection[str], names: Collection[str] = ()) -> bool:
    """Say that a company stands otherwise now, for those of it who wait. Says whether anybody does."""
    status = await conn.execute(
        "UPDATE waiting SET retry_at = now() WHERE domain = ANY($1::text[]) OR company = ANY($2::text[])",
        list(domains),
        list(names),
    )
    return status != "UPDATE 0"


async def decide_guests_anew(conn: Connection, email: str) -> None:
    """Say that there is a rep with this address now, for those who wait and booked a meeting with it."""
    await conn.execute(
        "UPDATE waiting SET retry_at = now() WHERE lead_id IN (SELECT lead_id FROM lead WHERE host_email = $1)", email
    )


async def page(conn: Connection, *, after: tuple[Any, ...] | None, limit: int) -> list[Any]:
    """Return who waits, best, then oldest."""
    rank, created_at, lead_id = after or (None, None, None)
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM waiting WHERE $2::timestamptz IS NULL OR (rank, created_at, lead_id) > ($1, $2, $3::uuid)"
        " ORDER BY rank, created_at, lead_id LIMIT $4",
        rank,
        created_at,
        lead_id,
        limit,
    )
    return rows
