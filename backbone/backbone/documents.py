"""Documents that people write (YAML): checked against a JSON Schema, every error with its line and column."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from backbone import conditions, refusals, unquoted
from backbone.problem import Pointer, Problem

BODY: Final = {"requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}}
"""How OpenAPI describes a request that carries a document."""
MOST_BYTES: Final = 262_144
MOST_NODES: Final = 20_000
MOST_OPEN_BRACKETS: Final = 100
_BRACKET: Final = re.compile(r"[\[\]{}]")
_NO_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")
"""NUL, and half a character as an escape writes it: neither can be stored as text."""
_DURATION: Final = re.compile(r"^(?:[0-9]{1,9}s|[0-9]{1,7}m|[0-9]{1,5}h|[0-9]{1,4}d|[0-9]{1,3}w)$")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: `data`, where each path of it stands, and where its text begins (line and column from 1)."""

    data: dict[str, Any]
    places: Mapping[Path, tuple[int, int]]
    texts: Mapping[Path, tuple[int, int]]
    """Behind the quote, or in the line below `|`; only where that is not the place itself."""
    lines: Sequence[str]
    """As they are written."""

    def fault(self, path: Path, detail: str, *, line: int | None = None, column: int = 1) -> Pointer:
        """Return a pointer to what stands at `path`; line and column within a text there are added."""
        pointer = "/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in path)
        if line is None:
            return Pointer(pointer, detail, *self.place(path))
        text = self._text(path)
        before = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
        return Pointer(pointer, detail, *_place(self.lines, self.texts.get(path) or self.place(path), text, before))

    def _text(self, path: Path) -> str:
        found: Any = self.data
        for step in path:
            found = found[step]
        return str(found)

    def place(self, path: Path) -> tuple[int, int]:
        """Return where a path stands, or the nearest that contains it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def _place(lines: Sequence[str], start: tuple[int, int], text: str, before: int) -> tuple[int, int]:
    """Return where, in a document's lines, a text that begins at `start` goes on behind so many characters.

    The text is as YAML gives it: its lines may be folded into one, indented, and their ends blank.
    """
    line, column = start[0] - 1, start[1] - 1
    for number, char in enumerate(text[: before + 1]):
        if not char.isspace():
            while lines[line][column : column + 1] != char:
                column += 1
                if column >= len(lines[line]):
                    line, column = line + 1, 0
                if line == len(lines):
                    return start  # Written as an escape.
        if number < before and lines[line][column : column + 1] == char:
            column += 1
    return line + 1, column + 1


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
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        reader = _Reader(text.splitlines())
        data = reader.build(root, ()) if root is not None else None
    except yaml.MarkedYAMLError as error:
        raise refuse(what, [_unread(text, error, schema)]) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        raise refuse(what, [Pointer("/", refusals.UNREADABLE, 1, 1)]) from None
    if not isinstance(data, dict):
        raise refuse(what, [Pointer("/", "has to be an object with keys", 1, 1)])
    document = Document(data, reader.places, reader.texts, text.splitlines())
    faults = [document.fault(*one) for one in refusals.told(_Validator(dict(schema)).iter_errors(data), schema)]
    if faults:
        raise refuse(what, sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
    return document


class _Unfit(yaml.MarkedYAMLError):
    """YAML that can be read, and belongs into no document."""


def _unread(text: str, error: yaml.MarkedYAMLError, schema: Mapping[str, Any]) -> Pointer:
    mark = error.problem_mark
    if mark is None:
        return Pointer("/", refusals.NOT_YAML, 1, 1)
    if isinstance(error, _Unfit):
        return Pointer("/", error.problem or refusals.NOT_YAML, mark.line + 1, mark.column + 1)
    condition = unquoted.found(text, mark.index, schema)
    if condition is None:
        words = refusals.not_yaml(text[mark.index : mark.index + 1], error.context)
        return Pointer("/", words, mark.line + 1, mark.column + 1)
    start, words = condition
    return Pointer("/", words, *conditions.place(text, start))


def _pattern(_: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    """Hold a text against a pattern as its publisher's readers do: `$` is the end, `\\d` a digit of ASCII.

    Python's own `$` passes over a newline at the end, which then fails whatever reads the text as a number.
    """
    if isinstance(text, str) and (text.endswith("\n") or re.search(pattern, text, re.ASCII) is None):
        yield ValidationError("does not match")


_Validator: Final = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def _check_depth(text: str) -> None:
    """ValueError for what takes YAML's parser minutes: time grows with the square of the depth."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > MOST_OPEN_BRACKETS:
            raise ValueError("nested too deeply")


class _Reader:
    """Makes Python values of YAML's nodes, and notes where each stands."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.places: dict[Path, tuple[int, int]] = {}
        self.texts: dict[Path, tuple[int, int]] = {}
        self._lines = lines
        self._scalars = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path) -> Any:
        """Return the value of a node. _Unfit for what does not belong into any document."""
        if len(self.places) > MOST_NODES:
            raise ValueError("too many nodes")
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._object(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(value, (*path, number)) for number, value in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _object(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or _NO_TEXT.search(key.value):
                raise _Unfit(problem="a key has to be a word", problem_mark=key.start_mark)
            if key.value in made:
                raise _Unfit(problem=f"the key {key.value} stands here twice", problem_mark=key.start_mark)
            made[key.value] = self.build(value, (*path, key.value))
        return made

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if _NO_TEXT.search(node.value):
            problem = "NUL and half characters (\\ud800 to \\udfff) are in no text"
            raise _Unfit(problem=problem, problem_mark=node.start_mark)
        if node.style in ("'", '"'):
            self.texts[path] = (node.start_mark.line + 1, node.start_mark.column + 2)
        elif node.style in ("|", ">"):
            self.texts[path] = self._block(node.start_mark.line + 1)
        if node.tag == "tag:yaml.org,2002:bool" and node.value.lower() not in ("true", "false"):
            return node.value
        if node.tag in ("tag:yaml.org,2002:timestamp",):
            return node.value
        value = self._scalars.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _Unfit(problem="has to be a number with an end", problem_mark=node.start_mark)
        # To JSON Schema 3.0 is an integer, to what counts with it later (a cast, an event's field) it is none.
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def _block(self, line: int) -> tuple[int, int]:
        """Return where the text of a block begins whose head stands in the line before index `line`."""
        while line < len(self._lines) and not self._lines[line].strip():
            line += 1
        text = self._lines[line] if line < len(self._lines) else ""
        return line + 1, len(text) - len(text.lstrip()) + 1


def duration(text: str) -> float:
    """Return the seconds of `90s, 5m, 1h, 1d, 2w`. ValueError for anything else."""
    if text.endswith("\n") or _DURATION.fullmatch(text) is None:
        raise ValueError("not a duration")
    return int(text[:-1]) * _SECONDS[text[-1]]


DURATION: Final[dict[str, Any]] = {"type": "string", "pattern": _DURATION.pattern, "examples": refusals.TIMES}
"""The schema of a duration."""
ORDER: Final = {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}
"""The schema of a document's place among those that could apply; far within what a database holds."""
CONDITION: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "description": unquoted.A_CONDITION,
    "examples": ["'lead.country == \"DE\"'", "'true'"],
}
"""The schema of a condition."""
