"""Fit x interest: points by rules, under ceilings, decaying; every point explained, and the total is their sum.

The shape of a definition is in documents of the public interface. `when` of each rule comes compiled, as a callable
that says whether it holds for a mapping of values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

Holds = Callable[[Mapping[str, Any]], bool]
CENTS: Final = 2
"""Points are counted to the hundredth, so that sums are exact as people read them."""


class Action(StrEnum):
    """What a cell of the matrix says to do."""

    PASS = "pass"  # noqa: S105 - a word of the interface
    REVIEW = "review"
    NURTURE = "nurture"
    DROP = "drop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Points for what holds."""

    rule: str
    holds: Holds
    points: float
    kind: str = ""
    ceiling: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """What is never an MQL."""

    rule: str
    holds: Holds
    reason: str
    action: Action


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rules of interest under one ceiling."""

    group: str
    rules: Sequence[Rule]
    ceiling: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A qualified-lead definition, compiled."""

    name: str
    version: int
    order: int
    applies: Holds
    required: Sequence[str]
    exclude: Sequence[Exclusion]
    fit: Sequence[Rule]
    situation: Sequence[Rule]
    groups: Sequence[Group]
    half_life_seconds: float | None
    interest_ceiling: float | None
    buying_signals: frozenset[str]
    signal_for_seconds: float
    fit_bands: Sequence[tuple[str, float]]
    """From the highest: (letter, lowest points)."""
    interest_bands: Sequence[tuple[str, float]]
    matrix: Mapping[str, Action]
    personas: Sequence[tuple[str, Holds]]
    hot_points: float | None
    hot_within_seconds: float
    srl: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """Return what decisions cite."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagement:
    """Something the lead did."""

    kind: str
    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What a rule gave, and what of it counted."""

    rule: str
    part: str
    points: float
    ceiling: float | None
    counted: float


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


def applicable(definitions: Sequence[Definition], lead: Mapping[str, Any]) -> Definition | None:
    """Return the definition with the lowest order that applies to the lead."""
    return next((one for one in sorted(definitions, key=lambda d: (d.order, d.name)) if one.applies(lead)), None)


def score(
    definition: Definition,
    lead: Mapping[str, Any],
    absent: Sequence[str],
    engagements: Sequence[Engagement],
    now: datetime,
) -> Score:
    """Score a lead. `lead` has the values that conditions read, `absent` the names of fields that it does not have."""
    persona = next((name for name, holds in definition.personas if holds(lead)), "")
    points = [
        Point(rule=rule.rule, part=part, points=rule.points, ceiling=None, counted=rule.points)
        for part, rules in (("fit", definition.fit), ("situation", definition.situation))
        for rule in rules
        if rule.holds(lead)
    ]
    fit = _sum(points)
    interest_points = _interest(definition, lead, engagements, now)
    interest = _sum(interest_points)
    signalled = any(
        one.kind in definition.buying_signals and (now - one.at).total_seconds() <= definition.signal_for_seconds
        for one in engagements
    )
    column = definition.interest_bands[0][0] if signalled else _band(definition.interest_bands, interest)
    grade = _band(definition.fit_bands, fit) + column
    action = definition.matrix.get(grade, Action.NURTURE)
    reason = ""
    excluded = next((one for one in definition.exclude if one.holds(lead)), None)
    if excluded is not None:
        action, reason = excluded.action, excluded.reason
    explanation = [*points, *interest_points]
    return Score(
        fit=fit,
        interest=interest,
        grade=grade,
        action=action,
        persona=persona,
        definition=definition.reference,
        missing=[name for name in definition.required if name in absent],
        explanation=explanation,
        reason=reason,
        why_passed=_why(explanation, grade, signalled=signalled),
        burst=_burst(definition, lead, engagements, now),
    )


def _interest(
    definition: Definition, lead: Mapping[str, Any], engagements: Sequence[Engagement], now: datetime
) -> list[Point]:
    points: list[Point] = []
    room_of_all = definition.interest_ceiling
    for group in definition.groups:
        room_of_group = group.ceiling
        for rule in group.rules:
            given = round(
                sum(
                    rule.points * _decay(definition.half_life_seconds, (now - one.at).total_seconds())
                    for one in engagements
                    if one.kind == rule.kind and rule.holds(_with(lead, one))
                ),
                CENTS,
            )
            if given == 0:
                continue
            counted = given
            for room in (rule.ceiling, room_of_group, room_of_all):
                if room is not None:
                    counted = min(counted, max(0.0, room))
            counted = round(counted, CENTS)
            room_of_group = room_of_group - counted if room_of_group is not None else None
            room_of_all = room_of_all - counted if room_of_all is not None else None
            ceiling = rule.ceiling if rule.ceiling is not None else group.ceiling
            points.append(Point(rule=rule.rule, part=group.group, points=given, ceiling=ceiling, counted=counted))
    return points


def _burst(definition: Definition, lead: Mapping[str, Any], engagements: Sequence[Engagement], now: datetime) -> float:
    if definition.hot_points is None:
        return 0.0
    return sum(
        rule.points
        for group in definition.groups
        for rule in group.rules
        for one in engagements
        if one.kind == rule.kind
        and (now - one.at).total_seconds() <= definition.hot_within_seconds
        and rule.holds(_with(lead, one))
    )


def _with(lead: Mapping[str, Any], engagement: Engagement) -> dict[str, Any]:
    return {**lead, "engagement.kind": engagement.kind, "engagement.properties": engagement.properties}


def _decay(half_life: float | None, age: float) -> float:
    return 1.0 if half_life is None else 0.5 ** (max(0.0, age) / half_life)


def _band(bands: Sequence[tuple[str, float]], points: float) -> str:
    return next((name for name, lowest in bands if points >= lowest), bands[-1][0])


def _sum(points: Sequence[Point]) -> float:
    return round(sum(point.counted for point in points), CENTS)


def _why(points: Sequence[Point], grade: str, *, signalled: bool) -> str:
    best = sorted((point for point in points if point.counted > 0), key=lambda point: -point.counted)[:3]
    words = [point.rule for point in best]
    if signalled:
        words.insert(0, "asked to be contacted")
    return f"{grade}: {', '.join(words)}" if words else grade
