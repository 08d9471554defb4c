"""How each marketing tool signs and what it means: from a verified body to posts in our own shape."""

import base64
import hashlib
import hmac
import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from lead_intake.payloads import EngagementPost, LeadPost

HUBSPOT_TOLERANCE_S: Final = 300
_OWN_FIELDS: Final = frozenset(LeadPost.__struct_fields__) - {"attributes", "consent", "keep", "connection_id"}


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
    """What one delivery says. `held_because`: kept, but not understood."""

    leads: Sequence[LeadPost] = ()
    engagements: Sequence[EngagementPost] = ()
    dedupe: str | None = None
    held_because: str | None = None
    ignored_because: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Verify = Callable[[Delivery, str], bool]
Translate = Callable[[Any, Mapping[str, Any]], list[Meaning]]


@dataclass(frozen=True, slots=True)
class Provider:
    """A tool that posts webhooks."""

    verify: Verify
    translate: Translate
    retry_after: str = "1"
    """Seconds, but HubSpot workflows read milliseconds."""


def same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


# generic: an API key in a header, and our own field names unless the connection maps others


def _verify_generic(delivery: Delivery, secret: str) -> bool:
    scheme, _, value = delivery.headers.get("authorization", "").partition(" ")
    given = delivery.headers.get("x-api-key", "")
    if scheme.lower() == "bearer":
        given = value.strip()
    elif scheme.lower() == "basic":
        given = base64.b64decode(value).decode().partition(":")[2]
    return bool(given) and same(given, secret)


def _translate_generic(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    items = body if isinstance(body, list) else [body]
    meanings = []
    for item in items:
        if not isinstance(item, dict):
            meanings.append(Meaning(held_because="the body is not an object with fields"))
            continue
        mapped = {name: value for name, path in (settings.get("mapping") or {}).items() if (value := dig(item, path))}
        own = {name: value for name, value in item.items() if name in _OWN_FIELDS and value not in (None, "")}
        used = {path.split(".")[0] for path in (settings.get("mapping") or {}).values()}
        rest = {name: value for name, value in item.items() if name not in _OWN_FIELDS and name not in used}
        attributes = rest.pop("attributes", {}) if isinstance(rest.get("attributes"), dict) else {}
        meanings.append(_meaning_of({**own, **mapped}, {**rest, **attributes}))
    return meanings


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


def _meaning_of(fields: Mapping[str, Any], attributes: Mapping[str, Any], **more: Any) -> Meaning:
    """Make a lead of loose fields; numbers written as text are read, everything else has to be what it says."""
    clean: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "employees":
            clean[name] = _whole(value)
        elif name == "revenue":
            clean[name] = _number(value)
        elif name == "live":
            clean[name] = value is True or value == "true"
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            clean[name] = str(value)
    if not any(clean.get(name) for name in ("email", "phone", "external_id")):
        return Meaning(held_because="no e-mail, phone or external id in it")
    return Meaning(leads=[LeadPost(**clean, attributes=dict(attributes))], **more)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number <= 1e12 else None


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace(",", "").replace(" ", ""))
    except ValueError:
        return None


# HubSpot workflows: the whole contact; v2 signs secret+method+address+body, v3 as an HMAC with a timestamp

_HUBSPOT_FIELDS: Final = {
    "email": "email",
    "phone": "phone",
    "firstname": "first_name",
    "lastname": "last_name",
    "company": "company",
    "website": "website",
    "jobtitle": "job_title",
    "industry": "industry",
    "numberofemployees": "employees",
    "numemployees": "employees",
    "annualrevenue": "revenue",
    "country": "country",
    "hs_analytics_source": "source",
}


def _verify_hubspot(delivery: Delivery, secret: str) -> bool:
    body, headers = delivery.body, delivery.headers
    if (given := headers.get("x-hubspot-signature-v3")) is not None:
        stamp = headers.get("x-hubspot-request-timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp) / 1000) > HUBSPOT_TOLERANCE_S:
            return False
        signed = delivery.method.encode() + unquote(delivery.url).encode() + body + stamp.encode()
        return same(given, base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode())
    given = headers.get("x-hubspot-signature", "")
    if headers.get("x-hubspot-signature-version", "v2") == "v1":
        return same(given, hashlib.sha256(secret.encode() + body).hexdigest())
    signed = secret.encode() + delivery.method.encode() + delivery.url.encode() + body
    return same(given, hashlib.sha256(signed).hexdigest())


def _translate_hubspot(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    contacts = body if isinstance(body, list) else [body]
    meanings = []
    for contact in contacts:
        properties = contact.get("properties") if isinstance(contact, dict) else None
        if not isinstance(properties, dict):
            meanings.append(Meaning(held_because="no contact with properties in it"))
            continue
        values = {
            name: found for name, entry in properties.items() if (found := _hubspot_value(entry)) not in (None, "")
        }
        fields: dict[str, Any] = {}
        for name, field_name in _HUBSPOT_FIELDS.items():
            if name in values:
                fields.setdefault(field_name, values[name])
        vid = contact.get("vid") or values.get("hs_object_id")
        if vid:
            fields["external_id"] = str(vid)
        newest = max((_hubspot_time(entry) for entry in properties.values()), default=0)
        attributes = {name: value for name, value in values.items() if name not in _HUBSPOT_FIELDS}
        mapped = {
            name: value for name, path in (settings.get("mapping") or {}).items() if (value := dig(contact, path))
        }
        dedupe = f"{contact.get('portal-id')}:{vid}:{newest}" if vid and newest else None
        meanings.append(_meaning_of({**fields, **mapped}, attributes, dedupe=dedupe))
    return meanings


def _hubspot_value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, dict) else entry


def _hubspot_time(entry: Any) -> int:
    versions = entry.get("versions") if isinstance(entry, dict) else None
    stamps = [one.get("timestamp") for one in versions if isinstance(one, dict)] if isinstance(versions, list) else []
    return max((stamp for stamp in stamps if isinstance(stamp, int)), default=0)


# Mautic: keys are event types; values are objects, or arrays of them when the webhook queues

_MAUTIC_FIELDS: Final = {
    "email": "email",
    "phone": "phone",
    "firstname": "first_name",
    "lastname": "last_name",
    "company": "company",
    "website": "website",
    "position": "job_title",
    "industry": "industry",
    "companynumber_of_employees": "employees",
    "country": "country",
}
_MAUTIC_KINDS: Final = {
    "mautic.form_on_submit": "form_submitted",
    "mautic.page_on_hit": "page_viewed",
    "mautic.email_on_open": "email_opened",
    "mautic.email_on_click": "email_clicked",
}
_MAUTIC_DETAILS: Final = {"mautic.form_on_submit": "submission", "mautic.page_on_hit": "hit"}


def _verify_mautic(delivery: Delivery, secret: str) -> bool:
    expected = base64.b64encode(hmac.digest(secret.encode(), delivery.body, "sha256")).decode()
    return same(delivery.headers.get("webhook-signature", ""), expected)


def _translate_mautic(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    if not isinstance(body, dict):
        return [Meaning(held_because="the body is not an object of events")]
    meanings: list[Meaning] = []
    for kind, entries in body.items():
        if not kind.startswith("mautic."):
            continue
        for entry in entries if isinstance(entries, list) else [entries]:
            meanings.append(_mautic_event(kind, entry, settings))
    return meanings or [Meaning(ignored_because="a test, without an event")]


def _mautic_event(kind: str, entry: Any, settings: Mapping[str, Any]) -> Meaning:
    if not isinstance(entry, dict):
        return Meaning(held_because="an event that is not an object")
    inner = entry.get(_MAUTIC_DETAILS.get(kind, ""), entry)
    contact = next((inner[name] for name in ("contact", "lead") if isinstance(inner.get(name), dict)), None)
    if contact is None:
        return Meaning(held_because="no contact in it")
    values = _mautic_values(contact)
    fields: dict[str, Any] = {field_name: values[name] for name, field_name in _MAUTIC_FIELDS.items() if name in values}
    if "phone" not in fields and "mobile" in values:
        fields["phone"] = values["mobile"]
    if contact.get("id") is not None:
        fields["external_id"] = str(contact["id"])
    attributes = {name: value for name, value in values.items() if name not in _MAUTIC_FIELDS}
    if contact.get("points") is not None:
        attributes["points"] = contact["points"]
    mapped = {name: value for name, path in (settings.get("mapping") or {}).items() if (value := dig(contact, path))}
    stamp = str(entry.get("timestamp") or inner.get("dateSubmitted") or inner.get("dateHit") or "")
    dedupe = f"{kind}:{contact.get('id')}:{inner.get('id') or ''}:{stamp}" if stamp else None
    made = _meaning_of({**fields, **mapped}, attributes, dedupe=dedupe)
    engagement_kind = _MAUTIC_KINDS.get(kind)
    if engagement_kind is None or not made.leads or "external_id" not in fields:
        return made
    engagement = EngagementPost(
        kind=engagement_kind,
        lead_external_id=fields["external_id"],
        external_id=f"{kind}:{inner.get('id')}" if inner.get("id") is not None else None,
        occurred_at=_mautic_time(stamp),
        properties=_mautic_properties(inner),
    )
    return Meaning(leads=made.leads, engagements=[engagement], dedupe=dedupe)


def _mautic_values(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every group; empty groups come as [] and texts HTML-escaped."""
    values: dict[str, Any] = {}
    groups = contact.get("fields")
    for name, group in groups.items() if isinstance(groups, dict) else ():
        if name == "all" or not isinstance(group, dict):
            continue
        for alias, entry in group.items():
            value = entry.get("value") if isinstance(entry, dict) else entry
            if value not in (None, ""):
                values[alias] = html.unescape(value) if isinstance(value, str) else value
    return values


def _mautic_time(stamp: str) -> str | None:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).isoformat()


def _mautic_properties(inner: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in ("form", "page", "email", "asset"):
        if isinstance(inner.get(name), dict):
            properties[name] = html.unescape(str(inner[name].get("name") or inner[name].get("title") or ""))
    if isinstance(inner.get("results"), dict):
        properties["results"] = {
            str(name): html.unescape(value) if isinstance(value, str) else value
            for name, value in inner["results"].items()
        }
    for name in ("url", "referer"):
        if isinstance(inner.get(name), str):
            properties[name] = html.unescape(inner[name])
    return properties


def form(body: bytes) -> dict[str, Any]:
    """Read a form's body into an object; `a[b]` and `a__b` become nested."""
    nested: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000):
        steps = name.replace("]", "").replace("__", "[").split("[")
        place = nested
        for step in steps[:-1]:
            inner = place.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = place[step] = {}
            place = inner
        place[steps[-1]] = value
    return nested


PROVIDERS: Final[Mapping[str, Provider]] = {
    "generic": Provider(_verify_generic, _translate_generic),
    "hubspot-workflow": Provider(_verify_hubspot, _translate_hubspot, retry_after="1000"),
    "mautic": Provider(_verify_mautic, _translate_mautic),
}
"""Those that are here; POST /v1/connections refuses the others by name."""
