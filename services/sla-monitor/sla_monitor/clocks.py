"""How clocks start and how facts change them: terms from a policy, deadlines from a calendar, verdicts from facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone import calendars, ids, times
from backbone.calendars import Calendar
from handoff.events.v1 import common_pb2
from sla_monitor import keeping, verdicts
from sla_monitor.domain import ARRIVAL, OF_ASSIGNMENTS, Facts, Level, Policy, Spec, State, Terms, Verdict
from sla_monitor.hours import REP, WALL, Calendars
from sla_monitor.keeping import Kept
from sla_monitor.store_clocks import Clock

REASSIGN: Final = "reassign"
_ORDER: Final = {Level.WARNING: 0, Level.BREACH: 1, Level.ESCALATION: 2}
Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A line of a policy on somebody's hours: what happens when, from whichever instant."""

    policy: Policy
    spec: Spec
    hours: tuple[str, Calendar] | None
    """What to cite, and the calendar; None by the wall."""
    waking: Calendar | None
    """Outside the policy's quiet hours; None where it has none."""

    @property
    def calendar(self) -> str:
        """Return what the clock cites."""
        return self.hours[0] if self.hours is not None else WALL

    def after(self, seconds: float, start: datetime) -> datetime | None:
        """Return when so many seconds of these hours have passed; None: not within the calendar's horizon."""
        if self.hours is None:
            return start + timedelta(seconds=seconds)
        return calendars.add(self.hours[1], start, seconds)

    def due(self, start: datetime) -> datetime | None:
        """Return the deadline."""
        return self.after(self.spec.within_seconds, start)

    def steps(self, start: datetime, due_at: datetime) -> list[dict[str, Any]]:
        """Return what happens when: warnings, the breach, and what is escalated after it."""
        found: list[tuple[datetime, Level, str, int]] = [(due_at, Level.BREACH, "rep", 0)]
        for seconds in self.spec.warn_seconds:
            at = self._awake(self.after(seconds, start))
            if at is not None and at < due_at:
                found.append((at, Level.WARNING, "rep", 0))
        for one in self.policy.escalations:
            if one.is_of(self.spec):
                at = self._awake(self.after(self.spec.within_seconds + one.after_seconds, start))
                if at is not None:
                    found.append((at, Level.ESCALATION, one.to, one.times))
        found.sort(key=lambda step: (step[0], _ORDER[step[1]]))
        return [
            {"at": times.text(at), "level": str(level), "to": to} | ({"times": most} if to == REASSIGN else {})
            for at, level, to, most in found
        ]

    def _awake(self, at: datetime | None) -> datetime | None:
        if at is None or self.waking is None:
            return at
        return calendars.next_opening(self.waking, at)


def plan(policy: Policy, spec: Spec, rep: common_pb2.Rep, named: Calendars) -> Plan | None:
    """Return a line of a policy on a rep's hours; None where its hours are not known."""
    hours = named.of(spec.hours, rep) if spec.hours != WALL else None
    if spec.hours != WALL and hours is None:
        return None
    waking = named.waking(policy.quiet, rep) if policy.quiet is not None else None
    return Plan(policy, spec, hours, waking)


def start(lead_id: UUID, by: Plan, *, cycle: int, started_at: datetime, rep: common_pb2.Rep) -> Clock | None:
    """Return a clock with its steps; None when its hours never come."""
    due_at = by.due(started_at)
    if due_at is None:
        return None
    policy, spec = by.policy, by.spec
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
        within_seconds=spec.within_seconds,
        booking_counts=policy.booking_counts,
        ends_when=spec.ends_when,
    )
    steps = by.steps(started_at, due_at)
    return Clock(
        lead_id=lead_id,
        clock=spec.clock,
        cycle=cycle,
        terms=terms,
        team=rep.team,
        manager_id=rep.manager_id,
        policy=policy.reference,
        calendar=by.calendar,
        hours=spec.hours,
        rep_version=rep.version if spec.hours == REP else 0,
        steps=steps,
        next_at=times.parse(steps[0]["at"]),
    )


def recompute(clock: Clock, by: Plan, version: int, now: datetime) -> bool:
    """Bring the steps that are still to come to a changed calendar; one that had been over by now falls due now.

    Steps that fired stay as they were, and none fires again. False when the calendar never opens again.
    """
    due_at = by.due(clock.terms.started_at)
    if due_at is None:
        return False
    began = clock.terms.started_at
    fired = [step for step in clock.steps[: clock.step] if times.parse(step["at"]) >= began]
    left = list(by.steps(clock.terms.started_at, due_at))
    for step in fired:
        same = next((one for one in left if (one["level"], one["to"]) == (step["level"], step["to"])), None)
        if same is not None:
            left.remove(same)
    due_at = max(due_at, now)
    left = [{**step, "at": times.text(max(times.parse(step["at"]), now))} for step in left]
    _move(clock, clock.terms.started_at, due_at, left)
    clock.calendar, clock.rep_version = by.calendar, version
    clock.version += 1
    return True


def _move(clock: Clock, started_at: datetime, due_at: datetime, left: Steps) -> None:
    """Let a clock run to another deadline: what fired has its number for ever, what is left gets the next ones."""
    clock.terms = replace(clock.terms, started_at=started_at, due_at=due_at)
    clock.steps = [*clock.steps[: clock.step], *left]
    clock.next_at = step_at(clock, clock.step)


def step_at(clock: Clock, step: int) -> datetime | None:
    """Return when a step is due, None after the last."""
    return times.parse(clock.steps[step]["at"]) if step < len(clock.steps) else None


def alert_id(clock: Clock, level: str, step: int) -> UUID:
    """Return the alert's id: the same step of the same clock has the same one for ever."""
    return ids.derived("alert", str(clock.lead_id), clock.clock, str(clock.cycle), level, str(step))


def breach_step(clock: Clock) -> int:
    """Return which step is the breach: the last one that fired, else the one to come."""
    numbers = [number for number, step in enumerate(clock.steps) if step["level"] == Level.BREACH]
    return max((number for number in numbers if number < clock.step), default=numbers[0])


def settle(clock: Clock, facts: Facts, by: Plan) -> bool:
    """Let a new clock that runs from the last touch begin there; False where nothing has started it yet."""
    found = keeping.kept(clock.terms, facts, clock.cycle, by.due)
    if found is not None and found.due_at != clock.terms.due_at:
        _move(clock, found.since, found.due_at, by.steps(found.since, found.due_at))
    return found is not None


# What facts change

Said = tuple[str, Verdict]
"""What changed (`met`, `retracted`, `cancelled`, `withdrawn`, `progress`), and what the facts say."""


def judge(clock: Clock, facts: Facts) -> Said | None:
    """Bring a clock to what the facts say, whatever it was before: they come late and in any order."""
    verdict = verdicts.verdict(clock.terms, facts, clock.cycle)
    progressed = dict(verdict.done) != dict(clock.done)
    clock.done = verdict.done
    if verdict.in_time(clock.terms.due_at):
        changed = _meet(clock, verdict)
    elif verdict.is_void(clock.terms.due_at):
        changed = _void(clock)
    elif verdict.met_at is not None or verdict.ended_at is not None:
        changed = _miss(clock, verdict)
    else:
        changed = _reopen(clock)
    if changed is None and not progressed:
        return None
    clock.version += 1
    return changed or "progress", verdict


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


def _reopen(clock: Clock) -> str | None:
    """What had met it was another lead's after all: a merge that was undone took its touches along."""
    if clock.state is not State.MET:
        return None
    clock.state, clock.met_at, clock.next_at = State.RUNNING, None, step_at(clock, clock.step)
    return "progress"


def keep(clock: Clock, facts: Facts, by: Plan) -> Said | None:
    """Bring a clock that runs from the last touch to what the facts say."""
    found = keeping.kept(clock.terms, facts, clock.cycle, by.due)
    if found is None or clock.state is State.CANCELLED:
        return None
    changed = _end(clock, found) if found.is_over else _go_on(clock, found, by)
    if changed is None:
        return None
    clock.breached_at = clock.breached_at if found.broken or clock.state is State.BREACHED else None
    clock.version += 1
    ended_at, why = found.ended or (None, "")
    return changed, Verdict(met_at=clock.met_at, ended_at=ended_at, ended_by=why)


def _end(clock: Clock, found: Kept) -> str | None:
    """The assignment is over: the promise was kept to its end, or broken on the way."""
    assert found.ended is not None
    state = State.BREACHED if found.broken else State.MET
    if clock.state is state and clock.next_at is None and clock.terms.due_at == found.due_at:
        return None
    was_wrong = clock.state is State.BREACHED and clock.terms.due_at not in found.broken
    clock.retracted = clock.retracted or was_wrong
    clock.terms = replace(clock.terms, started_at=found.since, due_at=found.due_at)
    clock.state, clock.met_at, clock.next_at = state, found.ended[0], None
    if was_wrong:
        return "retracted"
    return "met" if state is State.MET else "progress"


def _go_on(clock: Clock, found: Kept, by: Plan) -> str | None:
    if clock.terms.due_at == found.due_at:
        return _cut(clock) if found.ended is not None else None
    was_wrong = clock.state is State.BREACHED and clock.terms.due_at not in found.broken
    clock.retracted = clock.retracted or was_wrong
    clock.state, clock.met_at = State.RUNNING, None
    _move(clock, found.since, found.due_at, by.steps(found.since, found.due_at))
    if found.ended is not None:
        _cut(clock)
    return "moved back" if was_wrong else "moved"


def _cut(clock: Clock) -> str | None:
    """The assignment was over after the deadline: the breach stays, or still comes; nothing is escalated after it."""
    if clock.state is State.BREACHED:
        was_open, clock.next_at = clock.next_at is not None, None
        return "progress" if was_open else None
    breach = next(number for number, step in _numbered(clock) if step["level"] == Level.BREACH)
    if len(clock.steps) == breach + 1:
        return None
    clock.steps = clock.steps[: breach + 1]
    return "progress"


def _numbered(clock: Clock) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(clock.steps))[clock.step :]


def outlives_merge(clock: Clock) -> bool:
    """Say whether a clock of a lead that is merged goes on as the survivor's; whoever arrived twice arrived once."""
    is_the_leads = clock.terms.source not in (*OF_ASSIGNMENTS, ARRIVAL)
    return is_the_leads and clock.state is State.RUNNING


def revive(clock: Clock) -> bool:
    """Let a clock from arrival that a merge had cancelled go on; False for every other."""
    if clock.state is not State.CANCELLED or clock.terms.source != ARRIVAL:
        return False
    clock.state, clock.next_at = State.RUNNING, step_at(clock, clock.step)
    clock.version += 1
    return True


def cancel(clock: Clock) -> bool:
    """End a clock without a verdict; False when it has ended already."""
    if clock.state is not State.RUNNING and clock.next_at is None:
        return False
    if clock.state is State.RUNNING:
        clock.state = State.CANCELLED
    clock.next_at = None
    clock.version += 1
    return clock.state is State.CANCELLED
