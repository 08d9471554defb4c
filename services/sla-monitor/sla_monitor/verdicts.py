"""What the facts say of a clock: a pure function of all of them, in whatever order they came.

Follow-up clocks are met by touches alone (and first responses by a booked meeting, if the policy says so), the others
by their own event.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sla_monitor import meetings
from sla_monitor.domain import (
    ANYONE,
    CLOSED,
    CONNECTED,
    FIRST_RESPONSE,
    NEXT_AT,
    NOT_CLOSED,
    OF_ASSIGNMENTS,
    STATUS_UPDATE,
    TEAM,
    TOUCH_KINDS,
    Assignment,
    Facts,
    Mark,
    Marked,
    Terms,
    Touch,
    Verdict,
)
from sla_monitor.domain import MEETING_BOOKED as BOOKED

_NOTHING: Final = Verdict()
REPLANNED: Final = "replanned"
End = tuple[datetime, str]
"""When a clock was over without a verdict, and why."""


def verdict(terms: Terms, facts: Facts, cycle: int) -> Verdict:
    """Decide a clock by all facts about its lead."""
    ended = end(terms, facts, cycle)
    if ended is None and not (facts.touches or facts.marks or terms.needs or facts.assignments):
        return _NOTHING
    decide = _BY_THEIR_OWN_EVENT.get(terms.kind)
    if decide is not None:
        at = decide(terms, facts, cycle)
        said = Verdict(met_at=max(at, terms.started_at)) if at is not None else _NOTHING
    elif terms.kind == "minimum_touches":
        said = _enough(terms, counting(terms, facts.touches, ended))
    else:
        said = _first(terms, facts, ended)
    if ended is None:
        return said
    if said.met_at is not None and said.met_at > ended[0]:
        said = replace(said, met_at=None, touch_id=None)
    return replace(said, ended_at=ended[0], ended_by=ended[1])


def ran_at(terms: Terms, facts: Facts, cycle: int, at: datetime) -> bool:
    """Say whether nothing had met or ended a clock by an instant."""
    said = verdict(terms, facts, cycle)
    return not any(instant is not None and instant < at for instant in (said.met_at, said.ended_at))


def is_over(terms: Terms, facts: Facts, cycle: int) -> bool:
    """Say whether a promise was kept, late or not, or ended."""
    said = verdict(terms, facts, cycle)
    return said.met_at is not None or said.ended_at is not None


def end(terms: Terms, facts: Facts, cycle: int) -> End | None:
    """Return when the clock was over without a verdict, by the first thing that ends it."""
    ends: list[End] = []
    if terms.source in OF_ASSIGNMENTS:
        assignment = facts.assignments.get(cycle)
        if assignment is not None and assignment.released_at is not None:
            ends.append((assignment.released_at, assignment.outcome or "released"))
    else:
        ends += _ends_of_the_lead(terms, facts)
    if terms.source == NEXT_AT:
        ends += [(mark.at, REPLANNED) for mark in _replanned(terms, facts, cycle)]
    if CONNECTED in terms.ends_when:
        spoken = replace(terms, counts=replace(terms.counts, outcome=(CONNECTED,), kinds=TOUCH_KINDS))
        # What others did right before it began is not the end of what begins there; what its own rep did, is at once.
        its_own = [one for one in counting(spoken, facts.touches, None) if _is_since(terms, one)]
        ends += [(max(one.at, terms.started_at), CONNECTED) for one in its_own]
    if BOOKED in terms.ends_when:
        ends += [(one.at, BOOKED) for one in _since(terms, facts.of(Marked.MEETING_BOOKED))]
    if CLOSED in terms.ends_when:
        # An SDR closes what sales have from that very instant on: it is not the end of the clock that begins there.
        own = terms.source in OF_ASSIGNMENTS
        over = [one for number, one in facts.assignments.items() if number == cycle or not own]
        ends += [(at, CLOSED) for at in _closed(over) if at >= terms.started_at]
    return min(ends, default=None)


def _ends_of_the_lead(terms: Terms, facts: Facts) -> list[End]:
    """A promise to the lead itself is over when the lead is out or bought; one of a queue, when it left the queue."""
    kinds = {Marked.OUT, Marked.WON, *((Marked.UNQUEUED,) if terms.kind == "review" else ())}
    marks = _since(terms, facts.of(*kinds))
    # That the survivor was out before another was merged into it ends nothing of what that one brought.
    began = [facts.brought.get(mark.mark_id) for mark in facts.marks if mark.at == terms.started_at]
    since = max((one.since for one in began if one is not None), default=terms.started_at)
    marks = [mark for mark in marks if mark.at >= since or mark.is_brought]
    return [(mark.at, mark.word or mark.ref or mark.kind) for mark in marks]


def _replanned(terms: Terms, facts: Facts, cycle: int) -> list[Mark]:
    """Whoever names another instant for the next step, has until then; whoever withdraws it, promises nothing."""
    assignment = facts.assignments.get(cycle)
    return [one for one in facts.plans(assignment) if one.at > terms.started_at] if assignment is not None else []


def _closed(assignments: Iterable[Assignment]) -> list[datetime]:
    return [one.released_at for one in assignments if one.released_at is not None and one.outcome not in NOT_CLOSED]


def _since(terms: Terms, marks: Sequence[Mark]) -> list[Mark]:
    return [mark for mark in marks if mark.at >= terms.started_at]


# Touches


def _is_since(terms: Terms, touch: Touch) -> bool:
    return touch.at >= terms.started_at or touch.rep_id == terms.rep_id or terms.source not in OF_ASSIGNMENTS


def counting(terms: Terms, touches: Sequence[Touch], ended: End | None) -> list[Touch]:
    """Return the touches that count for a clock, the first one first."""
    found = [touch for touch in touches if _counts(terms, touch) and (ended is None or touch.at <= ended[0])]
    return sorted(found, key=lambda touch: (touch.at, touch.touch_id))


def _counts(terms: Terms, touch: Touch) -> bool:
    counts = terms.counts
    if touch.at < terms.started_at - counts.before_start:
        return False
    if terms.source == NEXT_AT and touch.at <= terms.started_at:
        return False  # The touch with which the rep said when the next one is due.
    if touch.outcome not in counts.outcome or touch.kind not in counts.kinds:
        return False
    if touch.automated and not counts.automated:
        return False
    if counts.by == ANYONE or terms.source not in OF_ASSIGNMENTS or touch.rep_id == terms.rep_id:
        return True
    return counts.by == TEAM and bool(terms.team) and touch.team == terms.team


def _first(terms: Terms, facts: Facts, ended: End | None) -> Verdict:
    touch = next(iter(counting(terms, facts.touches, ended)), None)
    booked_at = _booked_at(terms, facts) if terms.booking_counts and terms.kind in FIRST_RESPONSE else None
    if touch is not None and (booked_at is None or touch.at <= booked_at):
        return Verdict(met_at=max(touch.at, terms.started_at), touch_id=touch.touch_id)
    return Verdict(met_at=max(booked_at, terms.started_at)) if booked_at is not None else _NOTHING


def _booked_at(terms: Terms, facts: Facts) -> datetime | None:
    """Return when a meeting was booked: after the start; or before it, where it was still ahead and not called off."""
    cancelled = facts.of(Marked.MEETING_CANCELLED)
    off = {meetings.of(mark, facts) for mark in cancelled if mark.at <= terms.started_at}
    return min(
        (
            mark.at
            for mark in facts.of(Marked.MEETING_BOOKED)
            if mark.at >= terms.started_at
            or (mark.until is not None and mark.until > terms.started_at and meetings.name(mark) not in off)
        ),
        default=None,
    )


def _enough(terms: Terms, some: Sequence[Touch]) -> Verdict:
    done = dict.fromkeys(terms.needs, 0)
    last: dict[str, datetime] = {}
    for touch in some:
        if touch.kind not in done:
            continue
        before = last.get(touch.kind)
        if before is not None and (touch.at - before).total_seconds() < terms.spread_seconds:
            continue
        last[touch.kind] = touch.at
        done[touch.kind] = min(done[touch.kind] + 1, terms.needs[touch.kind])
        if done == dict(terms.needs):
            return Verdict(met_at=max(touch.at, terms.started_at), touch_id=touch.touch_id, done=done)
    return Verdict(done=done)


# Events of their own


def _accepted(_: Terms, facts: Facts, cycle: int) -> datetime | None:
    assignment = facts.assignments.get(cycle)
    return assignment.accepted_at if assignment is not None else None


def _handed_over(terms: Terms, facts: Facts, _: int) -> datetime | None:
    """Somebody has it: given to a rep since then, or with one all the while."""
    return min(
        (
            facts.given_at(one)
            for one in facts.assignments.values()
            if one.released_at is None or one.released_at > terms.started_at
        ),
        default=None,
    )


def _judged(terms: Terms, facts: Facts, _: int) -> datetime | None:
    return min((mark.at for mark in _since(terms, facts.of(Marked.JUDGED))), default=None)


def _updated(terms: Terms, facts: Facts, _: int) -> datetime | None:
    """The update with which a round began is the one that met the round before."""
    return min((mark.at for mark in facts.of(Marked.STATUS) if mark.at > terms.started_at), default=None)


def _rebooked(terms: Terms, facts: Facts, _: int) -> datetime | None:
    """Whoever books again may do so before anybody notes that nobody came: it counts from the meeting's start on."""
    missed = [mark for mark in facts.of(Marked.MEETING_MISSED) if mark.at == terms.started_at]
    names = {mark.mark_id: meetings.of(mark, facts) for mark in missed}
    since = min((_began(facts, mark, names[mark.mark_id]) for mark in missed), default=terms.started_at)
    booked = [
        mark.at
        for mark in facts.of(Marked.MEETING_BOOKED)
        if mark.at >= since
        # Not of the missed one itself.
        and not (meetings.name(mark) in names.values() and (mark.until or mark.at) <= since)
    ]
    said = [mark.at for mark in facts.of(Marked.NO_SHOW) if mark.at >= since]
    return min(booked + said, default=None)


def _began(facts: Facts, missed: Mark, named: str) -> datetime:
    """Return when a missed meeting was to begin: as it says itself; else the last start, as it may have been moved."""
    if missed.until is not None and missed.until <= missed.at:
        return missed.until
    return max((at for at in meetings.starts(named, facts) if at <= missed.at), default=missed.at)


_BY_THEIR_OWN_EVENT: Final[Mapping[str, Callable[[Terms, Facts, int], datetime | None]]] = {
    "acceptance": _accepted,
    "handoff": _handed_over,
    "review": _judged,
    STATUS_UPDATE: _updated,
    "no_show_rebook": _rebooked,
}
