"""Alerts by server-sent events: whoever loses the connection misses none and gets none twice."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from backbone import ids
from backbone.database import Connection
from backbone.testing import eventually
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from sla_monitor import api_alerts, store_alerts
from tests.telling import captured, learn, merged, now, rep, routed, touch, unmerged

POLICY = "clocks: [{kind: first_response_5m, within: 1s, from: assignment, warn: [50%]}]"
ESCALATED = """
clocks: [{kind: first_response_5m, within: 1s, from: assignment}]
escalations: [{kind: first_response_5m, after: 0s, to: manager}]
"""
PATIENCE_S = 30


@pytest.fixture
async def sla(start: Stage) -> Actor:
    actor = await start("sla")
    assert (await actor.http.put("/v1/policies/standard", content=POLICY)).status_code == 200
    return actor


async def let_run_out(sla: Actor, leads: list[UUID], who: str = "ana") -> None:
    at = now() - timedelta(milliseconds=500)
    await sla.publish("routing", [routed(lead, at, who=rep(who)) for lead in leads])


async def told(
    http: httpx.AsyncClient, last: str | None = None, after: str | None = None
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Yield (id, alert) as they come, with the event's kind in `event`."""
    headers = {"Last-Event-ID": last} if last is not None else {}
    params = {"after": after} if after is not None else {}
    async with http.stream("GET", "/v1/alerts/stream", headers=headers, params=params) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        position = kind = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                position = value
            elif name == "event":
                kind = value
            elif name == "data":
                yield position, {"event": kind, **json.loads(value)}


async def some(http: httpx.AsyncClient, count: int, **where: str) -> list[tuple[str, dict[str, Any]]]:
    """Read so many, and go away."""
    found = []
    async with asyncio.timeout(PATIENCE_S), aclosing(told(http, **where)) as stream:
        async for one in stream:
            found.append(one)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_whoever_reconnects_goes_on_where_they_were_at_any_replica(sla: Actor, start: Stage) -> None:
    other = await start("sla", database_url=sla.settings.database_url)
    leads = [ids.new() for _ in range(6)]
    reading = asyncio.create_task(some(sla.http, 3, last="0"))
    await let_run_out(sla, leads[:3])
    first = await reading
    # Nobody is connected while the others run out.
    await let_run_out(sla, leads[3:])
    await sla.published(lambda seen: sum(event.type == "SlaBreached" for event in seen) == len(leads))
    rest = await some(other.http, 2 * len(leads) - len(first), last=first[-1][0])
    alerts = [alert for _, alert in first + rest]
    listed = (await sla.http.get("/v1/alerts")).json()
    assert [one["alert_id"] for one in alerts] == [one["alert_id"] for one in listed]
    assert {(one["lead_id"], one["level"]) for one in alerts} == {
        (str(lead), level) for lead in leads for level in ("warning", "breach")
    }
    # An alert's own id says where to go on as well as its position does.
    by_id = await some(sla.http, 1, last=alerts[0]["alert_id"])
    assert by_id[0][1]["alert_id"] == alerts[1]["alert_id"]


async def test_reps_are_streamed_their_own_alone(sla: Actor) -> None:
    mine, others = ids.new(), ids.new()
    await let_run_out(sla, [others], "ben")
    await let_run_out(sla, [mine], "ana")
    found = await some(sla.as_role("rep", rep="ana"), 2, last="0")
    assert {alert["lead_id"] for _, alert in found} == {str(mine)}
    for asked, count in (("ana", 2), ("ben", 0)):
        listed = await sla.as_role("rep", rep="ana").get("/v1/alerts", params={"rep_id": asked})
        assert len(listed.json()) == count, "another's alerts are not theirs"
    assert (await sla.as_nobody().get("/v1/alerts/stream")).status_code == 401
    refused = await sla.http.get("/v1/alerts/stream", headers={"Last-Event-ID": "no such"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "header/Last-Event-ID")


async def test_a_stream_ends_with_the_token_that_opened_it(sla: Actor, signer: Signer) -> None:
    authorization = {"Authorization": f"Bearer {signer.token('manager', lasts_s=8)}"}
    async with asyncio.timeout(PATIENCE_S):
        async with sla.as_nobody().stream("GET", "/v1/alerts/stream", headers=authorization) as answer:
            assert answer.status_code == 200
            assert [line async for line in answer.aiter_lines() if line] == [": connected"]
        assert (await sla.as_nobody().get("/v1/alerts", headers=authorization)).status_code == 401


def said(some: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, bool]]:
    """Return event, level, and whether it is retracted."""
    return [(alert["event"], alert["level"], alert["retracted_at"] is not None) for _, alert in some]


async def next_of(stream: AsyncGenerator[tuple[str, dict[str, Any]]], count: int) -> list[tuple[str, dict[str, Any]]]:
    """Read on in an open stream."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(stream) for _ in range(count)]


async def test_that_an_alert_was_retracted_is_told_to_who_listens_and_to_who_comes_back(sla: Actor) -> None:
    assert (await sla.http.put("/v1/policies/standard", content=ESCALATED)).status_code == 200
    lead, other, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(lead, at), captured(other, at), touch(other, at + timedelta(milliseconds=100)))
    await learn(sla, "routing", routed(lead, at))
    async with aclosing(told(sla.http, "0")) as stream:
        fired = await next_of(stream, 2)
        assert said(fired) == [("alert", "breach", False), ("alert", "escalation", False)]
        last = fired[-1][0]
        # Two leads turn out to be one, whom somebody had called in time.
        await learn(sla, "intake", *merged(lead, other, now(), came_at=at))
        wrong = await next_of(stream, 2)
        assert said(wrong) == [("retracted", "breach", True), ("retracted", "escalation", True)]
        assert [one["alert_id"] for _, one in wrong] == [one["alert_id"] for _, one in fired]
        assert await some(sla.http, 2, last=last) == wrong
        # They are two after all.
        await learn(sla, "intake", *unmerged(lead, other, now()))
        right = await next_of(stream, 2)
    assert said(right) == [("restored", "breach", False), ("restored", "escalation", False)]
    # Whoever missed a part of it, or all, gets how it is now.
    assert await some(sla.http, 2, last=wrong[0][0]) == await some(sla.http, 2, last=last) == right
    positions = [int(position) for position, _ in (*fired, *wrong, *right)]
    assert positions == sorted(set(positions)) == [one["position"] for _, one in (*fired, *wrong, *right)]
    # The list stays in the order in which they fired.
    listed = (await sla.http.get("/v1/alerts")).json()
    assert [(str(one["position"]), one["alert_id"]) for one in listed] == [(at, one["alert_id"]) for at, one in fired]
    assert (await sla.http.get("/v1/alerts", params={"after": fired[0][0]})).json() == listed[1:]
    assert (await sla.http.get("/v1/alerts", params={"after": last})).json() == []


async def test_whose_connection_breaks_before_the_first_alert_goes_on_from_there(
    sla: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await let_run_out(sla, [ids.new()])
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    last = (await sla.http.get("/v1/alerts")).json()[-1]
    monkeypatch.setattr(api_alerts, "KEEP_ALIVE_S", 0.1)
    async with asyncio.timeout(PATIENCE_S), sla.http.stream("GET", "/v1/alerts/stream") as answer:
        stands = await anext(line async for line in answer.aiter_lines() if line.startswith("id: "))
    assert stands == f"id: {last['position']}"
    # Nobody listens while the next one runs out.
    lead = ids.new()
    await let_run_out(sla, [lead])
    await sla.published(lambda seen: sum(event.type == "SlaBreached" for event in seen) == 2)
    for asked in ({"last": stands.removeprefix("id: ")}, {"after": last["alert_id"]}):
        found = await some(sla.http, 2, **asked)
        assert {alert["lead_id"] for _, alert in found} == {str(lead)}


async def test_whoever_comes_from_beyond_the_end_gets_what_comes_next(sla: Actor) -> None:
    where = {"Last-Event-ID": "999999999"}
    async with asyncio.timeout(PATIENCE_S), sla.http.stream("GET", "/v1/alerts/stream", headers=where) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": connected"
        lead = ids.new()
        await let_run_out(sla, [lead])
        data = await anext(line async for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["lead_id"] == str(lead)


async def somebody_waits(conn: Connection) -> None:
    waiting = "datname = current_database() AND wait_event_type = 'Lock'"
    await conn.execute("SELECT pg_stat_clear_snapshot()")
    assert await conn.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}") > 0


async def test_retractions_and_alerts_stand_in_the_order_of_commits_each_for_its_rep(sla: Actor) -> None:
    await let_run_out(sla, [ids.new()], "ben")
    *_, (last, breach) = await some(sla.http, 2, last="0")

    async with sla.database.transaction() as conn:
        await store_alerts.settle(conn, {UUID(breach["alert_id"]): False}, now())
        # Whoever fires meanwhile waits: all that stands before a position is there when that can be seen.
        await let_run_out(sla, [ids.new()])
        await eventually(lambda: somebody_waits(conn))
    found = await some(sla.http, 3, last=last)
    assert [one["event"] for _, one in found] == ["retracted", "alert", "alert"]
    assert [one["event"] for _, one in await some(sla.as_role("rep", rep="ana"), 2, last=last)] == ["alert", "alert"]
    assert [one["event"] for _, one in await some(sla.as_role("rep", rep="ben"), 1, last=last)] == ["retracted"]
    async with sla.database.transaction() as conn:
        await store_alerts.settle(conn, {UUID(breach["alert_id"]): True}, now())
        # Whoever comes without a position begins after it.
        assert await store_alerts.newest(conn) == int(found[-1][0]) + 1
