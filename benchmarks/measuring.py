"""What is measured of a side: leads a second, latencies, CPU and memory of each of its processes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg
import psutil

from benchmarks import client
from benchmarks.client import Door

POLL_S = 0.1
PATIENCE_S = 300.0
FULL_CONNECTIONS = 256
PACED_CONNECTIONS = 64

Advance = Callable[[float], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A running design."""

    name: str
    door: Door
    dsn: str
    """The database with the armed clocks."""
    armed: str
    """A query of `lead_id` and `at`, the commit of its clock as seconds since the epoch."""
    count: str
    """A query of how many clocks are armed."""
    pids: Callable[[], Mapping[str, int]]
    """The main process of each part."""


@dataclass(frozen=True, slots=True)
class Full:
    """A run at saturation."""

    leads: int
    seconds: float
    cpu: Mapping[str, float]
    """CPU seconds by part."""

    @property
    def rate(self) -> float:
        """Leads a second from the first post to the last armed clock."""
        return self.leads / self.seconds

    @property
    def us_per_lead(self) -> float:
        """CPU microseconds a lead costs in all parts together."""
        return sum(self.cpu.values()) / self.leads * 1e6


@dataclass(frozen=True, slots=True)
class Paced:
    """A run at a fixed offered load."""

    offered: float
    http: Sequence[float]
    armed: Sequence[float]
    cpu: Mapping[str, float]
    leads: int


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that this share of all are not above; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1)]


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each part so far, with its children, those that have ended too."""
    return {name: sum(sum(one.cpu_times()[:4]) for one in _family(pid)) for name, pid in pids.items()}


def memory_bytes(pids: Mapping[str, int]) -> dict[str, int]:
    """Return the memory of each part: its share of what it shares where the system tells it, else resident."""
    return {name: sum(_memory(one) for one in _family(pid)) for name, pid in pids.items()}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    return 0


async def saturate(side: Side, leads: int, tag: str, advance: Advance) -> Full:
    """Post leads as fast as they are taken, and wait until each has its clock."""
    bodies = client.lead_bodies(leads, tag)
    conn = await asyncpg.connect(side.dsn)
    try:
        before = await conn.fetchval(side.count)
        cpu, began = cpu_seconds(side.pids()), time.time()
        load = await _posted(side, bodies, advance, connections=FULL_CONNECTIONS)
        await _until_armed(conn, side, before, len(bodies))
        used = _difference(cpu_seconds(side.pids()), cpu)
        _check(load)
        ended = await conn.fetchval(f"SELECT max(at) FROM ({side.armed}) AS armed")
    finally:
        await conn.close()
    return Full(leads, ended - began, used)


async def pace(side: Side, rate: float, seconds: float, tag: str, advance: Advance) -> Paced:
    """Post at a fixed rate; latency is from the moment a post is due to its answer, and to the commit of its clock."""
    bodies = client.lead_bodies(int(rate * seconds), tag)
    conn = await asyncpg.connect(side.dsn)
    try:
        before, cpu = await conn.fetchval(side.count), cpu_seconds(side.pids())
        load = await _posted(side, bodies, advance, connections=PACED_CONNECTIONS, rate=rate)
        await _until_armed(conn, side, before, len(bodies))
        used = _difference(cpu_seconds(side.pids()), cpu)
        _check(load)
        rows = await conn.fetch(side.armed)
    finally:
        await conn.close()
    armed = {row["lead_id"]: row["at"] for row in rows}
    return Paced(rate, load.latencies, client.since(armed, load.due), used, len(bodies))


async def _posted(
    side: Side, bodies: Sequence[bytes], advance: Advance, *, connections: int, rate: float | None = None
) -> client.Load:
    """Post; nothing else asks the database meanwhile, which would be measured too."""
    load = client.Load()
    posting = asyncio.create_task(client.post_all(side.door, bodies, load, connections=connections, rate=rate))
    while not posting.done():
        await asyncio.wait([posting], timeout=POLL_S)
        advance(len(load.latencies) / len(bodies))
    await posting
    return load


async def _until_armed(conn: "asyncpg.Connection[asyncpg.Record]", side: Side, before: int, leads: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (done := await conn.fetchval(side.count) - before) < leads:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{side.name}: {done} of {leads} clocks were armed within {PATIENCE_S:.0f} s")
        await asyncio.sleep(POLL_S)


def _check(load: client.Load) -> None:
    if load.refused:
        raise RuntimeError(f"{load.refused} leads were refused")


def _difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in after.items()}
