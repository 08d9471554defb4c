"""What a qualified-lead definition says, compiled: every condition is a callable over the values that it reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Holds = Callable[[Mapping[str, Any]], bool]


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
    hot_unowned: Action | None
    """What a hot lead is lifted to that nobody has."""
    srl: Mapping[str, Any]
    supply: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """Return what decisions cite."""
        return f"{self.name}@{self.version}"

    def counts(self, kind: str) -> bool:
        """Say whether an engagement of this kind may change the score."""
        return kind in self.buying_signals or any(rule.kind == kind for group in self.groups for rule in group.rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagement:
    """Something the lead did."""

    kind: str
    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
