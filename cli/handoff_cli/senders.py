"""What marketing tools send and how each proves itself: a payload in its shape, and its signature."""

import base64
import hmac
import time
from typing import Any, Final

PROVIDERS: Final = ("generic", "hubspot-workflow", "mautic")


def sign(provider: str, secret: str, url: str, body: bytes) -> dict[str, str]:
    """Return the headers with which a provider proves itself."""
    if provider == "mautic":
        return {"Webhook-Signature": base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()}
    if provider == "hubspot-workflow":
        stamp = str(int(time.time() * 1000))
        signed = b"POST" + url.encode() + body + stamp.encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
        return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
    return {"X-API-Key": secret}


def sample(provider: str, number: int) -> dict[str, Any]:
    """Return a made-up person in the provider's shape."""
    person = {
        "email": f"sample-{time.time_ns()}-{number}@fintrove.example",
        "firstname": "Amara",
        "lastname": "Nwosu",
        "company": "Fintrove",
        "country": "GB",
    }
    if provider == "hubspot-workflow":
        return {"vid": time.time_ns(), "properties": {name: {"value": value} for name, value in person.items()}}
    if provider == "mautic":
        fields = {name: {"value": value} for name, value in person.items()}
        contact = {"id": time.time_ns(), "fields": {"core": fields}}
        stamp = time.strftime("%FT%T+00:00", time.gmtime())
        return {"mautic.lead_post_save_new": [{"contact": contact, "timestamp": stamp}]}
    renamed = {"firstname": "first_name", "lastname": "last_name"}
    return {renamed.get(name, name): value for name, value in person.items()}
