"""How clocks start and how facts change them: terms from a policy, deadlines from a calendar, verdicts from facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from backbone import calendars, ids, times
from backbone.calendars import Calendar
from handoff.events.v1 import common_pb2
from sla_monitor import agreement, chain, hours, keeping
from sla_monitor.agreement import Policy, Spec
from sla_monitor.chain import Chain
from sla_monitor.domain import ARRIVAL, Facts, Level, State
from sla_monitor.hours import NEVER, REP, WALL, Calendars, Hours
from sla_monitor.store_clocks import Clock

WITHOUT_HOURS: Final = Counter(
    "handoff_clocks_without_hours_total", "Clocks without a deadline: their hours do not come"
)
Steps = Sequence[Mapping[str, Any]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Plan:
    """A line of a policy on somebody's hours: what happens when, from whichever instant."""

    policy: Policy
    spec: Spec
    hours: tuple[str, Calendar] | None
    """What to cite, and the calendar; None by the wall."""
    waking: Calendar | None
    """Outside the policy's quiet hours; None where it has none."""
    then: Hours = ()
    """The hours as they were since when: what was missed by those of then was missed."""
    version: int = 0
    """That of whose hours, or zone, all this is: the rep's, or for the lead's own clocks the company's; 0: nobody's."""

    @property
    def calendar(self) -> str:
        """Return what the clock cites."""
        return self.hours[0] if self.hours is not None else WALL

    def after(self, seconds: float, start: datetime) -> datetime:
        """Return when so many seconds of these hours have passed."""
        if self.then:
            return hours.fell_due(self.then, start, seconds)
        return hours.after(self.hours[1] if self.hours is not None else None, start, seconds)

    def due(self, start: datetime) -> datetime:
        """Return the deadline."""
        return self.after(self.spec.within_seconds, start)

    def steps(
        self, start: datetime, due_at: datetime, told: Steps = (), now: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Return what happens when: warnings, the breach, and what is escalated after it."""
        escalations = [one for one in self.policy.escalations if one.is_of(self.spec)]
        return Chain(self.spec, escalations, self.after, self._awake).steps(start, due_at, told, now)

    def lasting(self, seconds: float) -> "Plan":
        """Return the same of a promise that lasts as long as its rep said."""
        return replace(self, spec=replace(self.spec, within_seconds=seconds))

    def _awake(self, at: datetime) -> datetime | None:
        opens_at = at if self.waking is None else calendars.next_opening(self.waking, at)
        return min(opens_at, times.LATEST) if opens_at is not None else None


def plan(policy: Policy, spec: Spec, rep: common_pb2.Rep, named: Calendars) -> Plan | None:
    """Return a line of a policy on a rep's hours; None where its hours are not known."""
    running_on = named.of(spec.hours, rep) if spec.hours != WALL else None
    if spec.hours != WALL and running_on is None:
        return None
    waking = named.waking(policy.quiet, rep) if policy.quiet is not None else None
    is_quiet_there = policy.quiet is not None and not policy.quiet.zone
    version = named.version_of(rep) if spec.hours == REP or is_quiet_there else 0
    return Plan(policy, spec, running_on, waking, named.then(spec.hours, rep.rep_id), version)


def start(lead_id: UUID, by: Plan, *, cycle: int, started_at: datetime, rep: common_pb2.Rep) -> Clock:
    """Return a clock with its steps."""
    due_at = by.due(started_at)
    policy, spec = by.policy, by.spec
    steps = by.steps(started_at, due_at)
    return Clock(
        lead_id=lead_id,
        clock=spec.clock,
        cycle=cycle,
        terms=agreement.terms(policy, spec, rep, started_at, due_at),
        team=rep.team,
        manager_id=rep.manager_id,
        policy=policy.reference,
        calendar=by.calendar,
        hours=spec.hours,
        rep_version=by.version,
        steps=steps,
        next_at=times.parse(steps[0]["at"]),
    )


def tell_without_hours(clock: Clock) -> None:
    """Log, and count, a promise that nobody can break before its hours are changed; nothing for every other."""
    if clock.terms.due_at == clock.terms.started_at + NEVER:
        WITHOUT_HOURS.inc()
        words = "a promise has no deadline until its hours are changed: so many of them do not come in ten years"
        of = {"lead_id": str(clock.lead_id), "clock": clock.clock, "cycle": clock.cycle}
        log.warning(words, **of, policy=clock.policy, calendar=clock.calendar)


def recompute(clock: Clock, by: Plan, now: datetime) -> None:
    """Bring the deadline and the steps that are still to come to changed hours; no step falls due before now.

    Steps that fired stay as they were, and none fires again.
    """
    began = clock.terms.started_at
    due_at = clock.terms.due_at if clock.state is State.BREACHED else by.due(began)
    left: list[Mapping[str, Any]] = list(by.steps(began, due_at, told_now(clock), now))
    if clock.state is State.BREACHED:
        left = [step for step in left if step["level"] == Level.ESCALATION]
    for step in clock.steps[clock.step :]:
        if step.get("off") and (same := chain.take(left, step)) is not None:
            left.append({**same, "off": True})
    # Which version of hours made the deadline stays with it.
    if clock.state is State.BREACHED:
        clock.steps_by = by.calendar
    elif due_at != clock.terms.due_at or by.spec.hours != REP:
        clock.calendar, clock.steps_by = by.calendar, ""
    move(clock, began, due_at, left)
    clock.rep_version = by.version
    clock.version += 1
    tell_without_hours(clock)


def move(clock: Clock, started_at: datetime, due_at: datetime, left: Steps) -> None:
    """Let a clock run to another deadline: what fired has its number for ever, what is left gets the next ones."""
    clock.terms = replace(clock.terms, started_at=started_at, due_at=due_at)
    clock.steps = [*clock.steps[: clock.step], *left]
    clock.next_at = step_at(clock, clock.step)


def let_come(clock: Clock, *, is_over: bool, is_missed: bool) -> None:
    """Let the steps that are left come; of a promise that is over, if too late, only the breach.

    And the pause of whom it took the lead from: that one missed it, whoever has it now. What does not come is off, and
    stands behind what does until facts say otherwise: only what fired has its number for ever.
    """
    left = list(clock.steps[clock.step :])
    if any(step.get("off") for step in left):
        left = sorted(({name: step[name] for name in step if name != "off"} for step in left), key=chain.in_order)
    if is_over:
        was_taken = is_missed and any(step["to"] == chain.REASSIGN for step in told_now(clock))
        comes = [step for step in left if step["level"] == Level.BREACH or (was_taken and step["to"] == chain.PAUSE)]
        left = [*comes, *({**step, "off": True} for step in left if step not in comes)]
    steps = [*clock.steps[: clock.step], *left]
    if clock.next_at is None or steps != clock.steps:
        clock.steps = steps
        clock.next_at = step_at(clock, clock.step)


def told_now(clock: Clock) -> list[Mapping[str, Any]]:
    """Return what fired of the window that runs now."""
    began, fired = clock.terms.started_at, clock.steps[: clock.step]
    return [step for step in fired if times.parse(step["at"]) >= began and not step.get("of_the_past")]


def is_told(clock: Clock) -> bool:
    """Say whether it has been told that the window which runs now was missed."""
    return any(step["level"] == Level.BREACH and not step.get("retracted") for step in told_now(clock))


def is_taken_back(clock: Clock) -> bool:
    """Say whether something that was told of it is taken back: by itself, or by another of the window that runs now."""
    told = [step for step in clock.steps[: clock.step] if step.get("retracted")]
    return any("alert" not in step or "of_the_past" not in step for step in told)


def has_taken_back(clock: Clock) -> bool:
    """Say whether something that it told itself is taken back; what it took over is the other's to say."""
    return any(step.get("retracted") and "alert" not in step for step in clock.steps[: clock.step])


def turn_to(clock: Clock, started_at: datetime, due_at: datetime) -> None:
    """Let a clock be in another window: what fired is of that one, and none of it of this, but what did fire of it."""
    if started_at != clock.terms.started_at:
        was, of = times.text(clock.terms.started_at), times.text(started_at)
        fired = [{"of_the_past": was, **step} for step in clock.steps[: clock.step]]
        fired = [
            {name: value for name, value in step.items() if (name, value) != ("of_the_past", of)} for step in fired
        ]
        clock.steps = [*fired, *clock.steps[clock.step :]]
        clock.calendar, clock.steps_by = clock.steps_by or clock.calendar, ""
    clock.terms = replace(clock.terms, started_at=started_at, due_at=due_at)


def begin_anew(clock: Clock, started_at: datetime, due_at: datetime, steps: Steps) -> None:
    """Let a clock run in another window. Where it did so before, it goes on there: nobody is told of a step twice."""
    turn_to(clock, started_at, due_at)
    go_on(clock, steps)


def go_on(clock: Clock, steps: Steps) -> None:
    """Let what is left of these steps come, after what was told of the window."""
    left = list(steps)
    for step in told_now(clock):
        chain.take(left, step)
    broken = deadlines_told(clock)
    clock.state = State.BREACHED if broken else State.RUNNING
    if broken:
        clock.breached_at = clock.breached_at or broken[-1]
    # Late is late, whatever the hours make of the deadline by now.
    move(clock, clock.terms.started_at, broken[-1] if broken else clock.terms.due_at, left)


Missed = Mapping[datetime, datetime | None]
"""Windows that ran out, by when they began, each with when it was done after all, or over; None where it was not."""


def told_wrongly(clock: Clock, missed: Missed | None = None) -> list[tuple[str, int]]:
    """Take back what fired of windows that nobody let run out, each once: (level, step) of breaches and what followed.

    Of those that somebody did, what was escalated later than it was done, or over.
    """
    steps, taken, stands, until = [dict(step) for step in clock.steps], [], True, None
    took_away = False
    for number, step in enumerate(steps[: clock.step]):
        at = times.parse(step["at"])
        if step["level"] == Level.BREACH:
            began = times.parse(step["of_the_past"]) if "of_the_past" in step else clock.terms.started_at
            stands, until, took_away = began in (missed or {}), (missed or {}).get(began), False
        # Whoever had it when it was taken away is paused, though that one has it no more by then.
        is_wrong = not stands or (until is not None and at > until and not (took_away and step["to"] == chain.PAUSE))
        took_away = took_away or (step["to"] == chain.REASSIGN and not is_wrong)
        if is_wrong and step["level"] != Level.WARNING and not step.get("retracted") and not _is_others(clock, step):
            step["retracted"] = True
            taken.append((str(step["level"]), number))
    clock.steps = steps
    return taken


def _is_others(clock: Clock, step: Mapping[str, Any]) -> bool:
    """Say whether a step was told of an arrival before the lead's own, while it was one with who came then."""
    past = step.get("of_the_past")
    return clock.terms.source == ARRIVAL and isinstance(past, str) and times.parse(past) < clock.terms.started_at


def deadlines_told(clock: Clock) -> list[datetime]:
    """Return of which deadlines of the window that runs now it has been told that they were missed."""
    return [times.parse(step["at"]) for step in told_now(clock) if step["level"] == Level.BREACH]


def told_rightly(clock: Clock) -> list[tuple[str, int]]:
    """Say again what had been taken back, since what had met the clock was another lead's: (level, step)."""
    now = told_now(clock)
    again = [number for number, step in enumerate(clock.steps[: clock.step]) if step.get("retracted") and step in now]
    clock.steps = [
        {name: value for name, value in step.items() if name != "retracted" or number not in again}
        for number, step in enumerate(clock.steps)
    ]
    return [(str(clock.steps[number]["level"]), number) for number in again]


def step_at(clock: Clock, step: int) -> datetime | None:
    """Return when a step is due, None after the last that comes."""
    if step >= len(clock.steps) or clock.steps[step].get("off"):
        return None
    return times.parse(clock.steps[step]["at"])


def alert_id(clock: Clock, level: str, step: int) -> UUID:
    """Return the alert's id: the same step of the same clock has the same one for ever, or that it was told with."""
    told = clock.steps[step].get("alert") if step < len(clock.steps) else None
    if told is not None:
        return UUID(told)
    which = f"{clock.cycle}.{clock.round}" if clock.round else str(clock.cycle)
    return ids.derived("alert", str(clock.lead_id), clock.clock, which, level, str(step))


def settle(clock: Clock, facts: Facts, by: Plan) -> bool:
    """Let a new clock that runs from the last touch begin there; False where nothing has started it yet."""
    found = keeping.kept(clock.terms, facts, clock.cycle, by.due)
    if found is not None and found.due_at != clock.terms.due_at:
        move(clock, found.since, found.due_at, by.steps(found.since, found.due_at))
    return found is not None
