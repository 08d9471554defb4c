"""Webhooks: real payloads, signed with a secret of the test, become leads with every field that they carry."""

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.testing.stage import Actor, Stage

CORPUS = Path(__file__).parents[4] / "shared" / "webhook-corpus"
SECRET = "a secret of this test"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the webhook corpus is not beside the project")


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


async def connect(intake: Actor, provider: str, **settings: Any) -> str:
    body = {"provider": provider, "name": provider, "secret": SECRET, "settings": settings}
    answer = await intake.http.post("/v1/connections", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["hook_url"])


async def post(intake: Actor, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    path = url.removeprefix("http://intake.test")
    return await intake.as_nobody().post(path, content=body, headers={"content-type": "application/json", **headers})


def mautic(body: bytes) -> dict[str, str]:
    return {"Webhook-Signature": base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()}


def hubspot(url: str, body: bytes) -> dict[str, str]:
    stamp = str(int(time.time() * 1000))
    signed = b"POST" + url.encode() + body + stamp.encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}


@needs_corpus
@pytest.mark.parametrize("name", ["contact_created", "form_submitted", "page_hit"])
async def test_mautic_payloads_become_leads(intake: Actor, name: str) -> None:
    body = (CORPUS / "mautic" / f"{name}.json").read_bytes()
    url = await connect(intake, "mautic", default_region="US")
    answer = await post(intake, url, body, mautic(body))
    assert answer.status_code == 202, answer.text
    outcomes = [event["outcome"] for event in answer.json()["events"]]
    assert "held" not in outcomes, answer.text
    lead = (await intake.http.get(f"/v1/leads/{answer.json()['events'][0]['lead_id']}")).json()
    carried = _mautic_values(json.loads(body))
    have = {str(value) for value in _leaves(lead)}
    missing = {value for value in carried if value not in have and value.lower() not in have}
    assert not missing


@needs_corpus
async def test_a_hubspot_contact_becomes_a_lead_with_every_property(intake: Actor) -> None:
    payload = json.loads((CORPUS / "hubspot" / "workflow_contact.json").read_text())["body"]
    body = json.dumps(payload).encode()
    url = await connect(intake, "hubspot-workflow", default_region="US")
    answer = await post(intake, url, body, hubspot(url, body))
    assert answer.status_code == 202, answer.text
    (event,) = answer.json()["events"]
    assert event["outcome"] == "created", event
    lead = (await intake.http.get(f"/v1/leads/{event['lead_id']}")).json()
    have = {str(value).lower() for value in _leaves(lead)}
    for name, entry in payload["properties"].items():
        value = str(entry["value"])
        if value and name not in ("country", "phone", "numberofemployees", "annualrevenue"):
            assert value.lower() in have, name
    again = await post(intake, url, body, hubspot(url, body))
    assert again.json()["events"][0]["outcome"] == "duplicate"


@needs_corpus
def test_hubspots_own_signature_vectors_verify() -> None:
    from lead_intake.providers import PROVIDERS, Delivery

    vector = json.loads((CORPUS / "hubspot" / "signature_vectors.json").read_text())
    verify = PROVIDERS["hubspot-workflow"].verify
    body = vector["request_body"].encode()

    def signed(headers: dict[str, str]) -> bool:
        delivery = Delivery(method=vector["http_method"], url=vector["url"], headers=headers, body=body)
        return verify(delivery, vector["client_secret"])

    assert signed({"x-hubspot-signature": vector["v1"], "x-hubspot-signature-version": "v1"})
    assert signed({"x-hubspot-signature": vector["v2"], "x-hubspot-signature-version": "v2"})
    assert not signed({"x-hubspot-signature": vector["v1"], "x-hubspot-signature-version": "v2"})
    old = {"x-hubspot-signature-v3": vector["v3"]["signature"]}
    assert not signed({**old, "x-hubspot-request-timestamp": vector["v3"]["timestamp_ms"]}), "long ago"


async def test_a_wrong_signature_is_401_and_an_unknown_connection_404(intake: Actor) -> None:
    url = await connect(intake, "mautic")
    assert (await post(intake, url, b"{}", {"Webhook-Signature": "é".encode().hex()})).status_code == 401
    assert (await post(intake, url, b"{}", {})).status_code == 401
    assert (await post(intake, "/v1/hooks/none", b"{}", {})).status_code == 404


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b'{"company": "nobody"}', b'{"email": "nobody"}', b"[1]"]
)
async def test_what_cannot_be_understood_is_held_with_its_reason(intake: Actor, body: bytes) -> None:
    url = await connect(intake, "generic")
    answer = await post(intake, url, body, {"X-API-Key": SECRET})
    assert answer.status_code == 202
    (event,) = answer.json()["events"]
    assert event["outcome"] == "held"
    assert event["reason"]
    kept = (await intake.http.get(f"/v1/events/{event['event_id']}")).json()
    assert kept["headers"]["x-api-key"] == "redacted"
    assert kept["reason"] == event["reason"]


async def test_generic_maps_fields_and_keeps_the_rest(intake: Actor) -> None:
    url = await connect(intake, "generic", mapping={"email": "contact.mail"}, default_source="form")
    body = json.dumps({"contact": {"mail": "a@b.example"}, "employees": "1,200", "colour": "red"}).encode()
    answer = await post(intake, url, body, {"Authorization": f"Bearer {SECRET}"})
    lead = (await intake.http.get(f"/v1/leads/{answer.json()['events'][0]['lead_id']}")).json()
    assert (lead["email"], lead["employees"], lead["source"]) == ("a@b.example", 1200, "form")
    assert lead["attributes"] == {"colour": "red"}


async def test_forms_nest(intake: Actor) -> None:
    url = await connect(intake, "generic", mapping={"email": "person.email"})
    headers = {"X-API-Key": SECRET, "content-type": "application/x-www-form-urlencoded"}
    answer = await post(intake, url, b"person[email]=a%40b.example&utm__source=ads", headers)
    lead = (await intake.http.get(f"/v1/leads/{answer.json()['events'][0]['lead_id']}")).json()
    assert (lead["email"], lead["attributes"]) == ("a@b.example", {"utm": {"source": "ads"}})


async def test_a_change_is_in_force_on_every_replica_when_it_is_answered(intake: Actor, start: Stage) -> None:
    other = await start(
        "intake", database_url=intake.settings.database_url, vault_database_url=intake.settings.vault_database_url
    )
    url = await connect(intake, "generic")
    connection = url.removeprefix("http://intake.test").replace("hooks", "connections")
    headers = {"X-API-Key": SECRET}

    async def sent(number: int) -> str:
        answer = await post(other, url, json.dumps({"mail": f"{number}@b.example"}).encode(), headers)
        return str(answer.json()["events"][0]["outcome"])

    assert await sent(1) == "held"
    mapping = {"settings": {"mapping": {"email": "mail"}}}
    assert (await intake.http.patch(connection, json=mapping)).status_code == 200
    assert await sent(2) == "created"
    for _ in range(2):
        await intake.http.post(f"{connection}/rotate-secret")
    assert (await post(other, url, b"{}", headers)).status_code == 401
    assert (await intake.http.delete(connection)).status_code == 204
    assert (await post(other, url, b"{}", headers)).status_code == 404


async def test_an_old_secret_is_good_until_the_next_rotation(intake: Actor) -> None:
    url = await connect(intake, "mautic")
    rotate = url.removeprefix("http://intake.test").replace("hooks", "connections") + "/rotate-secret"
    await intake.http.post(rotate)
    assert (await post(intake, url, b"{}", mautic(b"{}"))).status_code == 202
    await intake.http.post(rotate)
    assert (await post(intake, url, b"{}", mautic(b"{}"))).status_code == 401


def _mautic_values(payload: dict[str, Any]) -> set[str]:
    import html

    (entry,) = next(iter(payload.values()))
    inner = entry.get("submission") or entry.get("hit") or entry
    contact = inner.get("contact") or inner["lead"]
    values = set()
    for name, group in contact["fields"].items():
        if name != "all" and isinstance(group, dict):
            values |= {
                html.unescape(str(one["value"])) for alias, one in group.items() if one["value"] and alias != "country"
            }
    return {value for value in values if not value.replace("+", "").isdigit()}


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]
