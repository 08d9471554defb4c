"""Documents that people write (YAML): checked against a JSON Schema, every error with its line and column."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

from backbone.problem import Pointer, Problem

MOST_BYTES: Final = 262_144
MOST_NODES: Final = 20_000
_DURATION: Final = re.compile(r"^(\d+)(s|m|h|d|w)$")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: `data`, and where each path of it stands (line and column from 1)."""

    data: dict[str, Any]
    places: Mapping[Path, tuple[int, int]]

    def fault(self, path: Path, detail: str, *, line: int = 1, column: int = 1) -> Pointer:
        """Return a pointer to what stands at `path`; line and column within a text there are added."""
        at_line, at_column = self.place(path)
        pointer = "/" + "/".join(str(step) for step in path)
        return Pointer(pointer, detail, at_line + line - 1, at_column + column - 1 if line == 1 else column)

    def place(self, path: Path) -> tuple[int, int]:
        """Return where a path stands, or the nearest that contains it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def refuse(what: str, faults: Sequence[Pointer]) -> Problem:
    """Return the refusal of a document."""
    return Problem(
        422,
        f"Not a valid {what}",
        "Correct what `errors` points at, by line and column, and send it again.",
        errors=faults,
    )


def parse(raw: bytes, schema: Mapping[str, Any], *, what: str) -> Document:
    """Read a YAML document. Problem 422 with pointers, lines and columns for one that is not valid."""
    if len(raw) > MOST_BYTES:
        raise Problem(413, "Too large", f"A {what} may have {MOST_BYTES} bytes at most.")
    try:
        text = raw.decode()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        places: dict[Path, tuple[int, int]] = {}
        data = _build(root, (), places) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise refuse(what, [Pointer("/", error.problem or "not YAML", line, column)]) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        raise refuse(what, [Pointer("/", "not a YAML document in UTF-8", 1, 1)]) from None
    if not isinstance(data, dict):
        raise refuse(what, [Pointer("/", "has to be an object with keys", 1, 1)])
    document = Document(data, places)
    faults = [_fault(document, error) for error in Draft202012Validator(dict(schema)).iter_errors(data)]
    if faults:
        raise refuse(what, sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
    return document


def _build(node: yaml.Node, path: Path, places: dict[Path, tuple[int, int]]) -> Any:
    if len(places) > MOST_NODES:
        raise ValueError("too many nodes")
    places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        made: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in made:
                raise yaml.MarkedYAMLError(problem=f"the key {name} stands here twice", problem_mark=key.start_mark)
            made[name] = _build(value, (*path, name), places)
            places[(*path, name)] = (value.start_mark.line + 1, value.start_mark.column + 1)
        return made
    if isinstance(node, yaml.SequenceNode):
        return [_build(value, (*path, number), places) for number, value in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:bool" and node.value.lower() not in ("true", "false"):
        return node.value
    if node.tag in ("tag:yaml.org,2002:timestamp",):
        return node.value
    return yaml.SafeLoader("").construct_object(node)


def _fault(document: Document, error: Any) -> Pointer:
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = set(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - known)
        return document.fault((*path, unknown[0]), f"unknown key; known are {', '.join(sorted(known))}")
    if error.validator == "required":
        absent = sorted(set(error.validator_value) - set(error.instance))
        return document.fault(path, f"the key {absent[0]} is missing")
    if error.validator in ("enum", "const"):
        return document.fault(path, f"has to be one of: {', '.join(map(str, error.validator_value))}")
    if error.validator == "pattern":
        return document.fault(path, "is not written as it should be, such as 90s, 5m, 1h, 14d for a time")
    return document.fault(path, _WORDS.get(error.validator, "is not what belongs here") + _bound(error))


_WORDS: Final = {
    "type": "has to be of type ",
    "minimum": "has to be at least ",
    "maximum": "may be at most ",
    "minItems": "needs at least this many entries: ",
    "minLength": "must not be shorter than ",
}


def _bound(error: Any) -> str:
    return str(error.validator_value) if error.validator in _WORDS else ""


def duration(text: str) -> float:
    """Return the seconds of `90s, 5m, 1h, 1d, 2w`. ValueError for anything else."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError("not a duration")
    return int(match[1]) * _SECONDS[match[2]]


DURATION: Final = {"type": "string", "pattern": _DURATION.pattern}
"""The schema of a duration."""
