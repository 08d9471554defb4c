"""What people are told of a document that is no YAML, or does not have the shape its JSON Schema asks for."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any, Final

Place = tuple[str | int, ...]
"""Keys and positions from the root of a document to what is meant."""
TIMES: Final = ["90s", "5m", "1h", "14d"]
_TIME: Final = re.compile(r"[0-9]+[smhdw]")


def told(errors: Iterable[Any], schema: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Return what errors of validation by a schema point at, and what is said of each; nothing twice."""
    # Of two keys that are missing the schema's validator tells in two errors, of two that are unknown in one.
    return list(dict.fromkeys(one for error in errors for one in _told(error, schema)))


def _told(error: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        yield from _unknown_keys(path, error)
    elif error.validator == "required":
        absent = [key for key in error.validator_value if key not in error.instance]
        yield from ((path, f"the key {key} is missing") for key in absent)
    else:
        yield path, _words(error, schema)


def _words(error: Any, schema: Mapping[str, Any]) -> str:
    if error.validator in ("enum", "const"):
        return f"has to be one of: {', '.join(map(str, error.validator_value))}"
    if error.validator == "pattern" or (error.validator == "type" and "pattern" in error.schema):
        return _other_pattern(error)
    if error.instance in (None, ""):
        return f"is empty; has to be {_kind(error.schema)}{_or_not(error, schema)}"
    if error.validator == "type":
        return f"has to be {_kind(error.schema)}"
    return _WORDS.get(error.validator, "is not what belongs here") + _bound(error)


def _unknown_keys(path: Place, error: Any) -> Iterator[tuple[Place, str]]:
    known = error.schema.get("properties", {})
    listed = ", ".join(sorted(known))
    for unknown in [key for key in error.instance if key not in known]:
        # As a key YAML reads what follows a comma in a text without quotes.
        is_rest = error.instance[unknown] is None and re.search(r"\W", unknown) is not None
        rest = "a text with a comma has to be in quotes as a whole" if is_rest else f"known are {listed}"
        yield (*path, unknown), f"unknown key; {rest}"


def _other_pattern(error: Any) -> str:
    pattern, text = error.schema["pattern"], error.instance
    if isinstance(text, str) and _TIME.fullmatch(text) and re.search(pattern, f"1{text[-1]}") is not None:
        return "is too long a time" if text[:-1].strip("0") else "has to be longer than nothing"
    return f"is not written as it should be, such as {', '.join(error.schema.get('examples', TIMES))}"


def _or_not(error: Any, schema: Mapping[str, Any]) -> str:
    """Say that what is empty may be left out, where it stands under a key that may."""
    steps = list(error.absolute_schema_path)
    if steps[-3:-2] != ["properties"] or steps[-2] in reduce(getitem, steps[:-3], schema).get("required", ()):
        return ""
    return f"; or leave {steps[-2]} out"


def _kind(schema: Mapping[str, Any]) -> str:
    """Say what has to stand there, with an example where the schema has one."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    words = schema.get("description") or " or ".join(_KINDS[kind] for kind in kinds)
    if "examples" in schema:
        return f"{words}, such as {', '.join(schema['examples'])}"
    entries = schema.get("items", {})
    of_list = entries.get("examples") or entries.get("enum")
    return f"{words}, such as [{of_list[0]}]" if of_list else words


_KINDS: Final = {
    "string": "a text, in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object with keys",
}
_WORDS: Final = {
    "minimum": "has to be at least ",
    "maximum": "may be at most ",
    "minItems": "needs at least this many entries: ",
    "minLength": "must not be shorter than ",
    "maxLength": "must not be longer than ",
}


def _bound(error: Any) -> str:
    return str(error.validator_value) if error.validator in _WORDS else ""


UNREADABLE: Final = "cannot be read; it has to be YAML in UTF-8, without tags and not nested deeply"
NOT_YAML: Final = "is no YAML from here on; a text with brackets or marks in it has to be in quotes"
_STRAY: Final = {
    "\t": "a tab; indent with spaces",
    ":": "a colon that has no place here; a text with one has to be in quotes, and the line above may lack its own",
    "*": "an alias of nothing above; write out what it stands for, or put a text that begins with * in quotes",
    "&": "an anchor that stands above already; name each once",
    "@": "a text that begins with @ has to be in quotes",
    "`": "a text that begins with ` has to be in quotes",
    "%": "a text that begins with % has to be in quotes",
}
_WITHIN: Final = {
    "while parsing a flow sequence": "a list that begins with [ needs a comma between its entries, and a ] at its end",
    "while parsing a flow mapping": "an object that begins with { needs a comma between its keys, and a } at its end",
    "while parsing a flow node": "an entry, or the bracket that closes a list or an object, is missing here",
    "while parsing a block mapping": (
        "does not begin below the keys beside it, or lacks its colon; a text with brackets has to be in quotes"
    ),
    "while parsing a block collection": "does not begin below the entries beside it; or an entry lacks its dash",
    "while scanning a simple key": "a key lacks its colon, with a space after it",
    "while scanning a quoted scalar": "a quote is not closed",
    "while scanning a double-quoted scalar": "no escape of YAML's; between single quotes a backslash is one",
    "expected a single document in the stream": "a second document; one stands alone, without ---",
}
"""What is wrong where YAML's own parser stops: at these, in the midst of that. Its words quote the text."""


def not_yaml(stray: str, context: str | None) -> str:
    """Return what is wrong where YAML's parser stopped, by the character there and what it was in the midst of."""
    within = _WITHIN.get(context or "")
    if context in ("while parsing a flow sequence", "while parsing a flow mapping"):
        return within or NOT_YAML
    return _STRAY.get(stray) or within or NOT_YAML
