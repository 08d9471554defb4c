"""The usual mistakes of those who write conditions and documents: what to write instead, in plain words."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from backbone import advice

ALIKE: Final = 0.75
"""From here on a name is near enough to be meant; below it the guess leads astray more often than not."""
SHORTEST: Final = 3
"""Letters of a word that is looked for among the beginnings of names."""
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
    shown = advice.examples(names)
    for before, at, words in advice.AS_WRITTEN:
        if before.search(text, 0, start) is not None and at.match(text, start) is not None:
            return words.format_map(shown)
    unknown = _UNKNOWN.fullmatch(detail)
    # Of a call the place is its bracket.
    if unknown is not None and text[start : start + 1] == "(":
        return f"there is no function {unknown[1]} here: {advice.FUNCTIONS}"
    for pattern, words in advice.AS_TOLD:
        if (said := pattern.search(detail)) is not None:
            return said.expand(words.format_map(shown))
    if unknown is not None:
        return _no(unknown[1], names, elsewhere)
    if (unlike := _UNLIKE.search(detail)) is not None:
        kinds = " and ".join(_KINDS.get(kind, "a list") for kind in _KIND.findall(unlike[2]))
        operator = unlike[1].strip("@_").replace("_", " ")
        return f"{operator} does not take {kinds}: texts stand in quotes, numbers and true or false without"
    return detail


def no_flag(names: Collection[str]) -> str:
    """Say of a condition that is neither true nor false what it has to be."""
    return advice.NO_FLAG.format_map(advice.examples(names))


def unread(function: str, detail: str) -> str:
    """Return what to say of a text that a function does not read, where evaluation says `detail`."""
    return advice.NO_TIME.get(function) or detail.removeprefix("INVALID_ARGUMENT: ")


def _no(name: str, names: Collection[str], elsewhere: Mapping[str, str]) -> str:
    """Say of a name that there is not which was meant, where it belongs, or which there are."""
    of, dot, last = name.rpartition(".")
    for beginning, words in elsewhere.items():
        if name.startswith(beginning):
            return f"there is no {name} here: {words}"
    # What stands before the dot is alike in all, and would make anything look close.
    alike = [one for one in names if one.startswith(f"{of}.")] or list(names)
    by_last = {one.rpartition(".")[2]: one for one in reversed(alike)}
    meant = near(last, by_last) or (_shortened(of, last, by_last) if dot else None)
    if meant is not None:
        return f"there is no {name}: did you mean {by_last[meant]}?"
    return f"there is no {name}: {'' if dot else 'texts stand in quotes, and '}there are {listed(alike)}"


def _shortened(of: str, word: str, known: Collection[str]) -> str | None:
    """Return the only known name of which a word is a part: langs of languages, zone of time_zone, rep.id of rep_id."""
    if f"{of}_{word}" in known:
        return f"{of}_{word}"
    begins = word.lower().removesuffix("s")
    fitting = [one for one in known if any(part.startswith(begins) for part in one.split("_"))]
    return fitting[0] if len(fitting) == 1 and len(begins) >= SHORTEST else None
