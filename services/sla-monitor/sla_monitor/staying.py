"""Promises that stay with a merged lead: what was kept or had ended by then stays on record there, and begins nothing.

What was open at the merge goes on with the survivor, and counts there alone. A lead's merge and what happened to it
come on different topics: what was known of it when it was merged decides, whichever is read first.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor import store_links, store_marks
from sla_monitor.domain import Facts, Marked, Promise
from sla_monitor.starting import holder_of

Over = Callable[[Facts], Awaitable[set[Promise]]]
"""Which promises of a lead were kept or had ended, by some facts."""
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)


async def note(
    conn: Connection, facts: Mapping[UUID, Facts], over: Over, as_of: datetime = FOR_EVER
) -> dict[UUID, Facts]:
    """Return the facts of leads, with what those had who were merged into them by an instant, and what stayed there."""
    survivors = {one for one, said in facts.items() if said.is_survivor and any(mark.policy for mark in said.marks)}
    into = await store_links.into(conn, survivors, as_of) if survivors else {}
    found = dict(facts)
    for member, (_, theirs) in (await at_merge(conn, into, over, as_of)).items():
        said = found[into[member]]
        # While it was part of another, that one had the lead's own as well.
        brought = {mark.mark_id for mark in said.marks if mark.is_brought}
        stayed = {one for one in (*theirs.stayed, *await over(theirs)) if one[0] in brought}
        missed = [mark for mark in theirs.of(Marked.MEETING_MISSED) if mark.mark_id in brought]
        holders = {mark.mark_id: holder_of(mark, theirs) for mark in missed}
        found[into[member]] = replace(said, stayed={*said.stayed, *stayed}, holders={**said.holders, **holders})
    return found


async def at_merge(
    conn: Connection, lead_ids: Iterable[UUID], over: Over, as_of: datetime = FOR_EVER
) -> dict[UUID, tuple[datetime, Facts]]:
    """Return of those of the leads that are another's by an instant since when, and what was known of them then."""
    merged_at = await store_links.merged_at(conn, list(lead_ids), as_of)
    found: dict[UUID, tuple[datetime, Facts]] = {}
    for at in set(merged_at.values()):
        then = await store_marks.facts(conn, [one for one, since in merged_at.items() if since == at], as_of=at)
        found |= {one: (at, said) for one, said in (await note(conn, then, over, at)).items()}
    return found
