"""What qualification learns from intake, routing and forecast."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from backbone import conditions, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, routing_pb2
from qualification import domain, events, moving, store
from qualification.domain import Stage
from qualification.moving import Desk
from qualification.settings import Settings
from qualification.store import Row
from qualification.store_definitions import Compiled

OUTCOMES = {"recycled", "unreachable"}


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox, compiled: Compiled, settings: Settings) -> None:
        self._outbox = outbox
        self._compiled = compiled
        self._settings = settings

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Take in what happened, score whom it concerns, move and announce."""
        about_leads = [event for event in incoming if event.message.stamp.lead_id and event.topic != "console"]  # type: ignore[attr-defined]
        subjects = {event.subject for event in about_leads} | {event.original_subject for event in about_leads}
        desk = await moving.open_desk(conn, self._compiled, subjects)
        engagements = [
            _engagement(event) for event in about_leads if isinstance(event.message, intake_pb2.EngagementRecorded)
        ]
        if engagements:
            await store.add_engagements(conn, [one for one in engagements if one is not None])
        for event in about_leads:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                await _erase(conn, desk, event)
            elif not event.erased:
                _take_in(desk, desk.rows[event.subject], event)
        await moving.rescore(conn, desk, most=self._settings.most_engagements)
        await desk.finish(conn, self._outbox)


def _engagement(event: Incoming) -> tuple[UUID, UUID, str, Any, dict[str, Any]] | None:
    message = event.message
    assert isinstance(message, intake_pb2.EngagementRecorded)
    if event.erased:
        return None
    original = UUID(message.original_lead_id)
    return (
        UUID(message.engagement_id),
        original,
        message.kind,
        times.at(message.stamp.occurred_at),
        conditions.plain_struct(message.properties),
    )


def _take_in(desk: Desk, row: Row, event: Incoming) -> None:
    message = event.message
    if isinstance(message, intake_pb2.LeadCaptured | intake_pb2.LeadUpdated):
        _learn(row, message.stamp, message.lead)
        if message.HasField("standing"):
            _import(desk, row, message.standing)
        desk.rescored[row.lead_id] = None
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _learn(row, message.stamp, None)
        desk.rescored[row.lead_id] = None
    elif isinstance(message, intake_pb2.LeadMerged):
        _merge(desk, message)
    elif isinstance(message, intake_pb2.LeadUnmerged):
        row.closed = False
        _learn(row, message.stamp, message.lead)
        desk.rescored[row.lead_id] = None
    elif isinstance(message, routing_pb2.LeadRouted):
        row.rep_id, row.assignment_cycle = message.rep_id, message.cycle
        if message.rep.role == "sdr":
            row.sdr_id = message.rep_id
    elif isinstance(message, routing_pb2.AssignmentReleased):
        _released(desk, row, message)
    elif isinstance(
        message, forecast_pb2.OpportunityWon | forecast_pb2.OpportunityLost | forecast_pb2.OpportunityMoved
    ):
        _closed(desk, row, message)


def _learn(row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    if fields is not None:
        row.fields = fields
        row.occurred_at = times.at(fields.created_at)
    row.recorded_at = times.at(stamp.recorded_at)
    row.live = row.live or stamp.live
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)


def _import(desk: Desk, row: Row, standing: common_pb2.Standing) -> None:
    """Take over the stage that another system gave the lead."""
    if not standing.stage or row.state.definition == domain.IMPORTED:
        return
    stage = Stage(standing.stage)

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Any:
        make = events.sales_ready if stage in (Stage.SRL, Stage.SQL) else events.qualified
        return make(moved, qualification, desk.now, standing)

    told = tell if stage in (Stage.MQL, Stage.SRL, Stage.SQL) else None
    desk.move(row, stage, reason=standing.disqualified_reason, by_person=True, definition=domain.IMPORTED, tell=told)


def _merge(desk: Desk, message: intake_pb2.LeadMerged) -> None:
    survivor, merged = desk.rows.get(UUID(message.survivor_id)), desk.rows.get(UUID(message.merged_id))
    if merged is not None:
        merged.closed = True
        merged.review_since = None
    if survivor is not None:
        _learn(survivor, message.stamp, message.lead)
        desk.rescored[survivor.lead_id] = None


def _released(desk: Desk, row: Row, message: routing_pb2.AssignmentReleased) -> None:
    if message.cycle >= row.assignment_cycle and row.rep_id == message.rep_id:
        row.rep_id, row.previous_rep = None, message.rep_id
    if message.released_by == "qualification" or row.state.stage in (Stage.NURTURE, Stage.DISQUALIFIED, Stage.CUSTOMER):
        return
    if message.outcome in OUTCOMES:
        until = times.at(message.until) if message.HasField("until") else None
        moving.recycle(desk, row, reason=message.reason or message.outcome, until=until, by_person=True)
    elif message.outcome == "disqualified":
        moving.disqualify(desk, row, reason=message.reason or "other")


def _closed(desk: Desk, row: Row, message: Any) -> None:
    if isinstance(message, forecast_pb2.OpportunityWon) and row.state.stage is not Stage.CUSTOMER:
        desk.move(row, Stage.CUSTOMER, by_person=True)
    elif isinstance(message, forecast_pb2.OpportunityLost) and row.state.stage in (Stage.SRL, Stage.SQL):
        moving.recycle(desk, row, reason=message.reason or "lost", until=None, by_person=True)
    elif (
        isinstance(message, forecast_pb2.OpportunityMoved)
        and message.opportunity.stage == "qualified"
        and row.state.stage is Stage.SRL
    ):
        moving.confirm(desk, row)


async def _erase(conn: Connection, desk: Desk, event: Incoming) -> None:
    message = event.message
    assert isinstance(message, intake_pb2.PersonalDataErased)
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    await store.erase(conn, gone)
    for lead_id in gone:
        row = desk.rows.get(lead_id)
        if row is not None:
            row.fields, row.score, row.review_since = None, None, None
            row.state = replace(row.state, bant={})
    answer = common_pb2.PersonalDataDeleted(stamp=message.stamp, erasure_id=message.erasure_id, service="qualification")
    desk.outgoing.append(events.event(desk.rows[event.subject], answer, desk.now))
