"""What sla-monitor learns from the topics that it reads: facts first, then what they mean for clocks."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backbone import times
from backbone.consumer import Incoming
from backbone.database import Connection
from sla_monitor import store, taking_in
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
        rows = await store.load(conn, {lead for e in about for lead in (e.subject, e.original_subject)})
        batch = Batch()
        for event in incoming:
            taking_in.note(batch, rows, event)
            _note_live(rows, event)
        await self._applying.apply(conn, batch, rows)


def _note_live(rows: Mapping[UUID, Row], event: Incoming) -> None:
    message: Any = event.message
    row = rows.get(event.original_subject)
    if row is not None and message.stamp.live:
        row.note_live(times.at(message.stamp.recorded_at))
