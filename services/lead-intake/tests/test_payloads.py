"""What marketing tools send beside their plainest form: queued, empty, escaped, made up, sent too fast."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from backbone.testing.stage import Actor, Stage

SECRET = "a secret of this test"
PUBLIC = "http://intake.test"


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


async def connect(intake: Actor, provider: str, **settings: Any) -> str:
    body = {"provider": provider, "name": provider, "secret": SECRET, "settings": settings}
    url: str = (await intake.http.post("/v1/connections", json=body)).json()["hook_url"]
    return url.removeprefix(PUBLIC)


async def send(intake: Actor, path: str, body: Any, **headers: str) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = base64.b64encode(hmac.digest(SECRET.encode(), raw, "sha256")).decode()
    said = {"webhook-signature": signed, "x-api-key": SECRET, "content-type": "application/json", **headers}
    return await intake.as_nobody().post(path, content=raw, headers=said)


async def outcomes(intake: Actor, path: str, body: Any) -> list[str]:
    answer = await send(intake, path, body)
    assert answer.status_code == 202, answer.text
    return [event["outcome"] for event in answer.json()["events"]]


async def the_lead(intake: Actor, external_id: str) -> dict[str, Any]:
    (lead,) = (await intake.http.get("/v1/leads", params={"external_id": external_id})).json()["items"]
    found: dict[str, Any] = lead
    return found


def contact(number: int, **values: Any) -> dict[str, Any]:
    core = {alias: {"alias": alias, "type": "text", "value": value} for alias, value in values.items()}
    fields = {"core": core, "social": [], "personal": [], "professional": {"skill": {"value": "R&#38;D"}}}
    return {"id": number, "points": 3, "tags": [{"tag": "a &amp; b"}], "utmtags": None, "fields": fields}


async def test_mautic_queues_escapes_leaves_empty_and_tries_out(intake: Actor) -> None:
    hook = await connect(intake, "mautic", default_region="US")
    at = "2026-11-25T10:00:00+00:00"
    first, second = contact(1, email="a@b.example", position="Q&#38;A"), contact(1, company="Bee &amp; Sons")
    queued = {"mautic.lead_post_save_update": [{"contact": one, "timestamp": at} for one in (first, second)]}
    queued["mautic.lead_post_save_new"] = [{"lead": contact(2, email="c@b.example"), "timestamp": at}]
    assert await outcomes(intake, hook, queued) == ["created", "updated", "created"]
    assert await outcomes(intake, hook, queued) == ["duplicate"] * 3
    lead = await the_lead(intake, "1")
    assert (lead["job_title"], lead["company"]) == ("Q&A", "Bee & Sons")
    assert lead["attributes"] == {"skill": "R&D", "points": 3, "tags": [{"tag": "a & b"}]}

    results = {"email": "d@b.example", "firstname": "Zoltan", "phone": "(415) 555-0123", "budget": "50k &amp; more"}
    submission = {"id": 7, "form": {"id": 1, "name": "demo"}, "lead": contact(3), "results": results}
    form = {"mautic.form_on_submit": [{"submission": submission, "timestamp": at}]}
    assert await outcomes(intake, hook, form) == ["created", "created"]
    lead = await the_lead(intake, "3")
    assert (lead["email"], lead["first_name"], lead["phone"]) == ("d@b.example", "Zoltan", "+14155550123")
    assert lead["attributes"]["budget"] == "50k & more"

    changed = {"contact": contact(3), "channel": "email", "old_status": "contactable", "new_status": "unsubscribed"}
    assert await outcomes(intake, hook, {"mautic.lead_channel_subscription_changed": changed}) == ["updated", "created"]
    assert await outcomes(intake, hook, {"mautic.lead_post_delete": [{"id": 3, "contact": contact(3)}]}) == ["ignored"]
    assert await outcomes(intake, hook, {"mautic.lead_post_save_new": [7, {"contact": []}]}) == ["held", "held"]

    test = {"mautic.lead_post_save_new": [{"contact": contact(4), "timestamp": at}], "timestamp": at}
    assert await outcomes(intake, hook, test) == ["created"]
    assert (await the_lead(intake, "4"))["test"] is True
    assert await outcomes(intake, hook, {"mautic.lead_post_save_new": [{"contact": contact(4, city="Bern")}]})
    assert (await the_lead(intake, "4"))["test"] is False
    events = await intake.published(lambda events: len(events) == 9)
    told = b" ".join(event.message.SerializeToString().lower() for event in events)
    assert not any(word in told for word in (b"zoltan", b"d@b.example", b"4155550123"))


def hubspot(body: bytes, path: str, *, version: str) -> dict[str, str]:
    signed = {"v1": SECRET.encode() + body, "v2": f"{SECRET}POST{PUBLIC}{path}".encode() + body}
    if version in signed:
        digest = hashlib.sha256(signed[version]).hexdigest()
        return {"x-hubspot-signature": digest, "x-hubspot-signature-version": version}
    stamp = str(int(time.time() * 1000))
    mac = hmac.digest(SECRET.encode(), f"POST{PUBLIC}{path}".encode() + body + stamp.encode(), "sha256")
    return {"x-hubspot-signature-v3": base64.b64encode(mac).decode(), "x-hubspot-request-timestamp": stamp}


async def test_hubspot_signs_in_three_ways_and_leaves_properties_out(intake: Actor) -> None:
    hook = await connect(intake, "hubspot-workflow", default_region="US")

    async def post(payload: Any, version: str) -> list[dict[str, Any]]:
        raw = json.dumps(payload).encode()
        answer = await send(intake, hook, raw, **hubspot(raw, hook, version=version))
        assert answer.status_code == 202, answer.text
        events: list[dict[str, Any]] = answer.json()["events"]
        return events

    properties: dict[str, Any] = {
        "email": {"value": "A@B.example", "versions": [{"value": "A@B.example", "timestamp": 1}]},
        "mobilephone": {"value": "(415) 555-0123"},
        "numberofemployees": {"value": "50-100"},
        "numemployees": {"value": "75"},
        "country": "Atlantis",
        "notes_last": {"value": None, "versions": []},
    }
    company = {"company-id": 9, "properties": {"name": {"value": "Bee"}, "city": {"value": "Bern"}}}
    submissions = [{"conversion-id": "x", "form-id": "f", "timestamp": 2, "title": "Demo"}]
    whole = {"vid": 5, "portal-id": 1, "properties": properties, "associated-company": company}
    whole |= {"form-submissions": submissions, "profile-url": "https://app.example/5", "merged-vids": []}
    assert [one["outcome"] for one in await post(whole, "v1")] == ["created"]
    assert [one["outcome"] for one in await post(whole, "v2")] == ["duplicate"]
    lead = await the_lead(intake, "5")
    assert (lead["email"], lead["phone"], lead["company"]) == ("a@b.example", "+14155550123", "Bee")
    assert lead["attributes"] == {
        "mobilephone": "(415) 555-0123",
        "numemployees": "75",
        "employees_as_sent": "50-100",
        "country_as_sent": "Atlantis",
        "portal_id": 1,
        "form_submissions": submissions,
        "profile_url": "https://app.example/5",
        "associated_company_company_id": 9,
        "associated_company_name": "Bee",
        "associated_company_city": "Bern",
    }
    assert [one["outcome"] for one in await post({"vid": 6}, "v3")] == ["created"]
    (held,) = await post({"properties": {}}, "v3")
    assert (held["outcome"], bool(held["reason"])) == ("held", True)
    raw = json.dumps(whole).encode()
    answer = await send(intake, hook, raw, **hubspot(raw, f"{hook}?x", version="v3"))
    assert answer.status_code == 401


async def test_generic_keeps_what_its_mapping_leaves_and_what_was_allowed(intake: Actor) -> None:
    hook = await connect(intake, "generic", mapping={"email": "person.mail", "company": "org"})
    body = {"person": {"mail": "a@b.example", "city": "Bern"}, "org": "Bee", "company": "bee", "stage": "hot"}
    body |= {"consent": [{"purpose": "news", "granted": True}], "cost": "a lot"}
    assert await outcomes(intake, hook, body) == ["created"]
    (lead,) = (await intake.http.get("/v1/leads", params={"email": "a@b.example"})).json()["items"]
    assert lead["company"] == "Bee"
    assert [one["purpose"] for one in lead["consent"]] == ["news"]
    assert lead["attributes"] == {
        "person": {"city": "Bern"},
        "company_as_sent": "bee",
        "stage_as_sent": "hot",
        "cost_as_sent": "a lot",
    }


async def test_what_was_held_is_read_again_and_goes_with_its_lead(intake: Actor) -> None:
    hook = await connect(intake, "generic")

    async def held(body: Any) -> str:
        (event,) = (await send(intake, hook, body)).json()["events"]
        assert event["outcome"] == "held"
        return f"/v1/events/{event['event_id']}"

    one, strange = await held({"mail": "a@b.example"}), await held(b'{"mail": "\xe9@b.example"}')
    await send(intake, hook, [{"mail": "c@b.example"}, {"mail": "d@b.example"}, {"mail": "nobody"}])
    assert (await intake.http.get(strange)).json()["body_base64"] == base64.b64encode(
        b'{"mail": "\xe9@b.example"}'
    ).decode()
    settings = {"settings": {"mapping": {"email": "mail"}}}
    assert (await intake.http.patch(hook.replace("hooks", "connections"), json=settings)).status_code == 200
    (read,) = (await intake.http.post(f"{one}/reparse")).json()["events"]
    assert read["outcome"] == "created"
    span = {"connection_id": hook.split("/")[-1], "from": "2020-01-01T00:00:00Z", "to": "2120-01-01T00:00:00Z"}
    assert (await intake.http.post("/v1/events/reparse", json=span)).json() == {"read": 2, "held": 2, "left": 0}
    shown = (await intake.http.get(one)).json()
    assert (shown["lead_id"], shown["body"]) == (read["lead_id"], '{"mail": "a@b.example"}')
    assert (await intake.http.delete(f"/v1/leads/{read['lead_id']}/personal-data")).status_code == 202
    assert (await intake.http.get(one)).json()["body"] is None
    assert (await intake.http.post(f"{one}/reparse")).status_code == 409


async def test_too_fast_and_too_many_come_again(start: Stage) -> None:
    slow = await start("intake", rate_per_second=0.01)
    for provider, least in (("generic", 1), ("hubspot-workflow", 1000)):
        hook = await connect(slow, provider)
        raw = b'{"vid": 1, "external_id": "1"}'
        signed = {"x-api-key": SECRET, **hubspot(raw, hook, version="v3")}
        for headers, status in (({}, 401), ({}, 401), (signed, 202), (signed, 429)):
            answer = await slow.as_nobody().post(hook, content=raw, headers=headers)
            assert answer.status_code == status
        assert int(answer.headers["retry-after"]) > least
    full = await start("intake", queue_limit=0)
    hook, hubspots = await connect(full, "generic"), await connect(full, "hubspot-workflow")
    for path, after in (("/v1/leads", "1"), (hook, "1"), (hubspots, "1000")):
        raw = b'{"external_id": "1"}'
        headers = {"content-type": "application/json", "x-api-key": SECRET, **hubspot(raw, path, version="v3")}
        answer = await full.http.post(path, content=raw, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, after)
