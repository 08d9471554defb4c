"""HubSpot workflows: the whole contact; v2 signs secret+method+address+body, v3 is an HMAC with a timestamp."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from lead_intake.providers.shapes import EMPTY, Delivery, Meaning, Provider, is_recent, mapped, meaning_of, same

_FIELDS: Final = {
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
_COMPANY: Final = {
    "name": "company",
    "domain": "website",
    "industry": "industry",
    "numberofemployees": "employees",
    "annualrevenue": "revenue",
    "country": "country",
}
_PHONES: Final = ("mobilephone", "hs_calculated_phone_number")
"""Taken where `phone` is empty."""


def _verify(delivery: Delivery, secret: str) -> bool:
    body, headers = delivery.body, delivery.headers
    if (given := headers.get("x-hubspot-signature-v3")) is not None:
        stamp = headers.get("x-hubspot-request-timestamp", "")
        if not stamp.isdigit() or not is_recent(int(stamp) / 1000):
            return False
        # The vendor decodes escapes in the address before it signs, its older senders do not.
        return any(
            same(given, base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode())
            for url in (unquote(delivery.url), delivery.url)
            if (signed := delivery.method.encode() + url.encode() + body + stamp.encode())
        )
    given = headers.get("x-hubspot-signature", "")
    if headers.get("x-hubspot-signature-version", "v2") == "v1":
        return same(given, hashlib.sha256(secret.encode() + body).hexdigest())
    signed = secret.encode() + delivery.method.encode() + delivery.url.encode() + body
    return same(given, hashlib.sha256(signed).hexdigest())


def _translate(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    return [_contact(contact, settings) for contact in (body if isinstance(body, list) else [body])]


def _contact(contact: Any, settings: Mapping[str, Any]) -> Meaning:
    if not isinstance(contact, dict):
        return Meaning(held_because="no contact in it", part=contact)
    properties = contact.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    vid = contact.get("vid") or contact.get("canonical-vid") or _value(properties.get("hs_object_id"))
    values, company = _values(properties), _company(contact)
    fields: dict[str, Any] = {"external_id": str(vid)} if vid else {}
    taken = set()
    for name, field_name in _FIELDS.items():
        if name in values and field_name not in fields:
            fields[field_name] = values[name]
            taken.add(name)
    for name, field_name in _COMPANY.items():
        if name in company:
            fields.setdefault(field_name, company[name])
    if "phone" not in fields and (phone := next((values[name] for name in _PHONES if name in values), None)):
        fields["phone"] = phone
    attributes = {
        name.replace("-", "_"): value
        for name, value in contact.items()
        if name not in ("vid", "properties", "associated-company") and value not in EMPTY
    }
    attributes |= {name: value for name, value in values.items() if name not in taken}
    attributes |= {f"associated_company_{name}": value for name, value in company.items()}
    newest = max((_newest(entry) for entry in properties.values()), default=0)
    dedupe = f"{contact.get('portal-id')}:{vid}:{newest}" if vid and newest else None
    return meaning_of({**fields, **mapped(contact, settings)}, attributes, dedupe=dedupe, part=contact)


def _company(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the contact's company, its id among it."""
    company = contact.get("associated-company")
    if not isinstance(company, dict):
        return {}
    properties = company.get("properties")
    loose = {name.replace("-", "_"): value for name, value in company.items() if name != "properties"}
    return {
        **{name: value for name, value in loose.items() if value not in EMPTY},
        **(_values(properties) if isinstance(properties, dict) else {}),
    }


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return each property's value; an entry is {value, versions}, or in some workflows the bare value."""
    found = {name: _value(entry) for name, entry in properties.items()}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, dict) else entry


def _newest(entry: Any) -> int:
    versions = entry.get("versions") if isinstance(entry, dict) else None
    stamps = [one.get("timestamp") for one in versions if isinstance(one, dict)] if isinstance(versions, list) else []
    return max((stamp for stamp in stamps if isinstance(stamp, int)), default=0)


WORKFLOW = Provider(_verify, _translate, retry_after="1000")
