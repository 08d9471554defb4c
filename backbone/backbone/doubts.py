"""What a document says that its authors may not have meant: conditions that hold only because a field is missing."""

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from backbone import conditions, lead_values, times
from backbone.conditions import Condition
from handoff.events.v1 import common_pb2

MOST_TRIALS: Final = 300
"""Leads that a condition is tried with; of more possible ones a sample."""
MOST_VALUES: Final = 8
_EMPTY: Final[Mapping[str, Any]] = {
    **lead_values.of(common_pb2.LeadFields()),
    "engagement.kind": "",
    "engagement.properties": dict[str, Any](),
}
_TELLS: Final = "lead.missing"
_ABSENT: Final = frozenset(_EMPTY[_TELLS])
_NEVER_MISSING: Final = frozenset(
    {"lead.stage", "lead.cycle", "lead.fit", "lead.interest", "lead.grade", "lead.occurred_at"}
)
_INSTANTS: Final = frozenset(name for name, kind in lead_values.LEAD.items() if kind == conditions.INSTANT)
_TEXT: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_INSTANT: Final = re.compile(r"""\btimestamp\(\s*["']([^"']+)["']\s*\)""")
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")

Lead = dict[str, Any]


_NOTHING_BESIDE: Final[Mapping[str, Any]] = {}


def about(condition: Condition, beside: Mapping[str, Any] = _NOTHING_BESIDE) -> str | None:
    """Return what to say of a condition that holds also of leads that lack a field; None where there is nothing to say.

    `beside`: what it may read that is not the lead's, by name, each as it is where nothing is known of it.
    """
    name = holds_for_want_of(condition, beside)
    if name is None:
        return None
    field = name.partition(".")[2]
    asking = f"has({name})" if "." in field else f'whether "{field}" is in lead.missing'
    return f"holds also where {field} is missing; ask {asking}"


def holds_for_want_of(condition: Condition, beside: Mapping[str, Any] = _NOTHING_BESIDE) -> str | None:
    """Return the field whose absence alone makes the condition hold of some lead; None where there is none.

    Leads are made of the literals that the condition compares with. A condition that asks lead.missing whether a field
    is there finds the truth, so it does not hold for want of that field.
    """
    keys = [f"{name}.{key}" for name, key in condition.keys]
    known = {**_EMPTY, **beside}
    empty = {**{name: known[name] for name in condition.reads if name != _TELLS}, **dict.fromkeys(keys, "")}
    choices = {
        name: _instants(condition.text) if name in _INSTANTS else _values(nothing, condition.text)
        for name, nothing in empty.items()
    }
    for name in [*(name for name in condition.reads if name not in beside and _may_be_missing(name)), *keys]:
        for lead in _leads(choices):
            absent = {**lead, name: empty[name]}
            if lead[name] != empty[name] and _try(condition, absent, known) and not _try(condition, lead, known):
                return name
    return None


def _may_be_missing(name: str) -> bool:
    empty = _EMPTY[name]
    return name not in _NEVER_MISSING and isinstance(empty, str | int | float) and not isinstance(empty, bool)


def _values(empty: Any, text: str) -> Sequence[Any]:
    if isinstance(empty, bool):
        return (False, True)
    if isinstance(empty, str):
        return ("", "else", *(one or other for one, other in _TEXT.findall(text)))[:MOST_VALUES]
    if isinstance(empty, int | float):
        kind = type(empty)
        literals = [float(one) for one in _NUMBER.findall(text)]
        near = [kind(math.floor(one) + step) for one in literals for step in (0, 1, -1)]
        return tuple(dict.fromkeys([kind(0), *near]))[:MOST_VALUES]
    return (empty,)


def _instants(text: str) -> Sequence[int]:
    found = [0]
    for one in _INSTANT.findall(text):
        with suppress(ValueError):
            at = round(times.parse(one).timestamp() * 1e6)
            found += [at, at + 1]
    return tuple(dict.fromkeys(found))[:MOST_VALUES]


def _leads(choices: Mapping[str, Sequence[Any]]) -> Iterator[Lead]:
    names = list(choices)
    if math.prod(len(values) for values in choices.values()) <= MOST_TRIALS:
        for values in itertools.product(*choices.values()):
            yield dict(zip(names, values, strict=True))
        return
    chance = random.Random(0)  # noqa: S311 - a sample, the same each time
    for _ in range(MOST_TRIALS):
        yield {name: chance.choice(values) for name, values in choices.items()}


def _try(condition: Condition, lead: Lead, known: Mapping[str, Any]) -> bool:
    values = {**known, **{name: value for name, value in lead.items() if name in known}}
    for name, key in condition.keys:
        given = lead[f"{name}.{key}"]
        values[name] = {**values[name], **({key: given} if given else {})}
    present = {name.removeprefix("lead.") for name, value in lead.items() if name in _EMPTY and value != _EMPTY[name]}
    present |= {name.removeprefix("has_") for name in present}
    return condition.holds({**values, _TELLS: sorted(_ABSENT - present)})
