"""The shapes of what direct callers post, decoded fast and refused with a pointer."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from backbone import times
from backbone.problem import Pointer, Problem
from lead_intake import hygiene

LONGEST_TEXT: Final = 1000
LONGEST_ID: Final = 128
LONGEST_NOTE: Final = 10_000
MOST_IN_A_BATCH: Final = 1000
DEEPEST: Final = 16
"""Levels of objects and lists within attributes; protobuf readers stop at a hundred messages within each other."""
LARGEST_ATTRIBUTES: Final = 128 * 1024
"""Bytes of JSON; an event carries them twice at most, and Kafka takes a megabyte."""
LARGEST_NUMBER: Final = 10**300
MOST_MONEY: Final = 10**15

STAGES: Final = ("new", "nurture", "mql", "srl", "sql", "customer", "disqualified")
MOST_CONSENTS: Final = 50

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
    revenue: Annotated[float, msgspec.Meta(ge=0, le=1e15)] | None = None
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
    consent: Annotated[tuple[Consent, ...], msgspec.Meta(max_length=MOST_CONSENTS)] = ()
    attributes: dict[str, Any] = {}
    live: bool = False
    keep: bool = False
    connection_id: str | None = None


class Correction(LeadPost, forbid_unknown_fields=True, frozen=True):
    """`PATCH /v1/leads/{id}`: what a person knows better. `spam: false` needs a reason, which is kept."""

    spam: bool | None = None
    reason: str | None = None


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


def check(post: msgspec.Struct, place: str = "") -> None:
    """Refuse texts, objects and numbers that cannot be kept or told to others."""
    faults = []
    for name in post.__struct_fields__:
        value = getattr(post, name)
        if value is None or value is False:
            continue
        if isinstance(value, str):
            if fault := _fault_of_text(name, value):
                faults.append(Pointer(f"{place}/{name}", fault))
        elif isinstance(value, dict) and value:
            if fault := _fault_of_value(value, DEEPEST):
                faults.append(Pointer(f"{place}/{name}", fault))
            else:
                check_size(value, f"{place}/{name}")
    if faults:
        raise invalid(*faults)


def check_size(values: Mapping[str, Any], place: str = "/attributes") -> None:
    """Refuse more than an event can carry."""
    if len(values) > 20 or any(isinstance(value, str | dict | list) for value in values.values()):  # noqa: SIM102
        if len(msgspec.json.encode(values)) > LARGEST_ATTRIBUTES:
            raise invalid(Pointer(place, f"larger than {LARGEST_ATTRIBUTES} bytes, with what is known already"))


def _fault_of_text(name: str, value: str) -> str | None:
    limit = LONGEST_ID if name.endswith("_id") else LONGEST_NOTE if name == "note" else LONGEST_TEXT
    if "\x00" in value:
        return "contains a NUL character"
    return f"longer than {limit} characters" if len(value) > limit else None


def _fault_of_value(value: Any, depth: int) -> str | None:
    """Say what is wrong with a JSON value: no database text holds NUL, no event such depth, no number such a size."""
    if isinstance(value, str):
        return "contains a NUL character" if "\x00" in value else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return "contains a number of no use" if abs(value) > LARGEST_NUMBER else None
    if depth == 0:
        return f"nested deeper than {DEEPEST}"
    inner = (*value, *value.values()) if isinstance(value, dict) else value
    return next((fault for one in inner if (fault := _fault_of_value(one, depth - 1))), None)


def money(value: str | float | None, field: str) -> str | None:
    """Return an amount as decimal text. Problem 422 for what is none."""
    if value is None or value == "":
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < MOST_MONEY:
        raise invalid(Pointer(f"/{field}", "an amount of money: a decimal number, not negative"))
    return format(amount, "f")


def currency(code: str | None) -> str | None:
    """Return an ISO 4217 code. Problem 422 for what is none."""
    if not code:
        return None
    known = hygiene.currency(code)
    if known is None:
        raise invalid(Pointer("/currency", "ISO 4217, such as EUR"))
    return known
