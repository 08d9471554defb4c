"""Clocks and the facts that decide them: a verdict is a pure function of touches, assignments and acceptances."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

FIRST_RESPONSE: Final = ("first_response_5m", "first_response_30m", "first_response_1d")
KINDS: Final = (*FIRST_RESPONSE, "minimum_touches", "acceptance")
SOURCES: Final = ("arrival", "assignment")
ANYONE: Final = "anyone"
TEAM: Final = "team"

Holds = Callable[[Mapping[str, Any]], bool]


class State(StrEnum):
    """Of a clock."""

    RUNNING = "running"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class Level(StrEnum):
    """Of an alert."""

    WARNING = "warning"
    BREACH = "breach"
    ESCALATION = "escalation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Touch:
    """Something a rep did towards the lead."""

    touch_id: UUID
    rep_id: str
    kind: str
    outcome: str
    automated: bool
    at: datetime
    team: str = ""
    """Of the rep, as far as it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Which touches stop a follow-up clock."""

    outcome: Sequence[str] = ("attempted", "connected")
    kinds: Sequence[str] = ("call", "email", "meeting", "message")
    automated: bool = False
    by: str = "assignee"
    before_start: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One line of a policy: a promise."""

    clock: str
    kind: str
    within_seconds: float
    source: str
    hours: str
    warn_seconds: Sequence[float] = ()
    """Before the deadline, on the clock's own hours, as seconds from its start."""
    needs: Mapping[str, int] = field(default_factory=dict)
    spread_seconds: float = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """What happens a while after a breach."""

    kind: str
    after_seconds: float
    to: str
    times: int = 1
    """How often at most a lead is taken away for it, over all its cycles: never in a loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """An SLA policy, compiled."""

    name: str
    version: int
    order: int
    applies: Holds
    clocks: Sequence[Spec]
    counts: Counts
    escalations: Sequence[Escalation]
    for_all: bool = False
    """It applies to every lead, whatever the lead's fields say."""

    @property
    def reference(self) -> str:
        """Return what clocks cite."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Who had the lead in a cycle, and when."""

    cycle: int
    rep_id: str
    assigned_at: datetime
    accepted_at: datetime | None = None
    released_at: datetime | None = None
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a clock was started with, which later policies do not change."""

    kind: str
    source: str
    rep_id: str
    started_at: datetime
    due_at: datetime
    counts: Counts
    needs: Mapping[str, int] = field(default_factory=dict)
    spread_seconds: float = 0
    team: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the facts say of a clock: met when, by which touch; how far it is; when its assignment was over."""

    met_at: datetime | None = None
    touch_id: UUID | None = None
    done: Mapping[str, int] = field(default_factory=dict)
    ended_at: datetime | None = None

    def in_time(self, due_at: datetime) -> bool:
        """Say whether the promise was kept."""
        return self.met_at is not None and self.met_at <= due_at

    def is_void(self, due_at: datetime) -> bool:
        """Say whether the assignment was over before anything was due: nobody kept the promise, and nobody broke it."""
        return not self.in_time(due_at) and self.ended_at is not None and self.ended_at <= due_at


_NOTHING: Final = Verdict()


def verdict(terms: Terms, touches: Sequence[Touch], assignment: Assignment | None) -> Verdict:
    """Decide a clock from all facts about the lead, in whatever order they came."""
    ended_at = assignment.released_at if assignment is not None else None
    if terms.kind == "acceptance":
        return Verdict(met_at=assignment.accepted_at if assignment is not None else None, ended_at=ended_at)
    if not touches and not terms.needs:
        return Verdict(ended_at=ended_at) if ended_at is not None else _NOTHING
    counting = sorted(
        (touch for touch in touches if _counts(terms, touch) and (ended_at is None or touch.at <= ended_at)),
        key=lambda touch: (touch.at, touch.touch_id),
    )
    if terms.kind == "minimum_touches":
        return replace(_enough(terms, counting), ended_at=ended_at)
    if not counting:
        return Verdict(ended_at=ended_at)
    first = counting[0]
    return Verdict(met_at=max(first.at, terms.started_at), touch_id=first.touch_id, ended_at=ended_at)


def _enough(terms: Terms, counting: Sequence[Touch]) -> Verdict:
    done = dict.fromkeys(terms.needs, 0)
    last: dict[str, datetime] = {}
    for touch in counting:
        if touch.kind not in done:
            continue
        before = last.get(touch.kind)
        if before is not None and (touch.at - before).total_seconds() < terms.spread_seconds:
            continue
        last[touch.kind] = touch.at
        done[touch.kind] = min(done[touch.kind] + 1, terms.needs[touch.kind])
        if done == dict(terms.needs):
            return Verdict(met_at=touch.at, touch_id=touch.touch_id, done=done)
    return Verdict(done=done)


def _counts(terms: Terms, touch: Touch) -> bool:
    counts = terms.counts
    if touch.at < terms.started_at - counts.before_start:
        return False
    if touch.outcome not in counts.outcome or touch.kind not in counts.kinds:
        return False
    if touch.automated and not counts.automated:
        return False
    if counts.by == ANYONE or terms.source == "arrival" or touch.rep_id == terms.rep_id:
        return True
    return counts.by == TEAM and bool(terms.team) and touch.team == terms.team


def applicable(policies: Sequence[Policy], lead: Mapping[str, Any]) -> Policy | None:
    """Return the policy with the lowest order that applies; never the first by name."""
    return next((one for one in sorted(policies, key=lambda p: (p.order, p.name)) if one.applies(lead)), None)
