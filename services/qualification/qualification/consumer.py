"""What qualification learns from intake, routing, forecast and the console."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from backbone import lead_values, subjects, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from backbone.weeks import Zone
from handoff.events.v1 import common_pb2, console_pb2, intake_pb2, routing_pb2
from qualification import dealing, domain, events, moving, reasons, rescoring, store, store_reports
from qualification import desk as desks
from qualification.desk import Desk
from qualification.domain import Stage
from qualification.reasons import Reasons
from qualification.store import Row
from qualification.store_definitions import Compiled

CAPTURES = intake_pb2.LeadCaptured | intake_pb2.LeadUpdated
KINDS: Final = frozenset(
    {
        "LeadCaptured",
        "LeadUpdated",
        "EngagementRecorded",
        "LeadMerged",
        "LeadUnmerged",
        "PersonalDataErased",
        "LeadRouted",
        "AssignmentReleased",
        "OpportunityMoved",
        "OpportunityWon",
        "OpportunityLost",
        "SettingsChanged",
    }
)
"""The event types that this service reads."""
GIVES_REASON: Final = frozenset({"AssignmentReleased", "OpportunityLost"})
PEOPLE: Final = frozenset({"rep", "manager"})
"""By whom an assignment is closed that no other service's event ends."""
ELSEWHERE: Final = frozenset({"owner_id", "assigned_at", "status", "disqualified_reason"})
"""What is told of how a lead stands in the system that it comes from."""
RECYCLING: Final = frozenset({"recycled", "unreachable"})
OVER: Final = frozenset({Stage.NURTURE, Stage.DISQUALIFIED, Stage.CUSTOMER})


@dataclass(frozen=True, slots=True)
class Handler:
    """Applies batches."""

    outbox: Outbox
    compiled: Compiled
    most: int
    """Engagements of a lead that count."""

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Take in what happened, score whom it concerns, move and announce."""
        for event in incoming:
            if isinstance(event.message, console_pb2.SettingsChanged):
                await store_reports.count_in(conn, Zone(event.message.zone, event.message.week_starts or "mon"))
        read = [event for event in incoming if _stamp(event).lead_id]
        if not read:
            return
        if deals := {dealing.whose(event) for event in read} - {event.subject for event in read}:
            await subjects.lock(conn, deals)
        desk = await desks.open_desk(conn, self.compiled, _concerned(read))
        said = await reasons.load(conn) if any(map(_gives_reason, read)) else Reasons({})
        done = [event for event in read if event.type == "EngagementRecorded"]
        await store.add_engagements(conn, [_engagement(event) for event in done if not event.erased])
        for event in read:
            message = event.message
            if isinstance(message, intake_pb2.PersonalDataErased):
                await _erase(conn, desk, event, message)
            elif not event.erased:
                desk.changed |= {event.subject, event.original_subject}
                row, own = desk.rows[event.subject], desk.rows[event.original_subject]
                row.recorded_at, stage = times.at(_stamp(event).recorded_at), own.state.stage
                _take_in(desk, row, own, event, said)
                dealing.take_in(desk, own, event, said)
                if isinstance(message, intake_pb2.LeadUnmerged) and own.ended != "won":
                    await _lower(conn, desk, own, Stage.CUSTOMER)
                if own is not row and own.state.stage is not stage:
                    moving.unite(desk, row, own)
                    if stage in moving.HANDED_OVER and own.state.stage not in moving.HANDED_OVER:
                        await _lower(conn, desk, row, stage)
        await rescoring.rescore(conn, desk, most=self.most)
        await desk.finish(conn, self.outbox)


async def _lower(conn: Connection, desk: Desk, survivor: Row, stage: Stage) -> None:
    """Take back to what a survivor was what a merge made of it, by a lead that had ended before, as is read after."""
    if survivor.state.stage is not stage:
        return
    own = [(move.before, move.reason) for move in desk.moves if move.lead_id == survivor.lead_id]
    last = own[-1] if own else await store.last_move(conn, survivor.lead_id)
    if last is not None and last[1] == moving.MERGED:
        moving.lower(desk, survivor, last[0])


def _gives_reason(event: Incoming) -> bool:
    message = event.message
    return event.type in GIVES_REASON or (isinstance(message, CAPTURES) and bool(message.standing.disqualified_reason))


def _stamp(event: Incoming) -> common_pb2.Stamp:
    """Return what every event of KINDS begins with."""
    stamp: common_pb2.Stamp = event.message.stamp  # type: ignore[attr-defined]
    return stamp


def _concerned(read: Sequence[Incoming]) -> set[UUID]:
    concerned = {lead_id for event in read for lead_id in (event.subject, event.original_subject, dealing.whose(event))}
    for event in read:
        if isinstance(event.message, intake_pb2.LeadMerged):
            concerned.add(UUID(event.message.merged_id))
    return concerned


def _engagement(event: Incoming) -> store.Did:
    message = event.message
    assert isinstance(message, intake_pb2.EngagementRecorded)
    return store.Did(
        engagement_id=UUID(message.engagement_id),
        lead_id=UUID(message.original_lead_id),
        kind=message.kind,
        at=times.at(message.stamp.occurred_at),
        properties=lead_values.plain_struct(message.properties),
    )


def _take_in(desk: Desk, row: Row, own: Row, event: Incoming, said: Reasons) -> None:
    """Take in what is said of `row`, or of its `own`, a lead that is part of it by now.

    What became of that one before it was merged may be read after that: it is no word about the survivor.
    """
    message = event.message
    if isinstance(message, CAPTURES):
        # An old snapshot of a lead that was merged into this one since is not this one's.
        _learn(desk, row, message.stamp, message.lead if message.stamp.lead_id == str(row.lead_id) else None)
        is_own = own is row or domain.is_further(Stage(message.standing.stage or Stage.NEW), row.state.stage)
        if message.HasField("standing") and is_own and _counts(row, message.standing):
            reason = message.standing.disqualified_reason
            desk.standings[row.lead_id] = message.standing, said.why(reason) if reason else desks.NO_REASON
        desk.score_anew(row.lead_id, "" if _tells_more(message) else None)
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _learn(desk, row, message.stamp, None)
        desk.score_anew(row.lead_id, message.kind)
    elif isinstance(message, intake_pb2.LeadMerged):
        _merged(desk, row, message, is_undone=event.undone)
    elif isinstance(message, intake_pb2.LeadUnmerged):
        if str(own.lead_id) == message.unmerged_id:
            moving.unmerge(desk, own)
        _learn(desk, own, message.stamp, message.lead)
        desk.score_anew(own.lead_id)
    elif isinstance(message, routing_pb2.LeadRouted):
        _routed(own, message)
    elif isinstance(message, routing_pb2.AssignmentReleased):
        _released(desk, own, message, said)


def _merged(desk: Desk, survivor: Row, message: intake_pb2.LeadMerged, *, is_undone: bool) -> None:
    if str(survivor.lead_id) == message.merged_id:
        return  # Undone in the same batch.
    if not is_undone:
        moving.merge(desk, survivor.lead_id, UUID(message.merged_id))
    # A survivor that was itself merged since has a snapshot of its own.
    snapshot = message.lead if str(survivor.lead_id) == message.survivor_id else None
    _learn(desk, survivor, message.stamp, snapshot)
    desk.score_anew(survivor.lead_id)


def _learn(desk: Desk, row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    if fields is not None:
        row.fields = fields
        row.occurred_at = times.at(fields.created_at)
    if stamp.live and not row.live:
        row.live = True
        desk.woken.add(row.lead_id)
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)


def _tells_more(message: CAPTURES) -> bool:
    """Say whether a lead told more of itself; neither who corrects it speaks for it, nor a nightly list."""
    if not isinstance(message, intake_pb2.LeadUpdated):
        return True
    is_list = message.HasField("standing") and not set(message.changed) - ELSEWHERE
    return not (message.verified or is_list)


def _counts(row: Row, standing: common_pb2.Standing) -> bool:
    """Say whether another system's word counts: not against what people decided here, nor where it knows nothing."""
    if not standing.stage or standing.stage == row.state.stage:
        return bool(standing.stage)
    is_further = row.state.stage in domain.BEYOND_SCORING
    if standing.stage == Stage.CUSTOMER and not is_further:
        return True  # Whoever bought is nobody's lead any more, whatever people here thought would come of it.
    by_people = row.state.decided_by_person or is_further
    return standing.stage != Stage.NEW and (row.state.definition == domain.IMPORTED or not by_people)


def _routed(row: Row, message: routing_pb2.LeadRouted) -> None:
    row.rep_id, row.assignment_cycle = message.rep_id, message.cycle
    # Who gets what an SDR made ready, did not make it so.
    if message.rep.role == "sdr" and (row.sdr_id is None or message.qualification.stage not in moving.WITH_SALES):
        row.sdr_id = message.rep_id
    if row.handed_at is None and row.state.stage is Stage.MQL:
        row.handed_at = times.at(message.assigned_at if message.HasField("assigned_at") else message.stamp.occurred_at)


def _released(desk: Desk, row: Row, message: routing_pb2.AssignmentReleased, said: Reasons) -> None:
    if message.outcome == "merged":
        return  # It is of the lead that is part of this one by now; who has this one has it still.
    if message.cycle >= row.assignment_cycle and row.rep_id == message.rep_id:
        row.rep_id, row.previous_rep = None, message.rep_id
    row.declined += message.outcome == "declined"
    if message.released_by == "qualification" or row.state.stage in OVER:
        return
    why = said.why(message.reason or message.outcome, by=message.released_by or None)
    by_people = message.released_by in PEOPLE
    if message.outcome in RECYCLING:
        until = times.at(message.until) if message.HasField("until") else said.rest_until(why.code, desk.now)
        moving.recycle(desk, row, why=why, until=until, closed=by_people)
    elif message.outcome == "disqualified":
        moving.disqualify(desk, row, why=why, closed=by_people)
    elif message.outcome == "converted" and by_people:
        _converted(desk, row, message)


def _converted(desk: Desk, row: Row, message: routing_pb2.AssignmentReleased) -> None:
    """Whoever closes a lead as converted says yes to it: an SDR as by `accept`, sales as by `confirm`.

    An SDR who says so of what is sales' by now has said it before. What the definition asks before a yes is asked here
    too: until it is answered, the lead waits in the SDRs' queue.
    """
    why = desks.Why(by=message.released_by)
    if row.state.stage is Stage.SRL and message.rep_id != row.sdr_id:
        moving.confirm(desk, row, why=why)
    elif row.state.stage is Stage.MQL:
        with suppress(domain.Refused):
            desk.check_accept(row)
            moving.accept(desk, row, sdr_id=message.rep_id, why=why)


async def _erase(conn: Connection, desk: Desk, event: Incoming, message: intake_pb2.PersonalDataErased) -> None:
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    await store.erase(conn, gone)
    for lead_id in gone:
        row = desk.rows.get(lead_id)
        if row is not None:
            row.fields, row.score, row.review_since, row.next_score_at = None, None, None, None
            row.state = replace(row.state, bant={})
            desk.note_place(row)
    answer = common_pb2.PersonalDataDeleted(stamp=message.stamp, erasure_id=message.erasure_id, service="qualification")
    desk.tell(events.event(desk.rows[event.subject], answer, desk.now))
