"""Working time: who is at work when, how much of it lies between two instants, and which instant ends so much of it.

Pure. Windows are given in local time of an IANA zone and become intervals of UTC day by day (`wall_time.py`): an
instant is open when the clock on the wall there stands within a window. So what a change of the clocks leaves out is
nobody's working time, and what it brings twice is worked twice.
"""

import heapq
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple

from backbone import wall_time
from backbone.wall_time import Interval, Window

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON_DAYS: Final = 400
"""How far ahead an opening is looked for; a calendar that is closed for longer has none."""
HORIZON_YEARS: Final = 10
"""How far ahead a sum of open time is looked for: two months of a part-timer's hours are more than a year."""
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """When somebody works. `closed` are local days without work, `off` half-open times away."""

    zone: str
    windows: tuple[Window, ...]
    closed: frozenset[date] = frozenset()
    off: tuple[Interval, ...] = ()


def minutes(text: str) -> int:
    """Return the minutes of HH:MM, 24:00 included. ValueError for anything else."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError("not a time of day")
    return int(match[1]) * 60 + int(match[2]) if match[1] is not None else 1440


def windows(days: Iterable[tuple[Sequence[str], str, str]]) -> tuple[Window, ...]:
    """Return windows of `(days, start, end)` as people write them. ValueError for unknown days or times."""
    made = [Window(DAYS.index(day), minutes(start), minutes(end)) for names, start, end in days for day in names]
    return tuple(sorted(made, key=lambda window: (window.weekday, window.start, window.end)))


def _days(calendar: Calendar, first: date) -> Iterator[Interval]:
    """Yield the intervals of the windows that begin from a local day on, in order, day by day as far as is asked.

    Where the clocks go back, a night's last hour may begin after the next day's first: so each day waits for the next.
    """
    held: tuple[Interval, ...] = ()
    for number in range(HORIZON_DAYS):
        today = first + number * _DAY
        found = () if today in calendar.closed else wall_time.on(today, calendar.zone, calendar.windows)
        if held and found and held[-1] > found[0]:
            held, found = (), tuple(sorted((*held, *found)))
        yield from held
        held = found
    yield from held


def openings(calendar: Calendar, since: datetime) -> Iterator[Interval]:
    """Yield open intervals that end after `since`, in order, without times away; one may begin where another ends.

    Lazily, day by day: who looks for half an hour does not go through the year.
    """
    until: datetime | None = None
    for start, end in _days(calendar, since.astimezone(wall_time.zone_of(calendar.zone)).date() - _DAY):
        begins = start if until is None else max(start, until)
        if begins < end:
            until = end
            yield from _without((begins, end), calendar.off, since)


def _without(interval: Interval, off: Sequence[Interval], since: datetime) -> Iterator[Interval]:
    start, end = interval
    if end <= since:
        return
    for away_start, away_end in sorted(off):
        if away_end <= start or away_start >= end:
            continue
        if away_start > max(start, since):
            yield (start, away_start)
        start = max(start, away_end)
    if start < end and end > since:
        yield (start, end)


def open_until(calendar: Calendar, at: datetime) -> datetime | None:
    """Return when the present opening ends, None when it is closed at `at`."""
    until: datetime | None = None
    for start, end in openings(calendar, at):
        if start > (until or at):
            break
        until = end
    return until


def next_opening(calendar: Calendar, at: datetime) -> datetime | None:
    """Return `at` when open, else when the next opening begins; None when there is none for more than a year."""
    return next((max(start, at) for start, _ in openings(calendar, at)), None)


class _Year(NamedTuple):
    """The open intervals of a year (UTC) as microseconds since the epoch, and what was open before each of them."""

    begins: Sequence[int]
    ends: Sequence[int]
    before: Sequence[int]
    total: int
    over: int
    """When the next one begins."""

    def open_until(self, at: int) -> int:
        """Return the open microseconds of the year until an instant of it."""
        place = bisect_right(self.begins, at) - 1
        return self.before[place] + min(at, self.ends[place]) - self.begins[place] if place >= 0 else 0

    def when(self, opened: int) -> int:
        """Return by when so many microseconds were open, of those that there are in the year."""
        place = bisect_left(self.before, opened) - 1
        return self.begins[place] + opened - self.before[place]


@lru_cache(maxsize=4096)
def _year(zone: str, of: tuple[Window, ...], closed: frozenset[date], year: int) -> _Year:
    """Add a year up once, so that a month costs what an hour does. Times away are not in it: they are one person's."""
    calendar = Calendar(zone=zone, windows=of, closed=closed)
    first, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    begins, ends, before, total = array("q"), array("q"), array("q"), 0
    for start, end in openings(calendar, first):
        if start >= last:
            break
        begins.append(_us(max(start, first)))
        ends.append(_us(min(end, last)))
        before.append(total)
        total += ends[-1] - begins[-1]
    return _Year(begins, ends, before, total, _us(last))


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _at(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


class _Sum:
    """The open microseconds since the year of an instant began, times away among them, up to instants after it."""

    def __init__(self, calendar: Calendar, start: int) -> None:
        self._of, self._number = (calendar.zone, calendar.windows, calendar.closed), _at(start).year
        self._last, self._before, self._year = self._number + HORIZON_YEARS - 1, 0, _year(*self._of, self._number)
        self.horizon = _us(datetime(self._last + 1, 1, 1, tzinfo=UTC))

    def _next(self) -> None:
        self._before += self._year.total
        self._number += 1
        self._year = _year(*self._of, self._number)

    def upto(self, at: int, enough: float = inf) -> int:
        """Return how much there is until an instant, none before the one that was asked last.

        Only whether there is `enough`, where that is so years before: it stays with the year in which it is.
        """
        while at >= self._year.over:
            if (opened := self._before + self._year.total) >= enough:
                return opened
            self._next()
        return self._before + self._year.open_until(at)

    def when(self, opened: int) -> int | None:
        """Return by when there was so much, no less than was asked before; None: not within the horizon."""
        while self._before + self._year.total < opened:
            if self._number == self._last:
                return None
            self._next()
        return self._year.when(opened - self._before)


@lru_cache(maxsize=4096)
def _apart(off: tuple[Interval, ...]) -> Sequence[tuple[int, int]]:
    """Return times away in order and apart, as microseconds since the epoch."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(off):
        begins, ends = max(_us(start), found[-1][1] if found else _us(start)), _us(end)
        if ends > begins:
            found.append((begins, ends))
    return found


def _away(calendar: Calendar, since: int) -> Sequence[tuple[int, int]]:
    """Return the times away that end after an instant, in order and apart."""
    return (found := _apart(calendar.off))[bisect_right(found, since, key=lambda one: one[1]) :]


def add(calendar: Calendar, start: datetime, seconds: float) -> datetime | None:
    """Return the instant by which so many open seconds have passed since `start`; None: not within the horizon."""
    now, left = _us(start), round(seconds * 1_000_000)
    if left <= 0:
        return next_opening(calendar, start)
    opened = _Sum(calendar, now)
    wanted = opened.upto(now) + left
    for begins, ends in _away(calendar, now):
        if begins >= opened.horizon or (before := opened.upto(max(begins, now), wanted)) >= wanted:
            break
        if ends >= opened.horizon:
            return None
        wanted += opened.upto(ends) - before
    found = opened.when(wanted)
    return max(start, _at(found)) if found is not None else None


def add_any(of: Iterable[Calendar], start: datetime, seconds: float) -> datetime | None:
    """Return the instant by which any of the calendars has been open for so many seconds since `start`."""
    left, until = timedelta(seconds=seconds), start
    for begins, ends in heapq.merge(*(openings(one, start) for one in of)):
        begins = max(begins, until)
        if ends <= begins:
            continue
        if ends - begins >= left:
            return begins + left
        left, until = left - (ends - begins), ends
    return None


def elapsed(calendar: Calendar, start: datetime, end: datetime) -> float:
    """Return the open seconds between two instants."""
    since, until = _us(start), _us(end)
    if until <= since:
        return 0.0
    opened = _Sum(calendar, since)
    total = -opened.upto(since)
    for begins, ends in _away(calendar, since):
        if begins >= until:
            break
        total += opened.upto(max(begins, since)) - opened.upto(min(ends, until))
    return (total + opened.upto(until)) / 1_000_000
