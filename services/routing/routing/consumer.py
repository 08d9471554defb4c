"""What routing learns from intake, qualification, the SLA and forecast."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from backbone import subjects, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from backbone.reasons import Why
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, qualification_pb2, sla_pb2
from routing import dealing, deciding, events, meetings, merging, parting, pausing, store, taking_over, transaction
from routing import desk as desks
from routing.desk import Desk
from routing.domain import Outcome, WhyNot
from routing.store import Row
from routing.store_accounts import Colleague
from routing.store_group import Cache

STAGES_OVER = {"nurture": "recycled", "new": "recycled", "disqualified": "disqualified", "customer": "converted"}

BEFORE_START: Final = timedelta(seconds=10)
"""How long before the assignment a touch may be that counts: clocks of machines differ. SLA policies say the same."""
_TELLING: Final = (intake_pb2.LeadCaptured, intake_pb2.LeadUpdated)
_QUALIFYING: Final = (qualification_pb2.LeadQualified, qualification_pb2.LeadSalesReady)
_Ending = (
    qualification_pb2.LeadDemoted
    | qualification_pb2.LeadRecycled
    | qualification_pb2.LeadDisqualified
    | qualification_pb2.LeadConverted
)

_ENDS_WORK = _Ending | qualification_pb2.LeadHandedBack | forecast_pb2.OpportunityLost


class Handler:
    """Applies batches under the group's lock."""

    def __init__(self, outbox: Outbox, cache: Cache) -> None:
        self._outbox = outbox
        self._cache = cache

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Take in what happened, route whom it makes ready, drain the room that it frees."""
        deals = await dealing.take_in(conn, incoming)
        about = [event for event in incoming if event.message.stamp.lead_id]  # type: ignore[attr-defined]
        paused = [rep_id for event in about if (rep_id := pausing.whom(event.message))]
        await subjects.lock(conn, [events.rep_subject(rep_id) for rep_id in paused])
        desk = await transaction.open_desk(
            conn, self._cache, {lead_id for event in about for lead_id in _concerned(event)}
        )
        for message in (event.message for event in incoming):
            if isinstance(message, qualification_pb2.ReasonsChanged):
                await transaction.put_reasons(desk, conn, message.codes)
        for event in about:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                await _erase(conn, desk, event)
            elif not event.erased:
                _take_in(desk, event)
        await pausing.write(desk, conn)
        if deals:
            await dealing.decide_anew(desk, conn, deals.values())
        await deciding.settle(desk, conn)
        await transaction.finish(desk, conn, self._outbox, self._cache)


def _concerned(event: Incoming) -> set[UUID]:
    """Return the leads whose rows an event may change; all of them are locked."""
    concerned = {event.subject, event.original_subject}
    if isinstance(event.message, intake_pb2.PersonalDataErased):
        concerned |= {UUID(lead_id) for lead_id in event.message.merged_lead_ids}
    elif isinstance(event.message, intake_pb2.LeadUnmerged):
        concerned.add(UUID(event.message.survivor_id))
    return concerned


def _take_in(desk: Desk, event: Incoming) -> None:
    """Take in what a lead or a rep did, of whoever the lead is by now; and what is said of the lead, of it alone.

    What was said of a lead before it was merged may be read after that: it neither ends nor moves the survivor.
    """
    message, row = event.message, desk.rows[event.original_subject]
    if event.subject != event.original_subject and isinstance(message, _ENDS_WORK):
        merging.go_back(desk, desk.rows[event.subject], outcome=_outcome(message))
    if isinstance(message, _TELLING):
        _told(desk, row, message, of=desk.rows[event.subject])
    elif isinstance(message, intake_pb2.TouchRecorded):
        _touched(desk, desk.rows[event.subject], message)
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _engaged(desk, desk.rows[event.subject], message)
    elif isinstance(message, intake_pb2.LeadMerged):
        if (survivor := desk.rows.get(UUID(message.survivor_id))) is not None:
            _learn(survivor, message.stamp, message.lead)
            if survivor.lead_id in desk.waiting:
                # It knows more, and what was a colleague's deal is its own.
                _to_route(desk, survivor)
        if not event.undone:
            # Who survived may be another's by now; then what the merged one had is that one's.
            heir = survivor if survivor is not None and not survivor.closed else desk.rows[event.subject]
            merging.merge(desk, heir, desk.rows.get(UUID(message.merged_id)))
    elif isinstance(message, intake_pb2.LeadUnmerged):
        row.closed = row.closed and str(row.lead_id) != message.unmerged_id
        _learn(row, message.stamp, message.lead)
        survivor = desk.rows[UUID(message.survivor_id)]
        if survivor.brought.pop(message.unmerged_id, None) and survivor.lead_id in desk.waiting:
            # Whoever refused the other one may have it.
            _to_route(desk, survivor)
    elif isinstance(message, _QUALIFYING):
        _qualified(desk, row, message)
    elif isinstance(message, qualification_pb2.LeadHandedBack):
        _handed_back(desk, row, message)
    elif isinstance(message, _Ending):
        _over(desk, row, message)
    elif isinstance(message, qualification_pb2.LeadSalesQualified):
        row.qualification = message.qualification
        row.stage, row.own_stage = message.qualification.stage or row.stage, None
    elif isinstance(message, dealing.ENDED):
        dealing.end(desk, row, message)
    elif isinstance(message, sla_pb2.SlaEscalated):
        _escalated(desk, row, message)
    elif isinstance(message, sla_pb2.EscalationRetracted) and message.to == pausing.PAUSE:
        pausing.take_back(desk, message.clock.rep_id, message.alert_id)


def _outcome(message: _ENDS_WORK) -> str:
    """Return the outcome of an assignment that ends by this."""
    if isinstance(message, qualification_pb2.LeadHandedBack):
        return "handed_back"
    if isinstance(message, forecast_pb2.OpportunityLost):
        return "recycled"
    return STAGES_OVER.get(message.qualification.stage, "recycled")


def _told(desk: Desk, row: Row, message: intake_pb2.LeadCaptured | intake_pb2.LeadUpdated, *, of: Row) -> None:
    """Learn what a lead is; who has it elsewhere has `of`, which it may be one with by now."""
    was_live, before = row.live, (row.domain, row.company)
    _learn(row, message.stamp, message.lead)
    if (held := desk.assignments.get(row.lead_id)) is not None and (row.domain, row.company) != before:
        desk.companies.note(*before, row.lead_id, None)
        colleague = Colleague(held.assigned_at, row.lead_id, held.rep_id)
        desk.companies.note(row.domain, row.company, row.lead_id, colleague)
    if message.HasField("standing") and (of is row or not taking_over.ends_work(message.standing.stage)):
        taking_over.stand(desk, of, message.standing)
    # Told more, a lead that waits may match another rule; and history that does something today is news.
    is_news = row.lead_id in desk.waiting or (row.live and not was_live)
    if is_news and not taking_over.ends_work(message.standing.stage):
        _to_route(desk, row)


def _to_route(desk: Desk, row: Row) -> None:
    """Decide over a lead that nobody has, or that is to leave who has it."""
    if desks.is_routable(row) and (row.lead_id not in desk.assignments or desk.reasons(row.lead_id)):
        desk.to_route[row.lead_id] = None


def _learn(row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    if fields is not None:
        row.fields = fields
        row.created_at = times.at(fields.created_at)
    row.recorded_at = times.at(stamp.recorded_at)
    row.live = row.live or stamp.live
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)


def _qualified(
    desk: Desk, row: Row, message: qualification_pb2.LeadQualified | qualification_pb2.LeadSalesReady
) -> None:
    is_news = isinstance(message, qualification_pb2.LeadSalesReady) and not taking_over.is_sales_work(desk, row)
    _learn(row, message.stamp, message.lead)
    row.qualification = message.qualification
    row.stage, row.own_stage = message.qualification.stage, None
    row.host_email = message.qualification.host_email or row.host_email
    if message.previous_rep_id:
        row.previous_rep = message.previous_rep_id
    if isinstance(message, qualification_pb2.LeadSalesReady):
        row.sdr_id = message.sdr_id or row.sdr_id
    else:
        desk.withdraw(row, parting.CONVERTED)
    if is_news:
        # Sales begin anew: nobody of them declined it or touched it, and no pool that a person named was theirs.
        row.declined, row.brought, row.touched = frozenset(), {}, False
        desk.stop_waiting(row)
        taking_over.pass_on(desk, row)
    if message.HasField("standing") and not row.closed:
        taking_over.stand(desk, row, message.standing)
    _to_route(desk, row)


def _handed_back(desk: Desk, row: Row, message: qualification_pb2.LeadHandedBack) -> None:
    """Back to the same SDR, who knows the lead; else to the pool."""
    _learn(row, message.stamp, message.lead)
    row.qualification, row.stage, row.own_stage = message.qualification, message.qualification.stage, None
    desk.release(row, outcome=_outcome(message), why=Why(message.qualification.reason), by="qualification")
    row.touched = False
    desk.stop_waiting(row)
    sdr = desk.group.index.reps.get(message.sdr_id)
    away = (WhyNot.INACTIVE, WhyNot.PAUSED, WhyNot.ON_LEAVE)
    if desks.is_routable(row) and sdr is not None and sdr.open < sdr.cap and sdr.away not in away:
        desk.force(row, sdr.rep_id, outcome=Outcome.ASSIGNED, rule="handed back to its SDR", starts_clocks=True)
    else:
        _to_route(desk, row)


def _over(desk: Desk, row: Row, message: _Ending) -> None:
    row.qualification, row.stage, row.own_stage = message.qualification, message.qualification.stage, None
    row.declined, row.brought, row.touched, row.in_work = frozenset(), {}, False, False
    why, by_score = Why(message.qualification.reason), _is_by_score(message)
    desk.release(row, outcome=_outcome(message), why=why, by="qualification", by_score=by_score)
    desk.stop_waiting(row)


def _is_by_score(message: _Ending) -> bool:
    """Say whether nobody said so."""
    if isinstance(message, qualification_pb2.LeadDisqualified):
        return message.by_score
    return isinstance(message, qualification_pb2.LeadDemoted)


def _touched(desk: Desk, row: Row, message: intake_pb2.TouchRecorded) -> None:
    if message.automated:
        return
    row.touched = True
    assignment = desk.assignments.get(row.lead_id)
    if assignment is None:
        return
    if message.rep_id != assignment.rep_id and message.rep_id in desk.group.index.reps:
        return  # A colleague's touch is no answer of the rep who has the lead: the clocks of that one run on.
    if times.at(message.stamp.occurred_at) < assignment.assigned_at - BEFORE_START:
        return  # Nor is one of long before, told late.
    desk.answered(row, touched=True)
    if assignment.touched:
        return
    if assignment.is_untouched:
        desk.group.index.touch(assignment.rep_id)
    assignment.touched, assignment.touched_at = True, desk.now
    desk.changed.add(row.lead_id)


def _engaged(desk: Desk, row: Row, message: intake_pb2.EngagementRecorded) -> None:
    """Note that history became news, which qualification says of what nobody has; and who hosts its meeting."""
    if message.stamp.lead_id == str(row.lead_id):
        _learn(row, message.stamp, None)
    change = meetings.CHANGES.get(message.kind)
    if change is None:
        return
    row.meetings = change(row.meetings, dict(message.properties))
    row.host_email = meetings.host(row.meetings)
    # One that a rep closed is no rep's again until qualification says so, whatever it books.
    if row.lead_id in desk.waiting:
        _to_route(desk, row)


def _escalated(desk: Desk, row: Row, message: sla_pb2.SlaEscalated) -> None:
    """Take the lead away from who missed it, or pause them, once: only in the cycle that the escalation names.

    From whom it was taken is paused all the same.
    """
    assignment = desk.assignments.get(row.lead_id)
    is_of_cycle = assignment is not None and assignment.cycle == (message.alert.assignment_cycle or message.clock.cycle)
    if message.alert.to == pausing.PAUSE and (is_of_cycle or message.clock.rep_id in row.refused_by):
        pausing.pause(desk, message.clock.rep_id, message.alert.alert_id)
    if message.alert.to != "reassign" or assignment is None or not is_of_cycle:
        return
    row.declined = row.declined | {assignment.rep_id}
    if desks.is_routable(row):
        desk.look_for_another(row, parting.MISSED)


async def _erase(conn: Connection, desk: Desk, event: Incoming) -> None:
    message = event.message
    assert isinstance(message, intake_pb2.PersonalDataErased)
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    await store.erase(conn, gone)
    for lead_id in gone:
        row = desk.rows.get(lead_id)
        if row is not None:
            desk.release(row, outcome="erased", by="intake")
            desk.stop_waiting(row)
            row.fields, row.qualification, row.host_email, row.meetings = None, None, None, ()
    desk.outgoing.append(events.deleted(message.stamp, message.erasure_id, event.subject))
