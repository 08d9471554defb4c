"""What happens when, of a promise: warnings, the breach, and what is escalated, in the order of the policy's times."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backbone import times
from sla_monitor.agreement import ESCALATED_TO, Escalation, Spec
from sla_monitor.domain import Level

REASSIGN: Final = "reassign"
PAUSE: Final = "pause"
ACTS: Final = (REASSIGN, PAUSE)
"""What takes something from somebody."""
_LEVELS: Final = tuple(Level)
Step = Mapping[str, Any]
Held = tuple[float, datetime]
"""How long after the deadline the policy has a step, and when it comes instead."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a line of a policy."""

    spec: Spec
    escalations: Sequence[Escalation]
    after: Callable[[float, datetime], datetime]
    """When so many seconds of the clock's hours have passed since an instant."""
    awake: Callable[[datetime], datetime | None]
    """When somebody may be told that would have been at an instant; None where that never comes."""

    def steps(
        self, start: datetime, due_at: datetime, told: Sequence[Step] = (), now: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Return what is still to come of a clock, in order; with `now` nothing before it but the deadline.

        Nobody is told again what was `told`, whenever that was.
        """
        left = list(told)
        warnings = [_step(at, Level.WARNING, "rep") for at in sorted(self._warnings(start, due_at, now))]
        found = [step for step in warnings if take(left, step) is None]
        breach = _step(due_at, Level.BREACH, "rep")
        before = take(left, breach)
        if before is None:
            found.append(breach)
        at = times.parse((before or breach)["at"])
        return found + list(self._escalated(due_at, left, now, (0, at) if at > due_at else None))

    def _warnings(self, start: datetime, due_at: datetime, now: datetime | None) -> Iterator[datetime]:
        """Whom quiet hours keep from warning in time, does not warn."""
        for seconds in self.spec.warn_seconds:
            at = self._told_at(self.after(seconds, start), now)
            if at is not None and at < due_at:
                yield at

    def _escalated(
        self, due_at: datetime, told: list[Step], now: datetime | None, held: Held | None
    ) -> Iterator[dict[str, Any]]:
        """What is held back, by quiet hours or since it was to be before now, holds back those after it.

        So that each comes no sooner after the one before it, be that the breach, than the policy has them apart.
        """
        for one in sorted(self.escalations, key=lambda one: (one.after_seconds, ESCALATED_TO.index(one.to))):
            own = self._later(due_at, one.after_seconds)
            step = _step(own, Level.ESCALATION, one.to)
            before = take(told, step)
            at = times.parse(before["at"]) if before is not None else self._told_at(self._behind(held, one, own), now)
            if at is None:
                continue
            held = (one.after_seconds, at) if at > own else None
            if before is None:
                yield _step(at, Level.ESCALATION, one.to) | ({"times": one.times} if one.to == REASSIGN else {})

    def _behind(self, held: Held | None, one: Escalation, own: datetime) -> datetime:
        """Return when a step comes by itself, behind the one that was held back before it."""
        if held is None:
            return own
        return max(own, self._later(held[1], one.after_seconds - held[0]))

    def _later(self, at: datetime, seconds: float) -> datetime:
        """By the clock's hours; outside them, too, where it is no later."""
        return self.after(seconds, at) if seconds else at

    def _told_at(self, at: datetime, now: datetime | None) -> datetime | None:
        return self.awake(max(at, now or at))


def _step(at: datetime, level: Level, to: str) -> dict[str, Any]:
    return {"at": times.text(at), "level": str(level), "to": to}


def take(some: list[Step], step: Step) -> Step | None:
    """Take the first one of a step's level, to the same, out of some."""
    same = next((one for one in some if (one["level"], one["to"]) == (step["level"], step["to"])), None)
    if same is not None:
        some.remove(same)
    return same


def let_pass(steps: Sequence[Step], number: int, now: datetime) -> list[Step] | None:
    """Put what is due, and takes nothing from anybody, before a step that has to wait; None where nothing is."""
    for place in range(number + 1, len(steps)):
        step = steps[place]
        if step["to"] not in ACTS and not step.get("off") and times.parse(step["at"]) <= now:
            return [*steps[:number], step, *steps[number:place], *steps[place + 1 :]]
    return None


def in_order(step: Step) -> tuple[datetime, int, int]:
    """Return what steps are sorted by: their instants; what is for the same one, as the chain has it."""
    return times.parse(step["at"]), _LEVELS.index(step["level"]), ESCALATED_TO.index(step["to"])
