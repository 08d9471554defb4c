"""What sla-monitor learns from intake, qualification and routing: facts first, then what they mean for clocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import conditions, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2
from sla_monitor import clocks, domain, events, store
from sla_monitor.domain import Assignment, Policy, Touch
from sla_monitor.store import Clock, Policies, Row

ARRIVAL_CYCLE = 0


@dataclass(slots=True)
class Batch:
    """What the events of a batch say."""

    touches: list[tuple[UUID, Touch, datetime]] = field(default_factory=list)
    assignments: list[tuple[UUID, Assignment, str, bytes | None]] = field(default_factory=list)
    accepted: list[tuple[UUID, int, datetime]] = field(default_factory=list)
    released: dict[tuple[UUID, int], tuple[datetime, str]] = field(default_factory=dict)
    routed: list[tuple[UUID, routing_pb2.LeadRouted]] = field(default_factory=list)
    arrived: dict[UUID, common_pb2.LeadFields] = field(default_factory=dict)
    erased: list[Incoming] = field(default_factory=list)


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox, policies: Policies) -> None:
        self._outbox = outbox
        self._policies = policies

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Keep the facts, start the clocks they start, judge every clock they concern."""
        about = [event for event in incoming if event.message.stamp.lead_id]  # type: ignore[attr-defined]
        if not about:
            return
        now = await times.now(conn)
        rows = await store.load(conn, {lead for e in about for lead in (e.subject, e.original_subject)})
        batch = Batch()
        for event in about:
            if isinstance(event.message, intake_pb2.PersonalDataErased):
                batch.erased.append(event)
            elif not event.erased:
                _note(batch, rows, event)
        await _keep_facts(conn, batch)
        await store.save(conn, list(rows.values()))
        outgoing = await self._set_clocks(conn, batch, rows, now)
        for event in batch.erased:
            outgoing += await _erase(conn, rows, event, now)
        await self._outbox.add(conn, outgoing)

    async def _set_clocks(self, conn: Connection, batch: Batch, rows: dict[UUID, Row], now: datetime) -> list[Event]:
        leads = [lead_id for lead_id, row in rows.items() if row.live and not row.closed]
        if not leads:
            return []
        known = await store.clocks(conn, leads)
        fresh = await self._start(conn, batch, rows, known, now)
        for clock in fresh:
            known.setdefault(clock.lead_id, []).append(clock)
        if not known:
            return []
        touches = await store.touches(conn, known)
        assignments = await store.assignments(conn, known)
        changed: dict[int, Clock] = {id(clock): clock for clock in fresh}
        outgoing = [events.started(rows[clock.lead_id], clock, now) for clock in fresh]
        for lead_id, of_lead in known.items():
            for clock in of_lead:
                said = clocks.judge(clock, touches[lead_id], assignments.get(lead_id, {}).get(clock.cycle))
                if said is not None:
                    changed[id(clock)] = clock
                    outgoing += await _tell(conn, rows[lead_id], clock, said, now)
                ended = batch.released.get((lead_id, clock.cycle))
                if ended is not None and clocks.cancel(clock):
                    changed[id(clock)] = clock
                    outgoing.append(events.cancelled(rows[lead_id], clock, ended[1], now))
        if changed:
            await store.save_clocks(conn, list(changed.values()))
        return outgoing

    async def _start(
        self, conn: Connection, batch: Batch, rows: dict[UUID, Row], known: dict[UUID, list[Clock]], now: datetime
    ) -> list[Clock]:
        if not batch.routed and not batch.arrived:
            return []
        policies = await self._policies.in_force(conn)
        named = await _calendars(conn)
        present = {(clock.lead_id, clock.clock, clock.cycle) for some in known.values() for clock in some}
        fresh: list[Clock] = []
        for lead_id, message in batch.routed:
            if not rows[lead_id].live or not message.starts_clocks:
                continue
            policy = domain.applicable(policies, conditions.lead_values(message.lead, message.qualification))
            hours = clocks.hours_of(message.rep, named, now.year)
            at = times.at(message.assigned_at)
            fresh += _start_all(lead_id, policy, "assignment", message.cycle, at, message.rep, hours, present)
        for lead_id, fields in batch.arrived.items():
            row = rows[lead_id]
            if row.arrived_at is None:
                continue
            policy = domain.applicable(policies, conditions.lead_values(fields))
            hours = clocks.hours_of(None, named, now.year)
            fresh += _start_all(lead_id, policy, "arrival", ARRIVAL_CYCLE, row.arrived_at, None, hours, present)
        return fresh


def _start_all(
    lead_id: UUID,
    policy: Policy | None,
    source: str,
    cycle: int,
    at: datetime,
    rep: Any,
    hours: Any,
    present: set[tuple[UUID, str, int]],
) -> list[Clock]:
    made = []
    for spec in policy.clocks if policy is not None else ():
        if spec.source != source or (lead_id, spec.clock, cycle) in present:
            continue
        assert policy is not None
        clock = clocks.start(
            lead_id,
            policy,
            spec,
            cycle=cycle,
            started_at=at,
            rep_id=rep.rep_id if rep is not None else "",
            team=rep.team if rep is not None else "",
            manager_id=rep.manager_id if rep is not None else "",
            hours=hours,
        )
        if clock is not None:
            present.add((lead_id, spec.clock, cycle))
            made.append(clock)
    return made


def _note(batch: Batch, rows: dict[UUID, Row], event: Incoming) -> None:
    message, lead_id = event.message, event.subject
    row = rows[lead_id]
    if isinstance(message, intake_pb2.LeadCaptured | intake_pb2.LeadUpdated | intake_pb2.LeadUnmerged):
        was_live = row.live
        _learn(row, message.stamp, message.lead)
        row.closed = row.closed and not isinstance(message, intake_pb2.LeadUnmerged)
        if row.live and not was_live:
            batch.arrived[lead_id] = message.lead
    elif isinstance(message, intake_pb2.EngagementRecorded):
        _learn(row, message.stamp, None)
    elif isinstance(message, intake_pb2.LeadMerged):
        survivor, merged = rows.get(UUID(message.survivor_id)), rows.get(UUID(message.merged_id))
        if survivor is not None:
            _learn(survivor, message.stamp, message.lead)
        if merged is not None:
            merged.closed = True
    elif isinstance(message, intake_pb2.TouchRecorded):
        batch.touches.append((UUID(message.original_lead_id), _touch(message), times.at(message.stamp.recorded_at)))
    elif isinstance(message, routing_pb2.LeadRouted):
        row.live = row.live or message.stamp.live
        given = Assignment(cycle=message.cycle, rep_id=message.rep_id, assigned_at=times.at(message.assigned_at))
        batch.assignments.append((lead_id, given, message.rep.team, None))
        batch.routed.append((lead_id, message))
    elif isinstance(message, routing_pb2.AssignmentAccepted):
        batch.accepted.append((lead_id, message.cycle, times.at(message.accepted_at)))
    elif isinstance(message, routing_pb2.AssignmentReleased):
        batch.released[lead_id, message.cycle] = (times.at(message.released_at), message.outcome)


def _learn(row: Row, stamp: common_pb2.Stamp, fields: common_pb2.LeadFields | None) -> None:
    if fields is not None:
        row.created_at = times.at(fields.created_at)
        row.source = fields.first_touch.source or fields.source
    row.recorded_at = times.at(stamp.recorded_at)
    row.live = row.live or stamp.live
    if stamp.HasField("arrived_at"):
        row.arrived_at = times.at(stamp.arrived_at)


def _touch(message: intake_pb2.TouchRecorded) -> Touch:
    return Touch(
        touch_id=UUID(message.touch_id),
        rep_id=message.rep_id,
        kind=message.kind,
        outcome=message.outcome,
        automated=message.automated,
        at=times.at(message.stamp.occurred_at),
    )


async def _keep_facts(conn: Connection, batch: Batch) -> None:
    if batch.touches:
        await store.add_touches(conn, batch.touches)
    if batch.assignments:
        await store.add_assignments(conn, batch.assignments)
    if batch.accepted:
        await store.note_assignment(conn, "accepted_at", batch.accepted)
    if batch.released:
        said = [(lead_id, cycle, at) for (lead_id, cycle), (at, _) in batch.released.items()]
        await store.note_assignment(conn, "released_at", said)


async def _tell(conn: Connection, row: Row, clock: Clock, said: tuple[str, UUID | None], now: datetime) -> list[Event]:
    what, touch_id = said
    if what == "met":
        return [events.met(row, clock, touch_id, now)]
    if what == "retracted":
        step = next(n for n, one in enumerate(clock.steps) if one["level"] == "breach")
        alert_id = clocks.alert_id(clock, "breach", step)
        await store.retract_alerts(conn, [alert_id], now)
        return [events.retracted(row, clock, alert_id, touch_id, now), events.met(row, clock, touch_id, now)]
    return [events.started(row, clock, now)]


async def _calendars(conn: Connection) -> dict[str, tuple[int, dict[str, Any]]]:
    rows = await conn.fetch(
        "SELECT DISTINCT ON (name) name, version, document FROM calendar ORDER BY name, version DESC"
    )
    return {row["name"]: (row["version"], row["document"]) for row in rows}


async def _erase(conn: Connection, rows: dict[UUID, Row], event: Incoming, now: datetime) -> list[Event]:
    message = event.message
    assert isinstance(message, intake_pb2.PersonalDataErased)
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    outgoing: list[Event] = []
    open_clocks = [clock for some in (await store.clocks(conn, gone)).values() for clock in some]
    ended = [clock for clock in open_clocks if clocks.cancel(clock)]
    if ended:
        await store.save_clocks(conn, ended)
        outgoing += [
            events.cancelled(rows[clock.lead_id], clock, "erased", now) for clock in ended if clock.lead_id in rows
        ]
    outgoing.append(events.deleted(message.stamp, message.erasure_id, event.subject))
    return outgoing
