"""What a schema cannot say is wrong with an SLA policy: names of nothing, and promises that nobody can keep or break.

Only what is surely meant otherwise is refused; a promise that is merely odd may be meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from zoneinfo import available_timezones

from backbone import closed, documents
from backbone.calendars import minutes
from backbone.conditions import Condition
from backbone.documents import Document
from backbone.lead_values import BY_QUALIFICATION
from backbone.problem import Pointer
from sla_monitor.chain import REASSIGN
from sla_monitor.domain import (
    ARRIVAL,
    ASSIGNMENT,
    LAST_TOUCH,
    MEETING_MISSED,
    MOVING,
    QUALIFICATION,
    QUEUED,
    REPLESS,
    TOUCH_KINDS,
)
from sla_monitor.hours import DAY, REP, WALL

BEFORE_START: Final = "10s"
"""How long before its start a touch counts for a clock, where the policy does not say."""
MINIMUM_TOUCHES: Final = "minimum_touches"
UNASKED: Final = ("next_step",)
"""Kinds that start without a line of the policy."""
_FROM: Final[Mapping[str, tuple[Sequence[str], str]]] = {
    "acceptance": ((ASSIGNMENT,), "what is accepted is an assignment, so only from there can it be in time or late"),
    "handoff": ((ARRIVAL, QUALIFICATION, QUEUED, MEETING_MISSED), "whoever is assigned has it, so this is met at once"),
    "no_show_rebook": ((MEETING_MISSED,), "nothing was missed yet that could be booked again"),
}
"""Kinds that can be kept and broken only from some instants, and why from no other."""


def faults(document: Document, calendars: Sequence[str]) -> list[Pointer]:
    """Return what is wrong with a policy that has the right shape."""
    found: list[Pointer] = []
    names: dict[str, str] = {}
    for number, clock in enumerate(document.data["clocks"]):
        path = ("clocks", number)
        found += _of_start(document, path, clock, calendars)
        found += _of_warnings(document, path, clock)
        found += _of_touches(document, path, clock)
        name = clock.get("clock", clock["kind"])
        if name in names:
            found.append(document.fault(path, "another clock has this name; give it one by `clock`"))
        names[name] = clock["kind"]
    return [*found, *_of_escalations(document, names), *_of_quiet_hours(document)]


def doubts(document: Document, zone: str, applies: Condition | None) -> Iterator[Pointer]:
    """Yield what a policy permits but hardly means; `zone` is the company's, `applies` its condition."""
    if applies is not None:
        yield from _of_applies(document, applies)
    quiet = document.data.get("quiet_hours")
    own = sorted({one["from"] for one in document.data["clocks"]}.intersection(REPLESS))
    if quiet is not None and "zone" not in quiet and own:
        why = (
            f"names no zone: a rep's clocks are quiet by the rep's own, those from {' and '.join(own)} by the"
            f" company's, {zone}; `zone: {zone}` makes them all so"
        )
        yield document.fault(("quiet_hours",), why)


def _of_applies(document: Document, applies: Condition) -> Iterator[Pointer]:
    for words, line, column in closed.never(applies.text, closed.OF_LEADS):
        yield document.fault(("applies",), words, line=line, column=column)
    unknown = [name for name in applies.reads if name in BY_QUALIFICATION]
    for number, clock in enumerate(document.data["clocks"]):
        if clock["from"] == ARRIVAL and unknown:
            why = (
                f"when a lead arrives nobody knows its {' and '.join(name.removeprefix('lead.') for name in unknown)}"
                " yet, which `applies` asks for; `from: qualification` begins when that is known"
            )
            yield document.fault(("clocks", number, "from"), why)


def warned_after(text: str, within: float) -> float:
    """Return after how many seconds of the clock a warning is due: a share of it, or so long before its end."""
    if text.endswith("%"):
        return within * int(text[:-1]) / 100
    return max(0.0, within - documents.duration(text))


Place = tuple[str | int, ...]
Clock = Mapping[str, Any]


def _of_start(document: Document, path: Place, clock: Clock, calendars: Sequence[str]) -> Iterator[Pointer]:
    hours, source, kind = clock.get("hours", WALL), clock["from"], clock["kind"]
    if documents.duration(clock["within"]) == 0:
        yield document.fault((*path, "within"), "longer than nothing, or nobody can keep the promise")
    if hours not in (WALL, REP, *calendars):
        yield document.fault((*path, "hours"), "wall, rep, or the name of a calendar that exists")
    if hours == REP and source in REPLESS:
        why = "nobody has the lead yet, so there are no hours of a rep; take wall, or the name of a calendar"
        yield document.fault((*path, "hours"), why)
    if source == LAST_TOUCH and kind not in MOVING:
        why = f"only {' and '.join(MOVING)} run from the last touch, beginning anew with each"
        yield document.fault((*path, "from"), why)
    elif source not in _FROM.get(kind, ((source,), ""))[0]:
        sensible, why = _FROM[kind]
        yield document.fault((*path, "from"), f"{why}; take {' or '.join(sensible)}")


def _of_warnings(document: Document, path: Place, clock: Clock) -> Iterator[Pointer]:
    within = documents.duration(clock["within"])
    for number, text in enumerate(clock.get("warn", [])):
        if not 0 < warned_after(text, within) < within:
            yield document.fault((*path, "warn", number), "has to lie within the window")


def _of_touches(document: Document, path: Place, clock: Clock) -> Iterator[Pointer]:
    if clock["kind"] != MINIMUM_TOUCHES:
        for key in ("touches", "spread"):
            if key in clock:
                why = f"only {MINIMUM_TOUCHES} counts them; any other clock is met without"
                yield document.fault((*path, key), why)
        return
    if "touches" not in clock:
        yield document.fault(path, "says with `touches` how many are needed")
    counting = document.data.get("counts", {}).get("kinds", TOUCH_KINDS)
    for kind in clock.get("touches", {}):
        if kind not in TOUCH_KINDS:
            yield document.fault((*path, "touches", kind), f"no such kind of touch; there are {', '.join(TOUCH_KINDS)}")
        elif kind not in counting:
            yield document.fault((*path, "touches", kind), "`counts` does not let touches of this kind count")
    if not _fits(clock, document.data.get("counts", {})):
        yield document.fault((*path, "spread"), "so far apart they do not all lie within the window")


def _fits(clock: Clock, counts: Mapping[str, Any]) -> bool:
    """Say whether enough touches so far apart can lie within the window; working hours may stretch it to any length."""
    if "spread" not in clock or clock.get("hours", WALL) != WALL:
        return True
    room = documents.duration(clock["within"]) + documents.duration(counts.get("before_start", BEFORE_START))
    most = max(clock.get("touches", {}).values(), default=1)
    return bool((most - 1) * documents.duration(clock["spread"]) <= room)


def _of_escalations(document: Document, names: Mapping[str, str]) -> Iterator[Pointer]:
    """Say what is wrong with escalations, where the clocks have these names and kinds."""
    for number, one in enumerate(document.data.get("escalations", [])):
        path = ("escalations", number)
        if "times" in one and one["to"] != REASSIGN:
            why = f"says how often to {REASSIGN} at most; to tell {one['to']} again, write another line"
            yield document.fault((*path, "times"), why)
        if "clock" in one and names.get(one["clock"]) != one["kind"]:
            of_kind = [name for name, kind in names.items() if kind == one["kind"]]
            there_are = f"; of this kind are {', '.join(of_kind)}" if of_kind else ", and none is of this kind"
            yield document.fault((*path, "clock"), f"no clock of this kind has this name{there_are}")
        elif one["kind"] not in (*names.values(), *UNASKED):
            yield document.fault((*path, "kind"), "no clock of the policy is of this kind")


def _of_quiet_hours(document: Document) -> Iterator[Pointer]:
    said = document.data.get("quiet_hours")
    if said is None:
        return
    if said.get("zone") is not None and said["zone"] not in available_timezones():
        yield document.fault(("quiet_hours", "zone"), "the name of a time zone, such as Europe/Berlin")
    if minutes(said["start"]) % DAY == minutes(said["end"]) % DAY:
        why = "ends when it starts, so nobody would ever be warned, or always; leave it out where there are none"
        yield document.fault(("quiet_hours",), why)
