"""An SLA policy as people write it: its schema, what is wrong with it, and how it is compiled."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from backbone import conditions, documents
from backbone.conditions import LEAD, Language
from backbone.documents import DURATION, Document
from sla_monitor.domain import KINDS, SOURCES, Counts, Escalation, Holds, Policy, Spec

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
_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 1}
_TOUCH_KINDS: Final = ["call", "email", "meeting", "message"]


def _object(needed: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An SLA policy",
    **_object(
        ["clocks"],
        order={"type": "integer"},
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
        escalations={
            "type": "array",
            "items": _object(
                ["kind", "after", "to"],
                kind={"enum": list(KINDS)},
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
    faults = []
    applies = document.data.get("applies")
    if isinstance(applies, str):
        try:
            _LEADS.compile(applies)
        except conditions.Wrong as wrong:
            faults.append(document.fault(("applies",), wrong.detail, line=wrong.line, column=wrong.column))
    names: set[str] = set()
    for number, clock in enumerate(document.data["clocks"]):
        hours = clock.get("hours", "wall")
        if hours not in ("wall", "rep", *calendars):
            faults.append(
                document.fault(("clocks", number, "hours"), "wall, rep, or the name of a calendar that exists")
            )
        name = clock.get("clock", clock["kind"])
        if name in names:
            faults.append(document.fault(("clocks", number), "another clock has this name; give it one by `clock`"))
        names.add(name)
        if clock["kind"] == "minimum_touches" and "touches" not in clock:
            faults.append(document.fault(("clocks", number), "says with `touches` how many are needed"))
        for place, text in enumerate(clock.get("warn", [])):
            within = documents.duration(clock["within"])
            if not 0 < _warn(text, within) < within:
                faults.append(document.fault(("clocks", number, "warn", place), "has to lie within the window"))
        for touch_kind in clock.get("touches", {}):
            if touch_kind not in _TOUCH_KINDS:
                faults.append(document.fault(("clocks", number, "touches", touch_kind), "no such kind of touch"))
    if faults:
        raise documents.refuse("SLA policy", faults)
    return document


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
        clocks=[_spec(one) for one in data["clocks"]],
        counts=counts,
        escalations=[
            Escalation(
                kind=one["kind"],
                after_seconds=documents.duration(one["after"]),
                to=one["to"],
                times=one.get("times", 1),
            )
            for one in data.get("escalations", [])
        ],
    )


def _spec(data: Mapping[str, Any]) -> Spec:
    within = documents.duration(data["within"])
    return Spec(
        clock=data.get("clock", data["kind"]),
        kind=data["kind"],
        within_seconds=within,
        source=data["from"],
        hours=data.get("hours", "wall"),
        warn_seconds=[_warn(text, within) for text in data.get("warn", [])],
        needs=data.get("touches", {}),
        spread_seconds=documents.duration(data["spread"]) if "spread" in data else 0.0,
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
