"""Promises that begin anew within an assignment, each time as a clock of its own: a round.

A status is updated, and has to be again; a rep says when the next step is due, and says it again after that.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sla_monitor import verdicts
from sla_monitor.agreement import Spec
from sla_monitor.domain import ACCEPTANCE, ASSIGNMENT, LAST_TOUCH, NEXT_AT, Assignment, Facts, Marked, Terms

UNTOLD: Final[Mapping[str, int]] = {ASSIGNMENT: 1, ACCEPTANCE: 1, LAST_TOUCH: 1, NEXT_AT: 0}
"""How many rounds there are while nobody told anything, by what they run from."""

Round = tuple[datetime, float]
"""When it began, and how many seconds it lasts on the clock's hours."""


def are_told(spec: Spec, facts: Facts) -> bool:
    """Say whether anything may have begun a round, besides the assignment itself."""
    if spec.source == NEXT_AT:
        return facts.plans_ahead
    return spec.has_rounds and bool(facts.of(Marked.STATUS))


def begun(spec: Spec, terms: Terms, assignment: Assignment, facts: Facts) -> set[Round]:
    """Return the rounds of an assignment.

    `terms` are those of a clock that begins with the assignment.
    """
    if spec.source == NEXT_AT:
        return _planned(terms, assignment, facts)
    return {(at, spec.within_seconds) for at in (terms.started_at, *(mark.at for mark in facts.updates(assignment)))}


def _planned(terms: Terms, assignment: Assignment, facts: Facts) -> set[Round]:
    """A plan for what is past already promises nothing."""
    until = [(mark.at, mark.until) for mark in facts.plans(assignment)]
    until += [
        (touch.at, touch.next_at)
        for touch in verdicts.counting(terms, facts.touches, None)
        if not _is_over(assignment, touch.at)
    ]
    return {(at, (due_at - at).total_seconds()) for at, due_at in until if due_at is not None and due_at > at}


def _is_over(assignment: Assignment, at: datetime) -> bool:
    return assignment.released_at is not None and assignment.released_at <= at
