"""An SLA policy as people write it: its schema, what is wrong with it, and how it is compiled."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from backbone import conditions, documents
from backbone.calendars import minutes
from backbone.conditions import Condition, Language
from backbone.documents import CONDITION, DURATION, ORDER, Document
from backbone.lead_values import LEAD
from backbone.problem import Pointer
from sla_monitor import senseless
from sla_monitor.agreement import AS_PROMISED, ESCALATED_TO, Escalation, Holds, Policy, Quiet, Spec
from sla_monitor.domain import ENDINGS, KINDS, NEXT_STEP, SOURCES, TOUCH_KINDS, Counts

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
FIRST: Final = 1
"""The order of a policy that names none."""
_LEADS: Final = Language.of(LEAD)
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 128}
_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": 1000}
"""Far beyond what anybody does to one lead, and within what an event carries."""
_TIME: Final = {
    "type": "string",
    "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
    "examples": ['"07:00"', '"22:30"', '"24:00"'],
}
_WARNING: Final = {
    "type": "string",
    "pattern": r"^[0-9]{1,2}%$|" + DURATION["pattern"],
    "examples": ["50%", "99%", "2m"],
}


def _object(needed: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An SLA policy",
    **_object(
        ["clocks"],
        order=ORDER,
        applies={**CONDITION, "type": ["string", "boolean"]},
        clocks={
            "type": "array",
            "minItems": 1,
            "items": _object(
                ["kind", "within", "from"],
                clock=_TEXT,
                kind={"enum": list(KINDS)},
                within=DURATION,
                hours=_TEXT,
                warn={"type": "array", "items": _WARNING},
                touches={"type": "object", "additionalProperties": _COUNT, "minProperties": 1},
                spread=DURATION,
                ends_when={"type": "array", "items": {"enum": list(ENDINGS)}, "minItems": 1},
                **{"from": {"enum": list(SOURCES)}},
            ),
        },
        counts=_object(
            outcome={"type": "array", "items": {"enum": ["attempted", "connected"]}, "minItems": 1},
            kinds={"type": "array", "items": {"enum": list(TOUCH_KINDS)}, "minItems": 1},
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
                to={"enum": list(ESCALATED_TO)},
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
            _LEADS.check(applies)
        except conditions.Wrong as wrong:
            faults.append(document.fault(("applies",), wrong.detail, line=wrong.line, column=wrong.column))
    faults += senseless.faults(document, calendars)
    if faults:
        raise documents.refuse("SLA policy", faults)
    return document


def condition(document: Document) -> Condition | None:
    """Return which leads a policy applies to; None where it says so without asking them."""
    applies = document.data.get("applies")
    return _LEADS.compile(applies) if isinstance(applies, str) else None


def build(name: str, version: int, data: Mapping[str, Any]) -> Policy:
    """Compile a stored policy."""
    applies = data.get("applies", True)
    holds: Holds = _LEADS.compile(applies).holds if isinstance(applies, str) else (lambda _: bool(applies))
    said = data.get("counts", {})
    counts = Counts(
        outcome=said.get("outcome", ("attempted", "connected")),
        kinds=said.get("kinds", TOUCH_KINDS),
        automated=said.get("automated", False),
        by=said.get("by", "assignee"),
        before_start=timedelta(seconds=documents.duration(said.get("before_start", senseless.BEFORE_START))),
    )
    return Policy(
        for_all=applies is True,
        name=name,
        version=version,
        order=data.get("order", FIRST),
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
        # A share and a time may name one instant: nobody is warned twice of it.
        warn_seconds=list(dict.fromkeys(senseless.warned_after(text, within) for text in data.get("warn", []))),
        # Some that were stored long ago say 3.0.
        needs={touch_kind: int(needed) for touch_kind, needed in data.get("touches", {}).items()},
        spread_seconds=documents.duration(data["spread"]) if "spread" in data else 0.0,
        ends_when=data.get("ends_when", ()),
    )


def built_in() -> Policy:
    """Return the policy that holds until one is put."""
    document = documents.parse(STANDARD.encode(), SCHEMA, what="SLA policy")
    return build("standard", 0, document.data)
