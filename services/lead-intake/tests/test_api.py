"""lead-intake as its callers meet it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backbone.testing.stage import Actor, Stage


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


@pytest.fixture(scope="module")
async def refusing(start_once: Stage) -> Actor:
    """It takes nothing of what it is given."""
    return await start_once("intake")


def ago(**delta: float) -> str:
    return (datetime.now(UTC) - timedelta(**delta)).isoformat()


async def test_a_lead_is_created_read_and_published(intake: Actor) -> None:
    post = {"email": "Amara@Fintrove.example", "first_name": "Amara", "company": "Fintrove", "employees": 800}
    answer = await intake.http.post("/v1/leads", json={**post, "external_id": "c-1", "attributes": {"plan": "pro"}})
    assert answer.status_code == 202
    assert answer.json()["outcome"] == "created"
    lead = (await intake.http.get(f"/v1/leads/{answer.json()['lead_id']}")).json()
    assert lead["email"] == "amara@fintrove.example"
    assert lead["employees"] == 800
    assert lead["attributes"] == {"plan": "pro"}
    (event,) = await intake.published(lambda events: len(events) == 1)
    assert event.type == "LeadCaptured"
    assert event.message.lead.has_email
    assert event.message.lead.email_domain == "fintrove.example"
    assert event.message.stamp.live
    assert b"amara" not in event.message.SerializeToString().lower()


async def test_the_same_person_by_any_identifier_is_one_lead(intake: Actor) -> None:
    async def post(**fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await intake.http.post("/v1/leads", json=fields)).json()
        return answer

    first = await post(email="a@b.example", external_id="1")
    again = await post(email="A@B.example", company="B")
    third = await post(external_id="1", phone="+49 30 901820")
    by_phone = await post(phone="0049 30 901820".replace("0049", "+49"), job_title="CTO")
    assert {one["lead_id"] for one in (first, again, third, by_phone)} == {first["lead_id"]}
    assert [one["outcome"] for one in (first, again, third, by_phone)] == ["created", "updated", "updated", "updated"]
    assert (await post(email="a@b.example"))["outcome"] == "duplicate"


async def test_a_post_that_names_two_leads_merges_them_and_keeps_the_older(intake: Actor) -> None:
    one = (await intake.http.post("/v1/leads", json={"email": "a@b.example"})).json()
    two = (await intake.http.post("/v1/leads", json={"external_id": "x"})).json()
    both = (await intake.http.post("/v1/leads", json={"email": "a@b.example", "external_id": "x"})).json()
    assert both["outcome"] == "merged"
    assert both["lead_id"] == one["lead_id"]
    assert (await intake.http.get(f"/v1/leads/{two['lead_id']}")).json()["merged_into"] == one["lead_id"]
    events = await intake.published(lambda events: sum(event.type == "LeadMerged" for event in events) == 2)
    assert {str(event.original_subject) for event in events if event.type == "LeadMerged"} == {
        one["lead_id"],
        two["lead_id"],
    }


async def test_two_people_behind_one_phone_stay_two(intake: Actor) -> None:
    a = (await intake.http.post("/v1/leads", json={"email": "a@b.example", "phone": "+4930901820"})).json()
    b = (await intake.http.post("/v1/leads", json={"email": "c@b.example", "phone": "+4930901820"})).json()
    assert a["lead_id"] != b["lead_id"]


async def test_a_hundred_pairs_posted_at_once_are_a_hundred_leads(intake: Actor) -> None:
    posts = [{"email": f"lead{number}@pair.example"} for number in range(100) for _ in range(2)]
    answers = await asyncio.gather(*(intake.http.post("/v1/leads", json=post) for post in posts))
    assert {answer.status_code for answer in answers} == {202}
    outcomes = [answer.json()["outcome"] for answer in answers]
    assert sorted(outcomes) == ["created"] * 100 + ["duplicate"] * 100
    assert len({answer.json()["lead_id"] for answer in answers}) == 100


async def test_engagements_and_touches_wait_for_their_lead(intake: Actor) -> None:
    engagement = {"lead_external_id": "late", "kind": "pricing_viewed", "external_id": "e-1"}
    held = (await intake.http.post("/v1/engagements", json=engagement)).json()
    assert held["outcome"] == "held"
    touch = {"email": "late@b.example", "rep_id": "ana", "kind": "call", "outcome": "connected"}
    assert (await intake.http.post("/v1/touches", json=touch)).json()["outcome"] == "held"
    lead = (await intake.http.post("/v1/leads", json={"email": "late@b.example", "external_id": "late"})).json()
    events = await intake.published(lambda events: len(events) == 3)
    assert {event.type for event in events} == {"LeadCaptured", "EngagementRecorded", "TouchRecorded"}
    assert {str(event.subject) for event in events} == {lead["lead_id"]}
    again = (await intake.http.post("/v1/engagements", json=engagement)).json()
    assert (again["outcome"], again["event_id"]) == ("duplicate", held["event_id"])


async def test_who_hosts_a_meeting_is_told_in_the_clear_and_every_other_address_is_sealed(intake: Actor) -> None:
    lead_id = (await intake.http.post("/v1/leads", json={"external_id": "guest"})).json()["lead_id"]
    said = {"host_email": "Ana@Kestrel.example", "meeting_id": "m-1", "guest": "amara@fintrove.example"}
    named = {"lead_id": lead_id, "properties": said}
    wordy = {**named, "properties": {"host_email": "write to amara@fintrove.example"}}
    for kind, one in (("meeting_booked", named), ("form_submitted", named), ("meeting_booked", wordy)):
        assert (await intake.http.post("/v1/engagements", json={**one, "kind": kind})).status_code == 202
    _, *told = await intake.published(lambda events: len(events) == 4)
    seen = [(event.message.kind, dict(event.message.properties)) for event in told]
    assert seen == [
        ("meeting_booked", {"host_email": "Ana@Kestrel.example", "meeting_id": "m-1"}),
        ("form_submitted", {"meeting_id": "m-1"}),
        ("meeting_booked", {}),
    ]
    assert all(event.message.sealed for event in told)


async def test_history_is_not_live_until_it_does_something_today(intake: Actor) -> None:
    old = {"external_id": "old", "occurred_at": ago(days=30)}
    lead_id = (await intake.http.post("/v1/leads", json=old)).json()["lead_id"]
    await intake.http.post("/v1/engagements", json={"lead_id": lead_id, "kind": "demo_requested"})
    captured, engaged = await intake.published(lambda events: len(events) == 2)
    assert not captured.message.stamp.live
    assert engaged.message.stamp.live
    assert engaged.message.stamp.arrived_at == engaged.message.stamp.occurred_at
    asked = {"external_id": "asked", "occurred_at": ago(days=30), "live": True}
    await intake.http.post("/v1/leads", json=asked)
    assert (await intake.published(lambda events: len(events) == 3))[-1].message.stamp.live is not None


async def test_an_idempotency_key_gives_the_same_answer_and_refuses_another_body(intake: Actor) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await intake.http.post("/v1/leads", json={"email": "a@b.example"}, headers=headers)
    second = await intake.http.post("/v1/leads", json={"email": "a@b.example"}, headers=headers)
    other = await intake.http.post("/v1/leads", json={"email": "z@b.example"}, headers=headers)
    assert first.json() == second.json()
    assert other.status_code == 422


async def test_a_batch_answers_in_order_with_errors_in_place(intake: Actor) -> None:
    leads = [{"email": "a@b.example"}, {"email": "not an address"}, {"company": "nobody"}, {"external_id": "9"}]
    results = (await intake.http.post("/v1/leads/batch", json={"leads": leads})).json()["results"]
    assert [result.get("outcome") for result in results] == ["created", None, None, "created"]
    assert results[1]["error"]["errors"][0]["pointer"] == "/email"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 422),
        (b'{"email": "a@b.example", "attributes": {"x": ' + b"[" * 100_000 + b"}}", 400),
        (b'{"email": "a@b.example", "colour": "red"}', 422),
        (b'{"email": "' + b"a" * 300 + b'@b.example"}', 422),
        (b'{"company": "nobody"}', 422),
        (b'{"email": "a@b.example", "company": "nul \\u0000"}', 422),
        (b'{"email": "a@b.example", "attributes": {"x": ["\\u0000"]}}', 422),
        (b'{"email": "a@b.example", "occurred_at": "9999-01-01T00:00:00Z"}', 422),
        (b'{"email": "a@b.example", "occurred_at": "2026-01-01T00:00:00"}', 422),
        (b'{"email": "a@b.example", "employees": 99999999999999999999}', 422),
        (b"\xff\xfe", 400),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', 413),
    ],
)
async def test_bad_input_is_refused_and_leaves_nothing(refusing: Actor, content: bytes, status: int) -> None:
    answer = await refusing.http.post("/v1/leads", content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await refusing.http.get("/v1/leads")).json()["items"] == []


async def test_kafka_away_refuses_no_lead(start: Stage) -> None:
    intake = await start("intake", kafka="127.0.0.1:1")
    answer = await intake.http.post("/v1/leads", json={"email": "a@b.example"})
    assert answer.status_code == 202


async def test_erasure_leaves_nothing_readable_and_old_events_stay_erased(intake: Actor) -> None:
    post = {"email": "a@b.example", "first_name": "Amara", "occurred_at": ago(hours=1)}
    lead_id = (await intake.http.post("/v1/leads", json=post)).json()["lead_id"]
    erasure = (await intake.http.delete(f"/v1/leads/{lead_id}/personal-data")).json()["erasure_id"]
    assert (await intake.http.get(f"/v1/erasures/{erasure}")).json()["services"]["lead-intake"] == "done"
    shown = (await intake.http.get(f"/v1/leads/{lead_id}")).json()
    assert "amara" not in json.dumps(shown).lower()
    keys = await intake.as_service().post("/v1/vault/keys", json={"lead_ids": [lead_id]})
    assert keys.json() == {"keys": {}}
    assert (await intake.http.post("/v1/leads", json=post)).json()["outcome"] == "erased"
    fresh = (await intake.http.post("/v1/leads", json={"email": "a@b.example"})).json()
    assert (fresh["outcome"], fresh["lead_id"] != lead_id) == ("created", True)


async def test_the_doors_are_described(intake: Actor) -> None:
    described = (await intake.http.get("/openapi.json")).json()
    for path in ("/v1/leads", "/v1/touches/batch", "/v1/hooks/{connection_id}", "/v1/connections"):
        assert described["paths"][path]["post"]["responses"]
    fields = described["components"]["schemas"]["LeadPost"]["properties"]
    assert {"email", "phone", "external_id", "occurred_at", "attributes", "live"} <= fields.keys()
    assert described["paths"]["/v1/leads/{lead_id}"]["patch"]["requestBody"]


async def test_merge_by_hand_and_back(intake: Actor) -> None:
    a = (await intake.http.post("/v1/leads", json={"email": "a@b.example", "company": "B"})).json()["lead_id"]
    b = (await intake.http.post("/v1/leads", json={"email": "c@b.example", "job_title": "CTO"})).json()["lead_id"]
    ask: Any = {"json": {"other_lead_id": b}, "headers": {"Idempotency-Key": "once"}}
    first, again = [await intake.http.post(f"/v1/leads/{a}/merge", **ask) for _ in range(2)]
    assert (first.status_code, again.content) == (200, first.content)
    assert (await intake.http.get(f"/v1/leads/{a}")).json()["merged_from"] == [b]
    assert (await intake.http.post(f"/v1/leads/{a}/unmerge", json={"other_lead_id": b})).status_code == 200
    assert (await intake.http.get(f"/v1/leads/{b}")).json()["merged_into"] is None
    told = await intake.published(lambda events: sum(event.type == "LeadUnmerged" for event in events) == 2)
    parted = [event for event in told if event.type == "LeadUnmerged"]
    own = [event.version for event in parted if str(event.original_subject) == b]
    assert [event.message.unmerged_version for event in parted] == own * 2


async def test_what_a_person_verified_no_webhook_changes(intake: Actor) -> None:
    lead_id = (await intake.http.post("/v1/leads", json={"email": "a@b.example", "company": "Bee"})).json()["lead_id"]
    patched = await intake.http.patch(f"/v1/leads/{lead_id}", json={"company": "Bee Ltd"})
    assert patched.json()["company"] == "Bee Ltd"
    await intake.http.post("/v1/leads", json={"email": "a@b.example", "company": "bee"})
    assert (await intake.http.get(f"/v1/leads/{lead_id}")).json()["company"] == "Bee Ltd"


async def test_only_those_who_may_get_in(intake: Actor) -> None:
    post = {"email": "a@b.example"}
    assert (await intake.as_nobody().post("/v1/leads", json=post)).status_code == 401
    assert (await intake.as_service().post("/v1/leads", json=post)).status_code == 403
    lead_id = (await intake.as_role("integration").post("/v1/leads", json=post)).json()["lead_id"]
    assert (await intake.as_role("rep", rep="ana").get(f"/v1/leads/{lead_id}")).status_code == 403
    touch = {"lead_id": lead_id, "rep_id": "ben", "kind": "call"}
    assert (await intake.as_role("rep", rep="ana").post("/v1/touches", json=touch)).status_code == 403
    assert (await intake.http.post("/v1/vault/keys", json={"lead_ids": [lead_id]})).status_code == 403
