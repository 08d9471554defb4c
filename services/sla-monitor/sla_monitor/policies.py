"""An SLA policy as people write it: its schema, what is wrong with it, and how it is compiled."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from zoneinfo import available_timezones

from backbone import conditions, documents
from backbone.calendars import minutes
from backbone.conditions import LEAD, Language
from backbone.documents import DURATION, ORDER, Document
from backbone.problem import Pointer
from sla_monitor.domain import (
    AS_PROMISED,
    ENDINGS,
    KINDS,
    LAST_TOUCH,
    MOVING,
    NEXT_STEP,
    REPLESS,
    SOURCES,
    Counts,
    Escalation,
    Holds,
    Policy,
    Quiet,
    Spec,
)

STANDARD: Final = """
order: 1000
clocks:
  - {kind: first_response_5m,  within: 5m,  from: assignment, warn: [50%]}
  - {kind: first_response_30m, within: 30m, from: assignment}
  - {kind: first_response_1d,  within: 1d,  from: assignment}
escalations:
  - {kind: first_response_30m, after: 0s, to: manager}
"""
"""Holds until a policy is put."""
_LEADS: Final = Language.of(LEAD)
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 128}
_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": 1000}
"""Far beyond what anybody does to one lead, and within what an event carries."""
_TIME: Final = {"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"}
_TOUCH_KINDS: Final = ["call", "email", "meeting", "message"]


def _object(needed: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An SLA policy",
    **_object(
        ["clocks"],
        order=ORDER,
        applies={"type": ["string", "boolean"]},
        clocks={
            "type": "array",
            "minItems": 1,
            "items": _object(
                ["kind", "within", "from"],
                clock=_TEXT,
                kind={"enum": list(KINDS)},
                within=DURATION,
                hours=_TEXT,
                warn={"type": "array", "items": {"type": "string", "pattern": r"^[0-9]{1,2}%$|" + DURATION["pattern"]}},
                touches={"type": "object", "additionalProperties": _COUNT, "minProperties": 1},
                spread=DURATION,
                ends_when={"type": "array", "items": {"enum": list(ENDINGS)}, "minItems": 1},
                **{"from": {"enum": list(SOURCES)}},
            ),
        },
        counts=_object(
            outcome={"type": "array", "items": {"enum": ["attempted", "connected"]}},
            kinds={"type": "array", "items": {"enum": _TOUCH_KINDS}},
            automated={"type": "boolean"},
            by={"enum": ["assignee", "team", "anyone"]},
            before_start=DURATION,
        ),
        booking_counts={"type": "boolean"},
        quiet_hours=_object(["start", "end"], start=_TIME, end=_TIME, zone=_TEXT),
        escalations={
            "type": "array",
            "items": _object(
                ["kind", "after", "to"],
                kind={"enum": list(KINDS)},
                clock=_TEXT,
                after=DURATION,
                to={"enum": ["rep", "manager", "reassign", "pause"]},
                times=_COUNT,
            ),
        },
    ),
}


def parse(raw: bytes, calendars: Sequence[str]) -> Document:
    """Read a policy. Problem 422 with line and column of what is wrong."""
    document = documents.parse(raw, SCHEMA, what="SLA policy")
    faults: list[Pointer] = []
    applies = document.data.get("applies")
    if isinstance(applies, str):
        try:
            _LEADS.compile(applies)
        except conditions.Wrong as wrong:
            faults.append(document.fault(("applies",), wrong.detail, line=wrong.line, column=wrong.column))
    names: dict[str, str] = {}
    for number, clock in enumerate(document.data["clocks"]):
        faults += _faults(document, number, clock, calendars)
        name = clock.get("clock", clock["kind"])
        if name in names:
            faults.append(document.fault(("clocks", number), "another clock has this name; give it one by `clock`"))
        names[name] = clock["kind"]
    for number, one in enumerate(document.data.get("escalations", [])):
        if "clock" in one and names.get(one["clock"]) != one["kind"]:
            faults.append(document.fault(("escalations", number, "clock"), "no clock of this kind has this name"))
    faults += _quiet_faults(document)
    if faults:
        raise documents.refuse("SLA policy", faults)
    return document


def _faults(document: Document, number: int, clock: Mapping[str, Any], calendars: Sequence[str]) -> list[Pointer]:
    """Return what is wrong with one clock."""
    faults = []
    hours, source, kind = clock.get("hours", "wall"), clock["from"], clock["kind"]
    if hours not in ("wall", "rep", *calendars):
        faults.append(document.fault(("clocks", number, "hours"), "wall, rep, or the name of a calendar that exists"))
    if hours == "rep" and source in REPLESS:
        why = "nobody has the lead yet, so there are no hours of a rep; take wall, or the name of a calendar"
        faults.append(document.fault(("clocks", number, "hours"), why))
    if source == LAST_TOUCH and kind not in MOVING:
        why = f"only {' and '.join(MOVING)} run from the last touch, beginning anew with each"
        faults.append(document.fault(("clocks", number, "from"), why))
    if kind == "minimum_touches" and "touches" not in clock:
        faults.append(document.fault(("clocks", number), "says with `touches` how many are needed"))
    within = documents.duration(clock["within"])
    for place, text in enumerate(clock.get("warn", [])):
        if not 0 < _warn(text, within) < within:
            faults.append(document.fault(("clocks", number, "warn", place), "has to lie within the window"))
    for touch_kind in clock.get("touches", {}):
        if touch_kind not in _TOUCH_KINDS:
            faults.append(document.fault(("clocks", number, "touches", touch_kind), "no such kind of touch"))
    return faults


def _quiet_faults(document: Document) -> list[Pointer]:
    said = document.data.get("quiet_hours")
    if said is None:
        return []
    faults = []
    if said.get("zone") is not None and said["zone"] not in available_timezones():
        faults.append(document.fault(("quiet_hours", "zone"), "the name of a time zone, such as Europe/Berlin"))
    if minutes(said["start"]) == minutes(said["end"]):
        faults.append(document.fault(("quiet_hours",), "ends when it starts; leave it out where there are none"))
    return faults


def build(name: str, version: int, data: Mapping[str, Any]) -> Policy:
    """Compile a stored policy."""
    applies = data.get("applies", True)
    holds: Holds = _LEADS.compile(applies).holds if isinstance(applies, str) else (lambda _: bool(applies))
    said = data.get("counts", {})
    counts = Counts(
        outcome=said.get("outcome", ("attempted", "connected")),
        kinds=said.get("kinds", _TOUCH_KINDS),
        automated=said.get("automated", False),
        by=said.get("by", "assignee"),
        before_start=timedelta(seconds=documents.duration(said.get("before_start", "10s"))),
    )
    return Policy(
        for_all=applies is True,
        name=name,
        version=version,
        order=data.get("order", 1),
        applies=holds,
        clocks=_specs(data["clocks"]),
        counts=counts,
        escalations=[
            Escalation(
                kind=one["kind"],
                after_seconds=documents.duration(one["after"]),
                to=one["to"],
                times=int(one.get("times", 1)),
                clock=one.get("clock", ""),
            )
            for one in data.get("escalations", [])
        ],
        booking_counts=data.get("booking_counts", False),
        quiet=_quiet(data["quiet_hours"]) if "quiet_hours" in data else None,
    )


def _quiet(data: Mapping[str, Any]) -> Quiet:
    start, end = minutes(data["start"]), minutes(data["end"])
    return Quiet(start=start, end=end, zone=data.get("zone", ""))


def _specs(lines: Sequence[Mapping[str, Any]]) -> list[Spec]:
    found = [_spec(one) for one in lines]
    if any(NEXT_STEP in (one.clock, one.kind) for one in found):
        return found
    return [*found, AS_PROMISED]


def _spec(data: Mapping[str, Any]) -> Spec:
    within = documents.duration(data["within"])
    return Spec(
        clock=data.get("clock", data["kind"]),
        kind=data["kind"],
        within_seconds=within,
        source=data["from"],
        hours=data.get("hours", "wall"),
        warn_seconds=[_warn(text, within) for text in data.get("warn", [])],
        # Some that were stored long ago say 3.0.
        needs={touch_kind: int(needed) for touch_kind, needed in data.get("touches", {}).items()},
        spread_seconds=documents.duration(data["spread"]) if "spread" in data else 0.0,
        ends_when=data.get("ends_when", ()),
    )


def _warn(text: str, within: float) -> float:
    """Return after how many seconds of the clock a warning is due: a share of it, or so long before its end."""
    if text.endswith("%"):
        return within * int(text[:-1]) / 100
    return max(0.0, within - documents.duration(text))


def built_in() -> Policy:
    """Return the policy that holds until one is put."""
    document = documents.parse(STANDARD.encode(), SCHEMA, what="SLA policy")
    return build("standard", 0, document.data)
