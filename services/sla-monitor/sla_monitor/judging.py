"""What facts change of clocks that are there: rows brought to their verdicts, whatever they were before."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sla_monitor import clocks, keeping, verdicts
from sla_monitor.clocks import Plan
from sla_monitor.domain import ARRIVAL, MEETING_MISSED, QUALIFICATION, Facts, Level, State, Verdict
from sla_monitor.keeping import Kept
from sla_monitor.store_clocks import Clock

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
    breach = clocks.breach_step(clock)
    if clock.state is State.BREACHED:
        is_news = clock.met_at != verdict.met_at or clock.next_at is not None
        clock.met_at, clock.next_at = verdict.met_at, None
        return ("met" if verdict.met_at is not None else "progress") if is_news else None
    is_known = (len(clock.steps), clock.step, clock.met_at) == (breach + 1, breach, verdict.met_at)
    if clock.state is not State.RUNNING or is_known:
        return None
    clock.steps, clock.step, clock.met_at = clock.steps[: breach + 1], breach, verdict.met_at
    clock.next_at = clocks.step_at(clock, breach)
    return "progress"


def _reopen(clock: Clock) -> str | None:
    """What had met it was another lead's after all: a merge that was undone took its touches along."""
    if clock.state is not State.MET:
        return None
    clock.state, clock.met_at, clock.next_at = State.RUNNING, None, clocks.step_at(clock, clock.step)
    return "progress"


def keep(clock: Clock, facts: Facts, by: Plan) -> Said | None:
    """Bring a clock that runs from the last touch to what the facts say."""
    found = keeping.kept(clock.terms, facts, clock.cycle, by.due)
    if found is None or clock.state is State.CANCELLED:
        return None
    changed = _end(clock, found) if found.is_over else _go_on(clock, found, by)
    if changed is None:
        return None
    if found.broken:
        clock.breached_at = clock.breached_at or found.broken[-1]
    elif clock.state is not State.BREACHED:
        clock.breached_at = None
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
    clock.state, clock.next_at = state, None
    clock.met_at = found.ended[0] if state is State.MET else None
    if was_wrong:
        return "retracted"
    return "met" if state is State.MET else "progress"


def _go_on(clock: Clock, found: Kept, by: Plan) -> str | None:
    if clock.terms.due_at == found.due_at:
        return _cut(clock) if found.ended is not None else None
    was_wrong = clock.state is State.BREACHED and clock.terms.due_at not in found.broken
    clock.retracted = clock.retracted or was_wrong
    clock.state, clock.met_at = State.RUNNING, None
    clocks.move(clock, found.since, found.due_at, by.steps(found.since, found.due_at))
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
    """Say whether a clock of a lead that is merged goes on as the survivor's.

    Whoever came twice came once; and whether the survivor waits for a judgement, qualification says.
    """
    is_the_leads = clock.terms.source in (QUALIFICATION, MEETING_MISSED)
    return is_the_leads and clock.state is State.RUNNING


def revive(clock: Clock) -> bool:
    """Let a clock from arrival that a merge had cancelled go on; False for every other."""
    if clock.state is not State.CANCELLED or clock.terms.source != ARRIVAL:
        return False
    clock.state, clock.next_at = State.RUNNING, clocks.step_at(clock, clock.step)
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
