"""Clocks that run from the last touch: each touch begins the window anew, for as long as the assignment lasts.

So a lead that is neglected twice is told of twice, and what comes late closes the gap that it fell into.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sla_monitor import verdicts
from sla_monitor.domain import NEXT_STEP, Facts, Mark, Terms, Touch
from sla_monitor.verdicts import End

After = Callable[[datetime], datetime]
"""When a window ends that begins at an instant."""
FROM_THE_ASSIGNMENT_ON: Final = "stale"
"""The kind that runs before anybody touched the lead."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a promise was kept so far."""

    since: datetime
    due_at: datetime
    broken: Mapping[datetime, datetime]
    """The deadlines that a touch came after, with when it did."""
    missed: Mapping[datetime, datetime]
    """The same by when the window began."""
    ended: End | None

    @property
    def is_over(self) -> bool:
        """Say whether the assignment ended before the last window did."""
        return self.ended is not None and self.ended[0] <= self.due_at


def kept(terms: Terms, facts: Facts, cycle: int, after: After) -> Kept | None:
    """Decide a moving clock by all facts about its lead; None where it has not begun."""
    assignment = facts.assignments.get(cycle)
    if assignment is None:
        return None
    base = replace(terms, started_at=assignment.begins)
    ended = verdicts.end(base, facts, cycle)
    since = assignment.begins if terms.kind == FROM_THE_ASSIGNMENT_ON else None
    due_at = after(since) if since is not None else None
    broken: dict[datetime, datetime] = {}
    missed: dict[datetime, datetime] = {}
    for one in _in_order(terms.kind, verdicts.counting(base, facts.touches, ended), facts.plans(assignment)):
        if since is not None and due_at is not None and due_at < one.at:
            broken[due_at] = missed[since] = one.at
        if isinstance(one, Touch):
            since = max(one.next_at or one.at if terms.kind == NEXT_STEP else one.at, assignment.begins)
        else:
            since = one.until or one.at
        due_at = after(since) if since is not None else None
    if since is None or due_at is None:
        return None
    return Kept(since, due_at, broken, missed, ended)


def _in_order(kind: str, touches: Sequence[Touch], plans: Sequence[Mark]) -> list[Touch | Mark]:
    """Whoever says when the next step is, with a touch or with the status, has until then; else from now on."""
    if kind != NEXT_STEP:
        return [*touches]
    return sorted([*touches, *plans], key=lambda one: one.at)
