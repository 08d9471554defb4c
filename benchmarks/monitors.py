"""Two monitors of clocks that run: sla-monitor as the supervisor keeps it, and the naive one."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from backbone import database, envelope, ids, kafka, telemetry, times
from backbone.settings import ServiceSettings
from benchmarks import clock_rows
from benchmarks.clock_rows import Connection, Spread
from benchmarks.naive.monitor import Base
from handoff.events import topics
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2
from handoff_local import children, parts, ports, postgres, supervisor
from handoff_local.home import Home
from handoff_local.parts import Part
from sla_monitor import policies, store_policies

PARTITIONS = 6
READY_PATIENCE_S = 60.0
POLL_S = 0.05
KEEPS_COMMIT_TIMES = {"track_commit_timestamp": "on"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitor:
    """A running monitor. Its queries take the position that `newest` gave before."""

    name: str
    url: str
    pids: Callable[[], Mapping[str, int]]
    """Its first process, and its database's."""
    add: Callable[[Connection, Spread], Awaitable[None]]
    open_clocks: str
    newest: str
    fired: str
    """How many alerts went out since."""
    told: str
    """Each alert since: when it was committed, in seconds since the epoch, and by how much it was late."""


# Ours


@dataclass(slots=True)
class Supervised:
    """sla-monitor's processes, started again when they die, as `handoff up` does it."""

    folder: Path
    environment: Mapping[str, str]
    parts: list[Part] = field(default_factory=list)

    async def keep(self) -> None:
        """Look after them for ever."""
        while True:
            for part in self.parts:
                part.look()
            await asyncio.sleep(supervisor.POLL_S)

    async def add_replica(self) -> None:
        """Start one more, and wait until all are at work."""
        number, port = len(self.parts) + 1, ports.free()
        log = self.folder / f"sla-monitor-{number}.log"
        own = {"HANDOFF_PORT": str(port), "HANDOFF_METRICS_PORT": str(ports.free())}
        environment = {**os.environ, **self.environment, **own}
        part = Part(
            home=Home(self.folder),
            name="sla-monitor",
            replica=number,
            port=port,
            metrics_port=None,
            log=log,
            launch=lambda: children.spawn([sys.executable, "-m", "sla_monitor.main"], log=log, env=environment),
            probe=parts.readiness(port),
        )
        part.start()
        self.parts.append(part)
        await self.ready()

    async def ready(self) -> None:
        """Wait until every one is at work. TimeoutError with its last words."""
        deadline = asyncio.get_running_loop().time() + READY_PATIENCE_S
        while not all(part.state == "ready" for part in self.parts):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"sla-monitor is not ready: {children.tail(self.parts[-1].log)}")
            await asyncio.sleep(POLL_S)

    def kill_first(self) -> None:
        """Kill the first, as the kernel would."""
        process = self.parts[0].process
        assert process is not None
        process.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """End them all."""
        for part in self.parts:
            if part.process is not None:
                children.stop(part.process, signal.SIGKILL, patience_s=5)


@dataclass(slots=True)
class Wire:
    """Tells sla-monitor of leads, as the services before it would."""

    settings: ServiceSettings
    producer: kafka.Producer

    async def lead_comes(self) -> UUID:
        """Publish that a lead came and was given to a rep."""
        lead, now = ids.new(), times.stamp(datetime.now(UTC))
        stamp = common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=now, recorded_at=now, arrived_at=now)
        told = common_pb2.LeadFields(company="Acme", created_at=now, source="web")
        rep = common_pb2.Rep(rep_id="rep-0", name="x", team="sales", manager_id="mo", time_zone="UTC", version=1)
        captured = intake_pb2.LeadCaptured(stamp=stamp, lead=told)
        routed = routing_pb2.LeadRouted(
            stamp=stamp, lead=told, cycle=1, rep_id=rep.rep_id, rep=rep, assigned_at=now, starts_clocks=True
        )
        await self._send("intake", lead, captured)
        await self._send("routing", lead, routed)
        return lead

    async def _send(self, topic: str, lead: UUID, message: Any) -> None:
        headers = envelope.headers(
            event_id=ids.new(),
            ce_type=topics.event_type(topic, message),
            source=f"/handoff/{topic}",
            key=lead.bytes,
            version=1,
            occurred_at=datetime.now(UTC),
            traceparent=telemetry.current_trace(lead),
        )
        name, partition = kafka.topic_name(self.settings.namespace, topic), kafka.partition_of(lead.bytes, PARTITIONS)
        value = message.SerializeToString()
        await self.producer.send_and_wait(name, value, key=lead.bytes, partition=partition, headers=headers)

    async def keep_coming(self, per_second: float) -> None:
        """Let leads come for ever."""
        while True:
            await self.lead_comes()
            await asyncio.sleep(1 / per_second)


@asynccontextmanager
async def ours(
    folder: Path, server: postgres.Server, kafka_address: str, namespace: str, session_s: float
) -> AsyncIterator[tuple[Monitor, Supervised, Wire]]:
    """Run one instance of sla-monitor with a policy in force, and make the lead that the others are copies of."""
    url = await _database(server, "sla_monitor")
    settings = ServiceSettings(database_url=url, kafka=kafka_address, namespace=namespace, partitions=PARTITIONS)
    told = {"DATABASE_URL": url, "KAFKA": kafka_address, "NAMESPACE": namespace, "PARTITIONS": str(PARTITIONS)}
    told["SESSION_TIMEOUT_MS"] = str(int(session_s * 1000))
    # No console is there to fetch keys from, and nobody calls.
    run = Supervised(folder, {f"HANDOFF_{name}": value for name, value in told.items()})
    wire = Wire(settings, kafka.producer(settings))
    keeping = asyncio.create_task(run.keep())
    try:
        await run.add_replica()
        await wire.producer.start()
        yield _monitor(url, server, run, await _template(url, wire)), run, wire
    finally:
        keeping.cancel()
        run.end()
        await kafka.stop(wire.producer.stop())


def _monitor(url: str, server: postgres.Server, run: Supervised, template: UUID) -> Monitor:
    def pids() -> Mapping[str, int]:
        process = run.parts[0].process
        return {**({"monitor": process.pid} if process is not None else {}), "postgres": _pid(server)}

    return Monitor(
        name="Handoff",
        url=url,
        pids=pids,
        add=lambda conn, spread: clock_rows.copy_lead(conn, template, spread),
        open_clocks="SELECT count(*) FROM clock WHERE next_at IS NOT NULL",
        newest="SELECT coalesce(max(seq), 0) FROM alert",
        fired="SELECT count(*) FROM alert WHERE seq > $1",
        told="SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8, late_by_seconds"
        " + extract(epoch FROM pg_xact_commit_timestamp(xmin) - at)::float8 FROM alert WHERE seq > $1",
    )


async def _template(url: str, wire: Wire) -> UUID:
    """Put the policy, let a lead come, and wait for its clocks."""
    db = await database.connect(url, name="benchmark", size=1)
    try:
        async with db.transaction() as conn:
            document = policies.parse(clock_rows.POLICY.encode(), [])
            await store_policies.add(conn, "standard", clock_rows.POLICY, document.data, "benchmark")
        lead = await wire.lead_comes()
        deadline = asyncio.get_running_loop().time() + READY_PATIENCE_S
        async with db.reading() as conn:
            while await conn.fetchval("SELECT count(*) FROM clock WHERE lead_id = $1", lead) == 0:
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError("sla-monitor started no clocks for a lead that was routed")
                await asyncio.sleep(POLL_S)
    finally:
        await db.close()
    return lead


# The naive one


@asynccontextmanager
async def naive(folder: Path, server: postgres.Server) -> AsyncIterator[Monitor]:
    """Run the monitor that polls."""
    url = await _database(server, "naive")
    address = url.replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(address)
    async with engine.begin() as made:
        await made.run_sync(Base.metadata.create_all)
    await engine.dispose()
    environment = {**os.environ, "NAIVE_DATABASE_URL": address}
    command = [sys.executable, "-m", "benchmarks.naive.monitor"]
    process = children.spawn(command, log=folder / "naive-monitor.log", env=environment)
    try:
        yield Monitor(
            name="polls every second",
            url=url,
            pids=lambda: {"monitor": process.pid, "postgres": _pid(server)},
            add=clock_rows.add_clocks,
            open_clocks="SELECT count(*) FROM clocks WHERE alerted_at IS NULL",
            newest="SELECT coalesce(max(at), 'epoch') FROM alerts",
            fired="SELECT count(*) FROM alerts WHERE at > $1",
            told="SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8,"
            " extract(epoch FROM pg_xact_commit_timestamp(xmin) - due_at)::float8 FROM alerts WHERE at > $1",
        )
    finally:
        children.stop(process, signal.SIGTERM, patience_s=5)


def _pid(server: postgres.Server) -> int:
    assert server.process is not None
    return server.process.pid


async def _database(server: postgres.Server, name: str) -> str:
    conn = await asyncpg.connect(f"{server.url}/postgres")
    try:
        await conn.execute(f"CREATE DATABASE {name}")
    finally:
        await conn.close()
    return f"{server.url}/{name}"
