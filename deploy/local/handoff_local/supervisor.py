"""Owns every process of a stack: starts them in order of need, starts them again when they die, ends them all."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from handoff_local import children, kafka, plan, ports, postgres
from handoff_local.children import StartFault
from handoff_local.home import SERVICES, Home
from handoff_local.plan import Plan

POLL_S: Final = 0.25
ASK_READY_EVERY_S: Final = 1.0
"""Who was ready a moment ago is not asked at each look: seven answers cost more than the look."""
READY_PATIENCE_S: Final = 60.0
FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 10.0
STEADY_AFTER_S: Final = 20.0
STOP_PATIENCE_S: Final = 6.0

_OURS_TO_SAY: Final = ("HANDOFF_", "PYTHONDONTWRITEBYTECODE")
"""Services are told by us alone, and keep their bytecode: without it each start compiles every library again."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Part:
    """A process that is to run."""

    name: str
    replica: int
    port: int
    metrics_port: int | None
    start: Callable[["Part"], "subprocess.Popen[bytes]"]
    log: str
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    again_at: float = 0.0
    asked_at: float = 0.0
    state: str = "stopped"
    reason: str = ""

    def shown(self) -> dict[str, Any]:
        """Return the part as `handoff status` shows it."""
        pid = self.process.pid if self.process is not None else None
        return {
            "name": self.name,
            "replica": self.replica,
            "pid": pid,
            "port": self.port,
            "metrics_port": self.metrics_port,
            "state": self.state,
            **({"reason": self.reason} if self.reason else {}),
            "log": self.log,
        }


@dataclass(slots=True)
class Supervisor:
    """One running stack."""

    home: Home
    port: int
    replicas: Mapping[str, int]
    say: Say
    with_demo: bool = False
    parts: list[Part] = field(default_factory=list)
    stopping: bool = False
    _database: postgres.Server | None = None
    _broker: kafka.Broker | None = None

    def run(self) -> None:
        """Start everything, watch it until a signal, end everything. StartFault says what is wrong."""
        with self.home.claimed():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)
            try:
                self._check_ports()
                self._start_servers()
                self._start_services()
                self._watch()
            finally:
                self.stop()

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self.stopping = True

    def _check_ports(self) -> None:
        for port, who in Plan(self.home, self.port).all_ports().items():
            if ports.answers(port):
                raise StartFault(
                    f"Port {port}, for {who}, is taken{_holder(port)}. End that, or take other ports:"
                    " `handoff up --port 8300`."
                )

    def _start_servers(self) -> None:
        blueprint, kept = Plan(self.home, self.port), self.home.secrets()
        self.say("PostgreSQL: starting")
        self._database = postgres.Server(self.home.path / "postgres", blueprint.postgres_port, kept["postgres"])
        self._database.start()
        asyncio.run(_prepare_databases(self._database.url, kept["roles"]))
        self.say("Kafka: starting")
        self._broker = kafka.Broker(self.home.path / "kafka", blueprint.kafka_port, blueprint.controller_port)
        self._broker.start(lambda done, of: self.say(f"Kafka: {done} of {of} jars"))
        for name, server, port in (
            ("postgres", self._database, blueprint.postgres_port),
            ("kafka", self._broker, blueprint.kafka_port),
        ):
            part = Part(name, 1, port, None, _restart(server), str(server.log), server.process, time.time())
            part.state = "ready"
            self.parts.append(part)
        self._write()

    def _start_services(self) -> None:
        blueprint = Plan(self.home, self.port)
        for service in SERVICES:
            for replica in range(1, self.replicas.get(service, 1) + 1):
                port = blueprint.port_of(service) if replica == 1 else ports.free()
                metrics = blueprint.metrics_port_of(service) if replica == 1 else ports.free()
                log = plan.log_of(self.home, service, replica)
                part = Part(service, replica, port, metrics, self._start_service, str(log))
                self.parts.append(part)
                self._start(part)
        if self.with_demo:
            log = plan.log_of(self.home, "demo", 1)
            self.parts.append(Part("demo", 1, 0, None, self._start_demo, str(log)))
        deadline = time.monotonic() + READY_PATIENCE_S
        self.say("Services: starting")
        while not self.stopping and not self.ready:
            self._look()
            if time.monotonic() > deadline:
                slow = ", ".join(
                    f"{part.name} ({part.reason or part.state})" for part in self.parts if part.state != "ready"
                )
                raise StartFault(
                    f"Not ready after {READY_PATIENCE_S:.0f} s: {slow}. Their logs are in {self.home.logs}."
                )
            time.sleep(POLL_S)
        self.say("Services: ready")

    @property
    def ready(self) -> bool:
        """Say whether every part does its work."""
        present = {part.name for part in self.parts}
        return present >= set(SERVICES) and all(part.state == "ready" for part in self.parts if part.name != "demo")

    def _start_service(self, part: Part) -> "subprocess.Popen[bytes]":
        blueprint = Plan(self.home, self.port)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OURS_TO_SAY)},
            **blueprint.environment_of(part.name),
            "HANDOFF_PORT": str(part.port),
            "HANDOFF_METRICS_PORT": str(part.metrics_port),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", f"{plan.PACKAGES[part.name]}.main"]
        return children.spawn(command, log=plan.log_of(self.home, part.name, part.replica), env=environment)

    def _start_demo(self, _: Part) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "handoff_cli.demo", "--home", str(self.home.path)]
        return children.spawn(command, log=plan.log_of(self.home, "demo", 1))

    def _start(self, part: Part) -> None:
        part.state, part.started_at = "starting", time.time()
        try:
            part.process = part.start(part)
        except StartFault as fault:
            part.state, part.reason, part.process = "failed", str(fault).splitlines()[0], None
            self._later(part)

    def _later(self, part: Part) -> None:
        part.again_at = time.monotonic() + part.backoff_s
        part.backoff_s = min(part.backoff_s * 2, LONGEST_BACKOFF_S)

    def _watch(self) -> None:
        while not self.stopping:
            self._look()
            time.sleep(POLL_S)

    def _look(self) -> None:
        """See who died and start them again; ask who is ready."""
        for part in self.parts:
            if part.process is None:
                if time.monotonic() >= part.again_at and (part.name != "demo" or self.ready):
                    self._start(part)
            elif part.process.poll() is not None:
                part.reason = f"ended with {part.process.returncode}: {children.tail(Path(part.log), 1)[:300]}"
                part.state, part.process = "failed", None
                self._later(part)
            elif part.name in SERVICES:
                if part.state != "ready" or time.monotonic() - part.asked_at > ASK_READY_EVERY_S:
                    part.state, part.reason = _readiness(part)
                    part.asked_at = time.monotonic()
            else:
                part.state, part.reason = "ready", ""
            if part.state == "ready" and time.time() - part.started_at > STEADY_AFTER_S:
                part.backoff_s = FIRST_BACKOFF_S
        self._write()

    def _write(self) -> None:
        blueprint = Plan(self.home, self.port)
        me = psutil.Process()
        self.home.write_state(
            {
                "home": str(self.home.path.resolve()),
                "ready": self.ready and not self.stopping,
                "parts": [part.shown() for part in self.parts],
                "kafka": f"127.0.0.1:{blueprint.kafka_port}",
                "postgres": {service: blueprint.dsn_of(service) for service in SERVICES},
                "port": self.port,
                "urls": {service: blueprint.url_of(service) for service in SERVICES},
                "supervisor": {"pid": me.pid, "started": me.create_time()},
            }
        )
        self.home.state_file.chmod(0o600)

    def stop(self) -> None:
        """End every process, services first, within ten seconds."""
        running = [part for part in self.parts if part.process is not None and part.name not in ("postgres", "kafka")]
        for part in running:
            assert part.process is not None
            with suppress(ProcessLookupError):
                part.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE_S
        for part in running:
            assert part.process is not None
            children.stop(part.process, signal.SIGTERM, patience_s=max(0.1, deadline - time.monotonic()))
        if self._broker is not None:
            self._broker.kill()
        if self._database is not None:
            self._database.stop()
        for part in self.parts:
            part.process, part.state = None, "stopped"
        with suppress(StartFault):
            self._write()


def _restart(server: Any) -> Callable[[Part], "subprocess.Popen[bytes]"]:
    def start(_: Part) -> "subprocess.Popen[bytes]":
        server.start()
        assert server.process is not None
        return server.process  # type: ignore[no-any-return]

    return start


def _readiness(part: Part) -> tuple[str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{part.port}/readyz", timeout=2):
            return "ready", ""
    except urllib.error.HTTPError as error:
        return "starting", f"answers {error.code}"
    except (OSError, ValueError):
        return "starting", ""


async def _prepare_databases(url: str, roles: Mapping[str, str]) -> None:
    """Make a role and a database for each service and for the vault, where they are missing."""
    conn = await asyncpg.connect(f"{url}/postgres")
    try:
        for service, password in roles.items():
            name = plan.database_of(service)
            if not await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
                await conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            if not await conn.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await conn.execute(f"CREATE DATABASE {name} OWNER {name}")
    finally:
        await conn.close()


def _holder(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN" and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
