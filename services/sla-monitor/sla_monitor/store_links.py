"""Who was merged into whom, and what leads were before: what reports say of the past does not change with a merge."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone.database import Connection

Link = tuple[UUID, UUID, datetime]
"""(Merged, survivor, when it was recorded)."""
Before = tuple[UUID, datetime, datetime, str, datetime | None]
"""(Lead, until when it was known so, when it had been created, its source, when it had arrived)."""
HOLDS: Final = "k.since <= UPTO AND (k.until IS NULL OR k.until > UPTO)"
"""Of a row `k` of `link`: they were one lead, by what was known at UPTO."""


async def link(conn: Connection, given: Sequence[Link]) -> None:
    """Keep that leads are one, told under either key.

    A lead is merged into one other at a time: where an undone merge groups those anew that were one, intake names whom
    each is merged into from then on, and says of no link that it is over. Whichever is read first.
    """
    await conn.executemany(
        "INSERT INTO link (member_id, survivor_id, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", given
    )
    await conn.execute(_END, [member_id for member_id, _, _ in given])


async def unlink(conn: Connection, given: Iterable[tuple[UUID, datetime]]) -> None:
    """Keep since when leads are two again: (the one that had been merged, when that was recorded)."""
    await conn.executemany(
        "UPDATE link SET until = $2 WHERE member_id = $1 AND since <= $2 AND (until IS NULL OR until > $2)", list(given)
    )


async def note_before(conn: Connection, given: Sequence[Before]) -> None:
    """Keep what leads were until a merge, or a correction, made them another's age, source or arrival."""
    await conn.executemany(
        "INSERT INTO lead_before (lead_id, until, created_at, source, arrived_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        given,
    )


async def ever(conn: Connection, lead_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], bool]:
    """Return which of these leads were merged into which others, and whether they are by now."""
    rows = await conn.fetch(
        "SELECT member_id, survivor_id, bool_or(until IS NULL) AS is_so FROM link WHERE member_id = ANY($1::uuid[])"
        " GROUP BY member_id, survivor_id",
        list(lead_ids),
    )
    return {(row["member_id"], row["survivor_id"]): row["is_so"] for row in rows}


async def above(conn: Connection, lead_ids: Iterable[UUID]) -> set[UUID]:
    """Return all that these leads are part of by now, directly or not."""
    rows = await conn.fetch(
        "WITH RECURSIVE up (lead_id) AS ("
        " SELECT survivor_id FROM link WHERE member_id = ANY($1::uuid[]) AND until IS NULL"
        " UNION SELECT k.survivor_id FROM up JOIN link k ON k.member_id = up.lead_id AND k.until IS NULL"
        ") SELECT lead_id FROM up",
        list(lead_ids),
    )
    return {row["lead_id"] for row in rows}


async def members(
    conn: Connection, lead_ids: Iterable[UUID], *, as_of: datetime | None = None
) -> dict[UUID, list[UUID]]:
    """Return of each lead itself and all that are, or with `as_of` were, one with it."""
    wanted = list(lead_ids)
    rows = await conn.fetch(_MEMBERS, wanted, as_of)
    found: dict[UUID, list[UUID]] = {lead_id: [lead_id] for lead_id in wanted}
    for row in rows:
        found[row["survivor"]].append(row["member_id"])
    return found


async def survivors(conn: Connection, lead_ids: Collection[UUID], *, as_of: datetime | None = None) -> set[UUID]:
    """Return those of these leads into which others were merged at any time, with `as_of` by then."""
    rows = await conn.fetch(
        "SELECT DISTINCT survivor_id FROM link WHERE survivor_id = ANY($1::uuid[])"
        " AND since <= coalesce($2::timestamptz, 'infinity')",
        list(lead_ids),
        as_of,
    )
    return {row["survivor_id"] for row in rows}


async def into(conn: Connection, survivors: Collection[UUID], as_of: datetime) -> dict[UUID, UUID]:
    """Return into whom leads were merged at an instant, of those that were merged into one of `survivors` itself."""
    rows = await conn.fetch(
        f"SELECT k.member_id, k.survivor_id FROM link k WHERE k.survivor_id = ANY($1::uuid[])"  # noqa: S608
        f" AND {HOLDS.replace('UPTO', '$2::timestamptz')}",
        list(survivors),
        as_of,
    )
    return {row["member_id"]: row["survivor_id"] for row in rows}


async def merged_at(conn: Connection, lead_ids: Collection[UUID], as_of: datetime) -> dict[UUID, datetime]:
    """Return since when those of these leads were another's that were so at an instant."""
    if not lead_ids:
        return {}
    rows = await conn.fetch(_MERGED, list(lead_ids), as_of)
    return {row["member_id"]: row["since"] for row in rows}


def columns(members: Mapping[UUID, Sequence[UUID]]) -> tuple[list[UUID], list[UUID]]:
    """Return survivors, each beside one of those that it is one with."""
    pairs = [(survivor, member) for survivor, some in members.items() for member in some]
    return [survivor for survivor, _ in pairs], [member for _, member in pairs]


_END: Final = """
UPDATE link k SET until = n.since FROM (
    SELECT member_id, since AS before, lead(since) OVER (PARTITION BY member_id ORDER BY since) AS since
    FROM link WHERE member_id = ANY($1::uuid[])
) n WHERE k.member_id = n.member_id AND k.since = n.before AND (k.until IS NULL OR k.until > n.since)
"""
# Who was passed on from one to the next has not been a lead of its own in between.
_MERGED: Final = f"""
WITH RECURSIVE one (member_id, since) AS (
    SELECT k.member_id, k.since FROM link k WHERE k.member_id = ANY($1::uuid[]) AND {HOLDS.replace("UPTO", "$2")}
    UNION SELECT one.member_id, k.since FROM one JOIN link k ON k.member_id = one.member_id AND k.until = one.since
)
SELECT member_id, min(since) AS since FROM one GROUP BY member_id
"""  # noqa: S608
_UPTO: Final = "coalesce($2::timestamptz, 'infinity')"
_MEMBERS: Final = f"""
WITH RECURSIVE one (survivor, member_id) AS (
    SELECT k.survivor_id, k.member_id FROM link k
    WHERE k.survivor_id = ANY($1::uuid[]) AND {HOLDS.replace("UPTO", _UPTO)}
    UNION SELECT one.survivor, k.member_id FROM one JOIN link k ON k.survivor_id = one.member_id
    WHERE {HOLDS.replace("UPTO", _UPTO)}
)
SELECT survivor, member_id FROM one
"""  # noqa: S608
