"""Marketing's side of the agreement: what was promised, what came of it, and what each lead waited on. Pure."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from sla_monitor.domain import BEFORE_QUALIFIED, Marked
from sla_monitor.figures import percentile

ALL: Final = "all"
"""The key of all sources together."""
OTHER: Final = "other"
"""Stands for a reason that nobody gave."""
WEEKS_OF: Final = {"week": Fraction(1), "month": Fraction(52, 12), "quarter": Fraction(13)}
CAPACITY: Final = "capacity"
HOURS: Final = "hours"
POLICY: Final = "policy"
REST: Final = "rest"
"""The time of which nobody said what it was waited for."""
_WAITS_ON: Final[Mapping[str, str]] = {"no_capacity": CAPACITY, "nobody_working": HOURS, "paused": HOURS}
REJECTED: Final = ("declined", "returned", "handed_back", "disqualified", "recycled")
"""Outcomes of an assignment by which sales gives a lead back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What marketing promises with a version of a definition; leads, 0 where it promises nothing."""

    definition: str
    since: datetime
    """From when on it holds: until the definition's next version, or until this one was retired."""
    until: datetime | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    """By week, month, quarter."""
    by_source: Mapping[str, float] = field(default_factory=dict)
    """Of the first period that is promised."""
    handoff_within_seconds: float = 0

    def leads(self, period: str, key: str) -> float | None:
        """Return how many leads of a source, or of all, are promised for a period: as said, else by its length."""
        said = {name: count for name in WEEKS_OF if (count := self.counts.get(name, 0)) > 0}
        of = next(iter(said), None)
        if of is None or (key != ALL and key not in self.by_source):
            return None
        if key == ALL and period in said:
            return said[period]
        return (said[of] if key == ALL else self.by_source[key]) * float(WEEKS_OF[period] / WEEKS_OF[of])


@dataclass(frozen=True, slots=True)
class Promises:
    """What was promised with every version of the definitions."""

    versions: Mapping[str, Sequence[Promise]]
    """By definition, in the order in which they came into force."""

    def of(self, definition: str, at: datetime) -> Promise | None:
        """Return what a definition promised at an instant."""
        versions = self.versions.get(definition, ())
        number = bisect_right(versions, at, key=lambda one: one.since)
        last = versions[number - 1] if number else None
        return last if last is not None and (last.until is None or last.until > at) else None

    def at(self, instant: datetime) -> list[Promise]:
        """Return all that was promised at an instant."""
        return [one for definition in self.versions if (one := self.of(definition, instant)) is not None]


def promised(promises: Iterable[Promise], period: str, key: str) -> float | None:
    """Return what all definitions promise together; None where none does."""
    given = [count for one in promises if (count := one.leads(period, key)) is not None]
    return sum(given) if given else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A rep had the lead."""

    start: datetime
    end: datetime | None = None
    outcome: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A mark as the report reads it."""

    kind: str
    at: datetime
    word: str = ""
    ref: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Qualified:
    """A lead from its first qualification on, with what is known of those merged into it."""

    lead_id: UUID
    source: str
    live: bool
    since: datetime
    """When it arrived."""
    at: datetime
    definition: str
    """The name without its version."""
    complete: bool
    """None of the required fields was missing."""
    held: Sequence[Held] = ()
    events: Sequence[Event] = ()
    """In order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOff:
    """From qualification to the first rep: seconds in all, what it waited on, and for marketing before."""

    seconds: float
    waited: Mapping[str, float]
    marketing_seconds: float


def hand_off(lead: Qualified) -> HandOff | None:
    """Return how a lead came to its first rep; None while it has not, and where it had one already."""
    if has_rep_already(lead):
        return None
    end = min((one.start for one in lead.held if one.start >= lead.at), default=None)
    if end is None:
        return None
    return HandOff(
        seconds=(end - lead.at).total_seconds(),
        waited=waited(lead.at, end, lead.events),
        marketing_seconds=max(0.0, (lead.at - lead.since).total_seconds()),
    )


def has_rep_already(lead: Qualified) -> bool:
    """Say whether a rep had the lead before it qualified: it is handed to nobody."""
    return any(one.start < lead.at and (one.end is None or one.end > lead.at) for one in lead.held)


def is_waiting(lead: Qualified) -> bool:
    """Say whether the lead still has to be handed over; one that is out or already sales' has not."""
    over = (Marked.OUT, Marked.SALES_READY, Marked.SALES_QUALIFIED, Marked.WON)
    return (
        not has_rep_already(lead)
        and not any(one.start >= lead.at for one in lead.held)
        and not any(
            # What an SDR accepted unqualified waits for sales from that very instant on.
            one.kind in over and (one.at > lead.at or (one.at == lead.at and one.kind != Marked.SALES_READY))
            for one in lead.events
        )
    )


def waited(start: datetime, end: datetime, events: Iterable[Event]) -> dict[str, float]:
    """Split [start, end) by what was waited on, in seconds: each reason holds until the next one is given."""
    found = dict.fromkeys((CAPACITY, HOURS, POLICY, REST), 0.0)
    on, since = REST, start
    for one in events:
        if one.kind == Marked.WAITING and start <= one.at < end:
            found[on] += (one.at - since).total_seconds()
            on, since = _WAITS_ON.get(one.word, POLICY), one.at
    found[on] += (end - since).total_seconds()
    return found


def rejections(lead: Qualified) -> list[str]:
    """Return the reasons for which sales gave a qualified lead back, each rejection once; none after it took it.

    A rep's word and what qualification makes of it (or the other way round) are one rejection, told by two topics.
    """
    taken_at = min((one.at for one in lead.events if _takes(one)), default=None)

    def counts(at: datetime | None) -> bool:
        return at is not None and at >= lead.at and (taken_at is None or at < taken_at)

    reasons = []
    for outcome in REJECTED:
        by_reps = [one.reason for one in lead.held if one.outcome == outcome and counts(one.end)]
        by_marks = [one.word for one in lead.events if _rejects(one) == outcome and counts(one.at)]
        reasons += by_reps + by_marks[len(by_reps) :]
    return [reason or OTHER for reason in reasons]


def _takes(one: Event) -> bool:
    """Say whether sales took the lead: they qualified it, or a deal of it that they opened or moved themselves."""
    of_deal = one.kind in (Marked.DEAL_OPENED, Marked.DEAL_MOVED) and one.word not in BEFORE_QUALIFIED
    return of_deal or one.kind == Marked.SALES_QUALIFIED


def _rejects(one: Event) -> str | None:
    """Return the outcome that a mark tells of. One that is not among REJECTED, a demotion, is the score's."""
    if one.kind == Marked.HANDED_BACK:
        return "handed_back"
    return one.ref if one.kind == Marked.OUT else None


def delivery(leads: Sequence[Qualified], promises: Promises, as_of: datetime) -> dict[str, Any]:
    """Return what had become of qualified leads by an instant: counts, shares from 0 to 1, seconds."""
    live = [lead for lead in leads if lead.live]
    complete = sum(lead.complete for lead in live)
    reasons = [given for lead in live if (given := rejections(lead))]
    return {
        "qualified": len(live),
        "history": len(leads) - len(live),
        "complete": complete,
        "share_complete": complete / len(live) if live else None,
        "handoff": _handoff(live, promises, as_of),
        "waited": _waited([done for lead in live if (done := hand_off(lead)) is not None]),
        "rejected": {
            "leads": len(reasons),
            "share": len(reasons) / len(live) if live else None,
            "reasons": dict(sorted(Counter(reason for given in reasons for reason in given).items())),
        },
    }


def _handoff(leads: Sequence[Qualified], promises: Promises, as_of: datetime) -> dict[str, Any]:
    """Each lead is held against what was promised when it qualified; one that waits for longer has not kept it."""
    done = [(lead, one.seconds) for lead in leads if (one := hand_off(lead)) is not None]
    ordered = sorted(seconds for _, seconds in done)
    waiting = [(lead, (as_of - lead.at).total_seconds()) for lead in leads if is_waiting(lead)]
    asked = [seconds <= limit for lead, seconds in done if (limit := _limit(lead, promises)) > 0]
    asked += [False for lead, seconds in waiting if 0 < _limit(lead, promises) < seconds]
    return {
        "handed": len(done),
        "waiting": len(waiting),
        "with_a_rep_already": sum(has_rep_already(lead) for lead in leads),
        "p50_seconds": percentile(ordered, 0.5),
        "p90_seconds": percentile(ordered, 0.9),
        "promised": len(asked),
        "within": sum(asked),
        "share_within": sum(asked) / len(asked) if asked else None,
    }


def _limit(lead: Qualified, promises: Promises) -> float:
    promise = promises.of(lead.definition, lead.at)
    return promise.handoff_within_seconds if promise is not None else 0.0


def _waited(done: Sequence[HandOff]) -> dict[str, float]:
    """Add up what handed leads waited on; all but marketing's make up the time from qualification to hand-off."""
    split = {f"{on}_seconds": math.fsum(one.waited[on] for one in done) for on in (CAPACITY, HOURS, POLICY, REST)}
    return {"marketing_seconds": math.fsum(one.marketing_seconds for one in done), **split}


def to_date(delivered: int, target: float | None, share_passed: float) -> dict[str, Any]:
    """Return a period to date beside its promise, and what it comes to if it goes on like this."""
    return {
        "promised": target,
        "delivered": delivered,
        "share_delivered": delivered / target if target else None,
        "projection": delivered / share_passed if share_passed > 0 else None,
    }
