"""What events say, as facts: touches, assignments and marks, each of the lead that it was recorded for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import ids, times
from backbone.consumer import Incoming
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2
from sla_monitor import taking_meetings
from sla_monitor.domain import DEMOTED, Mark, Marked, Touch
from sla_monitor.store import Release, Row
from sla_monitor.store_links import Link
from sla_monitor.store_reps import RepSeen


@dataclass(frozen=True, slots=True)
class Beginning:
    """How the lead stood of which something was told that starts clocks, as told by that event and its own key.

    By these alone, so that it means the same whatever of whom it is merged into is read first.
    """

    lead: common_pb2.LeadFields
    qualification: common_pb2.Qualification | None = None


@dataclass(slots=True)
class Batch:
    """What the events of a batch say."""

    touches: list[tuple[UUID, Touch, datetime]] = field(default_factory=list)
    marks: list[tuple[UUID, Mark, datetime]] = field(default_factory=list)
    """(The lead that it was recorded for, mark, when we learned of it)."""
    news: set[UUID] = field(default_factory=set)
    """The leads of which something is new; what is of a merged one is the survivor's."""
    beginnings: dict[UUID, Beginning] = field(default_factory=dict)
    """By mark: of those alone that start clocks."""
    hosts: dict[UUID, str] = field(default_factory=dict)
    """By mark: the address of whoever hosts the meeting that it is of, as the source named it."""
    routed: list[tuple[UUID, routing_pb2.LeadRouted]] = field(default_factory=list)
    accepted: list[tuple[UUID, int, datetime]] = field(default_factory=list)
    released: list[Release] = field(default_factory=list)
    linked: list[Link] = field(default_factory=list)
    unlinked: list[tuple[UUID, datetime]] = field(default_factory=list)
    """(Who is a lead of its own again, when that was recorded)."""
    unmerged: list[UUID] = field(default_factory=list)
    """Those of them that this says of for the first time."""
    reps: list[RepSeen] = field(default_factory=list)
    promises: list[Any] = field(default_factory=list)
    settings: list[Any] = field(default_factory=list)
    erased: list[Incoming] = field(default_factory=list)


_FORECAST: Final = "forecast"

_OF_NO_LEAD: Final[Mapping[str, Callable[[Batch, Any], None]]] = {
    "RepChanged": lambda batch, said: batch.reps.append(RepSeen(said.rep, times.at(said.changed_at), is_told=True)),
    "SettingsChanged": lambda batch, message: batch.settings.append(message),
    "DefinitionActivated": lambda batch, message: batch.promises.append(message),
    "DefinitionRetired": lambda batch, message: batch.promises.append(message),
}


def note(batch: Batch, rows: dict[UUID, Row], event: Incoming) -> None:
    """Take in an event: what it says of its lead goes to the lead's row, facts to the batch."""
    if event.type in _OF_NO_LEAD:
        _OF_NO_LEAD[event.type](batch, event.message)
    elif isinstance(event.message, intake_pb2.PersonalDataErased):
        batch.erased.append(event)
    elif event.erased:
        return
    elif event.topic == "routing":
        # The cycle is the lead's own that routing names, whatever it was merged into meanwhile.
        batch.news.add(event.original_subject)
        _note_routing(batch, rows[event.original_subject], event.message)
    elif event.topic in _TELLING_MARKS:
        if event.topic != _FORECAST or tells_of_deal(event):
            _note_mark(batch, rows, event)
    else:
        _note_intake(batch, rows, event)


def _note_intake(batch: Batch, rows: dict[UUID, Row], event: Incoming) -> None:
    # Who is one lead by now, had an age and an arrival of its own: each key tells its lead's, in order.
    message, row = event.message, rows[event.original_subject]
    if isinstance(message, intake_pb2.TouchRecorded):
        batch.news.add(event.subject)
        batch.touches.append((UUID(message.original_lead_id), _touch(message), times.at(message.stamp.recorded_at)))
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _learn(row, message.stamp, None)
        _note_meeting(batch, message, event.subject, row)
    elif isinstance(message, intake_pb2.LeadMerged):
        batch.news.add(event.subject)
        batch.linked.append((UUID(message.merged_id), UUID(message.survivor_id), times.at(message.stamp.recorded_at)))
        if event.original_subject == UUID(message.survivor_id):
            _learn(row, message.stamp, message.lead)
        if event.original_subject == UUID(message.merged_id):
            # Its own key tells in order; the survivor's may be read when it is a lead of its own again.
            row.closed = row.changed = True
    elif isinstance(message, (intake_pb2.LeadCaptured, intake_pb2.LeadUpdated, intake_pb2.LeadUnmerged)):
        _learn(row, message.stamp, message.lead)
        if isinstance(message, intake_pb2.LeadUnmerged):
            batch.news.add(event.subject)
            batch.unlinked.append((UUID(message.unmerged_id), times.at(message.stamp.recorded_at)))
            if event.original_subject != UUID(message.survivor_id):
                _arrive_alone(rows[UUID(message.survivor_id)], message)
            if row.closed:
                row.closed = False
                batch.unmerged.append(row.lead_id)


def _arrive_alone(row: Row, message: intake_pb2.LeadUnmerged) -> None:
    """Learn when a survivor came, without the one that left it, though its own key does not tell that yet.

    Else both would run by one arrival meanwhile, and be told of one deadline.
    """
    at = times.at(message.stamp.recorded_at)
    if row.created_at is None or row.recorded_at is None or row.recorded_at >= at:
        return
    if message.HasField("survivor_arrived_at") and row.arrived_at != times.at(message.survivor_arrived_at):
        row.before.append((at, row.created_at, row.source, row.arrived_at))
        row.arrived_at, row.changed = times.at(message.survivor_arrived_at), True


def _learn(row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    created_at, source, arrived_at = row.created_at, row.source, row.arrived_at
    if fields is not None:
        row.created_at, row.source = times.at(fields.created_at), fields.first_touch.source or fields.source
        row.fields = fields.SerializeToString()
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)
    now = (row.created_at, row.source, row.arrived_at if arrived_at is not None else None)
    if created_at is not None and (created_at, source, arrived_at) != now:
        row.before.append((times.at(stamp.recorded_at), created_at, source, arrived_at))
    row.changed = True
    row.recorded_at = times.at(stamp.recorded_at)
    row.known_at = min(row.known_at or row.recorded_at, row.recorded_at)
    row.live = row.live or stamp.live


def _touch(message: intake_pb2.TouchRecorded) -> Touch:
    return Touch(
        touch_id=UUID(message.touch_id),
        rep_id=message.rep_id,
        kind=message.kind,
        outcome=message.outcome,
        automated=message.automated,
        at=times.at(message.stamp.occurred_at),
        next_at=times.at(message.next_at) if message.HasField("next_at") else None,
    )


# Marks


def _note_meeting(batch: Batch, message: intake_pb2.EngagementRecorded, subject: UUID, row: Row) -> None:
    mark = taking_meetings.mark(message)
    if mark is None:
        return
    batch.marks.append((UUID(message.original_lead_id), mark, times.at(message.stamp.recorded_at)))
    batch.news.add(subject)
    if host := taking_meetings.host(message):
        batch.hosts[mark.mark_id] = host
    if mark.kind == Marked.MEETING_MISSED and message.stamp.live:
        batch.beginnings[mark.mark_id] = Beginning(row.lead_fields())


def _out(of: str) -> Callable[[Any], dict[str, Any]]:
    return lambda message: {"ref": of, "word": message.qualification.reason}


def tells_of_deal(event: Incoming) -> bool:
    """Say whether a deal tells what became of a lead: what has none, or renews a customer's, does not."""
    message: Any = event.message
    return event.topic == _FORECAST and bool(message.stamp.lead_id) and message.opportunity.type != "renewal"


def recorded_for(event: Incoming) -> UUID:
    """Return the lead that an event is recorded for, which it leaves with when a merge is undone.

    Deals are told under the key of whoever their lead is one with by then, and name their own.
    """
    message: Any = event.message
    return UUID(message.stamp.lead_id) if event.topic == _FORECAST else event.original_subject


def _deal(message: Any) -> dict[str, Any]:
    return {"ref": message.opportunity.opportunity_id, "word": message.opportunity.stage}


def _delivered(message: Any) -> dict[str, Any]:
    return {"word": message.qualification.definition, "ref": ",".join(message.qualification.missing)}


_MARKED: Final[Mapping[str, tuple[Marked, Callable[[Any], dict[str, Any]]]]] = {
    "LeadQualified": (Marked.QUALIFIED, _delivered),
    "LeadSalesReady": (Marked.SALES_READY, lambda message: {"rep_id": message.sdr_id, **_delivered(message)}),
    "LeadSalesQualified": (Marked.SALES_QUALIFIED, lambda message: {"rep_id": message.rep_id}),
    "LeadHandedBack": (
        Marked.HANDED_BACK,
        lambda message: {"rep_id": message.rep_id, "word": message.qualification.reason},
    ),
    "LeadDisqualified": (Marked.OUT, lambda said: _out(DEMOTED if said.by_score else "disqualified")(said)),
    "LeadRecycled": (Marked.OUT, _out("recycled")),
    "LeadDemoted": (Marked.OUT, _out(DEMOTED)),
    "LeadConverted": (Marked.OUT, _out("converted")),
    "ReviewQueued": (Marked.QUEUED, lambda _: {"word": "review"}),
    "OpportunityOpened": (Marked.DEAL_OPENED, _deal),
    "OpportunityMoved": (Marked.DEAL_MOVED, _deal),
    "OpportunityWon": (Marked.WON, _deal),
}
MERGED: Final = "merged"
"""Why qualification raised a lead that another was merged into."""
_TELLING_MARKS: Final = ("qualification", _FORECAST)
_QUEUED_BY: Final = ("LeadQualified", "LeadHandedBack")
"""Events after which a lead may wait for an SDR's judgement though no ReviewQueued says so."""


def _note_mark(batch: Batch, rows: dict[UUID, Row], event: Incoming) -> None:
    message: Any = event.message
    if event.original_subject == event.subject:
        _wake(rows[event.subject], message)
    if event.type == "ReviewEnded":
        kind, said = (Marked.JUDGED if message.decided else Marked.UNQUEUED), {"word": message.queue}
    else:
        kind, say = _MARKED[event.type]
        said = say(message)
    _keep_mark(batch, rows, event, kind, said)
    if event.type in _QUEUED_BY and message.qualification.queue:
        _keep_mark(batch, rows, event, Marked.QUEUED, {"word": message.qualification.queue})


def _wake(row: Row, message: Any) -> None:
    """Learn of a lead what intake has not told yet: topics have no common order, and its clocks start now."""
    if not message.stamp.live:
        return
    if row.fields is None and "lead" in message.DESCRIPTOR.fields_by_name and message.HasField("lead"):
        _learn(row, message.stamp, message.lead)
    elif not row.live:
        _learn(row, message.stamp, None)


def _keep_mark(batch: Batch, rows: Mapping[UUID, Row], event: Incoming, kind: Marked, said: dict[str, Any]) -> None:
    """Keep it with the lead that it was recorded for: what concerns that one alone is not the survivor's."""
    message: Any = event.message
    at, lead_id = times.at(message.stamp.occurred_at), recorded_for(event)
    # Of what qualification derives nobody knew before it did so, and its stamp has when the lead's newest fact was
    # recorded. A deal may be told long after it was won.
    known_at = max(at, times.at(message.stamp.recorded_at)) if event.topic == _FORECAST else at
    mark = Mark(mark_id=ids.derived("mark", kind, str(event.id)), kind=kind, at=at, **said)
    batch.marks.append((lead_id, mark, known_at))
    batch.news |= {event.subject, lead_id}
    # What a merge made of it is no promise of its own: what was promised the other one goes on with it.
    is_own = kind == Marked.QUEUED or (kind == Marked.QUALIFIED and message.qualification.reason != MERGED)
    if is_own and message.stamp.live:
        lead = message.lead if message.HasField("lead") else rows[lead_id].lead_fields()
        batch.beginnings[mark.mark_id] = Beginning(lead, message.qualification)


# Assignments


def _note_routing(batch: Batch, row: Row, message: Message) -> None:
    lead_id = row.lead_id
    if isinstance(message, routing_pb2.LeadRouted):
        if message.stamp.live and not row.live:
            row.live = row.changed = True
        batch.routed.append((lead_id, message))
        since = max(times.at(message.assigned_at), times.at(message.stamp.recorded_at))
        batch.reps.append(RepSeen(message.rep, since, is_told=False))
        if message.accepted:
            batch.accepted.append((lead_id, message.cycle, times.at(message.assigned_at)))
    elif isinstance(message, routing_pb2.AssignmentAccepted):
        batch.accepted.append((lead_id, message.cycle, times.at(message.accepted_at)))
    elif isinstance(message, routing_pb2.AssignmentReleased):
        outcome = DEMOTED if message.by_score else message.outcome
        said = (times.at(message.released_at), outcome, message.reason, message.without_outcome)
        batch.released.append((lead_id, message.cycle, *said))
    elif isinstance(message, routing_pb2.AssignmentUpdated):
        until = times.at(message.next_at) if message.HasField("next_at") else None
        marked: dict[str, Any] = {"word": message.status, "rep_id": message.rep_id, "until": until}
        _keep_routing_mark(batch, lead_id, Marked.STATUS, times.at(message.updated_at), marked)
    elif isinstance(message, routing_pb2.LeadWaiting):
        since = times.at(message.stamp.occurred_at)
        _keep_routing_mark(batch, lead_id, Marked.WAITING, since, {"word": message.reason_code})


def _keep_routing_mark(batch: Batch, lead_id: UUID, kind: Marked, at: datetime, said: dict[str, Any]) -> None:
    mark_id = ids.derived("mark", kind, str(lead_id), times.text(at))
    batch.marks.append((lead_id, Mark(mark_id=mark_id, kind=kind, at=at, **said), at))
