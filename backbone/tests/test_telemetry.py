"""What can be seen from outside, and what must not be."""

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated, Any

from fastapi import Depends
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backbone import database, ids, outbox, problem, process, security, subjects
from backbone.settings import ServiceSettings
from backbone.testing.ledger import Ledger
from backbone.testing.stage import Stage
from handoff.events.v1 import common_pb2, intake_pb2

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
SECRET = "amara@fintrove.example"

FAILING = f"""
import asyncio, logging, structlog
from backbone import telemetry
telemetry.configure_logs("tests", "INFO")
for _ in range(500):
    logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages")
async def act(secret):
    raise ValueError(secret)
async def main():
    asyncio.get_running_loop().set_exception_handler(telemetry.log_loop_fault)
    task = asyncio.create_task(act("{SECRET}"))
    await asyncio.wait([task])
    del task
    for log in (logging.getLogger("uvicorn.error").exception, structlog.get_logger().exception):
        try:
            await act("{SECRET}")
        except ValueError:
            log("it failed")
    async with asyncio.TaskGroup() as group:
        group.create_task(act("{SECRET}"))
asyncio.run(main())
"""
TRACING = f"""
import sys
from uuid import UUID
from backbone import telemetry
telemetry.configure_traces("tests", sys.argv[1])
lead = UUID(int=1)
with telemetry.request("POST", "{PARENT}") as seen:
    with telemetry.following([(lead, "accept", telemetry.request_trace())]):
        print(telemetry.current_trace(lead))
    seen("/v1/leads", 202)
"""


async def compose(service: process.Service[ServiceSettings]) -> None:
    @service.app.post("/v1/things/{thing}")
    async def post(thing: str, caller: Annotated[security.Caller, Depends(security.allow())]) -> dict[str, str]:
        lead = ids.new()

        async def act(conn: database.Connection) -> None:
            await subjects.lock(conn, [lead])
            touched = intake_pb2.TouchRecorded(stamp=common_pb2.Stamp(lead_id=str(lead), live=True), kind="call")
            await service.outbox.add(conn, [outbox.Event(subject=lead, message=touched)])

        await service.database.run(act)
        if thing == "bad":
            raise RuntimeError(SECRET)
        return {"lead_id": str(lead)}

    async def plain(_: Request) -> Response:
        return Response(status_code=202)

    plain.states_role = "public"  # type: ignore[attr-defined]

    async def door(request: Request) -> Response:
        if request.path_params["thing"] == "bad":
            raise RuntimeError(SECRET)
        return Response(await request.body(), status_code=202)

    door.states_role = "public"  # type: ignore[attr-defined]
    service.app.router.routes.append(Route("/plain/{thing}", plain, methods=["POST"]))
    service.open_doors([Route("/door/{thing}", door, methods=["POST"])])


def requests(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("handoff_request_seconds_count", labels) or 0


async def unannounced(size: int) -> AsyncIterator[bytes]:
    yield b"x" * size


async def test_requests_are_counted_by_route_and_status(start: Stage) -> None:
    actor = await start.bare("intake", compose)
    wanted = [
        ("POST", "/v1/things/{thing}", 200),
        ("POST", "/v1/things/{thing}", 500),
        ("POST", "/v1/things/{thing}", 401),
        ("POST", "/plain/{thing}", 202),
        ("POST", "/door/{thing}", 202),
        ("POST", "/door/{thing}", 500),
        ("POST", "/door/{thing}", 413),
        ("GET", "/door/{thing}", 405),
        ("GET", "none", 404),
        ("other", "none", 404),
    ]
    before = [requests(*one) for one in wanted]
    await actor.http.post("/v1/things/one")
    await actor.http.post("/v1/things/bad")
    await actor.as_nobody().post("/v1/things/two")
    await actor.http.post("/plain/one")
    assert (await actor.http.post("/door/one", content=b"body")).content == b"body"
    refused = [
        await actor.http.post("/door/bad"),
        await actor.http.post("/door/one", content=unannounced(process.MAX_BODY_BYTES + 1)),
        await actor.http.get("/door/one"),
    ]
    assert {answer.headers["content-type"] for answer in refused} == {problem.MEDIA_TYPE}
    assert not any(SECRET in answer.text for answer in refused)
    await actor.http.get("/nothing/at/all")
    await actor.http.request("PURGE", "/nothing/at/all")
    assert [requests(*one) for one in wanted] == [count + 1 for count in before]


async def test_a_trace_goes_from_a_request_through_one_service_after_the_other(start: Stage) -> None:
    first = await start.bare("intake", compose)
    second = await start.bare("routing", Ledger(["intake"]).compose)
    await first.http.post("/v1/things/one", headers={"traceparent": PARENT})
    await first.http.post("/v1/things/two", headers={"traceparent": "no trace\x00"[:8]})
    told = await first.published(lambda events: len(events) == 2)
    answered = await second.published(lambda events: len(events) == 2)
    traces = {event.subject: event.traceparent.split("-")[1] for event in told}
    assert {event.subject: event.traceparent.split("-")[1] for event in answered} == traces
    assert TRACE in traces.values()
    assert len(set(traces.values())) == 2


def test_logs_name_an_exception_and_where_it_rose_but_nothing_that_it_carries() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    # What aiokafka says hundreds of times a second while a broker is away is said once.
    assert lines.pop(0)["event"] == "Failed fetch messages"
    assert [line["event"] for line in lines] == ["a task failed unseen", "it failed", "it failed", "the process ends"]
    assert [line["exception"]["type"] for line in lines] == [*["ValueError"] * 3, "ExceptionGroup"]
    assert lines[-1]["exception"]["within"][0]["where"] == ["<string>:8 act"]


def test_spans_go_to_the_collector_and_hang_together() -> None:
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [sys.executable, "-c", TRACING, address], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    spans = {
        span.name: span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    outer, inner = spans["POST /v1/leads"], spans["accept"]
    assert (outer.trace_id.hex(), outer.parent_span_id.hex()) == (TRACE, "00f067aa0ba902b7")
    assert (inner.trace_id, inner.parent_span_id) == (outer.trace_id, outer.span_id)
    assert done.stdout.strip() == f"00-{TRACE}-{inner.span_id.hex()}-01"
