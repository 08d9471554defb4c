"""The usual mistakes of those who write conditions and documents: what to write instead, in plain words."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

ALIKE: Final = 0.75
"""From here on a name is near enough to be meant; below it the guess leads astray more often than not."""
MOST_LISTED: Final = 50
SEALED: Final = {
    "email": "has_email, email_domain and email_is_free",
    "phone": "has_phone",
    "first_name": 'whether "first_name" is in missing',
    "last_name": 'whether "last_name" is in missing',
}
"""What no condition may read, with what it may read instead."""
_SEALED_NAME: Final = re.compile(r"'lead\.(\w+)'")
_UNKNOWN: Final = re.compile(r"undeclared reference to '([^']+)'")
_UNLIKE: Final = re.compile(r"no matching overload for '([^']+)' applied to '\((.*)\)'")
_KIND: Final = re.compile(r"list\((?:map\([^()]*\)|[\w.]+)\)|map\([^()]*\)|[\w.]+")
_KINDS: Final = {
    "string": "a text",
    "int": "a whole number",
    "double": "a fraction",
    "bool": "a yes or no",
    "google.protobuf.Timestamp": "an instant",
    "google.protobuf.Duration": "a duration",
    "map(string, dyn)": "an object",
    "dyn": "anything",
}
_SAID_NOT: Final = re.compile(r"\bnot\s*$", re.IGNORECASE)
_NOT: Final = 'not is written !, such as !(lead.country in ["DE"])'
_FUNCTIONS: Final = (
    'texts have .contains("a"), .startsWith("a"), .endsWith("a"), .matches("(?i)^a") and .size(); beside them there are'
    ' timestamp("2026-01-01T00:00:00Z") and duration("48h")'
)
_INSTEAD: Final = tuple(
    (re.compile(said, re.IGNORECASE), instead)
    for said, instead in (
        (r"error at: '=|input 'is'", 'whether two are equal is asked with ==, such as lead.stage == "mql"'),
        (r"error at: '&|input 'and'", "and is written &&"),
        (r"error at: '\||input 'or'", "or is written ||"),
        (r"input 'not'", _NOT),
        (r"error at: '[“”„‘’]", "texts stand in straight quotes, such as \"DE\" or 'DE'"),
        (r"""error at: '(["'])""", r"the text that begins here does not end: \1 is missing"),
        (r"missing '(.)' at '<EOF>'", r"ends too early: \1 is missing"),
        (r"input '<EOF>'", "ends too early: something is missing here"),
        (
            r"input ','",
            'a list stands in brackets, such as lead.country in ["DE", "AT"]; numbers are written without commas',
        ),
        (r"error at: '(.+?) *'$", r"\1 does not belong here"),
        (r"input '(.+?)'(?: expecting|$)", r"\1 does not belong here"),
        (
            r"'@in' applied to '\(\w+, \w+\)'",
            'in asks of a list, such as lead.country in ["DE", "AT"]; of a text, lead.company.contains("GmbH") does',
        ),
        (
            r"'_[!=]=_' applied to '\((?:list\(\w+\), string|string, list\(\w+\))\)'",
            'a list is asked whether something is in it, such as "german" in rep.skills or "phone" in lead.missing',
        ),
        (r"'!_' applied to '\(string\)'", 'a text that is not there is empty, such as lead.country == ""'),
        (r"'!_'", "! turns a yes or no alone; a number that is not there is 0, such as lead.employees == 0"),
        (r"'_(&&|\|\|)_'", r"\1 stands between conditions, such as lead.live \1 lead.employees > 100"),
        (
            r"'\((?:google.protobuf.Timestamp, (?:string|int)|(?:string|int), google.protobuf.Timestamp)\)'",
            'an instant is compared with another, such as timestamp("2026-01-01T00:00:00Z")',
        ),
        (
            r"'\((?:int, double|double, int)\)'",
            "one side is a whole number, so that the other has to be one too: 2 or 1, not 1.5",
        ),
        (r"'\(.*\bnull_type\)'", 'nothing is null: a text that is missing is "", a number 0'),
        (
            r"operand of a select",
            "nothing has a name in it here; functions have brackets, such as lead.company.size() > 3",
        ),
        (r"invalid int literal", "is too large a number"),
    )
)
"""What the compiler says, and what to write instead; the first that fits."""


def near(word: str, known: Iterable[str]) -> str | None:
    """Return which known name was meant, None where none is really close."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=ALIKE)
    return by_lower[close[0]] if close else None


def instead(word: str, known: Collection[str], otherwise: str = "") -> str:
    """Say which known name was meant; where none is close, what to say `otherwise`, or which there are."""
    meant = near(word, known)
    return f"did you mean {meant}?" if meant is not None else otherwise or f"there are {listed(known)}"


def listed(names: Collection[str]) -> str:
    """Return names with commas between them; of very many the first."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(list(names)[:MOST_LISTED]) + more


def mended(detail: str, text: str, start: int, names: Collection[str], elsewhere: Mapping[str, str]) -> str:
    """Return what the compiler says of a condition at `start`, or of a usual mistake what to write instead.

    `elsewhere`: by how names begin that belong into other conditions, where those stand.
    """
    if (sealed := _SEALED_NAME.search(detail)) is not None and sealed[1] in SEALED:
        return f"lead.{sealed[1]} is sealed: ask {SEALED[sealed[1]]} instead"
    if _SAID_NOT.search(text, 0, start) is not None:
        return _NOT
    if (unknown := _UNKNOWN.fullmatch(detail)) is not None:
        # Of a call the place is its bracket.
        is_call = text[start : start + 1] == "("
        return f"there is no function {unknown[1]} here: {_FUNCTIONS}" if is_call else _no(unknown[1], names, elsewhere)
    for pattern, words in _INSTEAD:
        if (said := pattern.search(detail)) is not None:
            return said.expand(words)
    if (unlike := _UNLIKE.search(detail)) is not None:
        kinds = " and ".join(_KINDS.get(kind, "a list") for kind in _KIND.findall(unlike[2]))
        operator = unlike[1].strip("@_").replace("_", " ")
        return f"{operator} does not take {kinds}: texts stand in quotes, numbers and true or false without"
    return detail


def _no(name: str, names: Collection[str], elsewhere: Mapping[str, str]) -> str:
    """Say of a name that there is not which was meant, where it belongs, or which there are."""
    of, dot, last = name.rpartition(".")
    for beginning, words in elsewhere.items():
        if name.startswith(beginning):
            return f"there is no {name} here: {words}"
    # What stands before the dot is alike in all, and would make anything look close.
    alike = [one for one in names if one.startswith(f"{of}.")] or list(names)
    meant = near(last, (by_last := {one.rpartition(".")[2]: one for one in reversed(alike)}))
    if meant is not None:
        return f"there is no {name}: did you mean {by_last[meant]}?"
    return f"there is no {name}: {'' if dot else 'texts stand in quotes, and '}there are {listed(alike)}"
