"""What sla-monitor learns from the topics that it reads: facts first, then what they mean for clocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import conditions, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import common_pb2, console_pb2, intake_pb2, routing_pb2
from sla_monitor import clocks, domain, events, reports, store, store_clocks
from sla_monitor.domain import Assignment, Policy, Touch
from sla_monitor.hours import Calendars
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock
from sla_monitor.store_policies import Policies

ARRIVAL_CYCLE = 0

Key = tuple[UUID, str, int]
Reps = dict[str, common_pb2.Rep]


@dataclass(slots=True)
class Batch:
    """What the events of a batch say. Assignments and touches keep the lead that they were made for."""

    touches: list[tuple[UUID, Touch, datetime]] = field(default_factory=list)
    assignments: list[tuple[UUID, Assignment, str]] = field(default_factory=list)
    accepted: list[tuple[UUID, int, datetime]] = field(default_factory=list)
    released: list[tuple[UUID, int, datetime, str]] = field(default_factory=list)
    routed: list[tuple[UUID, routing_pb2.LeadRouted]] = field(default_factory=list)
    reps: list[common_pb2.Rep] = field(default_factory=list)
    erased: list[Incoming] = field(default_factory=list)


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox, policies: Policies) -> None:
        self._outbox = outbox
        self._policies = policies

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Keep the facts, start the clocks they start, judge every clock they concern."""
        now = await times.now(conn)
        about = [event for event in incoming if event.message.stamp.lead_id]  # type: ignore[attr-defined]
        rows = await store.load(conn, {lead for e in about for lead in (e.subject, e.original_subject)})
        batch = Batch()
        for event in incoming:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                batch.erased.append(event)
            elif isinstance(event.message, routing_pb2.RepChanged):
                batch.reps.append(event.message.rep)
            elif isinstance(event.message, console_pb2.SettingsChanged):
                await reports.count_in(conn, event.message.zone, event.message.week_starts)
            elif not event.erased:
                _note(batch, rows, event)
        reps = await _keep_facts(conn, batch)
        outgoing = await self._set_clocks(conn, batch, rows, reps, now)
        await store.save(conn, list(rows.values()))
        for event in batch.erased:
            outgoing += await _erase(conn, rows, event, now)
        await self._outbox.add(conn, outgoing)

    async def _set_clocks(
        self, conn: Connection, batch: Batch, rows: dict[UUID, Row], reps: Reps, now: datetime
    ) -> list[Event]:
        leads = [lead_id for lead_id, row in rows.items() if row.live]
        if not leads:
            return []
        known = await store_clocks.clocks(conn, leads)
        fresh = await self._start(conn, batch, rows, reps, known, now)
        for clock in fresh:
            known.setdefault(clock.lead_id, []).append(clock)
        if not known:
            return []
        touches = await store.touches(conn, known)
        assignments = await store.assignments(conn, known)
        changed: dict[int, Clock] = {}
        outgoing = [events.started(rows[clock.lead_id], clock, now) for clock in fresh]
        for lead_id, of_lead in known.items():
            for clock in of_lead:
                row, assignment = rows[lead_id], assignments.get(lead_id, {}).get(clock.cycle)
                if row.closed and clock.cycle == ARRIVAL_CYCLE:
                    # Merged: the survivor has clocks of its own.
                    if clocks.cancel(clock):
                        changed[id(clock)] = clock
                        outgoing.append(events.cancelled(row, clock, "merged", now))
                    continue
                said = clocks.judge(clock, touches[lead_id], assignment)
                if said is not None:
                    changed[id(clock)] = clock
                    outgoing += await _tell(conn, row, clock, said, assignment, now)
        await store_clocks.add(conn, fresh)
        for clock in fresh:
            changed.pop(id(clock), None)
        await store_clocks.change(conn, list(changed.values()))
        return outgoing

    async def _start(
        self,
        conn: Connection,
        batch: Batch,
        rows: dict[UUID, Row],
        reps: Reps,
        known: dict[UUID, list[Clock]],
        now: datetime,
    ) -> list[Clock]:
        arrived = [
            row for row in rows.values() if row.live and not (row.arrival or row.closed) and row.fields is not None
        ]
        if not batch.routed and not arrived:
            return []
        policies, named = await self._policies.in_force(conn, now)
        present = {(clock.lead_id, clock.clock, clock.cycle) for some in known.values() for clock in some}
        fresh: list[Clock] = []
        for lead_id, message in batch.routed:
            if not rows[lead_id].live or not message.starts_clocks:
                continue
            policy = _applicable(policies, message.lead, message.qualification)
            rep = reps.get(message.rep_id, message.rep)
            at = times.at(message.assigned_at)
            fresh += _start_all(lead_id, policy, "assignment", message.cycle, at, rep, named, present)
        for row in arrived:
            row.arrival = row.changed = True
            if row.arrived_at is not None:
                policy = _applicable(policies, _fields(row))
                fresh += _start_all(
                    row.lead_id, policy, "arrival", ARRIVAL_CYCLE, row.arrived_at, common_pb2.Rep(), named, present
                )
        return fresh


def _applicable(
    policies: Sequence[Policy], lead: common_pb2.LeadFields, qualification: common_pb2.Qualification | None = None
) -> Policy | None:
    if len(policies) == 1 and policies[0].for_all:
        return policies[0]
    return domain.applicable(policies, conditions.lead_values(lead, qualification))


def _start_all(
    lead_id: UUID,
    policy: Policy | None,
    source: str,
    cycle: int,
    at: datetime,
    rep: common_pb2.Rep,
    named: Calendars,
    present: set[Key],
) -> list[Clock]:
    made = []
    for spec in policy.clocks if policy is not None else ():
        if spec.source != source or (lead_id, spec.clock, cycle) in present:
            continue
        assert policy is not None
        clock = clocks.start(lead_id, policy, spec, cycle=cycle, started_at=at, rep=rep, named=named)
        if clock is not None:
            present.add((lead_id, spec.clock, cycle))
            made.append(clock)
    return made


_TELLING: Final = (intake_pb2.LeadCaptured, intake_pb2.LeadUpdated, intake_pb2.LeadUnmerged)
"""Events that carry the lead's fields."""


def _note(batch: Batch, rows: dict[UUID, Row], event: Incoming) -> None:
    message = event.message
    row = rows[event.subject]
    if isinstance(message, _TELLING):
        _learn(row, message.stamp, message.lead)
        if isinstance(message, intake_pb2.LeadUnmerged):
            row.closed = False
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _learn(row, message.stamp, None)
    elif isinstance(message, intake_pb2.LeadMerged):
        survivor, merged = rows.get(UUID(message.survivor_id)), rows.get(UUID(message.merged_id))
        if survivor is not None:
            _learn(survivor, message.stamp, message.lead)
        if merged is not None:
            merged.closed = merged.changed = True
    elif isinstance(message, intake_pb2.TouchRecorded):
        batch.touches.append((UUID(message.original_lead_id), _touch(message), times.at(message.stamp.recorded_at)))
    else:
        # The cycle is the lead's own that routing names, whatever it was merged into meanwhile.
        _note_routing(batch, rows[event.original_subject], message)


def _note_routing(batch: Batch, row: Row, message: Message) -> None:
    lead_id = row.lead_id
    if isinstance(message, routing_pb2.LeadRouted):
        if message.stamp.live and not row.live:
            row.live = row.changed = True
        assigned_at = times.at(message.assigned_at)
        given = Assignment(cycle=message.cycle, rep_id=message.rep_id, assigned_at=assigned_at)
        batch.assignments.append((lead_id, given, message.rep.team))
        batch.routed.append((lead_id, message))
        batch.reps.append(message.rep)
        if message.accepted:
            batch.accepted.append((lead_id, message.cycle, assigned_at))
    elif isinstance(message, routing_pb2.AssignmentAccepted):
        batch.accepted.append((lead_id, message.cycle, times.at(message.accepted_at)))
    elif isinstance(message, routing_pb2.AssignmentReleased):
        batch.released.append((lead_id, message.cycle, times.at(message.released_at), message.outcome))


def _learn(row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    if fields is not None:
        row.created_at = times.at(fields.created_at)
        row.source = fields.first_touch.source or fields.source
        row.fields = fields.SerializeToString()
    row.changed = True
    row.recorded_at = times.at(stamp.recorded_at)
    row.known_at = min(row.known_at or row.recorded_at, row.recorded_at)
    row.live = row.live or stamp.live
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)


def _fields(row: Row) -> common_pb2.LeadFields:
    return common_pb2.LeadFields.FromString(row.fields or b"")


def _touch(message: intake_pb2.TouchRecorded) -> Touch:
    return Touch(
        touch_id=UUID(message.touch_id),
        rep_id=message.rep_id,
        kind=message.kind,
        outcome=message.outcome,
        automated=message.automated,
        at=times.at(message.stamp.occurred_at),
    )


async def _keep_facts(conn: Connection, batch: Batch) -> Reps:
    """Write what the batch says, and return the reps that it names as they are known now."""
    reps: Reps = {}
    if batch.reps:
        reps = await store.note_reps(conn, [rep for rep in batch.reps if rep.rep_id])
    if batch.touches:
        await store.add_touches(conn, batch.touches)
    if batch.assignments:
        await store.add_assignments(conn, batch.assignments)
    if batch.accepted:
        await store.note_accepted(conn, batch.accepted)
    if batch.released:
        await store.note_released(conn, batch.released)
    return reps


async def _tell(
    conn: Connection,
    row: Row,
    clock: Clock,
    said: tuple[str, UUID | None],
    assignment: Assignment | None,
    now: datetime,
) -> list[Event]:
    what, touch_id = said
    outgoing: list[Event] = []
    if what in ("retracted", "withdrawn"):
        alert_id = clocks.alert_id(clock, "breach", clocks.breach_step(clock))
        await store_clocks.retract_alerts(conn, [alert_id], now)
        outgoing.append(events.retracted(row, clock, alert_id, touch_id, now))
    if what in ("retracted", "met"):
        return [*outgoing, events.met(row, clock, touch_id, now)]
    if what in ("withdrawn", "cancelled"):
        reason = (assignment.outcome if assignment is not None else None) or "released"
        return [*outgoing, events.cancelled(row, clock, reason, now)]
    return [events.started(row, clock, now)]


async def _erase(conn: Connection, rows: dict[UUID, Row], event: Incoming, now: datetime) -> list[Event]:
    message = event.message
    assert isinstance(message, intake_pb2.PersonalDataErased)
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    outgoing: list[Event] = []
    open_clocks = [clock for some in (await store_clocks.clocks(conn, gone)).values() for clock in some]
    ended = [clock for clock in open_clocks if clocks.cancel(clock)]
    if ended:
        await store_clocks.change(conn, ended)
        outgoing += [
            events.cancelled(rows[clock.lead_id], clock, "erased", now) for clock in ended if clock.lead_id in rows
        ]
    await store.forget(conn, gone)
    outgoing.append(events.deleted(message.stamp, message.erasure_id, event.subject))
    return outgoing
