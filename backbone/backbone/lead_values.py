"""What conditions may read of a lead, and its values: by the names that people write in conditions."""

from itertools import compress
from operator import attrgetter, not_
from typing import Any, Final

from backbone import times
from backbone.conditions import FLAG, INSTANT, NUMBER, OBJECTS, OPEN, TEXT, TEXTS, WHOLE, Names

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


BY_QUALIFICATION: Final = frozenset(
    f"lead.{name}" for name in ("stage", "grade", "persona", "cycle", "fit", "interest")
)
"""What nothing is known of before a lead is qualified."""


def of(fields: Any, qualification: Any = None, *, live: bool = False) -> dict[str, Any]:
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
