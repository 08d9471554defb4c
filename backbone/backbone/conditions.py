"""Conditions in CEL: checked against declared names when saved, evaluated in microseconds, never an exception.

A name is declared whole (`lead.employees`), so that what is sealed or misspelt is a compile error with its place. An
attribute that is not there reads as "". A condition that cannot be computed for some values, or takes too many steps,
does not hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cel_expr_python import cel

LONGEST: Final = 4_000
MOST_REMEMBERED: Final = 256
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_KEY: Final = re.compile(r"""\b([a-z_]+\.[a-z_]+)(?:\.([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])(?!\s*\()""")
_ASKED_FOR: Final = re.compile(r"\bhas\(([^()]*)\)")
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
TEXTS: Final = cel.Type.List(cel.Type.STRING)
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

    @classmethod
    def of(cls, names: Names) -> "Language":
        """Declare names with their types (TEXT, WHOLE, NUMBER, FLAG, TEXTS, OPEN)."""
        left_open = frozenset(name for name, kind in names.items() if kind == OPEN)
        return cls(cel.NewEnv(variables=dict(names)), tuple(names), left_open)

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
        return Condition(text, program, names, self._keys(text))

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


LEAD: Final[Names] = {
    **{
        f"lead.{name}": TEXT
        for name in (
            "company",
            "website",
            "job_title",
            "industry",
            "country",
            "source",
            "medium",
            "campaign",
            "email_domain",
            "account_domain",
            "stage",
            "grade",
            "persona",
        )
    },
    **{f"lead.{name}": FLAG for name in ("has_email", "has_phone", "email_is_free", "spam", "test")},
    "lead.employees": WHOLE,
    "lead.cycle": WHOLE,
    "lead.revenue": NUMBER,
    "lead.cost": NUMBER,
    "lead.currency": TEXT,
    "lead.fit": NUMBER,
    "lead.interest": NUMBER,
    "lead.missing": TEXTS,
    "lead.attributes": OPEN,
}
"""What conditions about a lead may read. Sealed fields are not among them."""


def lead_values(fields: Any, qualification: Any = None) -> dict[str, Any]:
    """Return the values of LEAD from the messages LeadFields and Qualification (or None)."""
    attributes = dict(_plain(fields.attributes)) if fields.HasField("attributes") else {}
    values: dict[str, Any] = {
        "lead.company": fields.company,
        "lead.website": fields.website,
        "lead.job_title": fields.job_title,
        "lead.industry": fields.industry,
        "lead.country": fields.country,
        "lead.source": fields.source,
        "lead.medium": fields.medium,
        "lead.campaign": fields.campaign,
        "lead.email_domain": fields.email_domain,
        "lead.account_domain": fields.account_domain,
        "lead.has_email": fields.has_email,
        "lead.has_phone": fields.has_phone,
        "lead.email_is_free": fields.email_is_free,
        "lead.spam": fields.spam,
        "lead.test": fields.test,
        "lead.employees": fields.employees,
        "lead.revenue": fields.revenue,
        "lead.cost": _number(fields.first_touch.cost),
        "lead.currency": fields.first_touch.currency,
        "lead.missing": missing(fields),
        "lead.attributes": attributes,
    }
    given = qualification
    values |= {
        "lead.stage": given.stage if given is not None else "new",
        "lead.grade": given.grade if given is not None else "",
        "lead.persona": given.persona if given is not None else "",
        "lead.cycle": (given.cycle or 1) if given is not None else 1,
        "lead.fit": given.fit if given is not None else 0.0,
        "lead.interest": given.interest if given is not None else 0.0,
    }
    return values


_PRESENCE: Final = {
    "email": "has_email",
    "phone": "has_phone",
    "first_name": "has_first_name",
    "last_name": "has_last_name",
}
_TEXT_FIELDS: Final = ("company", "website", "job_title", "industry", "country", "source", "medium", "campaign")


def missing(fields: Any) -> list[str]:
    """Return the names of the fields of POST /v1/leads that a lead does not have."""
    absent = [name for name, flag in _PRESENCE.items() if not getattr(fields, flag)]
    absent += [name for name in _TEXT_FIELDS if not getattr(fields, name)]
    absent += [name for name in ("employees", "revenue") if not fields.HasField(name)]
    return absent


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
