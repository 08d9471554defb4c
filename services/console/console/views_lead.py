"""What is said of a lead: who it is, why it scores what it scores, whose it is and why, and what happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """What the lead said we may do, newest per purpose."""

    purpose: str
    basis: str
    granted: bool
    at: datetime
    text_version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A rule of the score."""

    rule: str
    part: str
    """fit, situation, or the interest group's name."""
    points: float
    counted: float
    """After decay and under the group's ceiling."""
    ceiling: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of the score; `total` is the sum of its points' `counted`, always."""

    part: str
    total: float
    points: tuple[Point, ...]
    ceiling: float | None = None
    cut: float = 0.0
    """What the ceiling took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Why it scores what it scores. `total` is the sum of the parts; `fit` + `interest` is the same number."""

    definition: str
    """name@version"""
    grade: str
    stage: str
    action: str
    """pass, review, nurture, drop."""
    why_passed: str
    fit: float
    interest: float
    total: float
    parts: tuple[Part, ...]
    persona: str = ""
    missing: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Considered:
    """A rep of the pool, and why or why not. `open` and `cap` are today's, None for a rep not known here."""

    rep_id: str
    name: str
    chosen: bool
    reason: str
    open: int | None = None
    cap: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A routing decision, as it was taken."""

    decision_id: str
    at: datetime
    cycle: int
    outcome: Literal["assigned", "waiting", "taken_over"]
    rep_id: str | None
    rep_name: str
    rule: str
    pool: str
    strategy: str
    reason_code: str
    policy_version: int
    over_cap: bool
    considered: tuple[Considered, ...]
    """The chosen one first; at most 20."""
    waited_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the journey. `at` has microseconds; `gap_seconds` is the time since the entry before."""

    entry_id: str
    """Stable; the id of the line (`entry-{entry_id}`)."""
    at: datetime
    kind: str
    """captured, updated, merged, unmerged, engagement, touch, consent, scored, qualified, srl, sql, handed_back,
    demoted, recycled, disqualified, converted, hot, routed, waiting, accepted, status, released, clock_started,
    clock_met, warned, breached, retracted, escalated, opportunity, notified, erased, due"""
    title: str
    note: str
    milestone: bool
    gap_seconds: float | None = None
    mine: bool = False
    """It is what brought the lead to the reader (the accent dot)."""
    event_id: str | None = None
    """The raw event, where there is one (lead-intake, GET /v1/events/{id})."""
    expected: bool = False
    """Still to come: a deadline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opportunity:
    """A deal of the lead or of its company."""

    opportunity_id: str
    name: str
    account: str
    stage: str
    category: str
    amount: Decimal | None
    currency: str
    close_date: str
    owner_id: str
    owner_name: str
    of_this_lead: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Where it came from."""

    source: str
    medium: str
    campaign: str
    cost: Decimal | None
    currency: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A reference of a source to this person."""

    connection_id: str
    external_id: str
    provider: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A lead that is this one by now."""

    lead_id: UUID
    at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who it is. `opened` False: the name follows. `erased`: there is none any more."""

    opened: bool
    erased: bool
    name: str | None
    email: str | None
    phone: str | None
    company: str
    job_title: str
    website: str
    industry: str
    employees: int | None
    revenue: float | None
    country: str
    """ISO 3166-1 alpha-2"""
    their_zone: str | None
    """Where their country has one zone only."""
    attributes: Mapping[str, Any]
    sources: tuple[Source, ...]
    merged: tuple[Merged, ...]
