"""Anything that can post JSON or a form with an API key: our own field names, unless the connection maps others."""

import base64
from collections.abc import Mapping
from typing import Any

from lead_intake.providers.shapes import OWN_FIELDS, Delivery, Meaning, Provider, mapped, meaning_of, same


def _verify(delivery: Delivery, secret: str) -> bool:
    if same(delivery.headers.get("x-api-key", ""), secret):
        return True
    scheme, _, value = delivery.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return same(base64.b64decode(value).decode().partition(":")[2], secret)
    return scheme.lower() == "bearer" and same(value.strip(), secret)


def _translate(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    items = body if isinstance(body, list) else [body]
    return [_meaning(item, settings) for item in items]


def _meaning(item: Any, settings: Mapping[str, Any]) -> Meaning:
    if not isinstance(item, dict):
        return Meaning(held_because="the body is not an object with fields", part=item)
    used = {path.split(".")[0] for path in (settings.get("mapping") or {}).values()}
    own = {name: value for name, value in item.items() if name in OWN_FIELDS and value not in (None, "")}
    rest = {name: value for name, value in item.items() if name not in OWN_FIELDS and name not in used}
    attributes = rest.pop("attributes", {}) if isinstance(rest.get("attributes"), dict) else {}
    return meaning_of({**own, **mapped(item, settings)}, {**rest, **attributes}, part=item)


PROVIDER = Provider(_verify, _translate)
