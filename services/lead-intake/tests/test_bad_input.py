"""Whatever comes in at any door: a clear refusal that leaves nothing, or kept and held where a refusal loses a lead."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from backbone.testing.stage import Actor, Stage

LEAD = {"external_id": "bad"}
ENGAGEMENT = {"lead_external_id": "bad", "kind": "page_viewed"}
TOUCH = {"lead_external_id": "bad", "kind": "call", "rep_id": "ana"}
CONNECTION = {"provider": "generic", "name": "form"}
DOORS: dict[str, dict[str, Any]] = {
    "/v1/leads": LEAD,
    "/v1/engagements": ENGAGEMENT,
    "/v1/touches": TOUCH,
    "/v1/connections": CONNECTION,
}
KEY = "a secret of this test"
JSON = {"content-type": "application/json"}
MEBIBYTE = 1024 * 1024

NEVER_A_BODY = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    json.dumps(LEAD).encode("utf-16"),
    b'{"email": "a@b.example"} {}',
)
"""At no door."""

REFUSED: tuple[tuple[str, str, bytes], ...] = (
    ("/v1/leads", "/email", b'"' + b"a" * 300 + b'@b.example"'),
    ("/v1/leads", "/email", b'"nobody"'),
    ("/v1/leads", "/email", b"7"),
    ("/v1/leads", "/phone", b'"call me"'),
    ("/v1/leads", "/company", b'"nul \\u0000"'),
    ("/v1/leads", "/company", b'"' + b"x" * 100_000 + b'"'),
    ("/v1/leads", "/external_id", b'"' + b"x" * 129 + b'"'),
    ("/v1/leads", "/country", b'"Atlantis"'),
    ("/v1/leads", "/currency", b'"GOLD"'),
    ("/v1/leads", "/cost", b"-1"),
    ("/v1/leads", "/cost", b'"much"'),
    ("/v1/leads", "/revenue", b"-0.01"),
    ("/v1/leads", "/revenue", b"1e300"),
    ("/v1/leads", "/employees", b"-1"),
    ("/v1/leads", "/employees", b"1" + b"0" * 400),
    ("/v1/leads", "/employees", b'"12"'),
    ("/v1/leads", "/occurred_at", b'"9999-12-31T23:59:59Z"'),
    ("/v1/leads", "/occurred_at", b'"0001-01-01T00:00:00+14:00"'),
    ("/v1/leads", "/occurred_at", b'"2026-01-01T00:00:00"'),
    ("/v1/leads", "/assigned_at", b'"yesterday"'),
    ("/v1/leads", "/stage", b'"dreaming"'),
    ("/v1/leads", "/colour", b'"red"'),
    ("/v1/leads", "/live", b'"yes"'),
    ("/v1/leads", "/attributes", b'{"x": ["\\u0000"]}'),
    ("/v1/leads", "/attributes", b'{"\\u0000": 1}'),
    ("/v1/leads", "/attributes", b'{"x": 1' + b"0" * 301 + b"}"),
    ("/v1/leads", "/attributes", b'{"x":' + b"[" * 17 + b"]" * 17 + b"}"),
    ("/v1/leads", "/attributes", b'{"x": "' + b"x" * 200_000 + b'"}'),
    ("/v1/leads", "/attributes", b"[]"),
    ("/v1/leads", "/consent", b"[" + b", ".join([b'{"purpose": "news"}'] * 51) + b"]"),
    ("/v1/leads", "/consent/0/purpose", b'[{"purpose": "\\u0000"}]'),
    ("/v1/leads", "/consent/0/at", b'[{"purpose": "news", "at": "9999-01-01T00:00:00Z"}]'),
    ("/v1/engagements", "/kind", b'""'),
    ("/v1/engagements", "/kind", b"7"),
    ("/v1/engagements", "/occurred_at", b'"2026-01-01"'),
    ("/v1/engagements", "/properties", b'{"x": "\\u0000"}'),
    ("/v1/engagements", "/lead_id", b'"x"'),
    ("/v1/engagements", "/colour", b"1"),
    ("/v1/touches", "/kind", b'"smoke signal"'),
    ("/v1/touches", "/outcome", b'"who knows"'),
    ("/v1/touches", "/rep_id", b'""'),
    ("/v1/touches", "/rep_id", b'"' + b"x" * 129 + b'"'),
    ("/v1/touches", "/next_at", b'"soon"'),
    ("/v1/touches", "/note", b'"' + b"x" * 10_001 + b'"'),
    ("/v1/touches", "/automated", b'"no"'),
    ("/v1/connections", "/provider", b'"pigeon"'),
    ("/v1/connections", "/name", b'"\\u0000"'),
    ("/v1/connections", "/name", b'"' + b"x" * 201 + b'"'),
    ("/v1/connections", "/name", b'"\\ud800"'),
    ("/v1/connections", "/secret", b'"\\u0000"'),
    ("/v1/connections", "/colour", b'"red"'),
    ("/v1/connections", "/settings/colour", b'{"colour": "red"}'),
    ("/v1/connections", "/settings", b'{"\\udfff": 1}'),
    ("/v1/connections", "/settings", b'{"mapping": {"email": "\\ud800"}}'),
    ("/v1/connections", "/settings", b'{"sealed_attributes": ["\\u0000"]}'),
    ("/v1/connections", "/settings/default_region", b'{"default_region": NaN}'),
)
"""One field each, beside those that are right."""

UNREADABLE = (b"NaN", b"Infinity", b'"\\ud800"', b"1e400", b'"\x00"', b'"\xff"', b"tru")
"""No values of JSON, as far as msgspec's doors know."""


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


def said(base: dict[str, Any], field: str, value: bytes) -> bytes:
    others = {name: one for name, one in base.items() if name != field}
    return json.dumps({**others, field: "here"}).encode().replace(b'"here"', value)


def bad_bodies() -> Iterator[tuple[str, bytes, set[int], str | None]]:
    for door in DOORS:
        for body in NEVER_A_BODY:
            yield door, body, {400, 422}, None
        yield door, b'{"x": "' + b"a" * MEBIBYTE + b'"}', {413}, None
    for door, pointer, value in REFUSED:
        field = pointer.split("/")[1]
        yield door, said(DOORS[door], field, value), {422}, pointer
    for door in ("/v1/leads", "/v1/engagements", "/v1/touches"):
        for value in UNREADABLE:
            yield door, said(DOORS[door], "live", value), {400, 422}, None
    yield "/v1/leads", b'{"company": "nobody"}', {422}, "/"
    yield "/v1/engagements", b'{"kind": "page_viewed"}', {422}, "/"
    yield "/v1/touches", b'{"kind": "call", "rep_id": "ana"}', {422}, "/"
    for what in ("leads", "engagements", "touches"):
        for body in (*NEVER_A_BODY[:8], b"{}", b'{"%b": []}' % what.encode()):
            yield f"/v1/{what}/batch", body, {400, 422}, None


async def rows(intake: Actor) -> list[int]:
    tables = ("lead", "event", "fact", "identifier", "connection", "outbox", "consent")
    async with intake.database.reading() as conn:
        return [await conn.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


def is_clear(answer: httpx.Response, statuses: set[int], pointer: str | None) -> bool:
    problem = answer.json() if answer.headers["content-type"] == "application/problem+json" else {}
    pointers = [one["pointer"] for one in problem.get("errors", ())]
    return (
        answer.status_code in statuses
        and problem.get("status") == answer.status_code
        and bool(problem.get("detail"))
        and (pointer is None or pointer in pointers)
        and (answer.status_code != 422 or bool(pointers))
    )


async def test_every_door_refuses_it_clearly_and_keeps_nothing_of_it(intake: Actor) -> None:
    before = await rows(intake)
    unclear = []
    for door, body, statuses, pointer in bad_bodies():
        answer = await intake.http.post(door, content=body, headers=JSON)
        if not is_clear(answer, statuses, pointer) or b"xxxxx" in answer.content:
            unclear.append((door, body[:80], answer.status_code, answer.text[:300]))
    assert not unclear
    assert await rows(intake) == before


async def test_a_body_is_as_large_as_it_turns_out_to_be(intake: Actor) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 65_536

    url = await hook(intake)
    bomb = gzip.compress(b'{"email": "' + b"a" * 5 * MEBIBYTE + b'"}')
    packed = {**JSON, "content-encoding": "gzip", "X-API-Key": KEY}
    for door in ("/v1/leads", "/v1/leads/batch", "/v1/engagements", "/v1/touches", url):
        assert (await intake.http.post(door, content=chunks(), headers=packed)).status_code == 413
        assert (await intake.http.post(door, content=bomb, headers=packed)).status_code == 413
    lead = gzip.compress(json.dumps(LEAD).encode())
    assert (await intake.http.post("/v1/leads", content=lead, headers=packed)).json()["outcome"] == "created"
    (event,) = (await intake.http.post(url, content=lead, headers=packed)).json()["events"]
    assert event["outcome"] == "created"
    assert (await intake.http.post("/v1/leads", content=lead[:-9], headers=packed)).status_code == 400
    packed["content-encoding"] = "br"
    assert (await intake.http.post("/v1/leads", content=lead, headers=packed)).status_code == 415
    (event,) = (await intake.http.post(url, content=lead, headers=packed)).json()["events"]
    assert event["outcome"] == "held"


async def hook(intake: Actor, provider: str = "generic", **settings: Any) -> str:
    body = {"provider": provider, "name": provider, "secret": KEY, "settings": settings}
    url: str = (await intake.http.post("/v1/connections", json=body)).json()["hook_url"]
    return url.removeprefix("http://intake.test")


async def test_a_hook_never_loses_what_is_signed(intake: Actor) -> None:
    url = await hook(intake)
    bodies = [body for body in NEVER_A_BODY if body != b"[]"]
    bodies += [said(LEAD, pointer.split("/")[1], value) for door, pointer, value in REFUSED if door == "/v1/leads"]
    bodies += [said(LEAD, "x", value) for value in UNREADABLE]
    bodies += [b'[{"external_id": "1", "x": ' + b"[" * deep + b"]" * deep + b"}, 7]" for deep in range(960, 1000, 4)]
    lost = []
    for body in bodies:
        answer = await intake.as_nobody().post(url, content=body, headers={**JSON, "X-API-Key": KEY})
        events = answer.json().get("events") or [{}]
        if answer.status_code != 202 or any(one.get("outcome") in (None, "ignored") for one in events):
            lost.append((body[:80], answer.status_code, answer.text[:300]))
            continue
        if (held := events[0])["outcome"] == "held" and len(events) == 1:
            kept = (await intake.http.get(f"/v1/events/{held['event_id']}")).json()
            whole = kept["body"].encode() == body or kept.get("body_base64")
            if not held["reason"] or not whole:
                lost.append((body[:80], kept["reason"]))
    assert not lost


async def test_the_wrong_key_and_the_wrong_address_get_nothing_in(intake: Actor) -> None:
    url = await hook(intake)
    before = await rows(intake)
    nobody = intake.as_nobody()
    for headers in (
        {},
        {"X-API-Key": "another"},
        {"Authorization": "Basic ???"},
        {"Authorization": "Bearer é".encode()},
    ):
        answer = await nobody.post(url, json=LEAD, headers=headers)
        assert is_clear(answer, {401}, None)
    for path in ("/v1/hooks/none", "/v1/hooks/%00", f"/v1/hooks/{'x' * 5000}"):
        answer = await nobody.post(path, json=LEAD, headers={"X-API-Key": KEY})
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await rows(intake) == before


async def test_a_question_that_makes_no_sense_is_refused(intake: Actor) -> None:
    for query in (
        "leads?cursor=WyJ4Il0=",
        "leads?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ==",
        "leads?updated_since=2026-01-01",
        "leads?limit=501",
        "leads/%00",
        "connections?cursor=WzFd",
        "events/x",
    ):
        answer = await intake.http.get(f"/v1/{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), query
