"""What the console learns from others: personal data that is to be deleted."""

from collections.abc import Sequence

from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import common_pb2, intake_pb2


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Answer erasures; the console holds nothing else of a person yet."""
        answers = []
        for event in incoming:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                message = common_pb2.PersonalDataDeleted(
                    stamp=event.message.stamp, erasure_id=event.message.erasure_id, service="console"
                )
                answers.append(Event(subject=event.subject, message=message))
        await self._outbox.add(conn, answers)
