"""Anything that can post JSON or a form with an API key: our own field names, unless the connection maps others."""

import base64
from collections.abc import Mapping
from typing import Any

from backbone.problem import Problem
from lead_intake import payloads
from lead_intake.payloads import Consent
from lead_intake.providers.shapes import (
    EMPTY,
    OWN_FIELDS,
    Delivery,
    Meaning,
    Provider,
    mapped,
    meaning_of,
    same,
    without,
)


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
    found = mapped(item, settings)
    rest = item
    for name in found:
        rest = without(rest, settings["mapping"][name].split("."))
    own = {name: value for name, value in rest.items() if name in OWN_FIELDS and value not in (None, "")}
    rest = {name: value for name, value in rest.items() if name not in own and value not in EMPTY}
    attributes = rest.pop("attributes", {}) if isinstance(rest.get("attributes"), dict) else {}
    consent = _consent(rest)
    for name in own.keys() & found.keys():
        rest[f"{name}_as_sent"] = own[name]
    return meaning_of({**own, **found}, {**rest, **attributes}, consent=consent, part=item)


def _consent(rest: dict[str, Any]) -> tuple[Consent, ...]:
    """Take out what was allowed; of another shape it stays what it is."""
    if "consent" not in rest:
        return ()
    try:
        said: tuple[Consent, ...] = payloads.convert(rest["consent"], tuple[Consent, ...])
    except Problem:
        return ()
    del rest["consent"]
    return said[: payloads.MOST_CONSENTS]


PROVIDER = Provider(_verify, _translate)
