"""What lead-intake learns from others: who has a lead, and that personal data is deleted."""

from collections.abc import Sequence
from uuid import UUID

from backbone.consumer import Incoming
from backbone.database import Connection
from handoff.events.v1 import common_pb2, routing_pb2
from lead_intake import store


async def handle(conn: Connection, events: Sequence[Incoming]) -> None:
    """Note owners and answers to erasures."""
    owners: dict[UUID, tuple[UUID, str, int]] = {}
    released: dict[UUID, int] = {}
    for event in events:
        message = event.message
        if isinstance(message, routing_pb2.LeadRouted):
            owners[event.subject] = (event.subject, message.rep_id, message.cycle)
        elif isinstance(message, routing_pb2.AssignmentReleased):
            released[event.subject] = message.cycle
    if owners:
        await store.set_owners(conn, list(owners.values()))
    if released:
        await store.clear_owners(conn, list(released.items()))
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
