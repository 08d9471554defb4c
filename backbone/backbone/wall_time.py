"""The clock on the wall: when it stands within windows of a local day, as intervals of UTC.

Pure. What a change of the clocks leaves out comes not at all, and what it brings twice, twice.
"""

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_DAY: Final = timedelta(days=1)

Interval = tuple[datetime, datetime]


class Window(NamedTuple):
    """Minutes of a weekday (0 is Monday). An end at or before the start lies on the next day; 1440 is 24:00."""

    weekday: int
    start: int
    end: int


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """Return a zone of the IANA database. ZoneInfoNotFoundError (a KeyError) for anything else."""
    return ZoneInfo(name)


@lru_cache(maxsize=65_536)
def on(day: date, zone: str, of: tuple[Window, ...]) -> tuple[Interval, ...]:
    """Return the open intervals of the windows that begin on a local day, in UTC."""
    tz = zone_of(zone)
    made: list[Interval] = []
    for window in of:
        if window.weekday == day.weekday():
            end_day = day if window.end > window.start else day + _DAY
            made += _between(tz, _local(day, window.start), _local(end_day, window.end))
    return tuple(sorted(made))


def _local(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _between(tz: ZoneInfo, start: datetime, end: datetime) -> list[Interval]:
    """Return when the clock on the wall stands between two of its times: not at all, once, or twice."""
    ends = [at.replace(tzinfo=tz, fold=fold) for at in (start, end) for fold in (0, 1)]
    offsets = {_offset(at) for at in ends}
    start, end = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    if len(offsets) == 1:
        (offset,) = offsets
        return [(start - offset, end - offset)]
    since, until = start - max(offsets), end - min(offsets)
    before, after = (_offset(at.astimezone(tz)) for at in (since, until))
    change = _change(tz, since, until)
    pieces = [(start - before, min(end - before, change)), (max(start - after, change), end - after)]
    return [(begins, ends) for begins, ends in pieces if begins < ends]


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta()


def _change(tz: ZoneInfo, since: datetime, until: datetime) -> datetime:
    """Return when the clocks change between two instants, to the second."""
    before = _offset(since.astimezone(tz))
    seconds = range(int((until - since).total_seconds()))
    passed = bisect_left(seconds, True, key=lambda n: _offset((since + timedelta(seconds=n)).astimezone(tz)) != before)
    return since + timedelta(seconds=passed)
