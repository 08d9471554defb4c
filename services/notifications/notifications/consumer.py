"""What notifications learns, and the messages that follow from it."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from backbone import ids, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from handoff.events.v1 import intake_pb2, qualification_pb2, routing_pb2, sla_pb2
from notifications import domain, events, store
from notifications.domain import Channel, Kind, State

TAKEN_OVER: Final = "taken_over"
"""A team that moves in with its open work knows of it."""


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox, *, email_on: bool) -> None:
        self._outbox = outbox
        self._email_on = email_on

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Keep what messages are made of, then make them."""
        leads = [row for event in incoming if not event.erased and (row := _lead(event)) is not None]
        if leads:
            await store.note_leads(conn, list({row[0]: row for row in leads}.values()))
        reps = {
            event.message.rep.rep_id: event.message.rep.email
            for event in incoming
            if isinstance(event.message, routing_pb2.RepChanged | routing_pb2.LeadRouted)
        }
        if reps:
            await store.note_reps(conn, reps)
        wanted = [(event, said) for event in incoming if not event.erased and (said := _said(event)) is not None]
        if wanted:
            known = await store.recipients(conn, {said[0] for _, said in wanted})
            messages = [one for event, said in wanted for one in self._messages(event, said, known)]
            if messages:
                await store.add(conn, messages)
        for event in incoming:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                message = event.message
                await store.erase(conn, [UUID(one) for one in (message.stamp.lead_id, *message.merged_lead_ids)])
                await self._outbox.add(conn, [events.deleted(message.stamp, message.erasure_id, event.subject)])

    def _messages(
        self, event: Incoming, said: tuple[str, Kind, dict[str, Any]], known: dict[str, domain.Recipient]
    ) -> list[dict[str, Any]]:
        rep_id, kind, body = said
        return [
            {
                "message_id": ids.new(),
                "event_id": event.id,
                "channel": str(channel),
                "rep_id": rep_id,
                "lead_id": event.subject,
                "kind": str(kind),
                "body": body,
                # The console shows it from its own stream; the row is the log.
                "state": str(State.DELIVERED if channel is Channel.CONSOLE else State.PENDING),
            }
            for channel in domain.channels_for(known[rep_id], kind, email_on=self._email_on)
        ]


def _lead(event: Incoming) -> tuple[UUID, str, bytes, UUID] | None:
    message = event.message
    if not isinstance(message, intake_pb2.LeadCaptured | intake_pb2.LeadUpdated | intake_pb2.LeadMerged):
        return None
    key_of = UUID(message.key_lead_id) if message.key_lead_id else event.subject
    return event.subject, message.lead.company, message.sealed, key_of


def _said(event: Incoming) -> tuple[str, Kind, dict[str, Any]] | None:
    """Return who is told what, None for what is no news to anybody."""
    message = event.message
    if isinstance(message, routing_pb2.LeadRouted):
        if not message.stamp.live or message.outcome == TAKEN_OVER:
            return None
        why = message.qualification.why_passed
        return message.rep_id, Kind.ROUTED, {"company": message.lead.company, "why": why, "rule": message.rule}
    if isinstance(message, sla_pb2.SlaWarned | sla_pb2.SlaBreached | sla_pb2.SlaEscalated):
        kind = {"warning": Kind.WARNING, "breach": Kind.BREACH, "escalation": Kind.ESCALATION}[message.alert.level]
        to = message.clock.manager_id if message.alert.to == "manager" else message.clock.rep_id
        body = {"clock": message.clock.clock, "due_at": times.text(times.at(message.clock.due_at))}
        return (to, kind, body) if to and message.alert.to in ("rep", "manager") else None
    if isinstance(message, qualification_pb2.LeadHandedBack) and message.sdr_id and message.stamp.live:
        return message.sdr_id, Kind.HANDED_BACK, {"reason": message.qualification.reason}
    return None
