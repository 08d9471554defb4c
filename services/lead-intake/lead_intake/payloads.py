"""The shapes of what direct callers post, decoded fast and refused with a pointer."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from backbone import times
from backbone.problem import Pointer, Problem

LONGEST_TEXT: Final = 1000
LONGEST_ID: Final = 128
MOST_IN_A_BATCH: Final = 1000
_EARLIEST_YEAR: Final = 1900
_LATEST_YEAR: Final = 2200

T = TypeVar("T")


class Consent(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the lead allowed."""

    purpose: str
    basis: str = ""
    granted: bool = True
    at: str | None = None
    text_version: str = ""


class LeadPost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`POST /v1/leads`."""

    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    website: str | None = None
    job_title: str | None = None
    industry: str | None = None
    employees: Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None = None
    revenue: float | None = None
    country: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    cost: str | float | int | None = None
    currency: str | None = None
    occurred_at: str | None = None
    owner_id: str | None = None
    assigned_at: str | None = None
    stage: Literal["new", "nurture", "mql", "srl", "sql", "customer", "disqualified"] | None = None
    status: str | None = None
    disqualified_reason: str | None = None
    consent: tuple[Consent, ...] = ()
    attributes: dict[str, Any] = {}
    live: bool = False
    keep: bool = False
    connection_id: str | None = None


class EngagementPost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`POST /v1/engagements`."""

    kind: str
    lead_id: str | None = None
    email: str | None = None
    lead_external_id: str | None = None
    connection_id: str | None = None
    occurred_at: str | None = None
    external_id: str | None = None
    properties: dict[str, Any] = {}
    live: bool = False


class TouchPost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`POST /v1/touches`."""

    rep_id: str
    kind: Literal["call", "email", "meeting", "message"]
    outcome: Literal["attempted", "connected"] = "attempted"
    lead_id: str | None = None
    email: str | None = None
    lead_external_id: str | None = None
    connection_id: str | None = None
    automated: bool = False
    next_step: str | None = None
    next_at: str | None = None
    occurred_at: str | None = None
    external_id: str | None = None
    note: str | None = None
    live: bool = False


_PATH: Final = re.compile(r" - at `\$(.*)`$")


def refusal(error: Exception) -> Problem:
    """Turn msgspec's finding into a problem without the value."""
    if isinstance(error, msgspec.ValidationError):
        words = str(error)
        match = _PATH.search(words)
        path = (match[1] if match else "").replace("[...]", "").replace(".", "/")
        detail = _PATH.sub("", words)
        if unknown := re.search(r"unknown field `([^`]*)`", words):
            path, detail = f"{path}/{unknown[1]}", "unknown field"
        elif missing := re.search(r"missing required field `([^`]*)`", words):
            path, detail = f"{path}/{missing[1]}", "required"
        elif detail.startswith("Invalid enum value"):
            detail = "not one of the values that this field takes"
        return invalid(Pointer(path or "/", detail))
    return Problem(400, "Malformed JSON", "The body has to be one JSON document in UTF-8.")


def invalid(*pointers: Pointer) -> Problem:
    """Return a 422 that points at fields."""
    mending = "Correct the fields that `errors` points at and send the request again."
    return Problem(422, "Not valid", mending, errors=pointers)


def decode(raw: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode a body. Problem 400 for bytes that are no JSON, 422 with a pointer for another shape."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(error) from None


def convert(value: Any, shape: type[T]) -> T:
    """As `decode`, of a value that is decoded already."""
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise refusal(error) from None


def instant(value: str | None, field: str) -> "Any":
    """Read a time of a field. Problem 422 without a zone or out of range."""
    if value is None:
        return None
    try:
        return times.parse(value)
    except ValueError:
        raise invalid(Pointer(f"/{field}", "a time in RFC 3339 with a zone, between 1900 and 2200")) from None


def check_texts(post: msgspec.Struct) -> None:
    """Refuse texts that cannot be stored or are no field's length."""
    faults = []
    for name in post.__struct_fields__:
        value = getattr(post, name)
        if isinstance(value, str):
            limit = LONGEST_ID if name.endswith("_id") else LONGEST_TEXT if name != "note" else 10_000
            if "\x00" in value:
                faults.append(Pointer(f"/{name}", "contains a NUL character"))
            elif len(value) > limit:
                faults.append(Pointer(f"/{name}", f"longer than {limit} characters"))
        elif isinstance(value, dict) and has_nul(value):
            faults.append(Pointer(f"/{name}", "contains a NUL character"))
    if faults:
        raise invalid(*faults)


def has_nul(value: Any) -> bool:
    """Say whether a JSON value has a NUL character anywhere, which no database text can hold."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(has_nul(name) or has_nul(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(has_nul, value))
