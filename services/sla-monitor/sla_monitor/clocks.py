"""How clocks start and how facts change them: terms from a policy, deadlines from a calendar, verdicts from facts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone import calendars, ids, times
from backbone.calendars import Calendar
from handoff.events.v1 import common_pb2
from sla_monitor import domain
from sla_monitor.domain import Assignment, Level, Policy, Spec, State, Terms, Touch, Verdict
from sla_monitor.hours import REP, WALL, Calendars
from sla_monitor.store_clocks import Clock

REASSIGN: Final = "reassign"
_ORDER: Final = {Level.WARNING: 0, Level.BREACH: 1, Level.ESCALATION: 2}


def start(
    lead_id: UUID,
    policy: Policy,
    spec: Spec,
    *,
    cycle: int,
    started_at: datetime,
    rep: common_pb2.Rep,
    named: Calendars,
) -> Clock | None:
    """Return a clock with its steps; None when its hours never come."""
    hours = named.of(spec.hours, rep) if spec.hours != WALL else None
    if spec.hours != WALL and hours is None:
        return None
    due_at = _after(spec.within_seconds, started_at, hours)
    if due_at is None:
        return None
    steps, next_at = _steps(policy, spec, started_at, due_at, hours)
    terms = Terms(
        kind=spec.kind,
        source=spec.source,
        rep_id=rep.rep_id,
        started_at=started_at,
        due_at=due_at,
        counts=policy.counts,
        needs=spec.needs,
        spread_seconds=spec.spread_seconds,
        team=rep.team,
    )
    return Clock(
        lead_id=lead_id,
        clock=spec.clock,
        cycle=cycle,
        terms=terms,
        team=rep.team,
        manager_id=rep.manager_id,
        policy=policy.reference,
        calendar=hours[0] if hours is not None else WALL,
        hours=spec.hours,
        rep_version=rep.version if spec.hours == REP else 0,
        steps=steps,
        next_at=next_at,
    )


def _steps(
    policy: Policy, spec: Spec, started_at: datetime, due_at: datetime, named: tuple[str, Calendar] | None
) -> tuple[list[dict[str, Any]], datetime]:
    """Return what happens when (warnings, the breach, what is escalated after it), and when the first of it."""
    steps: list[tuple[datetime, Level, str, float, int]] = [
        (at, Level.WARNING, "rep", seconds, 0)
        for seconds in spec.warn_seconds
        if (at := _after(seconds, started_at, named)) is not None and at < due_at
    ]
    steps.append((due_at, Level.BREACH, "rep", spec.within_seconds, 0))
    for one in policy.escalations:
        seconds = spec.within_seconds + one.after_seconds
        if one.kind == spec.kind and (at := _after(seconds, started_at, named)):
            steps.append((at, Level.ESCALATION, one.to, seconds, one.times))
    steps.sort(key=lambda step: (step[0], _ORDER[step[1]]))
    said = [
        {"at": times.text(at), "level": str(level), "to": to, "after_seconds": seconds}
        | ({"times": most} if to == REASSIGN else {})
        for at, level, to, seconds, most in steps
    ]
    return said, steps[0][0]


def recompute(clock: Clock, named: tuple[str, Calendar], version: int, now: datetime) -> bool:
    """Bring the steps that are still to come to a changed calendar; one that had been over by now falls due now.

    Steps that fired stay as they were, and none fires again. False when the calendar never opens again.
    """
    steps = [dict(step) for step in clock.steps]
    for step in steps[clock.step :]:
        at = _after(step["after_seconds"], clock.terms.started_at, named) if "after_seconds" in step else None
        if at is None:
            return False
        step["at"] = times.text(max(at, now))
    due_at = next(times.parse(step["at"]) for step in steps if step["level"] == Level.BREACH)
    clock.terms = replace(clock.terms, due_at=due_at)
    clock.steps, clock.calendar, clock.rep_version = steps, named[0], version
    clock.next_at = step_at(clock, clock.step)
    clock.version += 1
    return True


def _after(seconds: float, start_at: datetime, named: tuple[str, Calendar] | None) -> datetime | None:
    if named is None:
        return start_at + timedelta(seconds=seconds)
    return calendars.add(named[1], start_at, seconds)


def step_at(clock: Clock, step: int) -> datetime | None:
    """Return when a step is due, None after the last."""
    return times.parse(clock.steps[step]["at"]) if step < len(clock.steps) else None


def alert_id(clock: Clock, level: str, step: int) -> UUID:
    """Return the alert's id: the same step of the same clock has the same one for ever."""
    return ids.derived("alert", str(clock.lead_id), clock.clock, str(clock.cycle), level, str(step))


def judge(clock: Clock, touches: Sequence[Touch], assignment: Assignment | None) -> tuple[str, UUID | None] | None:
    """Bring a clock to what the facts say, whatever it was before: they come late and in any order.

    Returns what changed (`met`, `retracted`, `cancelled`, `withdrawn`, `progress`) and by which touch.
    """
    verdict = domain.verdict(clock.terms, touches, assignment)
    progressed = dict(verdict.done) != dict(clock.done)
    clock.done = verdict.done
    if verdict.in_time(clock.terms.due_at):
        changed = _meet(clock, verdict)
    elif verdict.is_void(clock.terms.due_at):
        changed = _void(clock)
    elif verdict.met_at is not None or verdict.ended_at is not None:
        changed = _miss(clock, verdict)
    else:
        changed = None
    if changed is None and not progressed:
        return None
    clock.version += 1
    return changed or "progress", verdict.touch_id


def _meet(clock: Clock, verdict: Verdict) -> str | None:
    if clock.state is State.MET and clock.met_at == verdict.met_at:
        return None
    was_breached = clock.state is State.BREACHED
    clock.state, clock.met_at, clock.next_at = State.MET, verdict.met_at, None
    clock.retracted = clock.retracted or was_breached
    return "retracted" if was_breached else "met"


def _void(clock: Clock) -> str | None:
    if clock.state is State.CANCELLED:
        return None
    was_breached = clock.state is State.BREACHED
    clock.state, clock.met_at, clock.next_at = State.CANCELLED, None, None
    clock.retracted = clock.retracted or was_breached
    return "withdrawn" if was_breached else "cancelled"


def _miss(clock: Clock, verdict: Verdict) -> str | None:
    """Late is late: the breach stays, or still comes; what was to be escalated after it does not."""
    breach = breach_step(clock)
    if clock.state is State.BREACHED:
        is_news = clock.met_at != verdict.met_at or clock.next_at is not None
        clock.met_at, clock.next_at = verdict.met_at, None
        return ("met" if verdict.met_at is not None else "progress") if is_news else None
    is_known = (len(clock.steps), clock.step, clock.met_at) == (breach + 1, breach, verdict.met_at)
    if clock.state is not State.RUNNING or is_known:
        return None
    clock.steps, clock.step, clock.met_at = clock.steps[: breach + 1], breach, verdict.met_at
    clock.next_at = step_at(clock, breach)
    return "progress"


def breach_step(clock: Clock) -> int:
    """Return which step is the breach."""
    return next(number for number, step in enumerate(clock.steps) if step["level"] == Level.BREACH)


def cancel(clock: Clock) -> bool:
    """End a clock without a verdict; False when it has ended already."""
    if clock.state is not State.RUNNING and clock.next_at is None:
        return False
    if clock.state is State.RUNNING:
        clock.state = State.CANCELLED
    clock.next_at = None
    clock.version += 1
    return clock.state is State.CANCELLED
