"""Conditions in CEL: checked against declared names when saved, evaluated in microseconds, never an exception.

A name is declared whole (`lead.employees`), so that what is sealed or misspelt is a compile error with its place. An
attribute that is not there reads as "". A condition that cannot be computed for some values, or takes too many steps,
does not hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import compress
from operator import attrgetter, not_
from typing import Any, Final

from cel_expr_python import cel

from backbone import times

LONGEST: Final = 4_000
MOST_REMEMBERED: Final = 256
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_KEY: Final = re.compile(r"""\b([a-z_]+\.[a-z_]+)(?:\.([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])(?!\s*\()""")
_ASKED_FOR: Final = re.compile(r"\bhas\(([^()]*)\)")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DOT: Final = re.compile(r"\s*\.\s*")
SEALED: Final = {
    "email": "has_email, email_domain and email_is_free",
    "phone": "has_phone",
    "first_name": 'whether "first_name" is in missing',
    "last_name": 'whether "last_name" is in missing',
}
"""What no condition may read, with what it may read instead."""
SEALED_ATTRIBUTES: Final = frozenset({"message", "comments", "notes"})
"""Free text of forms, which lead-intake seals unless a connection says otherwise."""
_LITERALS: Final = "|".join(
    rf"[rR]{quote}.*?{quote}|{quote}(?:\\.|[^\\])*?{quote}" for quote in ('"""', "'''", '"', "'")
)
_PATTERN: Final = re.compile(rf"\bmatches\s*\(\s*((?>{_LITERALS}))\s*\)|//[^\n]*|{_LITERALS}", re.DOTALL)
"""A pattern that is written out; or, without a group, a comment or a text, in which there is none."""
_SEALED_NAME: Final = re.compile(r"'lead\.(\w+)'")

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
    _names: tuple[str, ...]
    _open: frozenset[str]
    _instants: frozenset[str]

    @classmethod
    def of(cls, names: Names) -> "Language":
        """Declare names with their types (TEXT, WHOLE, NUMBER, FLAG, INSTANT, TEXTS, OBJECTS, OPEN)."""
        left_open, instants = (
            frozenset(name for name, kind in names.items() if kind == wanted) for wanted in (OPEN, INSTANT)
        )
        return cls(cel.NewEnv(variables=dict(names)), tuple(names), left_open, instants)

    def compile(self, text: str) -> Condition:
        """Compile a condition. Wrong for one that does not parse, names what is not there, or is no yes or no."""
        if len(text) > LONGEST:
            raise Wrong(f"longer than {LONGEST} characters")
        try:
            program = self._env.compile(text)
        except RuntimeError as error:
            raise _wrong(str(error)) from None
        if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
            raise Wrong("has to be a yes or no, such as lead.employees > 100")
        plain = _DOT.sub(".", text)
        names = tuple(name for name in self._names if re.search(rf"\b{re.escape(name)}\b", plain))
        instants = tuple(name for name in names if name in self._instants)
        return Condition(text, program, names, self._keys(text), instants)

    def check(self, text: str) -> Condition:
        """Compile a condition that somebody writes now. Wrong also for a pattern that is none: it could only ever fail.

        One that was kept before this was asked compiles still, and does not hold.
        """
        condition = self.compile(text)
        for match in _PATTERN.finditer(text):
            if match[1] is None:
                continue
            result = self._env.compile(f'"".matches({match[1]})').eval()
            if result.type() == cel.Type.ERROR:
                raise Wrong(result.value().removeprefix("INVALID_ARGUMENT: "), *_place(text, match.start(1)))
        return condition

    def _keys(self, text: str) -> tuple[tuple[str, str], ...]:
        """Return the keys of open objects that it reads, but not those whose presence it asks for itself."""
        asked = {match[1].strip() for match in _ASKED_FOR.finditer(text)}
        found = set()
        for match in _KEY.finditer(text):
            name, key = match[1], match[2] or match[3]
            if name == "lead.attributes" and key in SEALED_ATTRIBUTES:
                words = f"lead.attributes.{key} is sealed: conditions never read free text"
                raise Wrong(words, *_place(text, match.start()))
            if name in self._open and f"{name}.{key}" not in asked:
                found.add((name, key))
        return tuple(sorted(found))


def _place(text: str, start: int) -> tuple[int, int]:
    """Return the line and the column (from 1)."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _wrong(words: str) -> Wrong:
    match = _PLACE.search(words)
    if match is None:
        if "recursion limit" in words:
            return Wrong("is nested too deeply")
        return Wrong("does not compile")
    line, column, detail = match.groups()
    sealed = _SEALED_NAME.search(detail)
    if sealed is not None and sealed[1] in SEALED:
        detail = f"lead.{sealed[1]} is sealed: ask {SEALED[sealed[1]]} instead"
    return Wrong(
        detail.replace("(in container '')", "").replace(" [INVALID_ARGUMENT]", "").strip(), int(line), int(column)
    )


_POSTED: Final = ("company", "website", "job_title", "industry", "country", "source", "medium", "campaign")
_ELSEWHERE: Final = ("owner_id", "status", "disqualified_reason")
_FOUND: Final = ("email_domain", "account_domain")
_FLAGS: Final = ("has_email", "has_phone", "email_is_free", "spam", "test")
_AS_TOLD: Final = (*_POSTED, *_ELSEWHERE, *_FOUND, *_FLAGS, "employees", "revenue")
_NAMES: Final = tuple(f"lead.{name}" for name in _AS_TOLD)
_told: Final = attrgetter(*_AS_TOLD)


def _declared(kind: Any, *names: str) -> Names:
    return {f"lead.{name}": kind for name in names}


LEAD: Final[Names] = {
    **_declared(TEXT, *_POSTED, *_ELSEWHERE, *_FOUND, "external_id", "currency", "stage", "grade", "persona"),
    **_declared(FLAG, *_FLAGS, "live"),
    **_declared(WHOLE, "employees", "cycle"),
    **_declared(NUMBER, "revenue", "cost", "fit", "interest"),
    **_declared(INSTANT, "occurred_at", "assigned_at"),
    **_declared(OBJECTS, "consent"),
    **_declared(TEXTS, "missing"),
    **_declared(OPEN, "attributes"),
}
"""What conditions about a lead may read. Sealed fields are not among them."""


def lead_values(fields: Any, qualification: Any = None, *, live: bool = False) -> dict[str, Any]:
    """Return the values of LEAD from the messages LeadFields and Qualification (or None), and whether it is news."""
    external_ids, first_touch, given = fields.external_ids, fields.first_touch, qualification
    return {
        **dict(zip(_NAMES, _told(fields), strict=True)),
        "lead.external_id": external_ids[-1].external_id if external_ids else "",
        "lead.occurred_at": _microseconds(fields.created_at),
        "lead.assigned_at": _microseconds(fields.assigned_at),
        "lead.live": live,
        "lead.cost": _number(first_touch.cost),
        "lead.currency": first_touch.currency,
        "lead.consent": [_consent(one) for one in consents] if (consents := fields.consents) else [],
        "lead.missing": missing(fields),
        "lead.attributes": _plain(fields.attributes) if fields.HasField("attributes") else {},
        "lead.stage": given.stage if given is not None else "new",
        "lead.grade": given.grade if given is not None else "",
        "lead.persona": given.persona if given is not None else "",
        "lead.cycle": (given.cycle or 1) if given is not None else 1,
        "lead.fit": given.fit if given is not None else 0.0,
        "lead.interest": given.interest if given is not None else 0.0,
    }


def _microseconds(timestamp: Any) -> int:
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000  # type: ignore[no-any-return]


def _consent(said: Any) -> dict[str, Any]:
    return {"purpose": said.purpose, "basis": said.basis, "granted": said.granted, "at": times.text(times.at(said.at))}


_MAY_LACK: Final = {
    **{name: f"has_{name}" for name in ("email", "phone", "first_name", "last_name")},
    **{name: name for name in (*_POSTED, *_ELSEWHERE)},
    **{name: f"first_touch.{name}" for name in ("cost", "currency")},
    "external_id": "external_ids",
    "consent": "consents",
}
_asked: Final = attrgetter(*_MAY_LACK.values())


def missing(fields: Any) -> list[str]:
    """Return the names of the fields of POST /v1/leads that a lead does not have."""
    absent = [*compress(_MAY_LACK, map(not_, _asked(fields)))]
    return absent + [name for name in ("employees", "revenue", "assigned_at") if not fields.HasField(name)]


def _number(text: str) -> float:
    try:
        return float(text) if text else 0.0
    except ValueError:
        return 0.0


def _plain(struct: Any) -> dict[str, Any]:
    return {name: plain_value(value) for name, value in struct.fields.items()}


def plain_value(value: Any) -> Any:
    """Return a protobuf Value as a Python object."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [plain_value(one) for one in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def plain_struct(struct: Any) -> dict[str, Any]:
    """Return a protobuf Struct as a dictionary."""
    return _plain(struct)
