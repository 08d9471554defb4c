"""Who is told of what over which channel, and when a message is tried again: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 3600.0
MOST_ATTEMPTS: Final = 16
"""With these pauses about five hours: an endpoint may be away for a morning."""


class Channel(StrEnum):
    """How a rep is told."""

    CONSOLE = "console"
    EMAIL = "email"
    WEBHOOK = "webhook"


class Kind(StrEnum):
    """What a rep is told of."""

    ROUTED = "routed"
    WARNING = "warning"
    BREACH = "breach"
    ESCALATION = "escalation"
    HOT = "hot"
    HANDED_BACK = "handed_back"


class State(StrEnum):
    """Of a message."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """How somebody wants to be told."""

    rep_id: str
    email: str | None = None
    webhook_url: str | None = None
    channels: Mapping[str, Sequence[str]] | None = None


def channels_for(recipient: Recipient, kind: Kind, *, email_on: bool) -> list[Channel]:
    """Return the channels of a message: those chosen for its kind, else all that have an address."""
    has = {
        Channel.CONSOLE: True,
        Channel.EMAIL: email_on and bool(recipient.email),
        Channel.WEBHOOK: bool(recipient.webhook_url),
    }
    chosen = (recipient.channels or {}).get(kind)
    return [channel for channel in Channel if has[channel] and (chosen is None or channel in chosen)]


def retry_after(attempt: int) -> float | None:
    """Return the seconds until the next attempt, None when it is given up."""
    if attempt >= MOST_ATTEMPTS:
        return None
    return min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (attempt - 1))


def may_repeat(channel: str) -> bool:
    """Say whether a message whose fate is unknown may be sent again: where the other side knows it by its key."""
    return channel == Channel.WEBHOOK


def subject_line(kind: str, body: Mapping[str, Any]) -> str:
    """Return the line that a person reads first; one line, whatever a form was filled in with."""
    who = " ".join(str(body.get("who") or body.get("company") or "").split()) or "A lead"
    return {
        Kind.ROUTED: f"{who} is yours",
        Kind.WARNING: f"{who}: the window is closing",
        Kind.BREACH: f"{who}: the window was missed",
        Kind.ESCALATION: f"{who}: nobody has followed up",
        Kind.HOT: f"{who} is hot",
        Kind.HANDED_BACK: f"{who} was handed back",
    }[Kind(kind)]
