"""A service of the tests' own: it writes down every event that it is handed, and answers each with one."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from backbone import database, outbox, process
from backbone.consumer import Consumer, Incoming
from backbone.settings import ServiceSettings
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2

READS: Final = ("intake", "qualification")


class Ledger:
    """Refuses what it is told to refuse."""

    def __init__(self, reads: Iterable[str] = READS, *, answers: bool = True) -> None:
        self.reads = tuple(reads)
        self.answers = answers
        self.poison: set[str] = set()
        self.batches: list[int] = []
        self.consumer: Consumer | None = None

    async def compose(self, service: process.Service[ServiceSettings]) -> None:
        """Be a service."""
        async with service.database.transaction() as conn:
            await conn.execute(
                "CREATE TABLE IF NOT EXISTS ledger"
                " (position bigint GENERATED ALWAYS AS IDENTITY, lead_id uuid, note text)"
            )
        self.out = service.outbox
        self.consumer = service.consume(self.reads, self.handle)

    async def handle(self, conn: database.Connection, events: Sequence[Incoming]) -> None:
        """Write down and answer."""
        self.batches.append(len(events))
        notes = [note_of(event) for event in events]
        if self.poison & set(notes):
            raise ValueError("a value that must not show")
        await conn.execute(
            "INSERT INTO ledger (lead_id, note) SELECT * FROM unnest($1::uuid[], $2::text[])",
            [event.subject for event in events],
            notes,
        )
        if not self.answers:
            return
        await self.out.add(
            conn,
            [
                outbox.Event(subject=event.subject, message=routing_pb2.AssignmentAccepted(rep_id=note))
                for event, note in zip(events, notes, strict=True)
            ],
        )


def note_of(event: Incoming) -> str:
    """Return what stands in the ledger for an event."""
    if isinstance(event.message, intake_pb2.TouchRecorded):
        return event.message.kind
    if isinstance(event.message, routing_pb2.AssignmentAccepted):
        return event.message.rep_id
    return event.type


def touch(lead_id: UUID, note: str) -> tuple[UUID, intake_pb2.TouchRecorded]:
    """Return an event to publish on intake's topic."""
    return lead_id, intake_pb2.TouchRecorded(stamp=common_pb2.Stamp(lead_id=str(lead_id), live=True), kind=note)


async def read(db: database.Database) -> list[tuple[UUID, str]]:
    """Return what was written down, in order."""
    async with db.reading() as conn:
        return [(row[0], row[1]) for row in await conn.fetch("SELECT lead_id, note FROM ledger ORDER BY position")]
