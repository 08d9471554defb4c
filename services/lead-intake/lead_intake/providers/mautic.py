"""Mautic: keys are event types; values are objects, or lists of them when its webhooks queue."""

import base64
import hmac
import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

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
_NOT_THE_LEADS: Final = frozenset(
    {"id", "fields", "owner", "isPublished", "createdBy", "createdByUser", "modifiedBy", "modifiedByUser"}
    | {"preferredProfileImage", "frequencyRules"}
)
"""Of a contact: Mautic's own keeping, and what has a place of its own here."""


def _verify(delivery: Delivery, secret: str) -> bool:
    expected = base64.b64encode(hmac.digest(secret.encode(), delivery.body, "sha256")).decode()
    return same(delivery.headers.get("webhook-signature", ""), expected)


def _translate(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    if not isinstance(body, dict):
        return [Meaning(held_because="the body is not an object of events")]
    meanings: list[Meaning] = []
    for kind, entries in body.items():
        if kind.startswith("mautic."):
            meanings += [
                _event(kind, entry, settings) for entry in (entries if isinstance(entries, list) else [entries])
            ]
    return meanings or [Meaning(ignored_because="a test, without an event")]


def _event(kind: str, entry: Any, settings: Mapping[str, Any]) -> Meaning:
    part = {kind: [entry]}
    if not isinstance(entry, dict):
        return Meaning(held_because="an event that is not an object", part=part)
    inner = entry.get(_DETAILS.get(kind, ""), entry)
    inner = inner if isinstance(inner, dict) else entry
    contact = next((inner[name] for name in ("contact", "lead") if isinstance(inner.get(name), dict)), None)
    if contact is None:
        return Meaning(held_because="no contact in it", part=part)
    fields, attributes = _contact(contact)
    stamp = str(entry.get("timestamp") or inner.get("dateSubmitted") or inner.get("dateHit") or "")
    dedupe = f"{kind}:{contact.get('id')}:{inner.get('id') or ''}:{stamp}" if stamp else None
    made = meaning_of({**fields, **mapped(contact, settings)}, attributes, dedupe=dedupe, part=part)
    engagement_kind = _KINDS.get(kind)
    if engagement_kind is None or not made.leads or "external_id" not in fields:
        return made
    engagement = EngagementPost(
        kind=engagement_kind,
        lead_external_id=fields["external_id"],
        external_id=f"{kind}:{inner['id']}" if inner.get("id") is not None else None,
        occurred_at=_instant(stamp),
        properties=_properties(inner),
    )
    return Meaning(leads=made.leads, engagements=[engagement], dedupe=dedupe, part=part)


def _contact(contact: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our fields and the attributes: every field of every group, and what stands beside the groups."""
    values = _values(contact)
    fields: dict[str, Any] = {field_name: values[name] for name, field_name in _FIELDS.items() if name in values}
    if "phone" not in fields and "mobile" in values:
        fields["phone"] = values["mobile"]
    if contact.get("id") is not None:
        fields["external_id"] = str(contact["id"])
    attributes = {name: value for name, value in values.items() if name not in _FIELDS}
    for name, value in contact.items():
        if name not in _NOT_THE_LEADS and value not in EMPTY:
            attributes.setdefault(name, _unescaped(value))
    return fields, attributes


def _values(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every group; empty groups come as [] and texts HTML-escaped."""
    values: dict[str, Any] = {}
    groups = contact.get("fields")
    for name, group in groups.items() if isinstance(groups, dict) else ():
        if name == "all" or not isinstance(group, dict):
            continue
        for alias, entry in group.items():
            value = entry.get("value") if isinstance(entry, dict) else entry
            if value not in (None, ""):
                values[alias] = _unescaped(value)
    return values


def _unescaped(value: Any) -> Any:
    return html.unescape(value) if isinstance(value, str) else value


def _instant(stamp: str) -> str | None:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).isoformat()


def _properties(inner: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in ("form", "page", "email", "asset"):
        if isinstance(inner.get(name), dict):
            properties[name] = _unescaped(str(inner[name].get("name") or inner[name].get("title") or ""))
    if isinstance(inner.get("results"), dict):
        properties["results"] = {str(name): _unescaped(value) for name, value in inner["results"].items()}
    for name in ("url", "referer", "pageLanguage", "code", "trackingId"):
        if inner.get(name) not in EMPTY:
            properties[name] = _unescaped(inner[name])
    return properties


PROVIDER = Provider(_verify, _translate)
