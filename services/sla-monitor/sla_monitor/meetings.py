"""Which meeting a mark is about: sources name meetings by an id, by their start, or not at all. Pure."""

from collections.abc import Iterable
from datetime import datetime

from sla_monitor.domain import Facts, Mark, Marked


def name(mark: Mark) -> str:
    """Return what a meeting is told apart by: its id, else its start, else nothing but that it was told of."""
    return mark.ref or str(mark.until or mark.mark_id)


def of(noted: Mark, facts: Facts) -> str:
    """Return the name of the meeting that was missed or called off.

    The one booked by that name; else one with that start. Where neither is said: the last that had begun when it was
    missed, the last that was booked when it was called off. `reports_meetings.MEETINGS` says the same.
    """
    booked = facts.of(Marked.MEETING_BOOKED)
    same = [one for one in booked if noted.ref and one.ref == noted.ref]
    if not same and noted.until is not None:
        same = [one for one in booked if one.until == noted.until]
    if not same and not noted.ref and noted.until is None:
        same = [one for one in booked if _instant(one, noted) <= noted.at]
    return name(max(same, key=lambda one: (_instant(one, noted), one.mark_id))) if same else name(noted)


def starts(named: str, facts: Facts) -> Iterable[datetime]:
    """Yield when a meeting was to begin, as often as it was told: it may have been moved."""
    for mark in facts.of(Marked.MEETING_BOOKED, Marked.MEETING_MISSED):
        told = name(mark) if mark.kind == Marked.MEETING_BOOKED else of(mark, facts)
        if told == named and mark.until is not None:
            yield mark.until


def _instant(booked: Mark, noted: Mark) -> datetime:
    if noted.kind == Marked.MEETING_MISSED and booked.until is not None:
        return booked.until
    return booked.at
