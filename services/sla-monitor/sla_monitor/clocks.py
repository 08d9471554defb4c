"""How clocks start and how facts change them: terms from a policy, deadlines from a calendar, verdicts from facts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from backbone import calendars, ids, times
from backbone.calendars import Calendar
from sla_monitor import domain
from sla_monitor.domain import Assignment, Level, Policy, Spec, State, Terms, Touch
from sla_monitor.store import Clock

WALL = "wall"


def start(
    lead_id: UUID,
    policy: Policy,
    spec: Spec,
    *,
    cycle: int,
    started_at: datetime,
    rep_id: str,
    team: str,
    manager_id: str,
    hours: Mapping[str, tuple[str, Calendar]],
) -> Clock | None:
    """Return a clock with its steps; None when its hours never come. `hours`: calendars and what to cite them by."""
    named = hours.get(spec.hours)
    if spec.hours != WALL and named is None:
        return None
    due_at = _after(spec.within_seconds, started_at, named)
    if due_at is None:
        return None
    steps: list[tuple[datetime, Level, str]] = [
        (at, Level.WARNING, "rep")
        for seconds in spec.warn_seconds
        if (at := _after(seconds, started_at, named)) is not None and at < due_at
    ]
    steps.append((due_at, Level.BREACH, "rep"))
    for one in policy.escalations:
        if one.kind == spec.kind and (at := _after(spec.within_seconds + one.after_seconds, started_at, named)):
            steps.append((at, Level.ESCALATION, one.to))
    order = {Level.WARNING: 0, Level.BREACH: 1, Level.ESCALATION: 2}
    steps.sort(key=lambda step: (step[0], order[step[1]]))
    terms = Terms(
        kind=spec.kind,
        source=spec.source,
        rep_id=rep_id,
        started_at=started_at,
        due_at=due_at,
        counts=policy.counts,
        needs=spec.needs,
        spread_seconds=spec.spread_seconds,
    )
    return Clock(
        lead_id=lead_id,
        clock=spec.clock,
        cycle=cycle,
        terms=terms,
        team=team,
        manager_id=manager_id,
        policy=policy.reference,
        calendar=named[0] if named is not None else WALL,
        steps=[{"at": times.text(at), "level": str(level), "to": to} for at, level, to in steps],
        next_at=steps[0][0],
    )


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
    """Bring a clock to what the facts say. Returns what changed (`met`, `retracted`, `progress`) and by which touch."""
    if clock.state is State.CANCELLED:
        return None
    verdict = domain.verdict(clock.terms, touches, assignment)
    progressed = dict(verdict.done) != dict(clock.done)
    clock.done = verdict.done
    if verdict.met_at is None:
        return _changed(clock, "progress", None) if progressed else None
    if verdict.in_time(clock.terms.due_at):
        if clock.state is State.MET:
            clock.met_at = min(clock.met_at or verdict.met_at, verdict.met_at)
            return None
        was_breached = clock.state is State.BREACHED
        clock.state, clock.met_at, clock.retracted, clock.next_at = State.MET, verdict.met_at, was_breached, None
        return _changed(clock, "retracted" if was_breached else "met", verdict.touch_id)
    if clock.met_at is None and clock.state is State.BREACHED:
        # Late is late: the breach stays, and what was still to be escalated is not.
        clock.met_at, clock.next_at = verdict.met_at, None
        return _changed(clock, "met", verdict.touch_id)
    return _changed(clock, "progress", None) if progressed else None


def _changed(clock: Clock, what: str, touch_id: UUID | None) -> tuple[str, UUID | None]:
    clock.version += 1
    return what, touch_id


def cancel(clock: Clock) -> bool:
    """End a clock without a verdict; False when it has ended already."""
    if clock.state is not State.RUNNING and clock.next_at is None:
        return False
    if clock.state is State.RUNNING:
        clock.state = State.CANCELLED
    clock.next_at = None
    clock.version += 1
    return clock.state is State.CANCELLED


def hours_of(
    rep: Any, named: Mapping[str, tuple[int, Mapping[str, Any]]], year: int
) -> dict[str, tuple[str, Calendar]]:
    """Return the calendars that a policy may name: the rep's (with its version), and the company's."""
    made: dict[str, tuple[str, Calendar]] = {}
    if rep is not None and rep.rep_id:
        off = tuple((times.at(one.start), times.at(one.end)) for one in rep.time_off)
        windows = [(list(one.days), one.start, one.end) for one in rep.working_hours]
        made["rep"] = (f"{rep.rep_id}@{rep.version}", _calendar(rep.time_zone, windows, rep.holidays, off, year))
    for name, (version, document) in named.items():
        windows = [(one["days"], one["start"], one["end"]) for one in document["working_hours"]]
        calendar = _calendar(document["time_zone"], windows, document.get("holidays") or "", (), year)
        closed = calendar.closed | {_date(day) for day in document.get("closed") or ()}
        made[name] = (
            f"{name}@{version}",
            Calendar(zone=calendar.zone, windows=calendar.windows, closed=closed, off=()),
        )
    return made


def _calendar(zone: str, windows: Sequence[tuple[Sequence[str], str, str]], code: str, off: Any, year: int) -> Calendar:
    closed = calendars.holidays(code, year) if code else frozenset()
    return Calendar(zone=zone, windows=calendars.windows(windows), closed=closed, off=off)


def _date(text: str) -> Any:
    return datetime.fromisoformat(text).date()
