"""Conditions that YAML cannot read, not being in quotes or ending their own: where they stand, and what to write."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

A_CONDITION: Final = "a condition, in quotes"
"""How a schema describes what a condition is."""
_KEY: Final = re.compile(r"(?:[{,]\s*+|^ *+(?:- *+)*+)(\w++)\s*+:[ \t]++(?=\S)", re.MULTILINE)
_IN_QUOTES: Final = re.compile(r"""(?:'(?:[^']|'')*'|"(?:[^"\\]|\\.)*")\s*(?=[,}\]#\n]|$)""")
_OVER: Final = re.compile(r"(?:,|(?<![\s{-])(?=[^\S\n]*\n))[\s{-]*+\w++\s*+:|(?<!\s)(?=[^\S\n]*\n)\s++\Z")
"""Where a text without quotes is over: the next key, or a new line at the end. Of a run of spaces the first is tried
alone, or the time would grow with the square of its length."""


def found(text: str, until: int, schema: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return where the condition begins over which YAML stumbles at `until`, and what to write; None where it is none.

    Of a document that is read no further it is the first that could be meant.
    """
    examples = dict(_examples(schema))
    start = 0
    while (key := _KEY.search(text, start, until + 1)) is not None:
        start = key.end()
        in_quotes = _IN_QUOTES.match(text, start)
        if in_quotes is not None:
            start = in_quotes.end()
        elif key[1] in examples and (text[start] in "'\"" or _OVER.search(text, start, until) is None):
            return start, f"this condition has to be in quotes as a whole, such as {key[1]}: {examples[key[1]]}"
    return None


def _examples(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys under which conditions stand, each with one."""
    for key, one in schema.get("properties", {}).items():
        if one.get("description") == A_CONDITION:
            yield key, one["examples"][0]
        yield from _examples(one)
    if "items" in schema:
        yield from _examples(schema["items"])
