"""What each event says of a lead: pure changes of rows and facts in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import times
from backbone.consumer import Incoming
from console.batch import Batch
from console.store_leads import Assigned, Lead
from handoff.events import topics
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2

# By whom a lead's fields are known: intake's snapshot is newer than the copy in a decision, whichever comes first.
_BY_INTAKE: Final = "intake"
_BY_QUALIFICATION: Final = "qualification"
_BY_ROUTING: Final = "routing"
_RANKS: Final = {"": 0, _BY_ROUTING: 1, _BY_QUALIFICATION: 2, _BY_INTAKE: 3}


def is_of_lead(event: Incoming) -> bool:
    """Say whether an event is about a lead."""
    return bool(event.message.stamp.lead_id)  # type: ignore[attr-defined]


def leads_of(incoming: Iterable[Incoming]) -> set[UUID]:
    """Return every lead that the events are about: as they were told, and who it is by now."""
    found: set[UUID] = set()
    for event in incoming:
        if is_of_lead(event):
            found.add(event.original_subject)
            if event.subject is not event.original_subject:
                found.add(event.subject)
        others = _OTHERS.get(event.type)
        if others is not None:
            found.update(UUID(lead_id) for lead_id in others(event.message))
    return found


def erased_by(event: Incoming) -> list[UUID]:
    """Return the leads that a PersonalDataErased erases."""
    return [UUID(lead_id) for lead_id in _of_erasure(event.message)]


def _of_erasure(message: Any) -> Sequence[str]:
    return (message.stamp.lead_id, *message.merged_lead_ids)


_OTHERS: Final[Mapping[str, Callable[[Any], Sequence[str]]]] = {
    "LeadMerged": lambda message: (message.survivor_id, message.merged_id),
    "LeadUnmerged": lambda message: (message.survivor_id, message.unmerged_id),
    "PersonalDataErased": _of_erasure,
}
"""Leads that an event is about beside the one that it is said of."""


def note(batch: Batch, event: Incoming) -> None:
    """Change the batch's rows by what the event says. Of a lead that is erased only its end is noted."""
    told = _NOTERS.get(event.type)
    if told is None or (event.erased and event.type not in _OF_ERASED):
        return
    told(batch, event, event.message)
    if event.type in _IN_JOURNEY and is_of_lead(event) and (not event.erased or event.type == "PersonalDataErased"):
        value = event.message.SerializeToString()
        batch.facts.entries.append((event.id, event.original_subject, event.time, event.type, value))


def _stamped(batch: Batch, event: Incoming, lead: Lead) -> Lead:
    stamp = event.message.stamp  # type: ignore[attr-defined]
    if stamp.live and not lead.live:
        lead.live = True
        batch.told[lead.lead_id] = None
    if stamp.HasField("arrived_at") and (lead.arrived_at is None or event.topic == _BY_INTAKE):
        lead.arrived_at = times.at(stamp.arrived_at)
        batch.told[lead.lead_id] = None
    return lead


def _know(batch: Batch, lead: Lead, fields: common_pb2.LeadFields, by: str) -> None:
    """Take a snapshot of the lead's fields, unless a better one is there."""
    if _RANKS[by] < _RANKS[lead.fields_by]:
        return
    value = fields.SerializeToString()
    if value == lead.fields and by == lead.fields_by:
        return
    lead.fields, lead.fields_by = value, by
    lead.company, lead.job_title = fields.company or fields.account_domain, fields.job_title
    lead.source = fields.source or fields.last_touch.source
    if fields.HasField("created_at"):
        lead.created_at = times.at(fields.created_at)
    batch.told[lead.lead_id] = None


def _judge(batch: Batch, lead: Lead, said: common_pb2.Qualification, by: str) -> None:
    if lead.qualified_by == _BY_QUALIFICATION and by != _BY_QUALIFICATION:
        return
    value = said.SerializeToString()
    if value == lead.qualification and by == lead.qualified_by:
        return
    lead.qualification, lead.qualified_by = value, by
    lead.stage, lead.grade, lead.why_passed = said.stage, said.grade, said.why_passed
    batch.told[lead.lead_id] = None


def _captured(batch: Batch, event: Incoming, message: Any) -> None:
    lead = _stamped(batch, event, batch.lead(event))
    _know(batch, lead, message.lead, _BY_INTAKE)
    if message.sealed and message.sealed != lead.sealed:
        lead.sealed, lead.to_open = message.sealed, True
        lead.key_lead_id = UUID(message.key_lead_id) if message.key_lead_id else lead.lead_id
        batch.told[lead.lead_id] = None


def _merged(batch: Batch, event: Incoming, message: intake_pb2.LeadMerged) -> None:
    survivor = UUID(message.survivor_id)
    batch.touched[UUID(message.merged_id)] = None
    batch.touched[survivor] = None
    if event.original_subject == survivor:
        _captured(batch, event, message)


def _touched(batch: Batch, event: Incoming, message: intake_pb2.TouchRecorded) -> None:
    _stamped(batch, event, batch.lead(event))
    of = UUID(message.original_lead_id) if message.original_lead_id else event.original_subject
    at = times.at(message.stamp.occurred_at)
    batch.facts.touches.append((UUID(message.touch_id), of, message.rep_id, message.kind, at))


def _consented(batch: Batch, event: Incoming, message: intake_pb2.ConsentChanged) -> None:
    lead = _stamped(batch, event, batch.lead(event))
    key, at = (lead.lead_id, message.purpose), times.at(message.at)
    known = batch.facts.consents.get(key)
    if known is None or known[4] <= at:
        batch.facts.consents[key] = (*key, message.basis, message.granted, at, message.text_version)


def _erased(batch: Batch, event: Incoming, _: intake_pb2.PersonalDataErased) -> None:
    for lead_id in erased_by(event):
        known = batch.leads[lead_id]
        kept = Lead(lead_id, v=known.v, live=known.live, arrived_at=known.arrived_at, created_at=known.created_at)
        batch.leads[lead_id] = kept
        batch.touched[lead_id] = None
        batch.told[lead_id] = None


def _scored(batch: Batch, event: Incoming, message: Any) -> None:
    lead = _stamped(batch, event, batch.lead(event))
    _judge(batch, lead, message.qualification, _BY_QUALIFICATION)
    if event.type in _WITH_FIELDS and message.HasField("lead"):
        _know(batch, lead, message.lead, _BY_QUALIFICATION)
    if event.type in _WITH_BANT:
        lead.bant = message.bant.SerializeToString()
        batch.told[lead.lead_id] = None
    elif event.type == "HotLeadDetected":
        lead.hot_at = event.time
        batch.told[lead.lead_id] = None
        if message.stamp.live:
            batch.notices.append((event.subject, "hot", ""))


def _assignment(batch: Batch, event: Incoming, cycle: int, rep_id: str, at: datetime) -> Assigned:
    lead_id = event.original_subject
    batch.reassigned[lead_id, cycle] = None
    batch.lead(event)
    cycles = batch.assigned.setdefault(lead_id, {})
    known = cycles.get(cycle)
    if known is None:
        known = cycles[cycle] = Assigned(lead_id, cycle, rep_id, at)
    return known


def _routed(batch: Batch, event: Incoming, message: routing_pb2.LeadRouted) -> None:
    lead = _stamped(batch, event, batch.lead(event))
    _know(batch, lead, message.lead, _BY_ROUTING)
    if message.HasField("qualification"):
        _judge(batch, lead, message.qualification, _BY_ROUTING)
    assigned_at = times.at(message.assigned_at)
    row = _assignment(batch, event, message.cycle, message.rep_id, assigned_at)
    row.rep_id, row.assigned_at = message.rep_id, assigned_at
    if message.accepted and row.accepted_at is None:
        row.accepted_at = assigned_at
    for cycle, other in batch.assigned[row.lead_id].items():
        if cycle < row.cycle and other.released_at is None:
            other.released_at, other.outcome = assigned_at, "reassigned"
            batch.reassigned[row.lead_id, cycle] = None
    if message.HasField("rep"):
        _know_rep(batch, message.rep)


def _waits(batch: Batch, event: Incoming, message: routing_pb2.LeadWaiting) -> None:
    lead = _stamped(batch, event, batch.lead(event))
    _know(batch, lead, message.lead, _BY_ROUTING)


def _accepted(batch: Batch, event: Incoming, message: routing_pb2.AssignmentAccepted) -> None:
    at = times.at(message.accepted_at)
    _assignment(batch, event, message.cycle, message.rep_id, at).accepted_at = at


def _updated(batch: Batch, event: Incoming, message: routing_pb2.AssignmentUpdated) -> None:
    row = _assignment(batch, event, message.cycle, message.rep_id, times.at(message.updated_at))
    row.status, row.next_step = message.status, message.next_step
    row.next_at = times.at(message.next_at) if message.HasField("next_at") else None


def _released(batch: Batch, event: Incoming, message: routing_pb2.AssignmentReleased) -> None:
    at = times.at(message.released_at)
    row = _assignment(batch, event, message.cycle, message.rep_id, at)
    row.released_at, row.outcome = at, message.outcome


def _rep_changed(batch: Batch, event: Incoming, message: routing_pb2.RepChanged) -> None:
    _know_rep(batch, message.rep)
    batch.changed_reps[message.rep.rep_id] = None


def _know_rep(batch: Batch, rep: common_pb2.Rep) -> None:
    known = batch.facts.reps.get(rep.rep_id)
    if known is None or known[1] < rep.version:
        batch.facts.reps[rep.rep_id] = (rep.rep_id, rep.version, rep.name, rep.SerializeToString())


def _clock(batch: Batch, event: Incoming, message: Any) -> None:
    _stamped(batch, event, batch.lead(event))
    clock = message.clock
    key = (event.original_subject, clock.cycle)
    clocks = batch.clocks.get(key)
    if clocks is None:
        clocks = batch.clocks[key] = {}
    newest = clocks.get(clock.clock)
    if newest is None or newest.round <= clock.round:
        clocks[clock.clock] = clock
    batch.reclocked[key] = None
    batch.ticked.setdefault(event.subject, {})[clock.clock] = None
    if event.type == "SlaBreached":
        batch.notices.append((event.subject, "breach", clock.kind))


def _dealt(batch: Batch, event: Incoming, message: Any) -> None:
    deal = message.opportunity
    lead_id = event.original_subject if is_of_lead(event) else None
    value = deal.SerializeToString()
    batch.facts.opportunities[deal.opportunity_id] = (deal.opportunity_id, lead_id, deal.account, value)


def _happened(batch: Batch, event: Incoming, _: Any) -> None:
    """Note what is a line of the journey, and changes no list."""
    if is_of_lead(event):
        _stamped(batch, event, batch.leads[event.original_subject])


_NOTERS: Final[Mapping[str, Callable[[Batch, Incoming, Any], None]]] = {
    "LeadCaptured": _captured,
    "LeadUpdated": _captured,
    "LeadMerged": _merged,
    "LeadUnmerged": _captured,
    "EngagementRecorded": _happened,
    "TouchRecorded": _touched,
    "ConsentChanged": _consented,
    "PersonalDataErased": _erased,
    **dict.fromkeys(
        (
            *("LeadScored", "LeadQualified", "LeadSalesReady", "LeadSalesQualified", "LeadHandedBack", "LeadDemoted"),
            *("LeadRecycled", "LeadDisqualified", "LeadConverted", "HotLeadDetected", "ReviewQueued", "ReviewEnded"),
        ),
        _scored,
    ),
    "LeadRouted": _routed,
    "LeadWaiting": _waits,
    "AssignmentAccepted": _accepted,
    "AssignmentUpdated": _updated,
    "AssignmentReleased": _released,
    "RepChanged": _rep_changed,
    "ClockStarted": _clock,
    "ClockMet": _clock,
    "ClockCancelled": _clock,
    **dict.fromkeys(("SlaWarned", "SlaBreached", "SlaEscalated"), _clock),
    **dict.fromkeys(("BreachRetracted", "EscalationRetracted", "AlertRestored"), _clock),
    "OpportunityOpened": _dealt,
    "OpportunityMoved": _dealt,
    "OpportunityWon": _dealt,
    "OpportunityLost": _dealt,
    "NotificationDelivered": _happened,
    "NotificationFailed": _happened,
}
_WITH_FIELDS: Final = frozenset(
    name
    for name, kind in topics.EVENTS["qualification"].items()
    if name in _NOTERS and "lead" in kind.DESCRIPTOR.fields_by_name
)
_WITH_BANT: Final = frozenset({"LeadSalesReady", "LeadSalesQualified"})
OF_CLOCKS: Final = frozenset(name for name, told in _NOTERS.items() if told is _clock)
KINDS: Final = tuple(_NOTERS)
"""The event types that the console reads."""
_OF_ERASED: Final = frozenset({"PersonalDataErased", "AssignmentReleased", "ClockCancelled", "RepChanged"})
_IN_JOURNEY: Final = frozenset(_NOTERS) - {"RepChanged", "ClockStarted", "ClockCancelled"}
