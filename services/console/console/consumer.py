"""What the console learns, from all topics: leads as pages show them, and for whom that is a change.

Everything is kept under the lead that it was said of; who was merged into whom is looked up when it is read, so that an
unmerge leaves both sides whole. Topics have no common order: an assignment may come before the lead that it is of.
"""

from collections.abc import Sequence

from backbone import outbox
from backbone.consumer import Incoming
from backbone.database import Connection
from console import changing, events, noting, store_changes, store_clocks, store_leads
from console.batch import Batch
from console.store_changes import Change

TOPICS = ("intake", "qualification", "routing", "sla", "forecast", "notifications")
KINDS = noting.KINDS


class Handler:
    """Applies batches."""

    def __init__(self, out: outbox.Outbox) -> None:
        self._outbox = out

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Note what the events say, then say whose pages it changes."""
        leads = noting.leads_of(incoming)
        known, hidden = await store_leads.load(conn, leads)
        batch = Batch(leads=known, assigned=await store_leads.assignments(conn, leads))
        if ticking := {event.original_subject for event in incoming if event.type in noting.OF_CLOCKS}:
            batch.clocks.update(await store_clocks.load(conn, ticking))
        before = {lead_id: changing.holder(cycles) for lead_id, cycles in batch.assigned.items()}
        erasures = [event for event in incoming if event.type == "PersonalDataErased"]
        if erasures:
            await store_leads.erase(conn, [lead_id for event in erasures for lead_id in noting.erased_by(event)])
        for event in incoming:
            noting.note(batch, event)
        await store_leads.save_assignments(conn, [batch.assigned[lead][cycle] for lead, cycle in batch.reassigned])
        await store_clocks.save(conn, {key: batch.clocks[key] for key in batch.reclocked})
        await store_leads.add(conn, batch.facts)
        await _write(conn, batch, changing.changes(batch, before, hidden))
        await self._outbox.add(conn, [events.deleted(event.message, event.subject) for event in erasures])


async def _write(conn: Connection, batch: Batch, changes: Sequence[Change]) -> None:
    """Write leads, journeys and changes; positions are taken last, so that they are in the order of commits."""
    entries, told = batch.facts.entries, [batch.leads[one] for one in batch.told]
    count = len(entries) + len(changes)
    first = await store_changes.take(conn, count) if count else 0
    if changes:
        v = first + count - 1
        for lead in told:
            lead.v = v
        await store_leads.raise_versions(conn, list(batch.touched.keys() - batch.told.keys()), v)
    await store_leads.save(conn, told)
    await store_leads.add_entries(conn, entries, first)
    await store_changes.add(conn, changes, first + len(entries))
