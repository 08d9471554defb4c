"""Which clocks run on hours, or on a team, that changed; and the record of what that, or a merge, moved."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor.domain import Terms
from sla_monitor.store_clocks import Clock


async def of_changed_rep(conn: Connection, rep_id: str, version: int, *, limit: int) -> list[UUID]:
    """Return leads with clocks by an older version of the rep's hours or zone; "" for the company's zone."""
    rows = await conn.fetch(
        "SELECT DISTINCT lead_id FROM (SELECT c.lead_id FROM clock c JOIN subject s ON s.subject_id = c.lead_id"
        " WHERE c.rep_id = $1 AND c.next_at IS NOT NULL AND c.rep_version > 0 AND c.rep_version < $2"
        " AND s.merged_into IS NULL LIMIT $3) AS one",
        rep_id,
        version,
        limit,
    )
    return [row[0] for row in rows]


_TOUCHED: Final = """
WITH RECURSIVE up (lead_id) AS (
    SELECT lead_id FROM touch WHERE rep_id = $1
    UNION SELECT k.survivor_id FROM up JOIN link k ON k.member_id = up.lead_id WHERE k.until IS NULL
)
SELECT DISTINCT c.lead_id FROM up JOIN clock c USING (lead_id) JOIN subject s ON s.subject_id = c.lead_id
WHERE c.rep_id <> $1 AND c.counts ->> 'by' = 'team' AND c.state IN ('running', 'breached')
  AND s.merged_into IS NULL AND s.erased_at IS NULL AND ($3::uuid IS NULL OR c.lead_id > $3)
ORDER BY c.lead_id LIMIT $2
"""


async def touched_by_colleague(conn: Connection, rep_id: str, *, after: UUID | None, limit: int) -> list[UUID]:
    """Return leads that a rep touched and that have clocks which a colleague's touch meets, not met so far.

    In order, from the one after `after` on.
    """
    rows = await conn.fetch(_TOUCHED, rep_id, limit, after)
    return [row[0] for row in rows]


async def of_changed_calendar(conn: Connection, name: str, reference: str, *, limit: int) -> list[UUID]:
    """Return leads with clocks that run on an older version of a calendar."""
    rows = await conn.fetch(
        "SELECT DISTINCT c.lead_id FROM clock c JOIN subject s ON s.subject_id = c.lead_id"
        " WHERE c.hours = $1 AND c.hours NOT IN ('wall', 'rep') AND c.next_at IS NOT NULL"
        " AND coalesce(nullif(c.steps_by, ''), c.calendar) <> $2"
        " AND s.merged_into IS NULL ORDER BY c.lead_id LIMIT $3",
        name,
        reference,
        limit,
    )
    return [row[0] for row in rows]


async def look_again(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Let the clocks of leads follow hours that changed while they did not run, as merged ones."""
    for statement in _LOOK_AGAIN:
        await conn.execute(statement, list(lead_ids))


_OPEN: Final = "SELECT FROM clock c WHERE c.lead_id = ANY($1::uuid[]) AND c.next_at IS NOT NULL"
_LOOK_AGAIN: Final = (
    f"UPDATE rep SET recompute = true WHERE EXISTS ({_OPEN} AND c.rep_id = rep.rep_id AND c.rep_version < version)",  # noqa: S608
    f"UPDATE calendar SET recompute = true WHERE EXISTS ({_OPEN} AND c.hours = name)",  # noqa: S608
    f"UPDATE setting SET recompute = true WHERE EXISTS ({_OPEN} AND c.rep_id = '' AND c.rep_version < zone_version)",  # noqa: S608
)


async def note_changes(conn: Connection, given: Sequence[tuple[Clock, str, Terms]]) -> None:
    """Keep on record what calendars and merges moved: (clock as it is now, the calendar before, its terms before)."""
    await conn.execute(
        "INSERT INTO clock_change (lead_id, clock, cycle, round, calendar_before, calendar, due_before, due_at,"
        " started_before) SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::text[], $6::text[],"
        " $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])",
        [clock.lead_id for clock, _, _ in given],
        [clock.clock for clock, _, _ in given],
        [clock.cycle for clock, _, _ in given],
        [clock.round for clock, _, _ in given],
        [before for _, before, _ in given],
        [clock.calendar for clock, _, _ in given],
        [terms.due_at for _, _, terms in given],
        [clock.terms.due_at for clock, _, _ in given],
        [terms.started_at for _, _, terms in given],
    )


async def changes(conn: Connection, lead_id: UUID) -> list[Any]:
    """Return what calendars and merges moved of a lead's clocks, in order."""
    rows: list[Any] = await conn.fetch(
        "SELECT clock, cycle, round, at, calendar_before, calendar, due_before, due_at FROM clock_change"
        " WHERE lead_id = $1 ORDER BY at",
        lead_id,
    )
    return rows
