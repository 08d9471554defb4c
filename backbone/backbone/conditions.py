"""Conditions in CEL: checked against declared names when saved, evaluated in microseconds, never an exception.

A name is declared whole (`lead.employees`), so that what is sealed or misspelt is a compile error with its place. An
attribute that is not there reads as "". A condition that cannot be computed for some values, or takes too many steps,
does not hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cel_expr_python import cel

from backbone import mistakes

LONGEST: Final = 4_000
MOST_REMEMBERED: Final = 256
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_KEY: Final = re.compile(r"""\b([a-z_]+\.[a-z_]+)(?:\.([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])(?!\s*\()""")
_ASKED_FOR: Final = re.compile(r"\bhas\(([^()]*)\)")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DOT: Final = re.compile(r"\s*\.\s*")
SEALED_ATTRIBUTES: Final = frozenset({"message", "comments", "notes"})
"""Free text of forms, which lead-intake seals unless a connection says otherwise."""
_LITERALS: Final = "|".join(
    rf"[rR]{quote}.*?{quote}|{quote}(?:\\.|[^\\])*?{quote}" for quote in ('"""', "'''", '"', "'")
)
_READ: Final = re.compile(
    rf"\b(matches|timestamp|duration)\s*\(\s*((?>{_LITERALS}))\s*\)|//[^\n]*|{_LITERALS}", re.DOTALL
)
"""A pattern, an instant or a duration that is written out; or, without groups, a comment or a text, with none in it."""

TEXT: Final = cel.Type.STRING
WHOLE: Final = cel.Type.INT
FLAG: Final = cel.Type.BOOL
NUMBER: Final = cel.Type.DYN
"""A fraction. Left open, so that it compares with whole literals too."""
INSTANT: Final = cel.Type.TIMESTAMP
"""Handed over as microseconds since the epoch, so that a missing one is 0 as a missing number is: the epoch."""
TEXTS: Final = cel.Type.List(cel.Type.STRING)
OBJECTS: Final = cel.Type.List(cel.Type.Map(cel.Type.STRING, cel.Type.DYN))
"""Instants in them are texts, which `timestamp(one.at)` makes comparable."""
OPEN: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
"""An object whose keys nobody declared, such as lead.attributes."""

Names = Mapping[str, Any]
_NOTHING: Final[Sequence[tuple[Any, Any]]] = (
    (TEXT, ""),
    (WHOLE, 0),
    (NUMBER, 0.0),
    (FLAG, False),
    (INSTANT, _EPOCH),
    (TEXTS, []),
)
_NOWHERE: Final[Mapping[str, str]] = {}


class Wrong(ValueError):
    """A condition that does not compile: what is wrong, at which line and column of it (from 1)."""

    def __init__(self, detail: str, line: int = 1, column: int = 1) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition."""

    text: str
    _program: Any
    _names: tuple[str, ...]
    _keys: tuple[tuple[str, str], ...]
    _instants: tuple[str, ...]
    _remembered: dict[tuple[Any, ...], bool] = field(default_factory=dict, compare=False, repr=False)
    """What it said of values that it read before: most leads differ in few of them, and CEL costs ten microseconds."""

    @property
    def reads(self) -> Sequence[str]:
        """The declared names that it reads."""
        return self._names

    @property
    def keys(self) -> Sequence[tuple[str, str]]:
        """The keys that it reads of open objects without asking whether they are there: (name, key)."""
        return self._keys

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether it holds for the values of all declared names."""
        # Only what it reads is handed over: each value costs the crossing into CEL.
        read = {name: values.get(name) for name in self._names}
        try:
            # 1, 1.0 and True are one key of a dictionary, and not one value in CEL.
            seen = tuple((type(value), tuple(value) if type(value) is list else value) for value in read.values())
            known = self._remembered.get(seen)
        except TypeError:  # an object
            return self._evaluate(read)
        if known is None:
            known = self._evaluate(read)
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[seen] = known
        return known

    def _evaluate(self, read: dict[str, Any]) -> bool:
        for name in self._instants:
            read[name] = _EPOCH + timedelta(microseconds=read[name] or 0)
        for name, key in self._keys:
            known = read[name]
            if known is not None and key not in known:
                read[name] = {**known, key: ""}
        try:
            result = self._program.eval(data=read).value()
        except RuntimeError:  # the budget of iterations
            return False
        return result is True


@dataclass(frozen=True, slots=True)
class Language:
    """The names that conditions of one kind may use."""

    _env: Any
    _names: Names
    _open: frozenset[str]
    _instants: frozenset[str]
    _elsewhere: Mapping[str, str]

    @classmethod
    def of(cls, names: Names, elsewhere: Mapping[str, str] = _NOWHERE) -> "Language":
        """Declare names with their types (TEXT, WHOLE, NUMBER, FLAG, INSTANT, TEXTS, OBJECTS, OPEN).

        `elsewhere`: by how names begin that people look for here, where they belong instead.
        """
        left_open, instants = (
            frozenset(name for name, kind in names.items() if kind == wanted) for wanted in (OPEN, INSTANT)
        )
        return cls(cel.NewEnv(variables=dict(names)), dict(names), left_open, instants, elsewhere)

    def compile(self, text: str) -> Condition:
        """Compile a condition. Wrong for one that does not parse, names what is not there, or is no yes or no."""
        if len(text) > LONGEST:
            raise Wrong(f"longer than {LONGEST} characters")
        try:
            program = self._env.compile(text)
        except RuntimeError as error:
            raise _wrong(str(error), text, self._names, self._elsewhere) from None
        if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
            raise Wrong(mistakes.no_flag(self._names))
        plain = _DOT.sub(".", text)
        names = tuple(name for name in self._names if re.search(rf"\b{re.escape(name)}\b", plain))
        instants = tuple(name for name in names if name in self._instants)
        return Condition(text, program, names, self._keys(text), instants)

    def check(self, text: str) -> Condition:
        """Compile a condition that somebody writes now.

        Wrong also for a pattern, an instant or a duration that is none: it could only ever fail.

        One that was kept before this was asked compiles still, and does not hold.
        """
        condition = self.compile(text)
        if self._is_number(condition):
            raise Wrong(mistakes.no_flag(self._names))
        for match in _READ.finditer(text):
            if match[1] is None:
                continue
            call = f'"".matches({match[2]})' if match[1] == "matches" else f"{match[1]}({match[2]})"
            result = self._env.compile(call).eval()
            if result.type() == cel.Type.ERROR:
                raise Wrong(mistakes.unread(match[1], result.value()), *place(text, match.start(2)))
        return condition

    def _is_number(self, condition: Condition) -> bool:
        """Say whether it is a yes or no only as far as fractions are left open: then it would never hold."""
        kinds = {name: self._names[name] for name in condition.reads}
        if condition._program.return_type() == cel.Type.BOOL or any(kind in (OPEN, OBJECTS) for kind in kinds.values()):
            return False
        result = condition._program.eval(
            data={name: next(one for of, one in _NOTHING if of == kind) for name, kind in kinds.items()}
        )
        return result.type() not in (cel.Type.BOOL, cel.Type.ERROR)

    def _keys(self, text: str) -> tuple[tuple[str, str], ...]:
        """Return the keys of open objects that it reads, but not those whose presence it asks for itself."""
        asked = {match[1].strip() for match in _ASKED_FOR.finditer(text)}
        found = set()
        for match in _KEY.finditer(text):
            name, key = match[1], match[2] or match[3]
            if name == "lead.attributes" and key in SEALED_ATTRIBUTES:
                words = f"lead.attributes.{key} is sealed: conditions never read free text"
                raise Wrong(words, *place(text, match.start()))
            if name in self._open and f"{name}.{key}" not in asked:
                found.add((name, key))
        return tuple(sorted(found))


def place(text: str, start: int) -> tuple[int, int]:
    """Return the line and the column (from 1) of a character."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _wrong(words: str, text: str, names: Names, elsewhere: Mapping[str, str]) -> Wrong:
    match = _PLACE.search(words)
    if match is None:
        if "recursion limit" in words:
            return Wrong("is nested too deeply")
        return Wrong("does not compile")
    line, column, detail = match.groups()
    detail = detail.replace("(in container '')", "").replace(" [INVALID_ARGUMENT]", "").strip()
    start = sum(len(each) + 1 for each in text.split("\n")[: int(line) - 1]) + int(column) - 1
    return Wrong(mistakes.mended(detail, text, start, names, elsewhere), int(line), int(column))
