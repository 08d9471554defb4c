"""What sla-monitor learns from the topics that it reads: facts first, then what they mean for clocks."""

from collections.abc import Sequence

from backbone.consumer import Incoming
from backbone.database import Connection
from sla_monitor import store, taking_in
from sla_monitor.applying import Applying
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
        await self._applying.apply(conn, batch, rows)
