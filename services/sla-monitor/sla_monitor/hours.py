"""Whose hours a clock runs on: by the wall, a rep's own, or a calendar of the company's."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from backbone import calendars, public_holidays, times
from backbone.calendars import Calendar
from backbone.wall_time import Window
from handoff.events.v1 import common_pb2
from sla_monitor.agreement import Quiet

Named = tuple[datetime, str, int, Mapping[str, Any]]
"""A version of a calendar: since when it holds, name, number, document."""
Reps = Mapping[str, Sequence[tuple[datetime, common_pb2.Rep]]]
"""Reps as they were since when, oldest first."""
Hours = Sequence[tuple[datetime, Calendar]]
"""The same hours as they were since when, oldest first."""
WALL: Final = "wall"
REP: Final = "rep"
DAY: Final = 24 * 60
NEVER: Final = timedelta(days=3653)
"""Ten years: beyond what calendars look ahead."""


def after(calendar: Calendar | None, begins: datetime, seconds: float) -> datetime:
    """Return when so many open seconds have passed, by the wall without a calendar; at the latest `times.LATEST`.

    Of hours that do not come in ten years, ten years on: so a promise on such hours runs and is on record, whatever is
    known first, and moves once they change.
    """
    if calendar is None:
        return min(begins + timedelta(seconds=seconds), times.LATEST)
    found = calendars.add(calendar, begins, seconds)
    return min(found if found is not None else begins + NEVER, times.LATEST)


class Calendars:
    """The calendars that a policy may name, a rep's own and the company's by name, as they are and were; made once."""

    def __init__(self, named: Iterable[Named] = (), year: int = 0, zone: tuple[str, int] = ("UTC", 1)) -> None:
        self._named: dict[str, list[Named]] = {}
        for one in named:
            self._named.setdefault(one[1], []).append(one)
        self._year = year
        """The one that holidays are known around."""
        self._zone, self._zone_version = zone
        """The company's."""
        self._reps: Reps = {}
        self._made: dict[tuple[str, int], Calendar] = {}

    def knowing(self, reps: Reps) -> "Calendars":
        """Return the same with the hours of these reps as they were."""
        made = copy(self)
        made._reps = reps
        return made

    def of(self, hours: str, rep: common_pb2.Rep) -> tuple[str, Calendar] | None:
        """Return what to cite, and the calendar; None where there is no such, as for a rep before there is one."""
        if hours == REP:
            return (f"{rep.rep_id}@{rep.version}", self._of_rep(rep)) if rep.rep_id else None
        if hours not in self._named:
            return None
        newest = self._named[hours][-1]
        return f"{hours}@{newest[2]}", self._of_name(newest)

    def then(self, hours: str, rep_id: str) -> Hours:
        """Return which hours held since when, as far as is known; none by the wall."""
        if hours == REP:
            return [(since, self._of_rep(rep)) for since, rep in self._reps.get(rep_id, ())]
        return [(one[0], self._of_name(one)) for one in self._named.get(hours, ())]

    def version_of(self, rep: common_pb2.Rep) -> int:
        """Return the version of a rep's zone and hours; for nobody, as of a lead's own clocks, the company's zone's."""
        return rep.version if rep.rep_id else self._zone_version

    def waking(self, quiet: Quiet, rep: common_pb2.Rep) -> Calendar:
        """Return the hours outside a policy's quiet ones, each day of the week; of a lead's own clocks by no rep."""
        if quiet.start < quiet.end:
            spans = [(start, end) for start, end in ((0, quiet.start), (quiet.end, DAY)) if start < end]
        else:
            spans = [(quiet.end, quiet.start)]
        every_day = tuple(Window(day, start, end) for day in range(7) for start, end in spans)
        return Calendar(zone=quiet.zone or rep.time_zone or self._zone, windows=every_day)

    def _of_rep(self, rep: common_pb2.Rep) -> Calendar:
        key = (rep.rep_id, rep.version)
        if key not in self._made:
            off = tuple((times.at(one.start), times.at(one.end)) for one in rep.time_off)
            windows = [(list(one.days), one.start, one.end) for one in rep.working_hours]
            self._made[key] = self._calendar(rep.time_zone, windows, rep.holidays, off)
        return self._made[key]

    def _of_name(self, named: Named) -> Calendar:
        _, name, version, document = named
        if (name, -version) not in self._made:
            windows = [(one["days"], one["start"], one["end"]) for one in document["working_hours"]]
            made = self._calendar(document["time_zone"], windows, document.get("holidays") or "", ())
            closed = made.closed | {date.fromisoformat(day) for day in document.get("closed") or ()}
            self._made[name, -version] = replace(made, closed=frozenset(closed))
        return self._made[name, -version]

    def _calendar(
        self,
        zone: str,
        windows: Sequence[tuple[Sequence[str], str, str]],
        code: str,
        off: tuple[tuple[datetime, datetime], ...],
    ) -> Calendar:
        closed = public_holidays.of(code, self._year) if code else frozenset()
        return Calendar(zone=zone, windows=calendars.windows(windows), closed=closed, off=off)


def fell_due(versions: Hours, begins: datetime, seconds: float) -> datetime:
    """Return when a window falls due by hours that change meanwhile, whichever is known first.

    By the hours of when it begins, anew whenever they change before it is due, and due at once where they had passed by
    then. At the latest `times.LATEST`.
    """
    found = min(begins + NEVER, times.LATEST)
    for number, (since, calendar) in enumerate(versions):
        until = versions[number + 1][0] if number + 1 < len(versions) else None
        if until is not None and until <= begins:
            continue
        found = after(calendar, begins, seconds)
        if begins < since and number:
            found = max(found, since)
        if until is None or found <= until:
            break
    return found
