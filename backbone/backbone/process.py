"""One service, one process, one TaskGroup: server, relay, consumers and workers live and die together.

A worker that ends takes the process with it, so that a supervisor starts it anew; nothing stays green over a dead loop.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backbone import (
    database,
    doors,
    idempotency,
    kafka,
    limits,
    migration,
    outbox,
    pacing,
    parked_api,
    problem,
    relay,
    requests,
    security,
    serving,
    telemetry,
    timekeeping,
)
from backbone.batches import Handler
from backbone.consumer import Consumer
from backbone.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)

DATABASE_PATIENCE_S: Final = 60.0
MAX_BODY_BYTES: Final = 1024 * 1024
SERVER_GRACE_S: Final = 3
CONSUMER_GRACE_S: Final = 4.0
CANCEL_AGAIN_S: Final = 1.0
COLLECTOR_THRESHOLDS: Final = (20_000, 20, 50)
"""Python's own are (700, 10, 10): more than a tenth of the services' CPU went into looking for garbage."""

log = structlog.get_logger()


class Ended(Exception):
    """A worker came to an end while the process was to run on."""


@dataclass(kw_only=True)
class Service(Generic[S]):
    """What `compose` fills: the routes, the consumers and the workers of one process."""

    name: str
    settings: S
    database: database.Database
    outbox: outbox.Outbox
    access: security.Access
    app: FastAPI
    stopping: asyncio.Event
    relay: relay.Relay
    consumers: list[Consumer] = field(default_factory=list)
    workers: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    doors: list[Route] = field(default_factory=list)
    _gates: list[Consumer] = field(default_factory=list)

    def consume(
        self,
        topics: Iterable[str],
        handle: Handler,
        *,
        kinds: Iterable[str] | None = None,
        rest_s: float = pacing.REST_S,
        gates_readiness: bool = True,
    ) -> Consumer:
        """Read these topics (short names) as this service's consumer group; the handler gets batches of at most 500.

        `kinds` are the event types that it wants; links and tombstones come always. `rest_s` is how long it rests at
        least after a batch: what nobody waits for is cheaper in large ones.
        """
        consumer = Consumer(
            self.settings,
            self.database,
            service=self.name,
            reads=topics,
            handle=handle,
            kinds=frozenset(kinds) if kinds is not None else None,
            rest_s=rest_s,
            stopping=self.stopping,
        )
        self.consumers.append(consumer)
        if gates_readiness:
            self._gates.append(consumer)
        return consumer

    def open_doors(self, routes: Iterable[Route]) -> None:
        """Add routes that are called so often that they are answered without FastAPI's layers."""
        fresh = list(routes)
        self.doors += fresh
        self.app.router.routes.extend(fresh)

    def serve(self, routes: APIRouter) -> None:
        """Answer these routes as they are; to include them would have FastAPI make each a second time."""
        self.app.router.routes.extend(routes.routes)

    def work(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run `loop` until it is cancelled. When it returns or raises, the process ends."""
        self.workers[name] = loop

    def at_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Do this after everything has stopped."""
        self.closers.append(close)

    async def not_ready_because(self) -> str | None:
        """Return why this process should get no requests, None when it should."""
        if self.stopping.is_set():
            return "stopping"
        try:
            async with self.database.reading() as conn:
                await conn.fetchval("SELECT 1")
        except Exception as error:
            if not database.is_transient(error):
                raise
            return "the database is away"
        if not all(consumer.is_ready for consumer in self._gates):
            return "a consumer is not at work: Kafka is away, or it halted over parked records"
        return None


Compose = Callable[[Service[S]], Awaitable[None]]


def run(name: str, settings_class: type[S], compose: Compose[S], *, package: str | None = None) -> None:
    """Run a service until SIGTERM or SIGINT: migrations first, then everything that `compose` names."""
    settings = settings_class()  # type: ignore[call-arg]  # from the environment
    telemetry.configure_logs(name, settings.log_level)
    telemetry.configure_traces(name, settings.otlp_endpoint)
    asyncio.run(_wait_for_database(settings.database_url))
    home = package or compose.__module__.partition(".")[0]
    if not asyncio.run(migration.is_current(settings.database_url, home)):
        migration.upgrade(settings.database_url, home)
    asyncio.run(_main(name, settings, compose))


async def _wait_for_database(url: str) -> None:
    db = await database.connect_patiently(url, name="start", size=1, patience_s=DATABASE_PATIENCE_S)
    await db.close()


async def _main(name: str, settings: S, compose: Compose[S]) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(telemetry.log_loop_fault)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    listener = socket.create_server((settings.host, settings.port), reuse_port=False)
    async with running(name, settings, compose, listener=listener, stopping=stopping):
        rest_the_collector()
        log.info("ready", port=settings.port)
        await stopping.wait()
        log.info("stopping")


def rest_the_collector() -> None:
    """Take what was imported out of the collector's rounds, and make them rare: batches make no cycles to speak of."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


@asynccontextmanager
async def running(
    name: str, settings: S, compose: Compose[S], *, listener: socket.socket, stopping: asyncio.Event
) -> AsyncIterator[Service[S]]:
    """Run a service inside the caller's event loop; leaving the block stops it gracefully."""
    service = await _make(name, settings, stopping)
    try:
        await compose(service)
        groups = [consumer.applier.batches for consumer in service.consumers]
        service.serve(parked_api.router(service.database, groups))
        service.serve(_probes(service))
        security.check_routes(service.app)
        front = doors.Doors(service.app, service.doors, limit=MAX_BODY_BYTES) if service.doors else service.app
        server = serving.Server(uvicorn.Config(front, **serving.settings(SERVER_GRACE_S)))
        with serving.metrics(settings.metrics_port, settings.host):
            async with asyncio.TaskGroup() as group:
                served = group.create_task(server.serve([listener]), name="server")
                consuming = [
                    group.create_task(_to_the_end(one.run(), "consumer", stopping)) for one in service.consumers
                ]
                working = [group.create_task(_to_the_end(work(), label, stopping)) for label, work in _works(service)]
                try:
                    yield service
                finally:
                    stopping.set()
                    server.should_exit = True
                    await asyncio.wait([served], timeout=SERVER_GRACE_S + 1)
                    if consuming:
                        await asyncio.wait(consuming, timeout=CONSUMER_GRACE_S)
                    await _end([served, *consuming, *working])
    finally:
        for close in service.closers:
            await close()
        await service.database.close()


async def _make(name: str, settings: S, stopping: asyncio.Event) -> Service[S]:
    db = await database.connect_patiently(
        settings.database_url, name=name, size=settings.pool_size, patience_s=DATABASE_PATIENCE_S
    )
    post = relay.Relay.of(settings, f"/handoff/{name}")
    db.after_events.append(post.wake)
    access = security.Access()
    await access.load(db)
    await timekeeping.measure(db)
    app = FastAPI(title=f"Handoff: {name}", version="1", redoc_url=None, telemetry=telemetry.OURS_ALONE)
    app.add_middleware(limits.BodyLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(requests.Requests)
    app.state.access = access
    problem.install(app)
    return Service(
        name=name,
        settings=settings,
        database=db,
        outbox=outbox.Outbox(topic=name, namespace=settings.namespace, partitions=settings.partitions),
        access=access,
        app=app,
        stopping=stopping,
        relay=post,
    )


def _works(service: Service[S]) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    url, key = service.settings.console_url, service.settings.service_key
    works = [
        ("topics", lambda: _ensure_topics(service)),
        ("relay", service.relay.run),
        ("clock", lambda: timekeeping.follow(service.database)),
        ("idempotency keys", lambda: idempotency.sweep_forever(service.database)),
        *service.workers.items(),
    ]
    if url:
        works.append(("keys", lambda: service.access.refresh_forever(service.database, url, key)))
    return works


async def _ensure_topics(service: Service[S]) -> None:
    """Make the topics that this service writes; readers make theirs themselves. Kafka may come later than we."""
    namespace = service.settings.namespace
    names = [kafka.topic_name(namespace, service.name), kafka.dead_letter_name(namespace, service.name)]
    while True:
        try:
            await kafka.ensure_topics(service.settings, names)
            break
        except (kafka.KafkaError, OSError, TimeoutError):
            await asyncio.sleep(1)
    await service.stopping.wait()


async def _to_the_end(work: Awaitable[None], label: str, stopping: asyncio.Event) -> None:
    await work
    if not stopping.is_set():
        raise Ended(label)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until all have ended. One time may be lost: `asyncio.wait_for` gives its result when both come at once."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _probes(service: Service[S]) -> APIRouter:
    api = APIRouter(dependencies=[Depends(security.public)], tags=["probes"])

    @api.get("/livez")
    async def live() -> dict[str, str]:
        """Answer while the process lives: a dead worker ends it."""
        return {"status": "live"}

    @api.get("/readyz")
    async def ready() -> Response:
        """Answer 200 when this instance does its work, 503 with the reason when not."""
        reason = await service.not_ready_because()
        if reason is not None:
            return problem.unavailable(f"Not ready: {reason}.").response()
        return JSONResponse({"status": "ready"})

    return api
