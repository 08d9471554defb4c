"""The PostgreSQL and the Kafka of a test run, and an empty migrated database for each test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from backbone import security
from backbone.testing.databases import Databases

PACKAGES: Final = {
    "intake": "lead_intake",
    "qualification": "qualification",
    "routing": "routing",
    "sla": "sla_monitor",
    "forecast": "forecast",
    "notifications": "notifications",
    "console": "console",
}
"""Short name of a service's topic -> its package."""

KAFKA_OVERRIDES: Final = {
    "group.min.session.timeout.ms": "1000",
    # Each test's topics are deleted after it: a thousand tests' would fill the broker's heap.
    "log.segment.delete.delay.ms": "1000",
}
CONTAINER_PATIENCE_S: Final = 120


@dataclass(slots=True)
class Servers:
    """Addresses of the two servers, and the databases that were made so far."""

    kafka: str
    postgres: str
    """URL of the server without a database's name."""
    databases: Databases = field(init=False)

    def __post_init__(self) -> None:
        """Begin without any database."""
        self.databases = Databases(self.postgres)

    def behind(self, *, kafka: str | None = None, postgres: str | None = None) -> "Servers":
        """Return the same servers at other addresses, such as a proxy's."""
        other = Servers(kafka or self.kafka, postgres or self.postgres)
        other.databases = self.databases
        return other

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"{self.postgres}/{database}"


@contextmanager
def started() -> Iterator[Servers]:
    """Start both servers in a folder of their own, or take containers with HANDOFF_TEST_STACK=containers."""
    if os.environ.get("HANDOFF_TEST_STACK") == "containers":
        with _containers() as servers:
            yield servers
        return
    from handoff_local import kafka, postgres

    folder = Path(tempfile.mkdtemp(prefix="handoff-test-"))
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            server = stack.enter_context(postgres.throwaway(folder / "postgres"))
            broker = stack.enter_context(kafka.throwaway(folder / "kafka", KAFKA_OVERRIDES))
            yield Servers(kafka=broker.address, postgres=server.url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _containers() -> Iterator[Servers]:
    from testcontainers.community.postgres import PostgresContainer

    server = PostgresContainer("postgres:18", driver=None).with_command("postgres -c max_connections=300")
    with server, _kafka_container() as kafka:
        yield Servers(kafka=kafka, postgres=server.get_connection_url().rpartition("/")[0])


@contextmanager
def _kafka_container() -> Iterator[str]:
    """Run Apache's own image; testcontainers' class starts Confluent's alone. It advertises its port."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    from handoff_local import ports

    port = ports.free()
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "message.max.bytes": "8388608",
        **KAFKA_OVERRIDES,
    }
    container = DockerContainer("apache/kafka:4.2.0").with_bind_ports(9092, port)
    for name, value in settings.items():
        container = container.with_env("KAFKA_" + name.replace(".", "_").upper(), value)
    ready = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(CONTAINER_PATIENCE_S)
    with container.waiting_for(ready):
        yield f"localhost:{port}"


async def trust(conn: Any, jwk: dict[str, Any]) -> None:
    """Let a service accept the tests' tokens and the tests' machine key."""
    await conn.execute("INSERT INTO trusted_key VALUES ($1, $2)", jwk["kid"], jwk)
    await conn.execute("INSERT INTO machine_key VALUES ($1, 'tests', 'service')", security.hash_key(SERVICE_KEY))


SERVICE_KEY: Final = "hk_" + "0" * 40


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The two servers, once per run; a worker process is told where they are."""
    told = getattr(request.config, "workerinput", None)
    if told is not None:
        yield Servers(kafka=told["kafka"], postgres=told["postgres"])
        return
    with started() as running:
        yield running
