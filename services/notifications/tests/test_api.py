"""notifications with a real mail server, a real endpoint, and its neighbours' topics in the test's hands."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from aiosmtpd.controller import UnthreadedController
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, routing_pb2, sla_pb2

AT = times.parse("2026-11-10T12:00:00Z")


@dataclass
class Mailbox:
    """Keeps what it is sent."""

    port: int = 0
    messages: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.messages.append(envelope.content)
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        box.port = probe.getsockname()[1]
    controller = UnthreadedController(box, "127.0.0.1", box.port, loop=asyncio.get_running_loop())
    controller.server = await controller._create_server()
    yield box
    controller.server.close()
    await controller.server.wait_closed()


@dataclass
class Endpoint:
    """Keeps what it is posted, and answers as it is told."""

    url: str
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    listener = socket.create_server(("127.0.0.1", 0))
    made = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")

    async def hook(request: Request) -> Response:
        made.got.append((dict(request.headers), await request.body()))
        return Response(status_code=made.answers.pop(0) if made.answers else 204)

    app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", loop="asyncio"))
    task = asyncio.create_task(server._serve([listener]))
    yield made
    server.should_exit = True
    await task


def stamp(lead: UUID, *, live: bool = True) -> common_pb2.Stamp:
    return common_pb2.Stamp(lead_id=str(lead), live=live, occurred_at=times.stamp(AT), recorded_at=times.stamp(AT))


def routed(lead: UUID, *, live: bool = True) -> tuple[UUID, Any]:
    rep = common_pb2.Rep(rep_id="ana", email="ana@kestrel.example")
    fields = common_pb2.LeadFields(company="Fintrove")
    return lead, routing_pb2.LeadRouted(
        stamp=stamp(lead, live=live), rep_id="ana", rep=rep, lead=fields, rule="everyone"
    )


def breached(lead: UUID) -> tuple[UUID, Any]:
    clock = sla_pb2.Clock(clock="first_response_5m", rep_id="ana", due_at=times.stamp(AT))
    alert = sla_pb2.Alert(level="breach", to="rep")
    return lead, sla_pb2.SlaBreached(stamp=stamp(lead), clock=clock, alert=alert)


async def states(actor: Actor) -> dict[str, str]:
    items = (await actor.http.get("/v1/deliveries")).json()["items"]
    return {item["channel"]: item["state"] for item in items}


async def test_a_routed_lead_is_told_once_by_console_and_e_mail(start: Stage, mailbox: Mailbox) -> None:
    actor = await start("notifications", smtp_url=f"smtp://127.0.0.1:{mailbox.port}")
    await actor.publish("routing", [routed(ids.new())], twice=True)
    events = await actor.published(lambda seen: any(event.type == "NotificationDelivered" for event in seen))
    assert await states(actor) == {"console": "delivered", "email": "delivered"}
    (mail,) = mailbox.messages
    assert b"Subject: Fintrove is yours" in mail
    assert len(events) == 1


async def test_a_breach_goes_to_a_signed_webhook_that_was_away_at_first(start: Stage, endpoint: Endpoint) -> None:
    actor = await start("notifications", allow_private_webhooks=True)
    put = await actor.http.put("/v1/recipients/ana", json={"webhook": {"url": endpoint.url}})
    endpoint.answers = [503]
    await actor.publish("sla", [breached(ids.new())])
    await actor.published(lambda seen: any(event.type == "NotificationDelivered" for event in seen))
    (first, _), (again, body) = endpoint.got
    assert first["webhook-id"] == again["webhook-id"]
    assert Webhook(put.json()["webhook_secret"]).verify(body, again)
    assert json.loads(body)["type"] == "breach"


async def test_an_endpoint_that_is_gone_is_given_up_and_told(start: Stage, endpoint: Endpoint) -> None:
    actor = await start("notifications", allow_private_webhooks=True)
    await actor.http.put("/v1/recipients/ana", json={"webhook": {"url": endpoint.url}})
    endpoint.answers = [410]
    await actor.publish("sla", [breached(ids.new())])
    events = await actor.published(lambda seen: any(event.type == "NotificationFailed" for event in seen))
    assert events[-1].message.reason == "the endpoint is gone (410)"


async def test_webhooks_do_not_reach_into_our_own_network(start: Stage, endpoint: Endpoint) -> None:
    actor = await start("notifications")
    for url in (
        endpoint.url,
        "https://10.0.0.1/x",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://u@a.b/",
    ):
        answer = await actor.http.put("/v1/recipients/ana", json={"webhook": {"url": url}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/webhook/url")
    # A name that leads inside is known by what it leads to, at the moment of sending.
    async with actor.database.transaction() as conn:
        url = endpoint.url.replace("http://127.0.0.1", "https://localhost")
        await conn.execute("INSERT INTO recipient (rep_id, webhook_url, webhook_secret) VALUES ('ana', $1, 'x')", url)
    await actor.publish("sla", [breached(ids.new())])
    events = await actor.published(lambda seen: any(event.type == "NotificationFailed" for event in seen))
    assert events[-1].message.reason == "a webhook goes to public addresses alone"
    assert endpoint.got == []


async def test_a_message_whose_sender_died_is_unknown_and_an_e_mail_is_not_sent_again(
    start: Stage, mailbox: Mailbox
) -> None:
    actor = await start("notifications")
    async with actor.database.transaction() as conn:
        await conn.execute(
            "INSERT INTO message (message_id, event_id, channel, rep_id, kind, body, state, attempts, claimed_until)"
            " VALUES ($1, $2, 'email', 'ana', 'routed', '{}', 'sending', 1, now() - interval '1 second')",
            ids.new(),
            ids.new(),
        )

    async def unknown() -> None:
        assert await states(actor) == {"email": "unknown"}

    await eventually(unknown)
    assert mailbox.messages == []


async def test_history_and_work_that_is_taken_over_is_told_to_nobody(start: Stage) -> None:
    actor = await start("notifications")
    moved_in = routed(ids.new())
    moved_in[1].outcome = "taken_over"
    await actor.publish("routing", [routed(ids.new(), live=False), moved_in])
    await actor.settled()
    assert await states(actor) == {}


async def test_reps_see_their_own_messages_alone(start: Stage) -> None:
    actor = await start("notifications")
    await actor.publish("routing", [routed(ids.new())])
    await actor.settled()
    assert (await actor.as_role("rep", rep="ben").get("/v1/deliveries")).json()["items"] == []
    assert (await actor.as_role("rep", rep="ben").put("/v1/recipients/ana", json={})).status_code == 403
