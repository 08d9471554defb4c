"""Whose hours a clock runs on: by the wall, a rep's own, or a calendar of the company's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from backbone import calendars, times
from backbone.calendars import Calendar, Window
from handoff.events.v1 import common_pb2
from sla_monitor.agreement import Quiet

WALL: Final = "wall"
REP: Final = "rep"
DAY: Final = 24 * 60


class Calendars:
    """The calendars that a policy may name: a rep's own, and the company's by name; each made once."""

    def __init__(self, named: Mapping[str, tuple[int, Mapping[str, Any]]], year: int) -> None:
        self._named = named
        self._year = year
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

    def waking(self, quiet: Quiet, rep: common_pb2.Rep) -> Calendar:
        """Return the hours outside a policy's quiet ones, each day of the week."""
        if quiet.start < quiet.end:
            spans = [(start, end) for start, end in ((0, quiet.start), (quiet.end, DAY)) if start < end]
        else:
            spans = [(quiet.end, quiet.start)]
        every_day = tuple(Window(day, start, end) for day in range(7) for start, end in spans)
        return Calendar(zone=quiet.zone or rep.time_zone or "UTC", windows=every_day)

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
        closed = calendars.holidays(code, self._year) if code else frozenset()
        return Calendar(zone=zone, windows=calendars.windows(windows), closed=closed, off=off)
