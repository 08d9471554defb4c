"""What pages show: the inbox, a lead, the search, the numbers of the sidebar."""

from datetime import datetime
from typing import Final

from backbone import times
from backbone.database import Connection
from console import domain, shaping, store_changes, store_lead, store_rows
from console.store_lead import lead
from console.store_rows import counts, load, rows
from console.views import Empty, Filters, Found, Group, InboxPage, InboxRow, Person

__all__ = ["counts", "inbox", "lead", "load", "row_matches", "rows", "search"]

row_matches = domain.matches


async def inbox(conn: Connection, rep_id: str | None, filters: Filters) -> InboxPage:
    """Return a rep's inbox. Its position is read first: what changes while it is read comes again by the stream."""
    seq = await store_changes.last(conn)
    now = await times.now(conn)
    everything = await store_rows.rows_at(conn, rep_id, None, now) if rep_id is not None else []
    shown = [row for row in everything if domain.matches(row, filters)]
    selected = next((row for row in everything if row.lead_id == filters.lead), shown[0] if shown else None)
    return InboxPage(
        now=now,
        seq=seq,
        filters=filters,
        groups=_groups(shown),
        counts=_tally(everything),
        grades=tuple(sorted({row.grade for row in everything if row.grade})),
        sources=tuple(sorted({row.source for row in everything if row.source})),
        kinds=tuple(sorted({one.kind for row in everything for one in row.clocks if domain.runs(one)})),
        load=await load(conn, rep_id),
        panel=await store_lead.panel(conn, selected, now) if selected is not None else None,
        empty=await _empty(conn, rep_id, everything, shown, now),
    )


def _groups(shown: list[InboxRow]) -> tuple[Group, ...]:
    groups = []
    for key in dict.fromkeys(row.group for row in shown):
        of_group = tuple(row for row in shown if row.group == key)
        note, note_at = domain.group_note(key, of_group)
        groups.append(Group(key=key, rows=of_group, title=domain.title(key), note=note, note_at=note_at))
    return tuple(groups)


def _tally(everything: list[InboxRow]) -> dict[str, int]:
    return {
        "due": sum(domain.is_due(row) for row in everything),
        "all": len(everything),
        "new": sum(row.new for row in everything),
        "hot": sum(row.hot for row in everything),
    }


async def _empty(
    conn: Connection, rep_id: str | None, everything: list[InboxRow], shown: list[InboxRow], now: datetime
) -> Empty | None:
    if shown:
        return None
    if rep_id is None:
        return Empty(why="no_rep")
    if everything:
        later = [one.due_at for row in everything for one in row.clocks if domain.runs(one) and one.due_at > now]
        if any(domain.is_due(row) for row in everything):
            return Empty(why="filtered", next_due_at=min(later, default=None))
        return Empty(why="no_clock", next_due_at=min(later, default=None))
    ever = await conn.fetchval("SELECT EXISTS (SELECT FROM assignment WHERE rep_id = $1)", rep_id)
    return Empty(why="no_clock" if ever else "no_leads")


_SEARCH: Final = """
SELECT l.lead_id, l.opened, l.company, l.grade, l.stage, l.source, l.created_at,
       coalesce(r.name, a.rep_id, '') AS rep_name
FROM lead l
JOIN subject s ON s.subject_id = l.lead_id AND s.merged_into IS NULL AND s.erased_at IS NULL
LEFT JOIN assignment a ON a.lead_id = l.lead_id AND a.released_at IS NULL
LEFT JOIN rep r ON r.rep_id = a.rep_id
WHERE ($1::text IS NULL OR a.rep_id = $1)
  AND ($2 = '' OR l.company ILIKE $3 OR l.opened ->> 'email' ILIKE $3 OR l.opened ->> 'phone' ILIKE $3
       OR concat_ws(' ', l.opened ->> 'first_name', l.opened ->> 'last_name') ILIKE $3)
ORDER BY l.lead_id DESC LIMIT $4
"""


async def search(conn: Connection, person: Person, q: str, limit: int) -> list[Found]:
    """Return the newest leads with this in their name, address or company, that the person may see."""
    if person.role in ("rep", "sdr") and person.rep_id is None:
        return []
    own = person.rep_id if person.role in ("rep", "sdr") else None
    pattern = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    records = await conn.fetch(_SEARCH, own, q, pattern, limit)
    return [
        Found(
            lead_id=one["lead_id"],
            name=shaping.name(one["opened"]),
            company=one["company"],
            grade=one["grade"],
            stage=one["stage"],
            source=one["source"],
            rep_name=one["rep_name"],
            created_at=one["created_at"],
        )
        for one in records
    ]
