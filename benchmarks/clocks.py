"""sla-monitor's firing alone: how late alerts are while many clocks are open, what that costs, and after a kill.

Beside it, in turns, a monitor that polls every second on tables of the same size. Each has a PostgreSQL of its own;
both run all the time, for one at a time clocks fall due. Lateness is measured at the commit that GET /v1/alerts shows.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import asyncpg

from benchmarks import clock_rows, monitors
from benchmarks.clock_rows import Connection, Spread
from benchmarks.measuring import PATIENCE_S, POLL_S, Advance, cpu_seconds
from benchmarks.monitors import Monitor, Supervised, Wire
from handoff_local import kafka, ports, postgres

OPEN = (1_000, 100_000, 1_000_000)
FILLED_AT_ONCE = 10_000
LEAD_INS_S = (3.0, 8.0, 20.0)
"""How long before the first falls due the clocks are written; the next where the machine was too slow for one."""
IDLE_S = 5.0
SETTLE_S = 1.0
KILLED_AFTER = 0.2
"""The share of the clocks' seconds after which the process is killed. They fall due for as long again as Kafka takes to
give a dead member's partitions to another: that moment is to be seen, too."""
TRAFFIC_PER_S = 20
"""Leads that come while a process is killed: what is read late is what an instance that starts waits for."""
MARK_S = 0.1
"""What p99 is to stay under with the most clocks open."""
FILL_DAYS = (0.1, 0.9)


@dataclass(frozen=True, slots=True)
class Size:
    """What is asked of both."""

    open_clocks: Sequence[int] = OPEN
    due_per_second: int = 1_000
    seconds: float = 10.0
    rounds: int = 1
    session_s: float = 10.0
    """After how long Kafka takes a silent instance for dead; the service's own setting."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert: when it was committed, in seconds since the epoch, and by how many seconds it was late."""

    at: float
    late: float


@dataclass(slots=True)
class Firing:
    """What one monitor did with so many clocks open."""

    late: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds of its process and of its database while clocks fell due."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """The share of a core that they take while nothing is due."""

    def us(self, part: str) -> float:
        """CPU microseconds an alert."""
        return self.cpu[part] / max(1, len(self.late)) * 1e6


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a kill did."""

    instances: int
    silent: float
    """Seconds from the kill to the next alert."""
    longest: float
    """The longest time without an alert after the kill, while clocks were due."""
    late: Sequence[float]
    """Of the alerts after the kill."""


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured: by open clocks, then by monitor."""

    firing: Mapping[int, Mapping[str, Firing]]
    recovery: Sequence[Recovery]
    size: Size


@dataclass(frozen=True, slots=True)
class Site:
    """Where both run."""

    folder: Path
    servers: tuple[postgres.Server, postgres.Server]
    kafka: str
    namespace: str = "handoff"


def measure(folder: Path, size: Size, advance: Advance) -> Found:
    """Start the servers and measure."""
    folder.mkdir(parents=True, exist_ok=True)
    with _database(folder / "ours") as first, _database(folder / "naive") as second:
        broker = kafka.Broker(folder / "kafka", ports.free(), ports.free())
        try:
            broker.start()
            return asyncio.run(run(Site(folder, (first, second), broker.address), size, advance))
        finally:
            broker.kill()


@contextmanager
def _database(folder: Path) -> Iterator[postgres.Server]:
    server = postgres.Server(folder, ports.free(), secrets.token_hex(16), monitors.KEEPS_COMMIT_TIMES)
    try:
        server.start()
        yield server
    finally:
        server.stop(immediate=True)


async def run(site: Site, size: Size, advance: Advance) -> Found:
    """Measure both monitors with each number of clocks, then what a kill does with the last."""
    async with AsyncExitStack() as opened:
        ours, supervised, wire = await opened.enter_async_context(
            monitors.ours(site.folder, site.servers[0], site.kafka, site.namespace, size.session_s)
        )
        naive = await opened.enter_async_context(monitors.naive(site.folder, site.servers[1]))
        conns = {one.name: await _connect(opened, one.url) for one in (ours, naive)}
        steps = _Steps(advance, len(size.open_clocks) * (2 + 2 * size.rounds) + 2)
        firing: dict[int, dict[str, Firing]] = {}
        for wanted in size.open_clocks:
            found = firing[wanted] = {one.name: Firing() for one in (ours, naive)}
            for one in (ours, naive):
                await _fill(one, conns[one.name], wanted)
                found[one.name].idle = await _idle(one)
                steps.done()
            for _ in range(size.rounds):
                for one in (ours, naive):
                    await _fire(one, conns[one.name], size, found[one.name])
                    steps.done()
        recovery = []
        for instances in (1, 2):
            if instances > 1:
                await supervised.add_replica()
            recovery.append(await _kill(ours, conns[ours.name], supervised, wire, size))
            steps.done()
    return Found(firing, recovery, size)


async def _connect(opened: AsyncExitStack, url: str) -> Connection:
    conn = await asyncpg.connect(url)
    opened.push_async_callback(conn.close)
    return conn


@dataclass(slots=True)
class _Steps:
    advance: Advance
    total: int
    taken: int = 0

    def done(self) -> None:
        self.taken += 1
        self.advance(self.taken / self.total)


async def _fill(monitor: Monitor, conn: Connection, wanted: int) -> None:
    """Open clocks until so many are open; the earliest is due in hours."""
    missing = wanted - await conn.fetchval(monitor.open_clocks)
    leads = -(-missing // clock_rows.CLOCKS_PER_LEAD)
    begins = datetime.now(UTC) + timedelta(days=FILL_DAYS[0])
    for first in range(0, leads, FILLED_AT_ONCE):
        spread = Spread(min(FILLED_AT_ONCE, leads - first), begins, timedelta(days=FILL_DAYS[1]).total_seconds())
        async with conn.transaction():
            await monitor.add(conn, spread)
    # As autovacuum leaves tables that were filled long ago.
    await conn.execute("VACUUM (ANALYZE)")
    await conn.execute("CHECKPOINT")
    await asyncio.sleep(SETTLE_S)


async def _idle(monitor: Monitor) -> Mapping[str, float]:
    cpu, began = cpu_seconds(monitor.pids()), time.monotonic()
    await asyncio.sleep(IDLE_S)
    took = time.monotonic() - began
    return {part: (spent - cpu[part]) / took for part, spent in cpu_seconds(monitor.pids()).items()}


async def _let_fall_due(monitor: Monitor, conn: Connection, size: Size) -> datetime:
    """Write clocks that fall due within the next seconds, all before the first does. Returns when that is."""
    for lead_in_s in LEAD_INS_S:
        begins = datetime.now(UTC) + timedelta(seconds=lead_in_s)
        change = conn.transaction()
        await change.start()
        await monitor.add(conn, Spread(int(size.due_per_second * size.seconds), begins, size.seconds))
        if datetime.now(UTC) < begins - timedelta(seconds=lead_in_s / 4):
            await change.commit()
            return begins
        await change.rollback()
    raise TimeoutError(f"the clocks were not written within {LEAD_INS_S[-1]:.0f} s")


async def _fire(monitor: Monitor, conn: Connection, size: Size, found: Firing) -> None:
    newest = await conn.fetchval(monitor.newest)
    begins = await _let_fall_due(monitor, conn, size)
    await _until(begins)
    cpu = cpu_seconds(monitor.pids())
    told = await _until_told(monitor, conn, size, newest, begins)
    for part, spent in cpu_seconds(monitor.pids()).items():
        found.cpu[part] = found.cpu.get(part, 0.0) + spent - cpu[part]
    found.late += [one.late for one in told]


async def _until(instant: datetime) -> None:
    await asyncio.sleep(max(0.0, (instant - datetime.now(UTC)).total_seconds()))


async def _until_told(monitor: Monitor, conn: Connection, size: Size, newest: object, begins: datetime) -> list[Told]:
    """Leave the database alone until the last is due, then wait for the last alert."""
    await _until(begins + timedelta(seconds=size.seconds))
    wanted, deadline = int(size.due_per_second * size.seconds), time.monotonic() + PATIENCE_S
    while (fired := await conn.fetchval(monitor.fired, newest)) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{monitor.name}: {fired} of {wanted} alerts went out within {PATIENCE_S:.0f} s")
        await asyncio.sleep(POLL_S)
    return [Told(*row) for row in await conn.fetch(monitor.told, newest)]


async def _kill(ours: Monitor, conn: Connection, supervised: Supervised, wire: Wire, size: Size) -> Recovery:
    """Kill the first instance while clocks fall due and leads come, and see when alerts go out again."""
    newest = await conn.fetchval(ours.newest)
    coming = asyncio.create_task(wire.keep_coming(TRAFFIC_PER_S))
    try:
        longer = replace(size, seconds=size.seconds + size.session_s)
        begins = await _let_fall_due(ours, conn, longer)
        await _until(begins + timedelta(seconds=size.seconds * KILLED_AFTER))
        supervised.kill_first()
        killed_at = time.time()
        told = await _until_told(ours, conn, longer, newest, begins)
        recovery = after_kill(told, killed_at, begins.timestamp() + longer.seconds, len(supervised.parts))
        await supervised.ready()
    finally:
        coming.cancel()
    return recovery


def after_kill(told: Sequence[Told], killed_at: float, until: float, instances: int) -> Recovery:
    """Say what a kill did, from the alerts of before and after it; clocks fall due `until` then."""
    after = sorted((one for one in told if one.at > killed_at), key=lambda one: one.at)
    instants = [killed_at, *(one.at for one in after)]
    gaps = [(later - earlier) for earlier, later in pairwise(instants) if earlier < until]
    return Recovery(
        instances=instances,
        silent=gaps[0] if gaps else 0.0,
        longest=max(gaps, default=0.0),
        late=[one.late for one in after],
    )
