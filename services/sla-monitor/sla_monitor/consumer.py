"""What sla-monitor learns from the topics that it reads: facts first, then what they mean for clocks."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backbone import subjects, times
from backbone.consumer import Incoming
from backbone.database import Connection
from handoff.events.v1 import intake_pb2
from sla_monitor import store, store_links, taking_in
from sla_monitor.applying import Applying
from sla_monitor.store import Row
from sla_monitor.taking_in import Batch


class Handler:
    """Applies batches."""

    def __init__(self, applying: Applying) -> None:
        self._applying = applying

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Keep the facts, start the clocks they start, judge every clock they concern."""
        about = [event for event in incoming if event.message.stamp.lead_id]  # type: ignore[attr-defined]
        concerned = {lead for e in about for lead in (e.subject, e.original_subject)}
        others = await _others(conn, incoming)
        rows = await store.load(conn, concerned | others)
        batch, unborn = Batch(news=others), [row for row in rows.values() if not row.live]
        for event in incoming:
            taking_in.note(batch, rows, event)
            _note_arrival(rows, event)
        # What was told of a lead before it was known to live has its meaning now.
        batch.news.update(row.lead_id for row in unborn if row.live)
        await self._applying.apply(conn, batch, rows)


async def _others(conn: Connection, incoming: Sequence[Incoming]) -> set[UUID]:
    """Return whom events concern beside those that they are about, and lock them.

    By a merge or its undoing a lead may leave one for another; and what happened to a lead that is another's by now
    counts for the clocks, too, of those who had it before, and of those in between.
    """
    named = {event.original_subject for event in incoming if event.original_subject != event.subject}
    for event in incoming:
        message = event.message
        if isinstance(message, intake_pb2.LeadMerged):
            named |= {UUID(message.merged_id), UUID(message.survivor_id)}
        elif isinstance(message, intake_pb2.LeadUnmerged):
            named |= {UUID(message.unmerged_id), UUID(message.survivor_id)}
        elif isinstance(message, intake_pb2.TouchRecorded | intake_pb2.EngagementRecorded):
            named |= {UUID(message.original_lead_id)} - {event.subject}
        elif taking_in.tells_of_deal(event):
            named |= {taking_in.recorded_for(event)} - {event.subject}
    if not named:
        return named
    concerned = named | await store_links.above(conn, named)
    await subjects.lock(conn, concerned)
    return concerned


def _note_arrival(rows: Mapping[UUID, Row], event: Incoming) -> None:
    message: Any = event.message
    row = rows.get(event.original_subject)
    if row is not None and message.stamp.live:
        row.note_live(times.at(message.stamp.recorded_at))
        # Another topic may be read first, and say what the lead has become since.
        if event.topic == "intake":
            row.note_arrival()
