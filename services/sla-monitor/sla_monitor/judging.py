"""What facts change of clocks that are there: rows brought to their verdicts, whatever they were before."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sla_monitor import clocks, keeping, sharing, standing, verdicts
from sla_monitor.clocks import Plan
from sla_monitor.domain import Facts, Level, State, Verdict
from sla_monitor.keeping import Kept
from sla_monitor.store_clocks import Clock

MERGED: Final = "merged"
ERASED: Final = "erased"
NOT_BEGUN: Final = "not_begun"
"""What had started it does not count after all."""
COVERED: Final = "covered"
"""An earlier promise of its name was still running when it began, as came out later."""
Told = tuple[str, int]
"""The level and number of a step that fired."""


@dataclass(frozen=True, slots=True)
class Said:
    """What changed of a clock, by its state, and what the facts say."""

    verdict: Verdict
    taken_back: Sequence[Told] = ()
    """What had been told of it and was wrong."""
    restored: Sequence[Told] = ()
    """What had been taken back and was right."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """From where a clock is to run that runs from elsewhere so far."""

    at: datetime
    by: Plan
    others: Sequence[Clock] = ()
    """Of leads that are or were one with its own: it goes on where they stopped."""


def judge(clock: Clock, facts: Facts, anew: Elsewhere | None = None) -> Said | None:
    """Bring a clock to what the facts say, whatever it was before: they come late and in any order."""
    if clock.is_final:
        return None
    before = (*_essence(clock), clock.terms)
    if anew is not None:
        _run_from(clock, anew)
    verdict = verdicts.verdict(clock.terms, facts, clock.cycle)
    clock.done = verdict.done
    taken: Sequence[Told] = ()
    restored: Sequence[Told] = ()
    if verdict.in_time(clock.terms.due_at):
        clock.state, clock.met_at, clock.next_at, clock.reason = State.MET, verdict.met_at, None, ""
        taken = clocks.told_wrongly(clock)
    elif verdict.is_void(clock.terms.due_at):
        clock.state, clock.met_at, clock.next_at, clock.reason = State.CANCELLED, None, None, verdict.ended_by
        taken = clocks.told_wrongly(clock)
    else:
        restored = _reopen(clock)
        _miss(clock, verdict)
        over_at = min((at for at in (verdict.met_at, verdict.ended_at) if at is not None), default=None)
        taken = clocks.told_wrongly(clock, {clock.terms.started_at: over_at})
    if (*_essence(clock), clock.terms) == before:
        return None
    clock.retracted = clock.state is not State.BREACHED and clocks.is_taken_back(clock)
    clock.version += 1
    return Said(verdict, taken, restored)


def _essence(clock: Clock) -> tuple[object, ...]:
    return (
        clock.state,
        clock.met_at,
        clock.next_at,
        clock.step,
        list(clock.steps),
        dict(clock.done),
        clock.breached_at,
        clock.reason,
    )


def _reopen(clock: Clock) -> Sequence[Told]:
    """What had met or ended it was another lead's after all: a merge that was undone took it along."""
    if clock.state not in (State.RUNNING, State.BREACHED):
        clock.met_at, clock.reason, clock.next_at = None, "", clocks.step_at(clock, clock.step)
        clock.state = State.BREACHED if clock.breached_at is not None else State.RUNNING
    return clocks.told_rightly(clock) if clock.state is State.BREACHED else ()


def _run_from(clock: Clock, anew: Elsewhere) -> None:
    due_at = anew.by.due(anew.at)
    clock.met_at, clock.breached_at, clock.reason = None, None, ""
    clocks.begin_anew(clock, anew.at, due_at, anew.by.steps(anew.at, due_at))
    for other in anew.others:
        sharing.go_on_from(clock, other)


def _miss(clock: Clock, verdict: Verdict) -> None:
    """Late is late: the breach stays, or still comes; what was to be escalated after it does not."""
    clock.met_at = verdict.met_at
    is_over = verdict.met_at is not None or verdict.ended_at is not None
    clocks.let_come(clock, is_over=is_over, is_missed=verdict.met_at is None)


def keep(clock: Clock, facts: Facts, by: Plan) -> Said | None:
    """Bring a clock that runs from the last touch to what the facts say."""
    if clock.is_final:
        return None
    before = (*_essence(clock), clock.terms)
    restored: Sequence[Told] = ()
    found = keeping.kept(clock.terms, facts, clock.cycle, by.due)
    if found is None:
        clock.state, clock.met_at, clock.next_at, clock.reason = State.CANCELLED, None, None, NOT_BEGUN
        taken = clocks.told_wrongly(clock)
    elif found.is_over:
        _end(clock, found)
        taken = clocks.told_wrongly(clock, found.missed)
    else:
        _go_on(clock, found, by)
        restored = clocks.told_rightly(clock) if clock.state is State.BREACHED else ()
        over_at = found.ended[0] if found.ended is not None else None
        taken = clocks.told_wrongly(clock, {**found.missed, found.since: over_at})
    _note_breach(clock, found)
    if (*_essence(clock), clock.terms) == before:
        return None
    is_broken = found is not None and bool(found.broken)
    clock.retracted = not is_broken and (clock.retracted or any(level == Level.BREACH for level, _ in taken))
    clock.version += 1
    ended_at, why = (found.ended if found is not None else None) or (None, clock.reason)
    return Said(Verdict(met_at=clock.met_at, ended_at=ended_at, ended_by=why), taken, restored)


def _note_breach(clock: Clock, found: Kept | None) -> None:
    """Keep when a window was broken: as it was told, if that one still is."""
    if found is not None and found.broken:
        told_at = clock.breached_at
        stands = told_at is not None and (
            told_at >= clock.terms.due_at or any(due_at <= told_at <= over for due_at, over in found.broken.items())
        )
        clock.breached_at = told_at if stands else max(found.broken)
    elif clock.state is not State.BREACHED:
        clock.breached_at = None


def _end(clock: Clock, found: Kept) -> None:
    """The assignment is over: the promise was kept to its end, or broken on the way."""
    assert found.ended is not None
    clocks.turn_to(clock, found.since, found.due_at)
    clock.state = State.BREACHED if found.broken else State.MET
    clock.met_at = None if found.broken else found.ended[0]
    clock.next_at, clock.reason = None, ""


def _go_on(clock: Clock, found: Kept, by: Plan) -> None:
    """Let it run in its last window. After the deadline the end of the assignment undoes nothing: late is late."""
    # By its beginning: where changed hours put the deadline, and whether it passed meanwhile, is theirs to say.
    runs = clock.state is State.RUNNING or (clock.state is State.BREACHED and clocks.is_told(clock))
    if clock.terms.started_at != found.since or not runs:
        clock.met_at, clock.reason = None, ""
        clocks.begin_anew(clock, found.since, found.due_at, by.steps(found.since, found.due_at))
    clocks.let_come(clock, is_over=found.ended is not None, is_missed=True)


def revive(clock: Clock, reason: str) -> bool:
    """Let a clock that had ended for this reason go on; False for every other."""
    if clock.reason != reason or not clock.is_final:
        return False
    clock.state = State.BREACHED if clock.breached_at is not None else State.RUNNING
    clock.retracted = clock.retracted and clock.state is State.RUNNING
    clock.reason, clock.is_final, clock.next_at = "", False, clocks.step_at(clock, clock.step)
    clock.version += 1
    return True


def cover(clock: Clock) -> Said | None:
    """Take a clock back, and what was told of it: it should not have started, whatever a merge made of it since."""
    revive(clock, MERGED)
    return _leave(clock, COVERED, clocks.told_wrongly)


def hand_on(clock: Clock, survivors: Iterable[Clock]) -> Said | None:
    """End a clock that goes on as another lead's, whatever became of it since; None where it has ended so before.

    What was told of it is wrong where no survivor took that over: an earlier promise of that one covers this.
    """
    told = standing.told(clock).keys()
    theirs = [one for one in survivors if one.promise == clock.promise and one.reason != COVERED]
    goes_on = any(told & standing.told(one).keys() for one in theirs)
    return _leave(clock, MERGED, clocks.told_wrongly if not goes_on else lambda _: ())


def _leave(clock: Clock, reason: str, take_back: Callable[[Clock], Sequence[Told]]) -> Said | None:
    if clock.is_final:
        return None
    clock.state, clock.met_at, clock.next_at, clock.reason = State.CANCELLED, None, None, reason
    taken = take_back(clock)
    clock.is_final, clock.retracted = True, clocks.has_taken_back(clock)
    clock.version += 1
    return Said(Verdict(), taken)


def cancel(clock: Clock, reason: str) -> bool:
    """End a clock without a verdict, and what was to be told of it; False where there is nothing to end."""
    if clock.state is not State.RUNNING and clock.next_at is None:
        return False
    if clock.state is State.RUNNING:
        clock.state = State.CANCELLED
    clock.reason, clock.is_final, clock.next_at = reason, True, None
    clock.version += 1
    return True
