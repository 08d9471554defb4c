"""What to write instead of the usual mistakes in conditions: by how they are written, and by what the compiler says."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_OF_LEADS: Final = {
    "equal": 'lead.stage == "mql"',
    "unequal": 'lead.stage != "mql"',
    "one_of": 'lead.country in ["DE", "AT"]',
    "none_of": '!(lead.country in ["DE"])',
    "part": 'lead.company.contains("GmbH")',
    "among": '"phone" in lead.missing',
    "absent": 'lead.country == ""',
    "present": 'lead.country != ""',
    "zero": "lead.employees == 0",
    "number": "lead.employees > 100",
    "between": "lead.employees > 1 && lead.employees < 5",
    "length": "lead.company.size() > 3",
    "flag": "lead.live",
}
_OF_REPS: Final = {
    "equal": 'rep.role == "sdr"',
    "unequal": 'rep.role != "sdr"',
    "one_of": 'rep.team in ["north", "south"]',
    "none_of": '!(rep.team in ["north"])',
    "part": 'rep.email.contains("@acme.")',
    "among": '"german" in rep.skills',
    "absent": 'rep.team == ""',
    "present": 'rep.team != ""',
    "zero": "rep.cap == 0",
    "number": "rep.cap > 100",
    "between": "rep.cap > 1 && rep.cap < 5",
    "length": "rep.name.size() > 3",
    "flag": "rep.active",
}

NO_FLAG: Final = "has to be a yes or no, such as {number}"
NO_TIME: Final = {
    "timestamp": 'is no instant, such as timestamp("2026-01-01T00:00:00Z")',
    "duration": 'is no duration in hours, minutes and seconds, such as duration("48h"), or too long a one',
}
"""What to say of texts that these functions do not read."""
FUNCTIONS: Final = (
    'texts have .contains("a"), .startsWith("a"), .endsWith("a"), .matches("(?i)^a") and .size(); beside them there are'
    ' timestamp("2026-01-01T00:00:00Z") and duration("48h")'
)
_NOT: Final = "not is written !, such as {none_of}"
_EQUAL: Final = "whether two are equal is asked with ==, such as {equal}"
_UNEQUAL: Final = "whether two differ is asked with !=, such as {unequal}"
_AT_LEAST: Final = "at least is written >=, and at most <="
_NULL: Final = 'nothing is null: a text that is missing is "", a number 0, such as {absent} or {present}'
_FLAG: Final = "a yes or no is true or false, without quotes, or stands alone, such as {flag} or !{flag}"
_TWO_SIDES: Final = "each comparison has two sides, such as {between}"
_AMONG: Final = "a list is asked whether something is in it, such as {among}"
_IF: Final = "there is no if: a condition is one expression, such as {number}; otherwise is the matter of another rule"
_TEXTS: Final = "contains|startsWith|endsWith|matches"
_PART: Final = (
    'a text is asked with .contains("a"), .startsWith("a"), .endsWith("a") or .matches("(?i)^a"), such as {part};'
    " a list with in, such as {among}"
)

AS_WRITTEN: Final = tuple(
    (re.compile(f"(?:{before})$", re.IGNORECASE), re.compile(at, re.IGNORECASE), words)
    for before, at, words in (
        (r"\bnot\s*", "", _NOT),
        ("", r"is\s+(?:not\s+)?(?:null|none|nil)\b", _NULL),
        ("", r"is\s+not\b", _UNEQUAL),
        (r"<\s*", ">", _UNEQUAL),
        (r"!=?\s*", "=", _UNEQUAL),
        ("", r"!\s+=", _UNEQUAL),
        (r"[<>]=?\s*", "=", _AT_LEAST),
        (r"(?:&&|\|\|)\s*", "[<>=]|!=", _TWO_SIDES),
        (rf"\.(?:{_TEXTS})\s*", "[\"'\\w]", "functions have brackets, such as {part}"),
    )
)
"""What stands before the place where the compiler stops, and at it, and what to write instead; the first that fits."""
AS_TOLD: Final = tuple(
    (re.compile(said, re.IGNORECASE), words)
    for said, words in (
        ("error at: '=[<>]", _AT_LEAST),
        (r"error at: '=?~", _PART),
        (r"error at: '=|input '(?:is|equals?)'", _EQUAL),
        (r"error at: '&|input 'and'", "and is written &&"),
        (r"error at: '\||input 'or'", "or is written ||"),
        (r"input 'not'", _NOT),
        (rf"input '(?:i?like|has|includes?|{_TEXTS})'", _PART),
        (r"input 'between'", _TWO_SIDES),
        (r"identifier: (?:if|else)|input '(?:then|else)'", _IF),
        (r"error at: '[“”„‘’]", "texts stand in straight quotes, such as \"DE\" or 'DE'"),
        (r"""error at: '(["'])""", r"the text that begins here does not end: \1 is missing"),
        (r"missing '(.)' at '<EOF>'", r"ends too early: \1 is missing"),
        (r"input '<EOF>'", "ends too early: something is missing here"),
        (r"input ','", "a list stands in brackets, such as {one_of}; numbers are written without commas"),
        (r"error at: '(.+?) *'$", r"\1 does not belong here"),
        (r"input '(.+?)'(?: expecting|$)", r"\1 does not belong here"),
        (r"reference to '(?:null|none|nil)'", _NULL),
        (r"reference to '(?:yes|no|true|false|on|off)'", _FLAG),
        (r"'@in' applied to '\(\w+, \w+\)'", "in asks of a list, such as {one_of}; of a text, {part} does"),
        (r"'_[!=]=_' applied to '\((?:list\(\w+\), string|string, list\(\w+\))\)'", _AMONG),
        (rf"'(?:{_TEXTS})' applied to '\(list", _AMONG),
        (r"'_[!=]=_' applied to '\((?:bool, (?:string|int)|(?:string|int), bool)\)'", _FLAG),
        (r"'_[<>]=?_' applied to '\(bool, ", _TWO_SIDES),
        (r"'!_' applied to '\(string\)'", "a text that is not there is empty, such as {absent}"),
        (r"'!_'", "! turns a yes or no alone; a number that is not there is 0, such as {zero}"),
        (r"'_(&&|\|\|)_'", r"\1 stands between conditions, such as {flag} \1 {number}"),
        (
            r"'\((?:google.protobuf.Timestamp, (?:string|int)|(?:string|int), google.protobuf.Timestamp)\)'",
            'an instant is compared with another, such as timestamp("2026-01-01T00:00:00Z")',
        ),
        (
            r"'\((?:int, double|double, int)\)'",
            "one side is a whole number, so that the other has to be one too: 2 or 1, not 1.5",
        ),
        (r"'\(.*\bnull_type\)'", _NULL),
        (r"operand of a select", "nothing has a name in it here; functions have brackets, such as {length}"),
        (r"invalid int literal", "is too large a number"),
    )
)
"""What the compiler says, and what to write instead; the first that fits."""


def examples(names: Iterable[str]) -> Mapping[str, str]:
    """Return what to write, by what it shows, where conditions may read these names."""
    return _OF_REPS if any(name in ("rep.role", "rep.team") for name in names) else _OF_LEADS
