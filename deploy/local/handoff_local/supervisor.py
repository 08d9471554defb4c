"""Owns every process of a stack: starts them in order of need, starts them again when they die, ends them all."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import psutil

from handoff_local import children, kafka, parts, plan, ports, postgres
from handoff_local.children import StartFault
from handoff_local.home import SERVICES, Home, identities
from handoff_local.parts import Launch, Part
from handoff_local.plan import Plan

POLL_S: Final = 0.25
READY_PATIENCE_S: Final = 170.0
MOST_DEATHS_AT_START: Final = 5
LEFTOVERS_PATIENCE_S: Final = 5.0
SERVICES_PATIENCE_S: Final = 4.5
"""Together with the servers' patience below, everything has ended within ten seconds."""
SERVERS_PATIENCE_S: Final = 2.5
DEMO: Final = "demo"
DEMO_PATIENCE_S: Final = 60.0

_OURS_TO_SAY: Final = ("HANDOFF_", "PYTHONDONTWRITEBYTECODE")
"""Services are told by us alone, and keep their bytecode: without it each start compiles every library again."""

Say = Callable[[str, str], None]
"""Called with a step's name and how far it is; `done` closes the step."""


class Ended(BaseException):
    """A signal asked for the end. No Exception, so that nothing on the way takes it for a fault."""


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
    _written: dict[str, Any] = field(default_factory=dict)

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, watch it until a signal, end everything. StartFault says what is wrong."""
        with self.home.claimed(), self._signals(), suppress(Ended):
            try:
                self._clear_away()
                self.home.check_room()
                self._check_ports()
                self._start_servers()
                self._start_services()
                when_ready()
                self._watch()
            finally:
                self.stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def end(_number: int, _frame: Any) -> None:
            # Once: what ends everything must itself not be cut short.
            if not self.stopping:
                self.stopping = True
                raise Ended

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, end) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _clear_away(self) -> None:
        """See that what a killed supervisor started has ended."""
        if left := children.end_leftovers(self.home.children(), patience_s=LEFTOVERS_PATIENCE_S):
            self.say("Clearing away", f"{left} processes of a start that was killed")
            self.say("Clearing away", "done")

    def _check_ports(self) -> None:
        for port, who in Plan(self.home, self.port).all_ports().items():
            if ports.is_taken(port):
                raise StartFault(
                    f"Port {port}, for {who}, is taken{_holder(port)}. End that, or take other ports:"
                    f" `handoff up --home {self.home.path} --port {self.port + 200}`."
                )

    def _start_servers(self) -> None:
        """Start both servers; Kafka comes up while the databases are made."""
        blueprint, kept = Plan(self.home, self.port), self.home.secrets()
        self._database = postgres.Server(self.home.path / "postgres", blueprint.postgres_port, kept["postgres"])
        self._broker = kafka.Broker(self.home.path / "kafka", blueprint.kafka_port, blueprint.controller_port)
        server, broker = self._database, self._broker
        self.say("Kafka", "starting")
        self._add("kafka", blueprint.kafka_port, broker, lambda: broker.launch(self._jars)).start()
        self.say("PostgreSQL", "starting")
        self._add("postgres", blueprint.postgres_port, server, server.launch).start()
        self.parts.reverse()
        self._raise_first_fault()
        assert server.process is not None
        children.await_start(
            server.process, server.is_up, what="PostgreSQL", log=server.log, patience_s=postgres.START_PATIENCE_S
        )
        self.say("PostgreSQL", "databases")
        asyncio.run(_prepare_databases(server.url, kept["roles"]))
        self.say("PostgreSQL", "done")
        assert broker.process is not None
        children.await_start(
            broker.process, broker.is_up, what="Kafka", log=broker.log, patience_s=kafka.START_PATIENCE_S
        )
        self.say("Kafka", "done")

    def _jars(self, done: int, of: int) -> None:
        self.say("Kafka", f"downloading, {done} of {of} jars")

    def _add(self, name: str, port: int, server: kafka.Broker | postgres.Server, launch: Launch) -> Part:
        part = Part(self.home, name, 1, port, None, server.log, launch, parts.liveness(server.is_up))
        self.parts.append(part)
        return part

    def _raise_first_fault(self) -> None:
        for part in self.parts:
            if part.process is None and part.state == "failed":
                raise StartFault(f"{part.name}: {part.reason}")

    def _start_services(self) -> None:
        blueprint = Plan(self.home, self.port)
        taken = set(blueprint.all_ports())
        for service in SERVICES:
            for replica in range(1, self.replicas.get(service, 1) + 1):
                port = blueprint.port_of(service) if replica == 1 else parts.free_port(taken)
                metrics = blueprint.metrics_port_of(service) if replica == 1 else parts.free_port(taken)
                self.parts.append(self._service(service, replica, port, metrics))
        deadline = time.monotonic() + READY_PATIENCE_S
        while not self.ready:
            self._look()
            self._say_how_far()
            self._check_progress(deadline)
            time.sleep(POLL_S)
        self.say("Services", "done")
        if self.with_demo:
            self._start_demo()

    def _service(self, name: str, replica: int, port: int, metrics_port: int) -> Part:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(_OURS_TO_SAY)},
            **Plan(self.home, self.port).environment_of(name),
            "HANDOFF_PORT": str(port),
            "HANDOFF_METRICS_PORT": str(metrics_port),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", f"{plan.PACKAGES[name]}.main"]
        log = plan.log_of(self.home, name, replica)
        return Part(
            home=self.home,
            name=name,
            replica=replica,
            port=port,
            metrics_port=metrics_port,
            log=log,
            launch=lambda: children.spawn(command, log=log, env=environment),
            probe=parts.readiness(port),
        )

    def _start_demo(self) -> None:
        """Start the demo and wait a while for its company; without it the system is whole all the same."""
        demo = self._demo()
        self.parts.append(demo)
        self.say("Demo company", "loading")
        deadline = time.monotonic() + DEMO_PATIENCE_S
        while demo.state != "ready" and time.monotonic() < deadline:
            self._look()
            time.sleep(POLL_S)
        self.say("Demo company", "done" if demo.state == "ready" else f"not loaded yet, see {demo.log}")

    def _demo(self) -> Part:
        command = [sys.executable, "-m", "handoff_cli.demo", "--home", str(self.home.path)]
        log = plan.log_of(self.home, DEMO, 1)

        def probe() -> str | None:
            """Ask the demo's own note: who has loaded the company."""
            loaded_by = self.home.remembered(DEMO).get("loaded_by")
            return None if demo.process is not None and loaded_by == str(demo.process.pid) else "loading"

        demo = Part(self.home, DEMO, 1, 0, None, log, lambda: children.spawn(command, log=log), probe)
        return demo

    def _say_how_far(self) -> None:
        services = [part for part in self.parts if part.name in SERVICES]
        waiting = [part.name for part in services if part.state != "ready"]
        if waiting:
            self.say(
                "Services", f"{len(services) - len(waiting)} of {len(services)} ready, waiting for {', '.join(waiting)}"
            )

    def _check_progress(self, deadline: float) -> None:
        """StartFault when a part cannot come up: it dies again and again, or takes too long."""
        hopeless = [part for part in self.parts if part.deaths >= MOST_DEATHS_AT_START]
        if hopeless or time.monotonic() > deadline:
            slow = hopeless or [part for part in self.parts if part.state != "ready"]
            told = "\n".join(f"  {part.name}: {part.reason or part.state} (see {part.log})" for part in slow)
            raise StartFault(f"The stack did not come up, and was ended. What is wrong:\n{told}")

    @property
    def ready(self) -> bool:
        """Say whether every part does its work."""
        present = {part.name for part in self.parts}
        return present >= set(SERVICES) and all(part.state == "ready" for part in self.parts if part.name != DEMO)

    def _watch(self) -> None:
        while True:
            self._look()
            time.sleep(POLL_S)

    def _look(self) -> None:
        """See who died and start them again; ask who is ready."""
        for part in self.parts:
            if part.name != DEMO or part.process is not None or self.ready:
                part.look()
        # A full disk ends nothing by itself: what runs goes on, and is shown again when there is room.
        with suppress(StartFault):
            self._write()

    def _write(self) -> None:
        blueprint = Plan(self.home, self.port)
        pids = [part.process.pid for part in self.parts if part.process is not None]
        state = {
            "home": str(self.home.path),
            "ready": self.ready and not self.stopping,
            "parts": [part.shown() for part in self.parts if part.name != DEMO],
            "kafka": f"127.0.0.1:{blueprint.kafka_port}",
            "postgres": {service: blueprint.dsn_of(service) for service in SERVICES},
            "port": self.port,
            "urls": {service: blueprint.url_of(service) for service in SERVICES},
            "demo": [part.shown() for part in self.parts if part.name == DEMO],
            "supervisor": identities([os.getpid()])[0],
            "children": identities(pids),
        }
        if state != self._written:
            self.home.write_state(state)
            self._written = state

    def stop(self) -> None:
        """End every process within ten seconds: services first, then both servers at once."""
        self.stopping = True
        servers = ("postgres", "kafka")
        self._end([part for part in self.parts if part.name not in servers], SERVICES_PATIENCE_S)
        self._end([part for part in self.parts if part.name in servers], SERVERS_PATIENCE_S)
        for part in self.parts:
            part.process, part.state, part.reason = None, "stopped", ""
        with suppress(StartFault):
            self._write()

    def _end(self, ending: list[Part], patience_s: float) -> None:
        # SIGINT is PostgreSQL's fast stop; its SIGTERM would wait for clients.
        running = [(part.process, part.name) for part in ending if part.process is not None]
        numbers = {"postgres": signal.SIGINT}
        for process, name in running:
            with suppress(ProcessLookupError):
                process.send_signal(numbers.get(name, signal.SIGTERM))
        deadline = time.monotonic() + patience_s
        # A checkpoint may take longer than that. SIGQUIT ends PostgreSQL with its children, which a kill of the group
        # would leave holding the shared memory; the next start recovers from the log.
        urgent = {"postgres": signal.SIGQUIT}
        for process, name in running:
            left = max(0.05, deadline - time.monotonic())
            children.await_end(process, patience_s=left, urgently=urgent.get(name))


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
