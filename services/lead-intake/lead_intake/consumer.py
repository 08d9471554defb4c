"""What lead-intake learns from others: who has a lead, and that personal data is deleted."""

from collections.abc import Sequence
from uuid import UUID

from backbone.consumer import Incoming
from backbone.database import Connection
from handoff.events.v1 import common_pb2, routing_pb2
from lead_intake import store


async def handle(conn: Connection, events: Sequence[Incoming]) -> None:
    """Note owners and answers to erasures."""
    owners: dict[UUID, tuple[int, str | None]] = {}
    for event in events:
        message = event.message
        if isinstance(message, routing_pb2.LeadRouted | routing_pb2.AssignmentReleased):
            rep_id = message.rep_id if isinstance(message, routing_pb2.LeadRouted) else None
            # Of the very lead: that a merged lead's assignment was released says nothing of its survivor's.
            if message.cycle >= owners.get(event.original_subject, (0, None))[0]:
                owners[event.original_subject] = (message.cycle, rep_id)
    has = [(lead_id, rep_id, cycle) for lead_id, (cycle, rep_id) in owners.items() if rep_id is not None]
    released = [(lead_id, cycle) for lead_id, (cycle, rep_id) in owners.items() if rep_id is None]
    if has:
        await store.set_owners(conn, has)
    if released:
        await store.clear_owners(conn, released)
    answers = {
        (UUID(event.message.erasure_id), event.message.service)
        for event in events
        if isinstance(event.message, common_pb2.PersonalDataDeleted)
    }
    if answers:
        await conn.execute(
            "INSERT INTO erasure_answer (erasure_id, service) SELECT * FROM unnest($1::uuid[], $2::text[])"
            " ON CONFLICT DO NOTHING",
            [answer[0] for answer in answers],
            [answer[1] for answer in answers],
        )
