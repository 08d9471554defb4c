"""Mautic: keys are event types; values are objects, or lists of them when its webhooks queue."""

import base64
import hashlib
import hmac
import html
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from lead_intake.payloads import EngagementPost
from lead_intake.providers.shapes import EMPTY, Delivery, Meaning, Provider, mapped, meaning_of, same

_FIELDS: Final = {
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
_KINDS: Final = {
    "mautic.form_on_submit": "form_submitted",
    "mautic.page_on_hit": "page_viewed",
    "mautic.email_on_open": "email_opened",
    "mautic.email_on_click": "email_clicked",
}
_DETAILS: Final = {
    "mautic.form_on_submit": "submission",
    "mautic.page_on_hit": "hit",
    "mautic.email_on_open": "stat",
    "mautic.email_on_click": "stat",
}
_TELLS_OF_STATUS: Final = "mautic.lead_channel_subscription_changed"
_DELETED: Final = "mautic.lead_post_delete"


def _verify(delivery: Delivery, secret: str) -> bool:
    expected = base64.b64encode(hmac.digest(secret.encode(), delivery.body, "sha256")).decode()
    return same(delivery.headers.get("webhook-signature", ""), expected)


def _translate(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    if not isinstance(body, dict):
        return [Meaning(held_because="the body is not an object of events")]
    # Only the test button of its settings page puts the time there; what it sends are made-up people.
    test = {"timestamp": body["timestamp"]} if isinstance(body.get("timestamp"), str) else {}
    meanings: list[Meaning] = []
    for kind, entries in body.items():
        if kind.startswith("mautic."):
            for entry in entries if isinstance(entries, list) else [entries]:
                made = _event(kind, entry, settings)
                meanings.append(replace(made, part={kind: [entry], **test}, test=bool(test)))
    return meanings or [Meaning(ignored_because="a test, without an event")]


def _event(kind: str, entry: Any, settings: Mapping[str, Any]) -> Meaning:
    if not isinstance(entry, dict):
        return Meaning(held_because="an event that is not an object")
    if kind == _DELETED:
        return Meaning(ignored_because="a contact deleted there stays a lead here; erasure is asked for by itself")
    inner = entry.get(_DETAILS.get(kind, ""), entry)
    inner = inner if isinstance(inner, dict) else entry
    contact = next((inner[name] for name in ("contact", "lead") if isinstance(inner.get(name), dict)), None)
    if contact is None:
        return Meaning(held_because="no contact in it")
    fields, attributes = _contact(contact, _group(inner.get("results")))
    if inner is entry:
        beside = {name: value for name, value in entry.items() if name not in ("id", "contact", "lead", "timestamp")}
        attributes = {**_unescaped(beside), **attributes}
    stamp = str(entry.get("timestamp") or inner.get("dateSubmitted") or inner.get("dateHit") or "")
    dedupe = f"{kind}:{contact.get('id')}:{inner.get('id') or ''}:{stamp}:{_digest(entry)}" if stamp else None
    made = meaning_of({**fields, **mapped(contact, settings)}, attributes, dedupe=dedupe)
    engagement_kind = _engagement(kind, entry)
    if engagement_kind is None or not made.leads or "external_id" not in fields:
        return made
    engagement = EngagementPost(
        kind=engagement_kind,
        lead_external_id=made.leads[0].external_id,
        external_id=f"{kind}:{inner['id']}" if inner is not entry and inner.get("id") is not None else None,
        occurred_at=_instant(stamp),
        properties=_properties(inner),
    )
    return replace(made, engagements=[engagement])


def _engagement(kind: str, entry: Mapping[str, Any]) -> str | None:
    if kind == _TELLS_OF_STATUS:
        return "unsubscribed" if entry.get("new_status") == "unsubscribed" else None
    return _KINDS.get(kind)


def _digest(entry: Mapping[str, Any]) -> str:
    """Tell apart what happened to one contact within one second; what is delivered again is the same to the byte."""
    return hashlib.sha256(msgspec.json.encode(entry)).hexdigest()[:16]


def _contact(contact: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our fields and the attributes: every field of every group, what stands beside them, a form's answers."""
    values = _values(contact)
    fresh = {name: value for name, value in results.items() if name not in values}
    told = {f"form_{name}": value for name, value in results.items() if name in values and values[name] != value}
    values |= fresh
    fields: dict[str, Any] = {field_name: values[name] for name, field_name in _FIELDS.items() if name in values}
    if "phone" not in fields and "mobile" in values:
        fields["phone"] = values["mobile"]
    if contact.get("id") is not None:
        fields["external_id"] = str(contact["id"])
    attributes = {name: value for name, value in values.items() if name not in _FIELDS} | told
    for name, value in contact.items():
        if name not in ("id", "fields") and value not in EMPTY:
            attributes.setdefault(name, _unescaped(value))
    return fields, attributes


def _values(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every group; empty groups come as [] and texts HTML-escaped. `all` repeats the others."""
    values: dict[str, Any] = {}
    groups = contact.get("fields")
    groups = groups if isinstance(groups, dict) else {}
    for name in sorted(groups, key=lambda group: group == "all"):
        for alias, value in _group(groups[name]).items():
            values.setdefault(alias, value)
    return values


def _group(group: Any) -> dict[str, Any]:
    if not isinstance(group, dict):
        return {}
    found = {str(alias): entry.get("value") if isinstance(entry, dict) else entry for alias, entry in group.items()}
    return {alias: _unescaped(value) for alias, value in found.items() if value not in EMPTY}


def _unescaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unescaped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unescaped(inner) for inner in value]
    return html.unescape(value) if isinstance(value, str) else value


def _instant(stamp: str) -> str | None:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).isoformat()


def _properties(inner: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that the event carries beside its contact; of forms, pages and the like their names."""
    properties: dict[str, Any] = {}
    for name, value in inner.items():
        if name not in ("id", "contact", "lead", "timestamp") and value not in EMPTY:
            properties[name] = _unescaped(value)
    for name in ("form", "page", "email", "asset"):
        if isinstance(inner.get(name), dict):
            properties[name] = _unescaped(str(inner[name].get("name") or inner[name].get("title") or ""))
    return properties


PROVIDER = Provider(_verify, _translate)
