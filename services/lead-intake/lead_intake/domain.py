"""What is known of a lead, and whether it is news: pure decisions. Who is who stands in identity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""A sender's clock may be this far ahead; what it says is then taken for now."""
SEALED: Final = ("email", "phone", "first_name", "last_name")
TEST: Final = "test"
MARKS: Final = ("spam", TEST)
"""Of two leads that are one person these hold only where they held of both."""
ELSEWHERE: Final = ("owner_id", "assigned_at", "status", "disqualified_reason")
"""How a lead stands elsewhere; its stage there is told, and is no field of the lead."""
MOST_CONSENTS: Final = 50
"""Purposes of which the last word is told: an event has to hold them."""
READABLE: Final = (
    "company",
    "website",
    "job_title",
    "industry",
    "employees",
    "revenue",
    "country",
    "source",
    "medium",
    "campaign",
    "email_domain",
    "email_is_free",
    "email_is_disposable",
    "account_domain",
    "spam",
    "test",
    *ELSEWHERE,
)


class Outcome(StrEnum):
    """What became of a request."""

    CREATED = "created"
    UPDATED = "updated"
    MERGED = "merged"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    ERASED = "erased"
    HELD = "held"


class InTheFuture(ValueError):
    """The time given lies further ahead than clocks differ."""


def settle_time(occurred_at: datetime | None, *, now: datetime) -> datetime:
    """Return when it happened. InTheFuture when it lies more than five minutes ahead."""
    if occurred_at is None:
        return now
    if occurred_at > now + CLOCK_TOLERANCE:
        raise InTheFuture
    return min(occurred_at, now)


def is_live(occurred_at: datetime, *, now: datetime, window: timedelta, asked: bool) -> bool:
    """Say whether a fact is news: it happened within the window, or the sender says so."""
    return asked or now - occurred_at <= window


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """What is known of a lead. `known` has the readable fields, `personal` those that are sealed."""

    lead_id: UUID
    known: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    external_ids: tuple[tuple[str, str], ...] = ()
    first_touch: Mapping[str, Any] = field(default_factory=dict)
    last_touch: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    """The attributes that are sealed: once personal, always so."""
    verified: frozenset[str] = frozenset()
    consents: tuple[Mapping[str, Any], ...] = ()
    """The last word on each purpose."""
    created_at: datetime
    recorded_at: datetime
    arrived_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Say whether it has ever been news."""
        return self.arrived_at is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """What one request says of a lead, normalised."""

    known: Mapping[str, Any]
    personal: Mapping[str, Any]
    attributes: Mapping[str, Any]
    hidden: frozenset[str]
    """Which of the attributes are personal data."""
    external_ids: tuple[tuple[str, str], ...]
    attribution: Mapping[str, Any]
    occurred_at: datetime
    received_at: datetime
    live: bool
    verified: bool = False
    consents: tuple[Mapping[str, Any], ...] = ()


def begin(lead_id: UUID, capture: Capture) -> Lead:
    """Return the lead that a first capture makes."""
    marks = {mark: True for mark in MARKS if capture.known.get(mark)}
    empty = Lead(lead_id=lead_id, known=marks, created_at=capture.occurred_at, recorded_at=capture.received_at)
    return learn(empty, capture)


def learn(lead: Lead, capture: Capture) -> Lead:
    """Return the lead after another capture. What a person verified is changed by a person alone."""
    keep = frozenset() if capture.verified else lead.verified
    known = {**lead.known, **{name: value for name, value in capture.known.items() if name not in keep}}
    personal = {**lead.personal, **{name: value for name, value in capture.personal.items() if name not in keep}}
    if known.get(TEST) and not (lead.known.get(TEST) and capture.known.get(TEST)):
        # Made up is only who was never anything else.
        del known[TEST]
    said = frozenset((*capture.known, *capture.personal)) if capture.verified else frozenset()
    touch = dict(capture.attribution)
    first, last = lead.first_touch, lead.last_touch
    if touch:
        first = touch if not first or touch["at"] < first["at"] else first
        last = touch if not last or touch["at"] >= last["at"] else last
    return replace(
        lead,
        known=known,
        personal=personal,
        attributes={**lead.attributes, **capture.attributes},
        hidden=lead.hidden | capture.hidden,
        external_ids=tuple(dict.fromkeys((*lead.external_ids, *capture.external_ids))),
        first_touch=first,
        last_touch=last,
        verified=lead.verified | said,
        consents=last_words((*lead.consents, *capture.consents)),
        created_at=min(lead.created_at, capture.occurred_at),
        arrived_at=arrival(lead, live=capture.live, at=capture.occurred_at),
    )


def last_words(said: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the last word on each purpose, the latest last. Of two of one instant the later in order counts."""
    latest: dict[str, Mapping[str, Any]] = {}
    for one in sorted(said, key=itemgetter("at")):
        latest.pop(one["purpose"], None)
        latest[one["purpose"]] = one
    return tuple(latest.values())[-MOST_CONSENTS:]


def arrival(lead: Lead, *, live: bool, at: datetime) -> datetime | None:
    """Return when the lead became news: the time of its first live fact."""
    return lead.arrived_at or (at if live else None)


def unite(survivor: Lead, merged: Lead) -> Lead:
    """Return the survivor with what the merged lead knew and it did not."""
    touches = [touch for touch in (survivor.first_touch, merged.first_touch) if touch]
    latest = [touch for touch in (survivor.last_touch, merged.last_touch) if touch]
    arrivals = [at for at in (survivor.arrived_at, merged.arrived_at) if at is not None]
    marks = {mark: True for mark in MARKS if survivor.known.get(mark) and merged.known.get(mark)}
    unmarked = {name: value for name, value in {**merged.known, **survivor.known}.items() if name not in MARKS}
    return replace(
        survivor,
        known={**unmarked, **marks},
        personal={**merged.personal, **survivor.personal},
        attributes={**merged.attributes, **survivor.attributes},
        hidden=survivor.hidden | merged.hidden,
        external_ids=tuple(dict.fromkeys((*survivor.external_ids, *merged.external_ids))),
        consents=last_words((*merged.consents, *survivor.consents)),
        first_touch=min(touches, key=_when) if touches else {},
        last_touch=max(latest, key=_when) if latest else {},
        created_at=min(survivor.created_at, merged.created_at),
        arrived_at=min(arrivals) if arrivals else None,
    )


def _when(touch: Mapping[str, Any]) -> str:
    return str(touch["at"])


def together(leads: Sequence[Lead]) -> Lead:
    """Return what the first of the leads shows when it stands for all of them."""
    shown = leads[0]
    for other in leads[1:]:
        shown = unite(shown, other)
    return shown


def arrive(lead: Lead, at: datetime) -> Lead:
    """Return the lead after it did something that is news."""
    return replace(lead, arrived_at=arrival(lead, live=True, at=at))


def changed_fields(before: Lead, after: Lead) -> list[str]:
    """Return the names of what differs, sorted; empty for a duplicate."""
    changed = {
        name
        for old, new in ((before.known, after.known), (before.personal, after.personal))
        for name in {*old, *new}
        if old.get(name) != new.get(name)
    }
    for name in ("attributes", "external_ids", "arrived_at", "created_at"):
        if getattr(before, name) != getattr(after, name):
            changed.add(name)
    if before.hidden != after.hidden:
        changed.add("attributes")
    if before.consents != after.consents:
        changed.add("consent")
    return sorted(changed)
