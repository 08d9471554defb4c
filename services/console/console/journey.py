"""What happened to a lead, event by event, in words: pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import times
from console import domain
from console.views import Clock, Entry
from handoff.events import topics

_CLASSES: Final[Mapping[str, type[Message]]] = {
    name: kind for events in topics.EVENTS.values() for name, kind in events.items()
}
_TOUCHES: Final = {"call": "Call", "email": "E-mail", "meeting": "Meeting", "message": "Message"}
_BUYING: Final = frozenset({"demo_requested", "contact_requested", "trial_started", "meeting_booked", "meeting_missed"})
_TOLD: Final = ("title", "page", "form", "url", "name", "campaign")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Who reads, and whom they know by name."""

    rep_id: str | None
    names: Mapping[str, str]

    def name(self, rep_id: str) -> str:
        """Return a rep's name, `you` for the reader's own."""
        if rep_id and rep_id == self.rep_id:
            return "you"
        return self.names.get(rep_id) or rep_id or "nobody"


Said = tuple[str, str, str, bool]
"""(kind, title, note, milestone)"""


def message_of(kind: str, value: bytes) -> Any:
    """Return the message of a line."""
    return _CLASSES[kind].FromString(value)


def entry(event_id: UUID, at: datetime, kind: str, value: bytes, reader: Reader) -> Entry:
    """Return one line."""
    message = message_of(kind, value)
    shown, title, note, milestone = _SAYING[kind](message, reader)
    raw = getattr(message, "event_id", "")
    return Entry(
        entry_id=str(event_id),
        at=at,
        kind=shown,
        title=title,
        note=note,
        milestone=milestone,
        mine=kind == "LeadRouted" and message.rep_id == reader.rep_id,
        event_id=raw or None,
    )


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return the lines, oldest first, with the time since the one before; a merge that both sides tell stands once."""
    made: list[Entry] = []
    for one in sorted(entries, key=lambda line: line.at):
        last = made[-1] if made else None
        if last is not None and one.kind == last.kind and one.kind in ("merged", "unmerged") and one.at == last.at:
            continue
        gap = (one.at - last.at).total_seconds() if last is not None else None
        milestone = one.milestone or (one.kind == "scored" and not _has_score(made, one.title))
        made.append(replace(one, gap_seconds=gap, milestone=milestone))
    return made


def expected(clocks: Iterable[Clock]) -> list[Entry]:
    """Return the deadlines that are still to come."""
    running = sorted((one for one in clocks if one.state in ("running", "paused")), key=lambda one: one.due_at)
    return [
        Entry(
            entry_id=f"due-{one.cycle}-{one.clock}",
            at=one.due_at,
            kind="due",
            title=f"{one.label} due",
            note=f"within {domain.window(one.within_seconds)}",
            milestone=True,
            expected=True,
        )
        for one in running
    ]


def _has_score(made: Sequence[Entry], title: str) -> bool:
    scored = [line for line in made if line.kind == "scored"]
    return bool(scored) and scored[-1].title == title


def _words(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _plain(code: str) -> str:
    return code.replace("_", " ")


def _captured(message: Any, _: Reader) -> Said:
    via = f"Received from {message.provider}" if message.provider else "Received"
    touch = message.lead.last_touch
    return "captured", via, _words(message.lead.source, touch.campaign), True


def _updated(message: Any, _: Reader) -> Said:
    changed = ", ".join(_plain(name) for name in message.changed)
    return "updated", "Checked by a person" if message.verified else "Updated", changed, False


def _merged(message: Any, _: Reader) -> Said:
    return "merged", "Merged with another lead", _plain(message.reason), True


def _unmerged(message: Any, _: Reader) -> Said:
    return "unmerged", "Merge undone", _plain(message.reason), True


def _engaged(message: Any, _: Reader) -> Said:
    told = [message.properties[name] for name in _TOLD if name in message.properties]
    texts = [one for one in told if isinstance(one, str)][:2]
    return "engagement", _plain(message.kind).capitalize(), _words(*texts, message.source), message.kind in _BUYING


def _touched(message: Any, reader: Reader) -> Said:
    title = f"{_TOUCHES.get(message.kind, message.kind)}, {message.outcome}"
    note = _words(f"by {reader.name(message.rep_id)}", "automated" if message.automated else "", message.next_step)
    return "touch", title, note, True


def _consented(message: Any, _: Reader) -> Said:
    given = "Consent given" if message.granted else "Consent taken back"
    return "consent", f"{given}: {_plain(message.purpose)}", message.basis, False


def _erased(_message: Any, _: Reader) -> Said:
    return "erased", "Personal data erased", "", True


def _scored(message: Any, _: Reader) -> Said:
    said = message.qualification
    return "scored", f"Scored: fit {said.fit:g}, interest {said.interest:g}", said.definition, False


def _stage(kind: str, title: str) -> Callable[[Any, Reader], Said]:
    def say(message: Any, _: Reader) -> Said:
        said = message.qualification
        grade = f", grade {said.grade}" if said.grade and kind == "qualified" else ""
        return kind, f"{title}{grade}", _words(said.why_passed, _plain(said.reason), said.definition), True

    return say


def _review_ended(message: Any, _: Reader) -> Said:
    title = "Judged" if message.decided else "Needs no judgement any more"
    return "review", title, "BANT" if message.queue == "bant" else "review", True


def _routed(message: Any, reader: Reader) -> Said:
    over = "over the cap" if message.over_cap else ""
    rule = f"rule {message.rule}" if message.rule else ""
    pool = f"pool {message.pool}" if message.pool else ""
    note = _words(f"policy@{message.policy_version}" if message.policy_version else "", rule, pool, over)
    verb = "Taken over by" if message.outcome == "taken_over" else "Routed to"
    return "routed", f"{verb} {reader.name(message.rep_id)}", note, True


def _waiting(message: Any, _: Reader) -> Said:
    pool = f"pool {message.pool}" if message.pool else ""
    return "waiting", f"Waits: {_plain(message.reason_code)}", _words(message.rule, pool), True


def _accepted(message: Any, reader: Reader) -> Said:
    return "accepted", f"Accepted by {reader.name(message.rep_id)}", "clocks run on until a touch", True


def _status(message: Any, reader: Reader) -> Said:
    return "status", f"Status: {_plain(message.status)}", _words(message.next_step, reader.name(message.rep_id)), False


def _released(message: Any, reader: Reader) -> Said:
    title = f"{_plain(message.outcome).capitalize()} by {message.released_by}" if message.released_by else ""
    note = _words(f"was with {reader.name(message.rep_id)}", _plain(message.reason))
    return "released", title or _plain(message.outcome).capitalize(), note, True


def _label(message: Any) -> str:
    return domain.label(message.clock.kind, dict(message.clock.touches_needed))


def _window(message: Any) -> str:
    window = times.at(message.clock.due_at) - times.at(message.clock.started_at)
    return f"within {domain.window(window.total_seconds())}"


def _met(message: Any, _: Reader) -> Said:
    clock = message.clock
    if not clock.HasField("met_at"):
        return "clock_met", f"{_label(message)} met", "", True
    met_at, due_at = times.at(clock.met_at), times.at(clock.due_at)
    if clock.state == "breached":
        late = domain.duration((met_at - due_at).total_seconds())
        return "clock_met", f"{_label(message)}, late", _words(f"late {late}", _window(message)), True
    took = domain.duration(max(0.0, (met_at - times.at(clock.started_at)).total_seconds()))
    return "clock_met", f"{_label(message)} met", _words(f"in {took}", _window(message)), True


def _alerted(kind: str, word: str) -> Callable[[Any, Reader], Said]:
    def say(message: Any, reader: Reader) -> Said:
        whose = reader.name(message.clock.rep_id) if message.clock.rep_id else ""
        return kind, f"{_label(message)}: {word}", _words(_window(message), whose), True

    return say


def _dealt(title: str) -> Callable[[Any, Reader], Said]:
    def say(message: Any, reader: Reader) -> Said:
        deal = message.opportunity
        amount = f"{deal.currency} {deal.amount}" if deal.amount else ""
        owner = reader.name(deal.owner_id) if deal.owner_id else ""
        return "opportunity", title, _words(deal.name, amount, _plain(deal.stage), owner), True

    return say


def _notified(word: str) -> Callable[[Any, Reader], Said]:
    def say(message: Any, reader: Reader) -> Said:
        one = message.notification
        return "notified", word, _words(_plain(one.kind), one.channel, reader.name(one.rep_id)), False

    return say


_SAYING: Final[Mapping[str, Callable[[Any, Reader], Said]]] = {
    "LeadCaptured": _captured,
    "LeadUpdated": _updated,
    "LeadMerged": _merged,
    "LeadUnmerged": _unmerged,
    "EngagementRecorded": _engaged,
    "TouchRecorded": _touched,
    "ConsentChanged": _consented,
    "PersonalDataErased": _erased,
    "LeadScored": _scored,
    "LeadQualified": _stage("qualified", "MQL"),
    "LeadSalesReady": _stage("srl", "SRL"),
    "LeadSalesQualified": _stage("sql", "SQL"),
    "LeadHandedBack": _stage("handed_back", "Handed back"),
    "LeadDemoted": _stage("demoted", "Demoted"),
    "LeadRecycled": _stage("recycled", "Recycled"),
    "LeadDisqualified": _stage("disqualified", "Disqualified"),
    "LeadConverted": _stage("converted", "Customer"),
    "HotLeadDetected": _stage("hot", "Hot"),
    "ReviewQueued": _stage("review", "Waits for review"),
    "ReviewEnded": _review_ended,
    "LeadRouted": _routed,
    "LeadWaiting": _waiting,
    "AssignmentAccepted": _accepted,
    "AssignmentUpdated": _status,
    "AssignmentReleased": _released,
    "ClockMet": _met,
    "SlaWarned": _alerted("warned", "running out"),
    "SlaBreached": _alerted("breached", "missed"),
    "BreachRetracted": _alerted("retracted", "miss taken back"),
    "SlaEscalated": _alerted("escalated", "escalated"),
    "EscalationRetracted": _alerted("retracted", "escalation taken back"),
    "AlertRestored": _alerted("breached", "stands after all"),
    "OpportunityOpened": _dealt("Opportunity opened"),
    "OpportunityMoved": _dealt("Opportunity moved"),
    "OpportunityWon": _dealt("Opportunity won"),
    "OpportunityLost": _dealt("Opportunity lost"),
    "NotificationDelivered": _notified("Alerted"),
    "NotificationFailed": _notified("Alert failed"),
}
