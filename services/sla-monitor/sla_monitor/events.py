"""What sla-monitor publishes."""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from backbone import times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, sla_pb2
from sla_monitor.domain import Level
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock


def stamp(row: Row, at: datetime) -> common_pb2.Stamp:
    """Return what stands first."""
    return _stamp(row.lead_id, row.live, at, row.recorded_at or at, row.arrived_at)


# A lead's clocks start together: what their events share is built once, and copied by the message that takes it.
@lru_cache(maxsize=64)
def _stamp(
    lead_id: UUID, live: bool, at: datetime, recorded_at: datetime, arrived_at: datetime | None
) -> common_pb2.Stamp:
    return common_pb2.Stamp(
        lead_id=str(lead_id),
        live=live,
        occurred_at=_instant(at),
        recorded_at=_instant(recorded_at),
        arrived_at=_instant(arrived_at) if arrived_at is not None else None,
    )


@lru_cache(maxsize=256)
def _instant(at: datetime) -> Timestamp:
    return times.stamp(at)


def clock(one: Clock) -> sla_pb2.Clock:
    """Return a clock as it stands."""
    return sla_pb2.Clock(
        clock=one.clock,
        kind=one.terms.kind,
        cycle=one.cycle,
        rep_id=one.terms.rep_id,
        policy=one.policy,
        calendar=one.calendar,
        state=str(one.state),
        retracted=one.retracted,
        touches_done=one.done or None,
        touches_needed=one.terms.needs or None,
        version=one.version,
        manager_id=one.manager_id,
        team=one.team,
        round=one.round,
        started_at=_instant(one.terms.started_at),
        due_at=times.stamp(one.terms.due_at),
        met_at=_instant(one.met_at) if one.met_at is not None else None,
        breached_at=_instant(one.breached_at) if one.breached_at is not None else None,
    )


def _event(row: Row, message: Any, at: datetime) -> Event:
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def started(row: Row, one: Clock, at: datetime) -> Event:
    """Return ClockStarted."""
    return _event(row, sla_pb2.ClockStarted(stamp=stamp(row, at), clock=clock(one)), at)


def met(row: Row, one: Clock, touch_id: UUID | None, at: datetime) -> Event:
    """Return ClockMet."""
    message = sla_pb2.ClockMet(stamp=stamp(row, at), clock=clock(one), touch_id=str(touch_id or ""))
    return _event(row, message, at)


def cancelled(row: Row, one: Clock, reason: str, at: datetime) -> Event:
    """Return ClockCancelled."""
    return _event(row, sla_pb2.ClockCancelled(stamp=stamp(row, at), clock=clock(one), reason=reason), at)


class Named(NamedTuple):
    """To whom an alert was told, and which rep it named, "" for nobody."""

    to: str
    rep_id: str


def retracted(
    row: Row, one: Clock, alert_id: UUID, touch_id: UUID | None, at: datetime, *, to: Named | None = None
) -> Event:
    """Return BreachRetracted, or EscalationRetracted of what followed and was told `to` somebody."""
    said: dict[str, Any] = {"stamp": stamp(row, at), "alert_id": str(alert_id), "touch_id": str(touch_id or "")}
    about = clock(one)
    message: Any = None
    if to is None:
        message = sla_pb2.BreachRetracted(**said, clock=about)
    else:
        about.rep_id = to.rep_id
        message = sla_pb2.EscalationRetracted(**said, clock=about, to=to.to)
    times.put(message.retracted_at, at)
    return _event(row, message, at)


def restored(row: Row, one: Clock, alert_id: UUID, level: str, to: Named, at: datetime) -> Event:
    """Return AlertRestored."""
    message = sla_pb2.AlertRestored(
        stamp=stamp(row, at), clock=clock(one), alert_id=str(alert_id), level=level, to=to.to
    )
    if level == Level.ESCALATION:
        message.clock.rep_id = to.rep_id
    times.put(message.restored_at, at)
    return _event(row, message, at)


_SHAPES = {
    Level.WARNING: sla_pb2.SlaWarned,
    Level.BREACH: sla_pb2.SlaBreached,
    Level.ESCALATION: sla_pb2.SlaEscalated,
}


def alert(row: Row, one: Clock, said: dict[str, Any]) -> Event:
    """Return SlaWarned, SlaBreached or SlaEscalated."""
    level = Level(said["level"])
    made = sla_pb2.Alert(
        alert_id=str(said["alert_id"]),
        level=str(level),
        step=said["step"],
        late_by_seconds=said["late_by_seconds"],
        late=said["late"],
        to=said["goes_to"],
        assignment_cycle=said["assignment_cycle"],
        manager_ids=said["manager_ids"],
    )
    times.put(made.at, said["at"])
    # Of a clock of the lead's own: whoever has the lead now.
    about = clock(one)
    about.rep_id, about.manager_id = said["rep_id"], next(iter(said["manager_ids"]), "")
    message = _SHAPES[level](stamp=stamp(row, said["at"]), clock=about, alert=made)
    return Event(subject=row.lead_id, message=message, event_id=said["alert_id"], occurred_at=said["at"])


def deleted(message_stamp: common_pb2.Stamp, erasure_id: str, lead_id: UUID) -> Event:
    """Return this service's answer to an erasure."""
    message = common_pb2.PersonalDataDeleted(stamp=message_stamp, erasure_id=erasure_id, service="sla")
    return Event(subject=lead_id, message=message)
