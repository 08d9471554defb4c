"""The naive design as a side of the benchmark: the same PostgreSQL and Kafka, a process per step."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.client import Door
from benchmarks.measuring import Side
from benchmarks.naive.models import Base, Rep
from handoff_local import children, kafka, ports, postgres

STEPS = ("qualification", "routing", "sla", "forecast")
TOPICS = ("naive.leads", "naive.qualified", "naive.routed")
PARTITIONS = 6
REPS = 10
START_PATIENCE_S = 30.0


@contextmanager
def running(folder: Path) -> Iterator[Side]:
    """Run the naive design with fresh data; ends it in any case."""
    settings = {"track_commit_timestamp": "on"}
    server = postgres.Server(folder / "postgres", ports.free(), secrets.token_hex(16), settings)
    broker = kafka.Broker(folder / "kafka", ports.free(), ports.free())
    parts: dict[str, subprocess.Popen[bytes]] = {}
    try:
        server.start()
        broker.start()
        url = f"{server.url}/naive"
        asyncio.run(_prepare(server.url, url, broker.address))
        environment = {
            **os.environ,
            "NAIVE_DATABASE_URL": url.replace("postgresql:", "postgresql+asyncpg:"),
            "NAIVE_KAFKA": broker.address,
        }
        port = ports.free()
        serve = ["-m", "uvicorn", "benchmarks.naive.intake:app", "--port", str(port), "--no-access-log"]
        parts["intake"] = children.spawn([sys.executable, *serve], log=folder / "intake.log", env=environment)
        for step in STEPS:
            module = ["-m", f"benchmarks.naive.{step}"]
            parts[step] = children.spawn([sys.executable, *module], log=folder / f"{step}.log", env=environment)
        _await_answer(port, parts["intake"], folder / "intake.log")
        assert server.process is not None
        assert broker.process is not None
        pids = {name: process.pid for name, process in parts.items()}
        pids |= {"postgres": server.process.pid, "kafka": broker.process.pid}
        yield Side(
            name="naive design",
            door=Door(port, "/v1/leads"),
            dsn=url,
            armed="SELECT lead_id::text, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM clocks"
            " WHERE kind = 'first_response_5m'",
            count="SELECT count(*) FROM clocks WHERE kind = 'first_response_5m'",
            pids=lambda: pids,
        )
    finally:
        for process in parts.values():
            children.stop(process, 15, patience_s=5)
        broker.kill()
        server.stop(immediate=True)


async def _prepare(server_url: str, url: str, kafka_address: str) -> None:
    conn = await asyncpg.connect(f"{server_url}/postgres")
    await conn.execute("CREATE DATABASE naive")
    await conn.close()
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as made:
        await made.run_sync(Base.metadata.create_all)
        await made.execute(
            Rep.__table__.insert(),  # type: ignore[attr-defined]
            [{"id": f"rep-{number}", "name": f"Rep {number}", "cap": 100_000} for number in range(REPS)],
        )
    await engine.dispose()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    await admin.create_topics([NewTopic(name=name, num_partitions=PARTITIONS, replication_factor=1) for name in TOPICS])
    await admin.close()


def _await_answer(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_PATIENCE_S
    while not ports.answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the naive design did not start: {children.tail(log)}")
        time.sleep(0.05)
