"""Standard Webhooks: `{type, timestamp, data}` with `data` as our own posts take it."""

import base64
import secrets as randomness
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from standardwebhooks import Webhook

from backbone.problem import Problem
from lead_intake import payloads
from lead_intake.payloads import EngagementPost, LeadPost, TouchPost
from lead_intake.providers.shapes import Delivery, Meaning, Provider, is_recent, same

_TYPES: Final[Mapping[str, tuple[str, Any]]] = {
    "lead.created": ("leads", LeadPost),
    "lead.updated": ("leads", LeadPost),
    "engagement.recorded": ("engagements", EngagementPost),
    "touch.recorded": ("touches", TouchPost),
}


def new_secret() -> str:
    """Return a secret as the standard writes it."""
    return f"whsec_{base64.b64encode(randomness.token_bytes(32)).decode()}"


def _is_secret(secret: str) -> bool:
    try:
        Webhook(secret)
    except Exception:  # noqa: BLE001 - the library says what is wrong by raising, of no class of its own
        return False
    return True


def _verify(delivery: Delivery, secret: str) -> bool:
    # Whatever rises during a check is a wrong signature. The library's own asks this machine what time it is.
    message_id, said_at = delivery.headers["webhook-id"], float(delivery.headers["webhook-timestamp"])
    if not message_id or not is_recent(said_at):
        return False
    right = Webhook(secret).sign(message_id, datetime.fromtimestamp(said_at, UTC), delivery.body.decode())
    return any(same(given, right) for given in delivery.headers["webhook-signature"].split(" "))


def _translate(body: Any, _: Mapping[str, Any]) -> list[Meaning]:
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        return [Meaning(held_because="no {type, timestamp, data}")]
    if body.get("type") not in _TYPES:
        return [Meaning(ignored_because="a type that is not of leads, engagements or touches")]
    where, shape = _TYPES[body["type"]]
    try:
        post: msgspec.Struct = payloads.convert(body["data"], shape)
    except Problem as error:
        words = ", ".join(f"/data{one.pointer}: {one.detail}" for one in error.errors)
        return [Meaning(held_because=words or error.title)]
    said: dict[str, Any] = {where: [_timed(post, body.get("timestamp"))]}
    return [Meaning(**said)]


def _timed(post: msgspec.Struct, timestamp: object) -> msgspec.Struct:
    """Give the post the time of the message, where it has none of its own."""
    if getattr(post, "occurred_at", None) is not None or not isinstance(timestamp, str):
        return post
    return msgspec.structs.replace(post, occurred_at=timestamp)


PROVIDER = Provider(_verify, _translate, dedupe_header="webhook-id", new_secret=new_secret, is_secret=_is_secret)
