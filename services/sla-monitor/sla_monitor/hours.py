"""Whose hours a clock runs on: by the wall, a rep's own, or a calendar of the company's."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from backbone import calendars, times
from backbone.calendars import Calendar, Window
from handoff.events.v1 import common_pb2
from sla_monitor.agreement import Quiet

Named = Mapping[str, tuple[int, Mapping[str, Any]]]
"""By name: version, document."""
WALL: Final = "wall"
REP: Final = "rep"
DAY: Final = 24 * 60
NEVER: Final = timedelta(days=3653)
"""Ten years: beyond what calendars look ahead."""


def after(calendar: Calendar, begins: datetime, seconds: float) -> datetime:
    """Return when so many open seconds have passed; of hours that do not come in ten years, ten years on.

    So a promise on such hours runs and is on record, whatever is known first, and moves once they change.
    """
    found = calendars.add(calendar, begins, seconds)
    return found if found is not None else begins + NEVER


class Calendars:
    """The calendars that a policy may name: a rep's own, and the company's by name; each made once."""

    def __init__(self, named: Named, year: int, zone: tuple[str, int] = ("UTC", 1)) -> None:
        self._named = named
        self.year = year
        """The one that holidays are known around."""
        self._zone, self._zone_version = zone
        """The company's."""
        self._made: dict[tuple[str, int], tuple[str, Calendar]] = {}

    def of(self, hours: str, rep: common_pb2.Rep) -> tuple[str, Calendar] | None:
        """Return what to cite, and the calendar; None where there is no such, as for a rep before there is one."""
        if hours == REP:
            return self.of_rep(rep) if rep.rep_id else None
        if hours not in self._named:
            return None
        version, document = self._named[hours]
        if (hours, -version) not in self._made:
            windows = [(one["days"], one["start"], one["end"]) for one in document["working_hours"]]
            calendar = self._calendar(document["time_zone"], windows, document.get("holidays") or "", ())
            closed = calendar.closed | {date.fromisoformat(day) for day in document.get("closed") or ()}
            self._made[hours, -version] = (f"{hours}@{version}", replace(calendar, closed=frozenset(closed)))
        return self._made[hours, -version]

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

    def of_rep(self, rep: common_pb2.Rep) -> tuple[str, Calendar]:
        """Return the rep's own."""
        key = (rep.rep_id, rep.version)
        if key not in self._made:
            off = tuple((times.at(one.start), times.at(one.end)) for one in rep.time_off)
            windows = [(list(one.days), one.start, one.end) for one in rep.working_hours]
            calendar = self._calendar(rep.time_zone, windows, rep.holidays, off)
            self._made[key] = (f"{rep.rep_id}@{rep.version}", calendar)
        return self._made[key]

    def _calendar(
        self,
        zone: str,
        windows: Sequence[tuple[Sequence[str], str, str]],
        code: str,
        off: tuple[tuple[datetime, datetime], ...],
    ) -> Calendar:
        closed = calendars.holidays(code, self.year) if code else frozenset()
        return Calendar(zone=zone, windows=calendars.windows(windows), closed=closed, off=off)


Versions = Mapping[str, Sequence[tuple[datetime, common_pb2.Rep]]]
"""Reps as they were since when."""


class Past:
    """Hours as they were, each version with the instant since when."""

    def __init__(self, named: Sequence[tuple[datetime, Named]] = (), year: int = 0) -> None:
        self._named = [(since, Calendars(some, year)) for since, some in named]
        self._own = Calendars({}, year)
        self._reps: Versions = {}

    def knowing(self, reps: Versions) -> "Past":
        """Return the same with the reps' own hours."""
        made = copy(self)
        made._reps = reps
        return made

    def of(self, hours: str, rep_id: str) -> list[tuple[datetime, Calendar]]:
        """Return which hours held since when; none by the wall."""
        if hours == WALL:
            return []
        if hours == REP:
            return [(since, self._own.of_rep(rep)[1]) for since, rep in self._reps.get(rep_id, ())]
        versions = [(since, made.of(hours, common_pb2.Rep())) for since, made in self._named]
        return [(since, found[1]) for since, found in versions if found is not None]


def fell_due(versions: Sequence[tuple[datetime, Calendar]], begins: datetime, seconds: float) -> datetime:
    """Return when a window fell due by hours that changed meanwhile.

    As open clocks are computed: by the hours of when it begins, anew whenever they change before it is due, and due at
    once where they had passed by then.
    """
    found = begins + NEVER
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
