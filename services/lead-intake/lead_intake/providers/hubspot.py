"""HubSpot workflows: the whole contact; v2 signs secret+method+address+body, v3 is an HMAC with a timestamp."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from lead_intake.providers.shapes import EMPTY, Delivery, Meaning, Provider, mapped, meaning_of, same

TOLERANCE_S: Final = 300
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
_LOOSE: Final = ("portal-id", "canonical-vid", "merged-vids", "form-submissions", "list-memberships")


def _verify(delivery: Delivery, secret: str) -> bool:
    body, headers = delivery.body, delivery.headers
    if (given := headers.get("x-hubspot-signature-v3")) is not None:
        stamp = headers.get("x-hubspot-request-timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp) / 1000) > TOLERANCE_S:
            return False
        signed = delivery.method.encode() + unquote(delivery.url).encode() + body + stamp.encode()
        return same(given, base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode())
    given = headers.get("x-hubspot-signature", "")
    if headers.get("x-hubspot-signature-version", "v2") == "v1":
        return same(given, hashlib.sha256(secret.encode() + body).hexdigest())
    signed = secret.encode() + delivery.method.encode() + delivery.url.encode() + body
    return same(given, hashlib.sha256(signed).hexdigest())


def _translate(body: Any, settings: Mapping[str, Any]) -> list[Meaning]:
    return [_contact(contact, settings) for contact in (body if isinstance(body, list) else [body])]


def _contact(contact: Any, settings: Mapping[str, Any]) -> Meaning:
    properties = contact.get("properties") if isinstance(contact, dict) else None
    if not isinstance(properties, dict):
        return Meaning(held_because="no contact with properties in it", part=contact)
    values = _values(properties)
    company = contact.get("associated-company")
    about = _values(company["properties"]) if isinstance(company, dict) and _has_properties(company) else {}
    fields: dict[str, Any] = {}
    for names, source in ((_FIELDS, values), (_COMPANY, about)):
        for name, field_name in names.items():
            if name in source:
                fields.setdefault(field_name, source[name])
    vid = contact.get("vid") or values.get("hs_object_id")
    if vid:
        fields["external_id"] = str(vid)
    attributes = {name: value for name, value in values.items() if name not in _FIELDS}
    attributes |= {name.replace("-", "_"): contact[name] for name in _LOOSE if contact.get(name) not in EMPTY}
    if about:
        attributes["associated_company"] = about
    newest = max((_newest(entry) for entry in properties.values()), default=0)
    dedupe = f"{contact.get('portal-id')}:{vid}:{newest}" if vid and newest else None
    return meaning_of({**fields, **mapped(contact, settings)}, attributes, dedupe=dedupe, part=contact)


def _has_properties(company: Mapping[str, Any]) -> bool:
    return isinstance(company.get("properties"), dict)


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return each property's value; an entry is {value, versions}, or in some workflows the bare value."""
    found = {name: entry.get("value") if isinstance(entry, dict) else entry for name, entry in properties.items()}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _newest(entry: Any) -> int:
    versions = entry.get("versions") if isinstance(entry, dict) else None
    stamps = [one.get("timestamp") for one in versions if isinstance(one, dict)] if isinstance(versions, list) else []
    return max((stamp for stamp in stamps if isinstance(stamp, int)), default=0)


WORKFLOW = Provider(_verify, _translate, retry_after="1000")
