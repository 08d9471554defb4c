"""Services in the test's own process, with everybody else's topics in the test's hands."""

import asyncio
import base64
import importlib
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from google.protobuf.message import Message

from backbone import calling, database, envelope, ids, kafka, process, telemetry
from backbone.envelope import Incoming
from backbone.settings import ServiceSettings
from backbone.testing import PATIENCE_S, eventually, servers
from backbone.testing.signer import Signer
from backbone.testing.tap import Predicate, Tap
from handoff.events import topics

PARTITIONS: Final = 2
START_PATIENCE_S: Final = 30.0
FORGET_PATIENCE_S: Final = 3.0


@dataclass(slots=True)
class Actor:
    """A running service as a test sees it."""

    service: process.Service[Any]
    address: str
    http: httpx.AsyncClient
    """Calls it as an admin."""
    _stage: "Stage"
    _ended: asyncio.Task[None]

    @property
    def database(self) -> database.Database:
        """The service's own database."""
        return self.service.database

    @property
    def settings(self) -> Any:
        """The service's settings."""
        return self.service.settings

    def as_role(self, role: str, *, rep: str | None = None, sub: str | None = None) -> httpx.AsyncClient:
        """Return a client that calls it with a token of this role."""
        return self._stage.client(self.address, self._stage.signer.token(role, rep, sub))

    def as_nobody(self) -> httpx.AsyncClient:
        """Return a client without a token."""
        return self._stage.client(self.address, None)

    def as_service(self) -> httpx.AsyncClient:
        """Return a client with a service's machine key."""
        return self._stage.client(self.address, servers.SERVICE_KEY)

    async def publish(self, topic: str, events: Iterable[tuple[UUID, Message]], *, twice: bool = False) -> None:
        """Put events on another service's topic, as that service would."""
        await self._stage.publish(topic, events, twice=twice)

    async def published(self, predicate: Predicate) -> list[Incoming]:
        """Wait until the predicate holds over everything on the service's own topic, and return it."""
        return await self._stage.tap(self.service.name).until(predicate)

    async def settled(self) -> None:
        """Wait until all that was published is applied, by whichever replica, and all that followed is sent."""
        for replica in self._stage.replicas(self.service.name):
            for consumer in replica.service.consumers:
                await asyncio.wait_for(consumer.caught_up(), PATIENCE_S)

        async def empty() -> None:
            async with self.database.reading() as conn:
                assert await conn.fetchval("SELECT count(*) FROM outbox") == 0

        await eventually(empty)

    async def stop(self) -> None:
        """Stop it gracefully, in the middle of a test."""
        self.service.stopping.set()
        await self._ended


@dataclass(slots=True)
class Stage:
    """One test's namespace with the services that it started."""

    servers: servers.Servers
    signer: Signer
    namespace: str = field(default_factory=lambda: f"t{uuid4().hex[:12]}")
    _taps: dict[str, Tap] = field(default_factory=dict)
    _actors: list[Actor] = field(default_factory=list)
    _clients: list[httpx.AsyncClient] = field(default_factory=list)
    versions: Counter[tuple[str, UUID]] = field(default_factory=Counter)
    """Of what was published so far, by topic and subject; set back to publish a version again."""
    _producer: kafka.Producer | None = None
    _ensured: set[str] = field(default_factory=set)
    """Topics that are there."""
    _databases: dict[str, str | None] = field(default_factory=dict)
    """Names of those in use, and whose tables they have."""

    async def __call__(self, name: str, *, database_url: str | None = None, **settings: Any) -> Actor:
        """Start the service with this topic's short name; with another's `database_url` it is a replica of that one."""
        package = servers.PACKAGES[name]
        main = importlib.import_module(f"{package}.main")
        module = importlib.import_module(f"{package}.settings")
        url = database_url or await self.database_url(package)
        merged = {**self._base(url), **await self._extras(name), **settings}
        return await self.run(name, module.Settings(**merged), main.compose)

    async def bare(
        self, name: str, compose: process.Compose[ServiceSettings], *, database_url: str | None = None, **settings: Any
    ) -> Actor:
        """Start a process of a test's own making, with delivery's tables alone."""
        url = database_url or await self.database_url("backbone")
        return await self.run(name, self.settings(url, **settings), compose)

    def settings(self, url: str, **others: Any) -> ServiceSettings:
        """Return the settings of a process of a test's own making."""
        return ServiceSettings(**{**self._base(url), **others})

    async def run(self, name: str, settings: Any, compose: process.Compose[Any]) -> Actor:
        """Run a process in a task of its own and wait until it is ready."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopping = asyncio.Event()
        up: asyncio.Future[process.Service[Any]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(_live(name, settings, compose, listener, stopping, up))
        service = await asyncio.wait_for(up, START_PATIENCE_S)
        http = self.client(address, self.signer.token("admin"))
        actor = Actor(service=service, address=address, http=http, _stage=self, _ended=task)
        self._actors.append(actor)
        await eventually(lambda: _is_ready(actor))
        return actor

    def _base(self, url: str) -> dict[str, Any]:
        return {
            "database_url": url,
            "kafka": self.servers.kafka,
            "namespace": self.namespace,
            "partitions": PARTITIONS,
            "metrics_port": None,
            "service_key": servers.SERVICE_KEY,
        }

    async def _extras(self, name: str) -> dict[str, Any]:
        """Return what some services need besides: a vault's database, the tests' signing key."""
        if name != "intake":
            return {}
        vault = await self._take_database(None)
        key = base64.b64encode(bytes(range(32))).decode()
        return {"vault_database_url": self.servers.url(vault), "master_key": key, "public_url": "http://intake.test"}

    async def database_url(self, package: str) -> str:
        """Return the URL of an empty migrated database that trusts the tests' tokens."""
        url = self.servers.url(await self._take_database(package))
        conn = await database.connect_single(url, name="tests", idle_ms=0)
        try:
            await servers.trust(conn, self.signer.jwk())
        finally:
            await conn.close()
        return url

    async def _take_database(self, package: str | None) -> str:
        name = await self.servers.databases.take(package)
        self._databases[name] = package
        return name

    def replicas(self, name: str) -> list[Actor]:
        """Return the processes of a service that run: they share its partitions."""
        return [one for one in self._actors if one.service.name == name and not one.service.stopping.is_set()]

    def client(self, address: str, token: str | None) -> httpx.AsyncClient:
        """Return a client that is closed with the test."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = calling.client(base_url=address, headers=headers, timeout=30)
        self._clients.append(made)
        return made

    def tap(self, topic: str) -> Tap:
        """Return the reader of a topic."""
        if topic not in self._taps:
            settings = self.settings("")
            self._taps[topic] = Tap(settings, kafka.topic_name(self.namespace, topic))
        return self._taps[topic]

    async def publish(
        self,
        topic: str,
        events: Iterable[tuple[UUID, Message]],
        *,
        twice: bool = False,
        sent_at: datetime | None = None,
    ) -> None:
        """Put events on a topic; `twice` sends each again with the same id and version, as a relay may.

        `sent_at` is what the sender's machine takes the time to be.
        """
        settings = self.settings("")
        name = kafka.topic_name(self.namespace, topic)
        if self._producer is None:
            self._producer = kafka.producer(settings)
            await self._producer.start()
        if name not in self._ensured:
            await eventually(partial(_is_there, settings, name))
            self._ensured.add(name)
        sent, at_ms = [], int(sent_at.timestamp() * 1000) if sent_at is not None else None
        for subject, message in events:
            self.versions[topic, subject] += 1
            headers = envelope.headers(
                event_id=ids.new(),
                ce_type=topics.event_type(topic, message),
                source=f"/handoff/{topic}",
                key=subject.bytes,
                version=self.versions[topic, subject],
                occurred_at=message.stamp.occurred_at.ToDatetime(tzinfo=_UTC),  # type: ignore[attr-defined]
                traceparent=telemetry.current_trace(subject),
            )
            partition = kafka.partition_of(subject.bytes, PARTITIONS)
            for _ in range(2 if twice else 1):
                value = message.SerializeToString()
                record = {"key": subject.bytes, "partition": partition, "headers": headers, "timestamp_ms": at_ms}
                sent.append(await self._producer.send(name, value, **record))
        await asyncio.gather(*sent)

    async def close(self) -> None:
        """Stop everything and give the databases back; an error that ended a service is raised."""
        for actor in self._actors:
            actor.service.stopping.set()
        ended = await asyncio.gather(*(actor._ended for actor in self._actors), return_exceptions=True)
        for client in self._clients:
            await client.aclose()
        for tap in self._taps.values():
            await tap.close()
        if self._producer is not None:
            await kafka.stop(self._producer.stop())
        if self._actors or self._taps:
            await self._forget_topics()
        for result in ended:
            if isinstance(result, BaseException):
                raise result
        given = self._databases.items()
        await asyncio.gather(*(self.servers.databases.give_back(name, package) for name, package in given))

    async def _forget_topics(self) -> None:
        """Delete the test's topics, unless it left its broker away."""
        with suppress(kafka.KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(FORGET_PATIENCE_S):
                await kafka.delete_topics(self.servers.kafka, self.namespace)


_UTC: Final = UTC


async def _is_there(settings: ServiceSettings, topic: str) -> None:
    """Make a topic where there is none. A broker that comes back knows of no broker for a moment, itself included."""
    try:
        await kafka.ensure_topics(settings, [topic])
    except (kafka.KafkaError, OSError, TimeoutError) as error:
        raise AssertionError(f"{topic} is not there: {type(error).__name__}") from error


async def _is_ready(actor: Actor) -> None:
    if actor._ended.done():
        await actor._ended
    response = await actor.http.get("/readyz")
    assert response.status_code == 200, response.text


async def _live(
    name: str,
    settings: Any,
    compose: process.Compose[Any],
    listener: socket.socket,
    stopping: asyncio.Event,
    up: "asyncio.Future[process.Service[Any]]",
) -> None:
    try:
        async with process.running(name, settings, compose, listener=listener, stopping=stopping) as service:
            up.set_result(service)
            await stopping.wait()
    except BaseException as error:
        if up.done():
            raise
        up.set_exception(error)
