"""A qualified-lead definition as people write it: its schema, and how it is compiled."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from backbone import closed, conditions, documents, doubts, lead_values
from backbone.conditions import Language
from backbone.documents import ORDER, Document
from backbone.problem import Pointer
from qualification.rules import Action, Definition, Exclusion, Group, Holds, Rule

_LEAD: Final = Language.of(lead_values.LEAD)
_ENGAGEMENT: Final = Language.of(
    {**lead_values.LEAD, "engagement.kind": conditions.TEXT, "engagement.properties": conditions.OPEN}
)
MOST_ENTRIES: Final = 500
DURATION: Final = {
    "type": "string",
    "pattern": r"^([1-9][0-9]{0,8}s|[1-9][0-9]{0,6}m|[1-9][0-9]{0,5}h|[1-9][0-9]{0,4}d|[1-9][0-9]{0,3}w)$",
}
"""A time that is not nothing, and ends before calendars do."""
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 4_000}
_CONDITION: Final = {**documents.CONDITION, **_TEXT, "type": ["string", "boolean"]}
"""YAML reads a bare `true` as more than a text."""
_NUMBER: Final = {"type": "number", "minimum": -1_000_000, "maximum": 1_000_000}
_PERIODS: Final = ("per_week", "per_month", "per_quarter")
_COUNT: Final = {"type": "number", "minimum": 0, "maximum": 1_000_000}
_ACTION: Final = {"enum": [str(action) for action in Action]}
_ANSWER: Final = {"enum": ["yes", "no", "unknown"]}
_QUESTION: Final = {"enum": ["budget", "authority", "need", "timing"]}
_EVERY_TIME: Final[Holds] = lambda _: True  # noqa: E731


def _object(needed: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "maxItems": MOST_ENTRIES}


_POINTS: Final = _object(["rule", "when", "points"], rule=_TEXT, when=_CONDITION, points=_NUMBER)
_BAND: Final = {"type": "object", "additionalProperties": _NUMBER, "minProperties": 1}
REQUIRABLE: Final = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "company",
    "website",
    "job_title",
    "industry",
    "employees",
    "revenue",
    "country",
    "source",
    "medium",
    "campaign",
)
SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A qualified-lead definition",
    **_object(
        ["bands", "matrix"],
        order=ORDER,
        applies=_CONDITION,
        required=_list({"enum": list(REQUIRABLE)}),
        exclude=_list(
            _object(["rule", "when"], rule=_TEXT, when=_CONDITION, reason=_TEXT, action={"enum": ["nurture", "drop"]})
        ),
        fit=_list(_POINTS),
        situation=_list(_POINTS),
        interest=_object(
            half_life=DURATION,
            ceiling=_NUMBER,
            groups=_list(
                _object(
                    ["group", "rules"],
                    group=_TEXT,
                    ceiling=_NUMBER,
                    rules=_list(
                        _object(
                            ["rule", "kind", "points"],
                            rule=_TEXT,
                            kind=_TEXT,
                            when=_CONDITION,
                            points=_NUMBER,
                            ceiling=_NUMBER,
                        )
                    ),
                )
            ),
        ),
        buying_signals=_list(_TEXT),
        signal_for=DURATION,
        bands=_object(["fit", "interest"], fit=_BAND, interest=_BAND),
        matrix={"type": "object", "additionalProperties": _ACTION, "minProperties": 1},
        personas=_list(_object(["persona", "when"], persona=_TEXT, when=_CONDITION)),
        hot=_object(
            ["points", "within"], points=_NUMBER, within=DURATION, unowned={"enum": ["review", "pass", "none"]}
        ),
        srl=_object(
            budget=_ANSWER,
            authority=_ANSWER,
            need=_ANSWER,
            timing=_ANSWER,
            at_least_yes={"type": "integer", "minimum": 0, "maximum": 4},
            never_no=_list(_QUESTION),
        ),
        supply=_object(
            **dict.fromkeys(_PERIODS, _COUNT),
            handoff_within=DURATION,
            by_source={"type": "object", "additionalProperties": _COUNT},
        ),
        review=_object(every=DURATION),
    ),
}


_OF_LEADS: Final = ("exclude", "fit", "situation", "personas")
_RESERVED: Final = ("fit", "situation")


def parse(raw: bytes) -> Document:
    """Read a definition and compile it once. Problem 422 with line and column of what is wrong."""
    document = documents.parse(raw, SCHEMA, what="definition")
    faults: list[Pointer] = [*_wrong_conditions(document), *_wrong_cells(document), *_wrong_groups(document)]
    if faults:
        raise documents.refuse("definition", sorted(faults, key=lambda one: (one.line or 0, one.column or 0)))
    return document


def warnings(document: Document) -> list[Pointer]:
    """Return what is valid and may not be meant.

    That is: conditions that hold for want of a field or compare with a stage that there is not, cells that say nothing,
    a supply of sources without the one that it is part of.
    """
    doubtful = []
    for path, text, language in _conditions(document.data):
        words = doubts.about(language.compile(text)) if path != ("applies",) else None
        if words is not None:
            doubtful.append(document.fault(path, words))
        for words, line, column in closed.never(text, closed.OF_LEADS):
            doubtful.append(document.fault(path, words, line=line, column=column))
    supply = document.data.get("supply", {})
    if supply.get("by_source") and not any(supply.get(period) for period in _PERIODS):
        words = f"promises nothing: it is part of what {', '.join(_PERIODS[:-1])} or {_PERIODS[-1]} says, and none does"
        doubtful.append(document.fault(("supply", "by_source"), words))
    return doubtful + [
        document.fault(("matrix",), f"says nothing of {cell}: such leads are nurtured")
        for cell in sorted(_cells(document) - set(document.data["matrix"]))
    ]


def _text(condition: str | bool) -> str:
    return str(condition).lower() if isinstance(condition, bool) else condition


def _conditions(data: Mapping[str, Any]) -> list[tuple[documents.Path, str, Language]]:
    places: list[tuple[documents.Path, str, Language]] = []
    if "applies" in data:
        places.append((("applies",), _text(data["applies"]), _LEAD))
    for section in _OF_LEADS:
        for number, rule in enumerate(data.get(section, [])):
            places.append(((section, number, "when"), _text(rule["when"]), _LEAD))
    for group_number, group in enumerate(data.get("interest", {}).get("groups", [])):
        for number, rule in enumerate(group["rules"]):
            if "when" in rule:
                inner: documents.Path = ("interest", "groups", group_number, "rules", number, "when")
                places.append((inner, _text(rule["when"]), _ENGAGEMENT))
    return places


def _wrong_conditions(document: Document) -> list[Pointer]:
    faults = []
    for path, text, language in _conditions(document.data):
        try:
            language.check(text)
        except conditions.Wrong as wrong:
            faults.append(document.fault(path, wrong.detail, line=wrong.line, column=wrong.column))
    return faults


def _wrong_groups(document: Document) -> list[Pointer]:
    """Refuse names that an explanation could not tell apart."""
    faults, seen = [], set(_RESERVED)
    for number, group in enumerate(document.data.get("interest", {}).get("groups", [])):
        if group["group"] in seen:
            faults.append(document.fault(("interest", "groups", number, "group"), "this name is taken"))
        seen.add(group["group"])
    return faults


def _cells(document: Document) -> set[str]:
    bands = document.data["bands"]
    return {f"{row}{column}" for row in bands["fit"] for column in bands["interest"]}


def _wrong_cells(document: Document) -> list[Pointer]:
    cells = _cells(document)
    return [
        document.fault(("matrix", cell), "no such cell in bands")
        for cell in document.data["matrix"]
        if cell not in cells
    ]


def build(name: str, version: int, data: Mapping[str, Any]) -> Definition:
    """Compile a stored definition, which was found right when it was saved."""
    interest = data.get("interest", {})
    hot = data.get("hot")
    half_life = interest.get("half_life")
    return Definition(
        name=name,
        version=version,
        order=data.get("order", 1),
        applies=_LEAD.compile(_text(data["applies"])).holds if "applies" in data else _EVERY_TIME,
        required=data.get("required", []),
        exclude=[
            Exclusion(
                rule=one["rule"],
                holds=_LEAD.compile(_text(one["when"])).holds,
                reason=one.get("reason", one["rule"]),
                action=Action(one.get("action", "nurture")),
            )
            for one in data.get("exclude", [])
        ],
        fit=[_rule(one) for one in data.get("fit", [])],
        situation=[_rule(one) for one in data.get("situation", [])],
        groups=[_group(one) for one in interest.get("groups", [])],
        half_life_seconds=documents.duration(half_life) if half_life else None,
        interest_ceiling=interest.get("ceiling"),
        buying_signals=frozenset(data.get("buying_signals", [])),
        signal_for_seconds=documents.duration(data.get("signal_for", "30d")),
        fit_bands=_bands(data["bands"]["fit"]),
        interest_bands=_bands(data["bands"]["interest"]),
        matrix={cell: Action(action) for cell, action in data["matrix"].items()},
        personas=[(one["persona"], _LEAD.compile(_text(one["when"])).holds) for one in data.get("personas", [])],
        hot_points=hot["points"] if hot else None,
        hot_within_seconds=documents.duration(hot["within"]) if hot else 0.0,
        hot_unowned=_lift(hot.get("unowned", "review")) if hot else None,
        srl=data.get("srl", {}),
        supply=data.get("supply", {}),
    )


def _rule(data: Mapping[str, Any]) -> Rule:
    return Rule(rule=data["rule"], holds=_LEAD.compile(_text(data["when"])).holds, points=data["points"])


def _lift(word: str) -> Action | None:
    return None if word == "none" else Action(word)


def _group(data: Mapping[str, Any]) -> Group:
    rules = [
        Rule(
            rule=one["rule"],
            holds=_ENGAGEMENT.compile(_text(one["when"])).holds if "when" in one else _EVERY_TIME,
            points=one["points"],
            kind=one["kind"],
            ceiling=one.get("ceiling"),
        )
        for one in data["rules"]
    ]
    return Group(group=data["group"], rules=rules, ceiling=data.get("ceiling"))


def _bands(data: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(data.items(), key=lambda band: -band[1])
