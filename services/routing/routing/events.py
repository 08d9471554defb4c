"""What routing publishes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from backbone import ids, times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, routing_pb2
from routing.domain import MOST_CONSIDERED, Considered, Decision
from routing.reps import Known
from routing.store import Assignment, Row


def stamp(row: Row, at: datetime) -> common_pb2.Stamp:
    """Return what stands first; what intake stamped is copied."""
    return common_pb2.Stamp(
        lead_id=str(row.lead_id),
        live=row.live,
        occurred_at=_instant(at),
        recorded_at=_instant(row.recorded_at or at),
        arrived_at=_instant(row.arrived_at) if row.arrived_at is not None else None,
    )


@lru_cache(maxsize=256)
def _instant(at: datetime) -> Timestamp:
    """Return a message that others copy: what happens in one transaction happens at one instant."""
    return times.stamp(at)


def rep(rep_id: str, known: Known) -> common_pb2.Rep:
    """Return a rep with all that other services decide with; built once for as long as nothing of it changes."""
    if known.message is None:
        known.message = _rep(rep_id, known)
    return known.message


def _rep(rep_id: str, known: Known) -> common_pb2.Rep:
    document = known.document
    made = common_pb2.Rep(
        rep_id=rep_id,
        name=document["name"],
        email=document["email"],
        team=document["team"],
        manager_id=document.get("manager_id") or "",
        role=document["role"],
        kind=document["kind"],
        time_zone=document["time_zone"],
        holidays=document.get("holidays") or "",
        skills=document.get("skills") or [],
        languages=document.get("languages") or [],
        territories=document.get("territories") or [],
        cap=document["cap"],
        weight=document["weight"],
        active=document["active"],
        paused=known.paused,
        version=known.version,
    )
    for hours in document["working_hours"]:
        made.working_hours.add(days=hours["days"], start=hours["start"], end=hours["end"])
    for start, end in known.time_off:
        away = made.time_off.add()
        times.put(away.start, start)
        times.put(away.end, end)
    return made


def _consider(message: routing_pb2.LeadRouted | routing_pb2.LeadWaiting, reps: Sequence[Considered]) -> None:
    """Add what was thought of reps: to merge what is encoded already costs a quarter of copying as many messages."""
    shape: Any = type(message)
    message.MergeFromString(b"".join([_one_considered(shape, *one) for one in reps[:MOST_CONSIDERED]]))


# One lead after the other is thought of in the same words.
@lru_cache(maxsize=4096)
def _one_considered(shape: Any, rep_id: str, chosen: bool, reason: str) -> bytes:
    encoded: bytes = shape(considered=[{"rep_id": rep_id, "chosen": chosen, "reason": reason}]).SerializeToString()
    return encoded


def routed(
    row: Row,
    assignment: Assignment,
    decision: Decision,
    known: Known,
    *,
    policy_version: int,
    open_now: int,
    starts_clocks: bool,
    previous: str | None,
) -> Event:
    """Return LeadRouted."""
    message = routing_pb2.LeadRouted(
        stamp=stamp(row, assignment.assigned_at),
        decision_id=str(assignment.decision_id),
        cycle=assignment.cycle,
        rep_id=assignment.rep_id,
        rep=rep(assignment.rep_id, known),
        outcome=str(decision.outcome),
        rule=decision.rule,
        pool=decision.pool,
        strategy=decision.strategy,
        reason_code=decision.reason_code,
        policy_version=policy_version,
        over_cap=decision.over_cap,
        accepted=assignment.accepted_at is not None,
        lead=row.fields,
        qualification=row.qualification,
        previous_rep_id=previous or "",
        sourced_by=row.sdr_id or "",
        open=open_now,
        starts_clocks=starts_clocks,
        assigned_at=_instant(assignment.assigned_at),
    )
    _consider(message, decision.considered)
    return Event(subject=row.lead_id, message=message, occurred_at=assignment.assigned_at)


def waits(
    row: Row, decision: Decision, decision_id: UUID, *, since: datetime, policy_version: int, at: datetime
) -> Event:
    """Return LeadWaiting."""
    message = routing_pb2.LeadWaiting(
        stamp=stamp(row, at),
        decision_id=str(decision_id),
        cycle=row.cycle + 1,
        reason_code=decision.reason_code,
        rule=decision.rule,
        pool=decision.pool,
        policy_version=policy_version,
        lead=row.fields,
        qualification=row.qualification,
    )
    _consider(message, decision.considered)
    times.put(message.waiting_since, since)
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def released(
    row: Row,
    assignment: Assignment,
    *,
    outcome: str,
    reason: str,
    by: str,
    at: datetime,
    until: datetime | None = None,
    open_now: int,
    without_outcome: bool = False,
    by_score: bool = False,
) -> Event:
    """Return AssignmentReleased."""
    message = routing_pb2.AssignmentReleased(
        stamp=stamp(row, at),
        cycle=assignment.cycle,
        rep_id=assignment.rep_id,
        outcome=outcome,
        reason=reason,
        released_by=by,
        without_outcome=without_outcome,
        open=open_now,
        by_score=by_score,
    )
    times.put(message.released_at, at)
    if until is not None:
        times.put(message.until, until)
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def accepted(row: Row, assignment: Assignment, at: datetime) -> Event:
    """Return AssignmentAccepted."""
    message = routing_pb2.AssignmentAccepted(stamp=stamp(row, at), cycle=assignment.cycle, rep_id=assignment.rep_id)
    times.put(message.accepted_at, at)
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def updated(row: Row, assignment: Assignment, at: datetime) -> Event:
    """Return AssignmentUpdated."""
    message = routing_pb2.AssignmentUpdated(
        stamp=stamp(row, at),
        cycle=assignment.cycle,
        rep_id=assignment.rep_id,
        status=assignment.status or "",
        next_step=assignment.next_step or "",
    )
    times.put(message.updated_at, at)
    if assignment.next_at is not None:
        times.put(message.next_at, assignment.next_at)
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def deal_handed_over(
    subject: UUID, opportunity_id: UUID, *, lead_id: UUID | None, from_rep: str, to_rep: str, reason: str, at: datetime
) -> Event:
    """Return OpportunityHandedOver; forecast makes it true."""
    message = routing_pb2.OpportunityHandedOver(
        stamp=_now_stamp(at),
        opportunity_id=str(opportunity_id),
        from_rep_id=from_rep,
        to_rep_id=to_rep,
        reason=reason,
    )
    message.stamp.lead_id = str(lead_id) if lead_id is not None else ""
    times.put(message.handed_over_at, at)
    return Event(subject=subject, message=message, occurred_at=at)


def rep_subject(rep_id: str) -> UUID:
    """Return what events about a rep are keyed with."""
    return ids.derived("rep", rep_id)


def rep_changed(rep_id: str, known: Known, at: datetime) -> Event:
    """Return RepChanged."""
    message = routing_pb2.RepChanged(stamp=_now_stamp(at), rep=rep(rep_id, known))
    times.put(message.changed_at, at)
    return Event(subject=rep_subject(rep_id), message=message, occurred_at=at)


def account_subject(domain: str) -> UUID:
    """Return what events about an account are keyed with."""
    return ids.derived("account", domain)


def account_changed(domain: str, document: Mapping[str, Any], at: datetime, *, deleted: bool = False) -> Event:
    """Return AccountChanged."""
    names = ("name", "status", "rep_id", "parent_domain", "segment", "target")
    said: dict[str, Any] = {name: document[name] for name in names if document.get(name)}
    message = routing_pb2.AccountChanged(stamp=_now_stamp(at), domain=domain, deleted=deleted, **said)
    return Event(subject=account_subject(domain), message=message, occurred_at=at)


def _now_stamp(at: datetime) -> common_pb2.Stamp:
    made = common_pb2.Stamp(live=True)
    times.put(made.occurred_at, at)
    times.put(made.recorded_at, at)
    return made


def deleted(message_stamp: common_pb2.Stamp, erasure_id: str, lead_id: UUID) -> Event:
    """Return this service's answer to an erasure."""
    message = common_pb2.PersonalDataDeleted(stamp=message_stamp, erasure_id=erasure_id, service="routing")
    return Event(subject=lead_id, message=message)
