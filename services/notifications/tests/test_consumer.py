"""What is told of whom: names opened in time, history passed over, two replicas that tell once."""

import asyncio
import base64
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backbone import ids, times, vault
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2, sla_pb2

AT = times.parse("2026-11-10T12:00:00Z")


@dataclass
class Outside:
    """The other side of webhooks, and lead-intake with its keys."""

    url: str
    keys: dict[str, bytes] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    listener = socket.create_server(("127.0.0.1", 0))
    made = Outside(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def hook(request: Request) -> Response:
        made.got.append((dict(request.headers), await request.json()))
        return Response(status_code=made.answers.pop(0) if made.answers else 204)

    async def keys(request: Request) -> Response:
        wanted = (await request.json())["lead_ids"]
        return JSONResponse(
            {"keys": {one: base64.b64encode(made.keys[one]).decode() for one in wanted if one in made.keys}}
        )

    routes = [Route("/hook", hook, methods=["POST"]), Route("/v1/vault/keys", keys, methods=["POST"])]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", loop="asyncio"))
    task = asyncio.create_task(server._serve([listener]))
    yield made
    server.should_exit = True
    await task


def stamp(lead: UUID) -> common_pb2.Stamp:
    return common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=times.stamp(AT), recorded_at=times.stamp(AT))


def captured(lead: UUID, key: bytes) -> tuple[UUID, Any]:
    sealed = vault.seal(key, lead, {"first_name": "Pia", "last_name": "Holm"})
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead), sealed=sealed, key_lead_id=str(lead))


def routed(lead: UUID) -> tuple[UUID, Any]:
    rep = common_pb2.Rep(rep_id="ana", email="ana@kestrel.example")
    return lead, routing_pb2.LeadRouted(stamp=stamp(lead), rep_id="ana", rep=rep, lead=common_pb2.LeadFields())


def alerted(lead: UUID, shape: Any, level: str, to: str = "rep") -> tuple[UUID, Any]:
    clock = sla_pb2.Clock(clock="first_response_5m", rep_id="ana", manager_id="mia", due_at=times.stamp(AT))
    return lead, shape(stamp=stamp(lead), clock=clock, alert=sla_pb2.Alert(level=level, to=to))


async def telling(start: Stage, outside: Outside, **more: Any) -> Actor:
    actor = await start("notifications", allow_private_webhooks=True, intake_url=outside.url, **more)
    for rep_id in ("ana", "mia"):
        answer = await actor.http.put(f"/v1/recipients/{rep_id}", json={"webhook": {"url": f"{outside.url}/hook"}})
        assert answer.status_code == 200, answer.text
    return actor


async def deliveries(actor: Actor) -> Counter[tuple[str, str, str, str]]:
    items = (await actor.http.get("/v1/deliveries?limit=500")).json()["items"]
    return Counter((item["rep_id"], item["channel"], item["kind"], item["state"]) for item in items)


async def test_a_name_is_opened_when_there_is_one_and_waited_for_in_vain_when_not(
    start: Stage, outside: Outside
) -> None:
    actor = await telling(start, outside)
    named, nameless = ids.new(), ids.new()
    key = vault.new_key()
    outside.keys = {str(named): key}
    # The routing is read before the capture, as may be: its topic is another.
    await actor.publish("routing", [routed(named), routed(nameless)])
    await actor.publish("intake", [captured(named, key)])

    async def both() -> None:
        assert {body["data"]["lead_id"]: body["data"]["who"] for _, body in outside.got} == {
            str(named): "Pia Holm",
            str(nameless): "",
        }

    await eventually(both)


async def test_two_replicas_tell_each_event_once_over_each_channel(start: Stage, outside: Outside) -> None:
    actor = await telling(start, outside)
    await start(
        "notifications",
        database_url=actor.settings.database_url,
        allow_private_webhooks=True,
        intake_url=outside.url,
    )
    leads = [ids.new() for _ in range(15)]
    await actor.publish("routing", [routed(lead) for lead in leads], twice=True)
    await actor.publish("sla", [alerted(lead, sla_pb2.SlaWarned, "warning") for lead in leads[:5]], twice=True)
    await actor.publish("sla", [alerted(leads[0], sla_pb2.SlaEscalated, "escalation", "manager")])
    await actor.publish("sla", [alerted(leads[0], sla_pb2.SlaEscalated, "escalation", "reassign")])

    async def all_told() -> None:
        assert await deliveries(actor) == {
            **{("ana", channel, "routed", "delivered"): 15 for channel in ("console", "webhook")},
            **{("ana", channel, "warning", "delivered"): 5 for channel in ("console", "webhook")},
            **{("mia", channel, "escalation", "delivered"): 1 for channel in ("console", "webhook")},
        }

    await eventually(all_told)
    assert len(outside.got) == len({headers["webhook-id"] for headers, _ in outside.got}) == 21


async def test_an_endpoint_that_is_gone_is_switched_off_until_it_is_put_again(start: Stage, outside: Outside) -> None:
    actor = await telling(start, outside)
    outside.answers = [410]
    await actor.publish("routing", [routed(ids.new())])
    await actor.published(lambda seen: any(event.type == "NotificationFailed" for event in seen))
    await actor.publish("routing", [routed(ids.new())])
    await actor.settled()
    assert len(outside.got) == 1
    shown = (await actor.http.get("/v1/recipients/ana")).json()
    assert shown["webhook_off_at"] is not None
    assert "secret" not in str(shown)
    put = await actor.http.put("/v1/recipients/ana", json={"webhook": {"url": f"{outside.url}/hook?again"}})
    await actor.publish("routing", [routed(ids.new())])
    await actor.published(lambda seen: any(event.type == "NotificationDelivered" for event in seen))
    headers, _ = outside.got[-1]
    assert len(outside.got) == 2
    assert Webhook(put.json()["webhook_secret"])
    assert headers["webhook-id"]
