"""Promises that stay with a merged lead: what was kept or had ended by then stays on record there, and begins nothing.

What was open at the merge goes on with the survivor, and counts there alone. A lead's merge and what happened to it
come on different topics: what was known of it when it was merged decides, whichever is read first.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from backbone.database import Connection
from sla_monitor import store_links, store_marks
from sla_monitor.domain import FOR_EVER, Brought, Facts, Mark
from sla_monitor.starting import holder_of

Over = Callable[[Facts], Awaitable[Mapping[UUID, Collection[str]]]]
"""Which clocks of a lead were over by some facts, by the marks that began them."""


async def note(
    conn: Connection, facts: Mapping[UUID, Facts], over: Over, as_of: datetime = FOR_EVER
) -> dict[UUID, Facts]:
    """Return the facts of leads, with what is to be known of the marks that others brought by an instant."""
    survivors = {one for one, said in facts.items() if said.is_survivor and any(mark.policy for mark in said.marks)}
    into = await store_links.into(conn, survivors, as_of) if survivors else {}
    found = dict(facts)
    for member, (at, theirs) in (await at_merge(conn, into, over, as_of)).items():
        said, is_over = found[into[member]], await over(theirs)
        known = {mark.mark_id: mark for mark in theirs.marks}
        # While it was part of another, that one had the lead's own as well.
        brought = [known[mark.mark_id] for mark in said.marks if mark.is_brought and mark.mark_id in known]
        news = {mark.mark_id: _brought(mark, theirs, at, is_over.get(mark.mark_id, ())) for mark in brought}
        found[into[member]] = replace(said, brought={**said.brought, **news})
    return found


def _brought(mark: Mark, theirs: Facts, at: datetime, over: Collection[str]) -> Brought:
    before = theirs.brought.get(mark.mark_id)
    return Brought(since=at, holder=holder_of(mark, theirs), over={*over, *(before.over if before else ())})


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
