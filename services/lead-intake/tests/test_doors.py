"""Who may post what, what waits for whom, and what happens at once at two replicas."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import lead_values, times
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, routing_pb2

ROLES = ("integration", "rep", "sdr", "marketing", "manager", "admin")
NOBODY = "0193b0f0-7c1e-7a52-9d3b-5b1f6f0a2c11"
READERS = {"rep", "sdr", "marketing", "manager"}
ALLOWED: Mapping[tuple[str, str], set[str]] = {
    ("POST", "/v1/leads"): {"integration", "rep", "sdr"},
    ("POST", "/v1/leads/batch"): {"integration", "rep", "sdr"},
    ("POST", "/v1/engagements"): {"integration"},
    ("POST", "/v1/engagements/batch"): {"integration"},
    ("POST", "/v1/touches"): {"integration", "rep", "sdr"},
    ("POST", "/v1/touches/batch"): {"integration", "rep", "sdr"},
    ("GET", "/v1/leads"): READERS,
    ("GET", f"/v1/leads/{NOBODY}"): READERS,
    ("PATCH", f"/v1/leads/{NOBODY}"): READERS,
    ("POST", f"/v1/leads/{NOBODY}/merge"): {"marketing", "manager"},
    ("POST", f"/v1/leads/{NOBODY}/unmerge"): {"marketing", "manager"},
    ("DELETE", f"/v1/leads/{NOBODY}/personal-data"): set(),
    ("GET", f"/v1/erasures/{NOBODY}"): set(),
    ("POST", "/v1/connections"): {"marketing"},
    ("GET", "/v1/connections"): {"marketing", "manager"},
    ("PATCH", "/v1/connections/none"): {"marketing"},
    ("DELETE", "/v1/connections/none"): {"marketing"},
    ("POST", "/v1/connections/none/rotate-secret"): {"marketing"},
    ("GET", f"/v1/events/{NOBODY}"): {"marketing", "manager"},
    ("POST", f"/v1/events/{NOBODY}/reparse"): {"marketing", "manager"},
    ("POST", "/v1/vault/keys"): set(),
}
"""Beside the admin, who may everything but have keys."""


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


async def test_each_role_may_what_it_may(intake: Actor) -> None:
    wrong = []
    for role in ROLES:
        client = intake.as_role(role, rep="ana" if role in ("rep", "sdr") else None)
        for (method, path), roles in ALLOWED.items():
            answer = await client.request(method, path, json={} if method in ("POST", "PATCH") else None)
            may = role in roles or (role == "admin" and not path.endswith("/keys"))
            if (answer.status_code == 403) == may:
                wrong.append((role, method, path, answer.status_code))
    assert not wrong


async def post(actor: Actor, what: str, **fields: Any) -> dict[str, Any]:
    answer = await actor.http.post(f"/v1/{what}", json=fields)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_rep_lists_and_finds_own_leads_alone(intake: Actor) -> None:
    mine = (await post(intake, "leads", email="a@b.example"))["lead_id"]
    await post(intake, "leads", email="c@b.example")
    async with intake.database.reading() as conn:
        now = times.stamp(await times.now(conn))
    stamp = common_pb2.Stamp(lead_id=mine, live=True, occurred_at=now, recorded_at=now)
    await intake.publish("routing", [(UUID(mine), routing_pb2.LeadRouted(stamp=stamp, rep_id="ana", cycle=1))])
    await intake.settled()

    async def found(**asked: str) -> list[str]:
        items = (await intake.as_role("rep", rep="ana").get("/v1/leads", params=asked)).json()["items"]
        return [one["lead_id"] for one in items]

    assert await found() == [mine]
    assert await found(email="a@b.example") == [mine]
    assert await found(email="c@b.example") == []


async def test_what_is_held_comes_with_the_lead_by_whichever_name(intake: Actor) -> None:
    names = {"email": "late@b.example", "lead_external_id": "late"}
    for number, by in enumerate(({"external_id": "late"}, {"email": "late@b.example"})):
        said = {name: value.replace("late", f"late{number}") for name, value in names.items()}
        assert (await post(intake, "engagements", kind="page_viewed", **said))["outcome"] == "held"
        touch = {"rep_id": "ana", "kind": "call", "note": "she is away", **said}
        assert (await post(intake, "touches", **touch))["outcome"] == "held"
        before = datetime.now(UTC)
        lead = await post(
            intake, "leads", **{name: value.replace("late", f"late{number}") for name, value in by.items()}
        )
        events = await intake.published(lambda events, wanted=3 * (number + 1): len(events) == wanted)
        assert [event.type for event in events[-3:]] == ["LeadCaptured", "EngagementRecorded", "TouchRecorded"]
        assert {str(event.subject) for event in events[-3:]} == {lead["lead_id"]}
        # Of whom it was nobody knew before: what was asked of that time does not change.
        recorded = [event.message.stamp.recorded_at.ToDatetime(UTC) for event in events[-2:]]
        assert min(recorded) > before
    both = await post(intake, "leads", email="late0@b.example", external_id="late0")
    assert both["outcome"] == "updated"
    assert len(await intake.published(lambda events: len(events) == 7)) == 7


async def test_how_it_stands_elsewhere_travels_with_the_lead(intake: Actor) -> None:
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    standing = {"owner_id": "ana", "assigned_at": old, "stage": "mql", "status": "contacted"}
    await post(intake, "leads", external_id="moved", occurred_at=old, disqualified_reason="timing", **standing)
    ahead = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    soon = await post(intake, "leads", external_id="soon", occurred_at=ahead)
    first, second = await intake.published(lambda events: len(events) == 2)
    if first.message.standing.owner_id != "ana":
        first, second = second, first
    said = first.message.standing
    assert (said.owner_id, said.stage, said.status, said.disqualified_reason) == ("ana", "mql", "contacted", "timing")
    assert times.at(said.assigned_at) == datetime.fromisoformat(old)
    assert not first.message.stamp.live
    assert second.message.stamp.occurred_at == second.message.stamp.recorded_at
    later = {"external_id": "later", "owner_id": "ana", "assigned_at": "2099-01-01T00:00:00Z"}
    refused = await intake.http.post("/v1/leads", json=later)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/assigned_at")
    assert str(second.subject) == soon["lead_id"]
    too_far = {"external_id": "far", "occurred_at": (datetime.now(UTC) + timedelta(minutes=6)).isoformat()}
    assert (await intake.http.post("/v1/leads", json=too_far)).status_code == 422


async def test_what_conditions_read_stays_with_the_lead_and_is_its_survivors(intake: Actor) -> None:
    def word(purpose: str, day: int, *, granted: bool = True) -> dict[str, Any]:
        return {"purpose": purpose, "basis": "form", "granted": granted, "at": f"2026-01-0{day}T00:00:00Z"}

    elsewhere = {"owner_id": "ana", "assigned_at": "2026-01-01T00:00:00+01:00", "status": "contacted"}
    first = await post(intake, "leads", email="a@b.example", consent=[word("news", 1), word("calls", 1)], **elsewhere)
    await post(intake, "leads", email="a@b.example", company="Acme", consent=[word("news", 3, granted=False)])
    other = await post(intake, "leads", external_id="b", disqualified_reason="timing", consent=[word("calls", 2)])
    path = f"/v1/leads/{first['lead_id']}"
    for act in ("merge", "unmerge"):
        answer = await intake.http.post(f"{path}/{act}", json={"other_lead_id": other["lead_id"]})
        assert answer.status_code == 200, answer.text
        await post(intake, "leads", email="a@b.example", campaign=f"after the {act}")

    def said(lead: common_pb2.LeadFields) -> tuple[Any, ...]:
        values = lead_values.of(lead)
        names = ("owner_id", "status", "disqualified_reason", "external_id")
        words = [(one["purpose"], one["granted"], one["at"][:10]) for one in values["lead.consent"]]
        at = datetime.fromtimestamp(values["lead.assigned_at"] / 1e6, UTC).isoformat()
        return *(values[f"lead.{name}"] for name in names), at, words

    events = await intake.published(lambda events: sum(event.type == "LeadUpdated" for event in events) == 3)
    told = [one for one in events if str(one.subject) == first["lead_id"] and one.type != "ConsentChanged"]
    withdrawn = ("news", False, "2026-01-03")
    at_first = ("ana", "contacted", "", "", "2025-12-31T23:00:00+00:00")
    before = (*at_first, [("news", True, "2026-01-01"), ("calls", True, "2026-01-01")])
    alone = (*at_first, [("calls", True, "2026-01-01"), withdrawn])
    united = ("ana", "contacted", "timing", "b", at_first[-1], [("calls", True, "2026-01-02"), withdrawn])
    assert [(one.type, said(one.message.lead)) for one in told] == [
        ("LeadCaptured", before),
        ("LeadUpdated", alone),
        ("LeadMerged", united),
        ("LeadUpdated", united),
        ("LeadUnmerged", alone),
        ("LeadUpdated", alone),
    ]
    shown = (await intake.http.get(path)).json()
    assert (shown["owner_id"], shown["status"], shown["company"]) == ("ana", "contacted", "Acme")
    assert datetime.fromisoformat(shown["assigned_at"]) == datetime.fromisoformat(elsewhere["assigned_at"])


async def test_what_a_person_corrects_of_consents_and_owners_is_told(intake: Actor) -> None:
    lead = await post(intake, "leads", email="a@b.example")
    path = f"/v1/leads/{lead['lead_id']}"
    for change in ({"consent": [{"purpose": "news"}]}, {"owner_id": "ben"}):
        assert (await intake.http.patch(path, json=change)).status_code == 200
    events = await intake.published(lambda events: sum(event.type == "LeadUpdated" for event in events) == 2)
    changes = [list(event.message.changed) for event in events if event.type == "LeadUpdated"]
    assert changes == [["consent"], ["owner_id"]]


async def test_a_phone_that_a_person_adds_does_not_make_two_people_one(intake: Actor) -> None:
    a = await post(intake, "leads", email="a@b.example")
    assert (await intake.http.patch(f"/v1/leads/{a['lead_id']}", json={"phone": "+4930901820"})).status_code == 200
    b = await post(intake, "leads", email="c@b.example", phone="+4930901820")
    assert (b["outcome"], b["lead_id"] == a["lead_id"]) == ("created", False)


async def test_a_kept_answer_shows_its_secret_to_nobody_else(intake: Actor) -> None:
    body = {"provider": "generic", "name": "form", "secret": "never seen again"}
    made = [await intake.http.post("/v1/connections", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert made[0].json()["secret"] == "never seen again"
    path = f"/v1/connections/{made[0].json()['id']}/rotate-secret"
    rotated = [await intake.http.post(path, headers={"Idempotency-Key": "r"}) for _ in range(2)]
    assert rotated[0].json() == rotated[1].json()
    async with intake.database.reading() as conn:
        kept = [row[0] for row in await conn.fetch("SELECT body FROM idempotency")]
    assert len(kept) == 2
    assert not any(word in str(kept) for word in ("never seen again", rotated[0].json()["secret"]))


async def test_what_comes_at_once_at_two_replicas_is_who_it_is(start: Stage) -> None:
    one = await start("intake")
    other = await start(
        "intake", database_url=one.settings.database_url, vault_database_url=one.settings.vault_database_url
    )
    chance = random.Random(7)
    people = []
    for number in range(12):
        email, phone, outside = f"p{number}@b.example", f"+4930901{number:03}", f"x{number}"
        said = [{"email": email}, {"email": email, "external_id": outside}, {"external_id": outside, "phone": phone}]
        people += [
            {**fields, "attributes": {"person": number}} for fields in (*said, {"phone": phone}, {"email": email})
        ]
    chance.shuffle(people)
    answers = await asyncio.gather(
        *(chance.choice((one, other)).http.post("/v1/leads", json=fields) for fields in people)
    )
    assert {answer.status_code for answer in answers} == {202}
    items = (await one.http.get("/v1/leads", params={"limit": "500"})).json()["items"]
    alive = [lead for lead in items if lead["merged_into"] is None]
    assert sorted(lead["attributes"]["person"] for lead in alive) == list(range(12))
    assert all(lead["email"] and lead["phone"] and lead["external_id"] for lead in alive)
    created = sum(answer.json()["outcome"] in ("created",) for answer in answers)
    assert created >= 12
    pairs = [(lead["lead_id"], chance.choice(alive)["lead_id"]) for lead in alive]
    merged = await asyncio.gather(
        *(
            chance.choice((one, other)).http.post(f"/v1/leads/{a}/merge", json={"other_lead_id": b})
            for a, b in pairs
            if a != b
        )
    )
    assert {answer.status_code for answer in merged} <= {200, 409}
    after = (await other.http.get("/v1/leads", params={"limit": "500"})).json()["items"]
    roots = {lead["lead_id"] for lead in after if lead["merged_into"] is None}
    assert len(roots) == 12 - sum(answer.status_code == 200 for answer in merged)
    assert all(lead["merged_into"] in roots for lead in after if lead["merged_into"] is not None)
