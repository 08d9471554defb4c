"""What notifications learns, and the messages that follow from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from backbone import ids, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from handoff.events.v1 import common_pb2, qualification_pb2, routing_pb2
from notifications import domain, events, store
from notifications.domain import Channel, Kind, State

Said = tuple[str, Kind, dict[str, Any]]
"""(rep, kind, body)"""
TAKEN_OVER: Final = "taken_over"
"""A team that moves in with its open work knows of it."""


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox, *, email_on: bool) -> None:
        self._outbox = outbox
        self._email_on = email_on
        self.some_wait = False
        """Messages were added that somebody has to send."""

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Keep what messages are made of, then make them."""
        leads = {event.subject: _lead(event) for event in incoming if event.type in _OF_LEADS and not event.erased}
        if leads:
            await store.note_leads(conn, list(leads.values()))
        reps = dict(_rep(event) for event in incoming if event.type in _OF_REPS)
        if reps:
            await store.note_reps(conn, reps)
        wanted = [(event, said) for event in incoming if not event.erased for said in _said(event)]
        if wanted:
            known = await store.recipients(conn, {said[0] for _, said in wanted})
            messages = [one for event, said in wanted for one in self._messages(event, said, known)]
            if messages:
                await store.add(conn, messages)
                self.some_wait = self.some_wait or any(one["state"] == State.PENDING for one in messages)
        for event in incoming:
            if event.type == "PersonalDataErased":
                message: Any = event.message
                await store.erase(conn, [UUID(one) for one in (message.stamp.lead_id, *message.merged_lead_ids)])
                await self._outbox.add(conn, [events.deleted(message.stamp, message.erasure_id, event.subject)])

    def _messages(self, event: Incoming, said: Said, known: dict[str, domain.Recipient]) -> list[dict[str, Any]]:
        rep_id, kind, body = said
        return [
            {
                "message_id": ids.new(),
                "event_id": event.id,
                "channel": str(channel),
                "rep_id": rep_id,
                "lead_id": event.subject,
                "kind": str(kind),
                # The console shows it from its own stream; the row is the log.
                "body": body if channel is not Channel.CONSOLE else {},
                "state": str(State.DELIVERED if channel is Channel.CONSOLE else State.PENDING),
            }
            for channel in domain.channels_for(known[rep_id], kind, email_on=self._email_on)
        ]


def _lead(event: Incoming) -> tuple[UUID, str, bytes, UUID]:
    message: Any = event.message
    key_of = UUID(message.key_lead_id) if message.key_lead_id else event.subject
    return event.subject, message.lead.company, message.sealed, key_of


def _rep(event: Incoming) -> tuple[str, str]:
    rep: common_pb2.Rep = event.message.rep  # type: ignore[attr-defined]
    return rep.rep_id, rep.email


def _said(event: Incoming) -> list[Said]:
    """Return who is told what; nobody of what is no news."""
    say = _SAYING.get(event.type)
    return say(event.message) if say is not None else []


def _routed(message: routing_pb2.LeadRouted) -> list[Said]:
    if not message.stamp.live or message.outcome == TAKEN_OVER:
        return []
    why = message.qualification.why_passed
    return [(message.rep_id, Kind.ROUTED, {"company": message.lead.company, "why": why, "rule": message.rule})]


def _alerted(message: Any) -> list[Said]:
    kind = {"warning": Kind.WARNING, "breach": Kind.BREACH, "escalation": Kind.ESCALATION}[message.alert.level]
    body = {"clock": message.clock.clock, "due_at": times.text(times.at(message.clock.due_at))}
    told = {
        "rep": [message.clock.rep_id],
        # Where nobody has the lead, those who lead the reps that could.
        "manager": list(message.alert.manager_ids) or [message.clock.manager_id],
    }
    return [(one, kind, body) for one in told.get(message.alert.to, []) if one]


def _handed_back(message: qualification_pb2.LeadHandedBack) -> list[Said]:
    if not message.sdr_id or not message.stamp.live:
        return []
    return [(message.sdr_id, Kind.HANDED_BACK, {"reason": message.qualification.reason})]


_OF_LEADS: Final = frozenset({"LeadCaptured", "LeadUpdated", "LeadMerged"})
_OF_REPS: Final = frozenset({"RepChanged", "LeadRouted"})
_SAYING: Final[Mapping[str, Callable[[Any], list[Said]]]] = {
    "LeadRouted": _routed,
    "SlaWarned": _alerted,
    "SlaBreached": _alerted,
    "SlaEscalated": _alerted,
    "LeadHandedBack": _handed_back,
}
