"""What every provider is: a check of who sent it, and a translation into posts in our own shape."""

import hmac
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backbone import clock
from backbone.problem import Problem
from lead_intake import payloads
from lead_intake.payloads import STAGES, Consent, EngagementPost, LeadPost, TouchPost

OWN_FIELDS: Final = frozenset(LeadPost.__struct_fields__) - {"attributes", "consent", "keep", "connection_id"}
"""What a connection's mapping may fill."""
EMPTY: Final[tuple[Any, ...]] = (None, "", [], {}, [[]])
TOLERANCE_S: Final = 300
_MOST_EMPLOYEES: Final = 1e12
_MOST_REVENUE: Final = 1e15


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A request as it came."""

    method: str
    url: str
    """The public address, as the sender signed it."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What one part of a delivery says. `held_because`: kept, but not understood."""

    leads: Sequence[LeadPost] = ()
    engagements: Sequence[EngagementPost] = ()
    touches: Sequence[TouchPost] = ()
    dedupe: str | None = None
    held_because: str | None = None
    ignored_because: str | None = None
    test: bool = False
    """The sender says that it is made up."""
    part: Any = None
    """The part of the body that says it; translated alone it says the same."""


def new_secret() -> str:
    """Return a secret of 256 bits."""
    return f"hs_{randomness.token_urlsafe(32)}"


Verify = Callable[[Delivery, str], bool]
Translate = Callable[[Any, Mapping[str, Any]], list[Meaning]]


@dataclass(frozen=True, slots=True)
class Provider:
    """A tool that posts webhooks."""

    verify: Verify
    translate: Translate
    retry_after: str = "1"
    """Seconds, but HubSpot workflows read milliseconds."""
    dedupe_header: str = "idempotency-key"
    new_secret: Callable[[], str] = new_secret
    is_secret: Callable[[str], bool] = bool


def is_recent(said_at_s: float) -> bool:
    """Say whether a signature's instant, in seconds since 1970, is at most five minutes from now, as vendors ask."""
    return abs(clock.now().timestamp() - said_at_s) <= TOLERANCE_S


def same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def dig(value: Any, path: str) -> Any:
    """Return what stands at a dotted path, None when there is nothing."""
    for step in path.split("."):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def mapped(value: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the connection's mapping finds."""
    mapping = settings.get("mapping") or {}
    return {name: found for name, path in mapping.items() if (found := dig(value, path)) not in EMPTY}


def without(value: Any, steps: Sequence[str]) -> Any:
    """Return a value without what stands at a path; what is empty then goes too."""
    if not steps or not isinstance(value, dict) or steps[0] not in value:
        return value
    left = {name: inner for name, inner in value.items() if name != steps[0]}
    inner = without(value[steps[0]], steps[1:]) if len(steps) > 1 else None
    return left if inner in EMPTY else {**left, steps[0]: inner}


def meaning_of(
    fields: Mapping[str, Any], attributes: Mapping[str, Any], *, consent: tuple[Consent, ...] = (), **more: Any
) -> Meaning:
    """Make a lead of loose fields; numbers written as text are read, what fits no field is kept as an attribute."""
    clean: dict[str, Any] = {}
    left: dict[str, Any] = dict(attributes)
    for name, value in fields.items():
        fitting = _fit(name, value)
        if fitting is not None:
            clean[name] = fitting
        elif value not in EMPTY:
            left.setdefault(f"{name}_as_sent", value)
    if not any(clean.get(name) for name in ("email", "phone", "external_id")):
        return Meaning(held_because="no e-mail, phone or external id in it", part=more.get("part"))
    return Meaning(leads=[LeadPost(**clean, attributes=left, consent=consent)], **more)


def _fit(name: str, value: Any) -> Any:
    if name == "employees":
        number = _number(value)
        return int(number) if number is not None and 0 <= number <= _MOST_EMPLOYEES else None
    if name == "revenue":
        number = _number(value)
        return number if number is not None and 0 <= number <= _MOST_REVENUE else None
    if name == "stage":
        return value if value in STAGES else None
    if name == "cost":
        return _cost(value)
    if name == "live":
        return value is True or value == "true"
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _cost(value: Any) -> str | None:
    try:
        return payloads.money(value, "cost") if isinstance(value, str | int | float) else None
    except Problem:
        return None


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace(",", "").replace(" ", ""))
    except ValueError:
        return None
