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
from backbone.testing.stage import Actor, Stage
from tests.telling import now, rep, routed

POLICY = "clocks: [{kind: first_response_5m, within: 1s, from: assignment, warn: [50%]}]"
PATIENCE_S = 30


@pytest.fixture
async def sla(start: Stage) -> Actor:
    actor = await start("sla")
    assert (await actor.http.put("/v1/policies/standard", content=POLICY)).status_code == 200
    return actor


async def let_run_out(sla: Actor, leads: list[UUID], who: str = "ana") -> None:
    at = now() - timedelta(milliseconds=500)
    await sla.publish("routing", [routed(lead, at, who=rep(who)) for lead in leads])


async def told(http: httpx.AsyncClient, last: str | None = None) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Yield (id, alert) as they come."""
    headers = {"Last-Event-ID": last} if last is not None else {}
    async with http.stream("GET", "/v1/alerts/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        position = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                position = value
            elif name == "data":
                yield position, json.loads(value)


async def some(http: httpx.AsyncClient, count: int, last: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Read so many, and go away."""
    found = []
    async with asyncio.timeout(PATIENCE_S), aclosing(told(http, last)) as stream:
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
    assert (await sla.as_nobody().get("/v1/alerts/stream")).status_code == 401
    assert (await sla.http.get("/v1/alerts/stream", headers={"Last-Event-ID": "no such"})).status_code == 422
