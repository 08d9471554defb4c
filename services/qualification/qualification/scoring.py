"""Fit x interest: points by rules, under ceilings, decaying; every point explained, and the total is their sum.

The shape of a definition is in documents of the public interface. `when` of each rule comes compiled, as a callable
that says whether it holds for a mapping of values. Rules are evaluated once (`facts`); what they are worth at an
instant (`score`) is arithmetic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from qualification.rules import Action, Definition, Engagement, Exclusion

FINEST: Final = 2**20
"""Points count to the millionth, in binary fractions, so that any sum of them is exact in every reader's arithmetic."""
STEPS_OF_AGE: Final = 4096
"""In a half life (five minutes of two weeks): fresh points are whole, and a score is the same for a while."""
FIT_PARTS: Final = ("fit", "situation")
SHORTEST_WAIT_S: Final = 0.2
WAIT_IN_HALF_LIVES: Final = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What a rule gave, and what of it counted."""

    rule: str
    part: str
    points: float
    ceiling: float | None
    counted: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What holds of a lead, whatever the hour."""

    fit: Sequence[Point]
    persona: str
    excluded: Exclusion | None
    missing: Sequence[str]
    hits: Sequence[Sequence[datetime]]
    """Of each rule of interest, in the definition's order: when the lead did what it asks for."""
    signals: Sequence[datetime]

    def until(self, instant: datetime) -> "Facts":
        """Return what was so at an instant."""
        return replace(
            self,
            hits=[[at for at in ats if at <= instant] for ats in self.hits],
            signals=[at for at in self.signals if at <= instant],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A lead's score with its explanation: fit + interest is the sum of what counted."""

    fit: float
    interest: float
    grade: str
    action: Action
    persona: str
    definition: str
    missing: Sequence[str]
    explanation: Sequence[Point]
    reason: str
    why_passed: str
    burst: float
    """Points of the newest engagements within the hot window."""
    changes_at: datetime | None
    """Not before then does the grade change by time alone."""


def with_fit(held: Facts, fit: Sequence[Point]) -> Facts:
    """Return facts with the fit as it was found before."""
    return replace(held, fit=fit)


def exact(points: float) -> float:
    """Return points as they count."""
    return round(points * FINEST) / FINEST


def applicable(definitions: Sequence[Definition], lead: Mapping[str, Any]) -> Definition | None:
    """Return the definition with the lowest order that applies to the lead."""
    return next((one for one in sorted(definitions, key=lambda d: (d.order, d.name)) if one.applies(lead)), None)


def facts(
    definition: Definition, lead: Mapping[str, Any], absent: Sequence[str], engagements: Sequence[Engagement]
) -> Facts:
    """Evaluate the rules. `lead` has the values that conditions read, `absent` the names of what it does not have."""
    by_kind: dict[str, list[Engagement]] = {}
    for one in engagements:
        by_kind.setdefault(one.kind, []).append(one)
    return Facts(
        fit=[
            Point(rule=rule.rule, part=part, points=rule.points, ceiling=None, counted=exact(rule.points))
            for part, rules in zip(FIT_PARTS, (definition.fit, definition.situation), strict=True)
            for rule in rules
            if rule.holds(lead)
        ],
        persona=next((name for name, holds in definition.personas if holds(lead)), ""),
        excluded=next((one for one in definition.exclude if one.holds(lead)), None),
        missing=[name for name in definition.required if name in absent],
        hits=[
            [one.at for one in by_kind.get(rule.kind, ()) if rule.holds(_with(lead, one))]
            for group in definition.groups
            for rule in group.rules
        ],
        signals=[one.at for kind in definition.buying_signals for one in by_kind.get(kind, ())],
    )


def score(definition: Definition, held: Facts, now: datetime, *, lifted: Action | None = None) -> Score:
    """Say what the facts are worth now. `lifted`: what a burst of interest made of a lead that would have to wait."""
    interest_points = _interest(definition, held.hits, now)
    fit, interest = _sum(held.fit), _sum(interest_points)
    signalled = any((now - at).total_seconds() <= definition.signal_for_seconds for at in held.signals)
    column = definition.interest_bands[0][0] if signalled else _band(definition.interest_bands, interest)
    grade = _band(definition.fit_bands, fit) + column
    action, reason = definition.matrix.get(grade, Action.NURTURE), ""
    if held.excluded is not None:
        action, reason = held.excluded.action, held.excluded.reason
    elif lifted is not None and action in (Action.NURTURE, Action.REVIEW):
        action = lifted
    explanation = [*held.fit, *interest_points]
    return Score(
        fit=fit,
        interest=interest,
        grade=grade,
        action=action,
        persona=held.persona,
        definition=definition.reference,
        missing=held.missing,
        explanation=explanation,
        reason=reason,
        why_passed=_why(explanation, grade, signalled=signalled),
        burst=_burst(definition, held.hits, now),
        changes_at=_signal_end(definition, held)
        if signalled
        else _next_change(definition, interest_points, interest, now),
    )


def _interest(definition: Definition, hits: Sequence[Sequence[datetime]], now: datetime) -> list[Point]:
    points: list[Point] = []
    room_of_all = definition.interest_ceiling
    times = iter(hits)
    for group in definition.groups:
        room_of_group = group.ceiling
        for rule in group.rules:
            given = exact(rule.points * _decayed(definition.half_life_seconds, next(times), now))
            if given == 0:
                continue
            counted = given
            ceiling = rule.ceiling if rule.ceiling is not None else group.ceiling
            rooms = (
                (rule.ceiling, rule.ceiling),
                (room_of_group, group.ceiling),
                (room_of_all, definition.interest_ceiling),
            )
            for room, limit in rooms:
                if room is not None and counted > max(0.0, room):
                    counted, ceiling = max(0.0, room), limit
            counted = exact(counted)
            room_of_group = room_of_group - counted if room_of_group is not None else None
            room_of_all = room_of_all - counted if room_of_all is not None else None
            points.append(Point(rule=rule.rule, part=group.group, points=given, ceiling=ceiling, counted=counted))
    return points


def _decayed(half_life: float | None, ats: Sequence[datetime], now: datetime) -> float:
    if half_life is None:
        return float(len(ats))
    ages = (max(0.0, (now - at).total_seconds()) / half_life for at in ats)
    return math.fsum(0.5 ** (math.floor(age * STEPS_OF_AGE) / STEPS_OF_AGE) for age in ages)


def _burst(definition: Definition, hits: Sequence[Sequence[datetime]], now: datetime) -> float:
    if definition.hot_points is None:
        return 0.0
    rules = (rule for group in definition.groups for rule in group.rules)
    return sum(
        rule.points * sum((now - at).total_seconds() <= definition.hot_within_seconds for at in ats)
        for rule, ats in zip(rules, hits, strict=True)
    )


def _signal_end(definition: Definition, held: Facts) -> datetime:
    return max(held.signals) + timedelta(seconds=definition.signal_for_seconds)


def _next_change(definition: Definition, points: Sequence[Point], interest: float, now: datetime) -> datetime | None:
    """Return an instant before which interest cannot leave its band.

    All points halve together and ceilings only slow that, so interest falls no faster than it halves. It rises by no
    more than its negative points fade, under ceilings that hide the fading of the others.
    """
    half_life = definition.half_life_seconds
    if half_life is None or not points:
        return None
    negative = -sum(point.points for point in points if point.points < 0)
    lowest = next((least for _, least in definition.interest_bands[:-1] if interest >= least), None)
    higher = min((least for _, least in definition.interest_bands if least > interest), default=math.inf)
    certain = interest - negative * 2 / STEPS_OF_AGE  # negative points may be a step younger than the others
    waits = []
    if lowest is not None and lowest > 0:
        waits.append(math.log2(certain / lowest) if certain > lowest else 0.0)
    if higher - interest < negative:
        waits.append(-math.log2(1 - (higher - interest) / negative))
    if not waits:
        return None
    half_lives = min(waits) - 1 / STEPS_OF_AGE  # the age that counts is up to a step behind
    shortest = max(SHORTEST_WAIT_S, half_life * WAIT_IN_HALF_LIVES)
    return now + timedelta(seconds=max(shortest, half_life * half_lives))


def _with(lead: Mapping[str, Any], engagement: Engagement) -> dict[str, Any]:
    return {**lead, "engagement.kind": engagement.kind, "engagement.properties": engagement.properties}


def _band(bands: Sequence[tuple[str, float]], points: float) -> str:
    return next((name for name, lowest in bands if points >= lowest), bands[-1][0])


def _sum(points: Sequence[Point]) -> float:
    return sum((point.counted for point in points), 0.0)


def _why(points: Sequence[Point], grade: str, *, signalled: bool) -> str:
    best = sorted((point for point in points if point.counted > 0), key=lambda point: -point.counted)[:3]
    words = [point.rule for point in best]
    if signalled:
        words.insert(0, "asked to be contacted")
    return f"{grade}: {', '.join(words)}" if words else grade
