"""routing alone: decisions a second and what one costs, by the number of reps; how fast a long queue drains.

Both routers use one PostgreSQL, each a database of its own, one connection at a time, in turns. Ours is the service's
own handler with all that a decision writes (counts, log, assignment, decision, event), fed with what its consumer would
hand it. The naive one counts open assignments for each lead and locks the rep that it picks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from backbone import database, ids, migration, outbox, process, subjects, times
from backbone.envelope import Incoming
from handoff.events.v1 import common_pb2, qualification_pb2
from handoff_local import postgres
from routing import timers
from routing.consumer import Handler
from routing.store_group import Cache

REPS: Final = (10, 1_000, 10_000)
BATCH: Final = 500
OPEN: Final = 100_000
"""Assignments that are open when it begins, spread over the reps: a desk at work, not an empty one."""
WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
POLICY: Final = {
    "pools": [{"pool": "sdr", "reps": 'rep.role == "sdr"'}],
    "rules": [{"rule": "everyone", "to": "sdr"}],
}
NAIVE: Final = """
CREATE TABLE rep (rep_id text PRIMARY KEY, cap int NOT NULL);
CREATE TABLE assignment (lead_id uuid PRIMARY KEY, rep_id text NOT NULL REFERENCES rep, ended_at timestamptz);
CREATE INDEX assignment_rep ON assignment (rep_id) WHERE ended_at IS NULL;
"""
PICK: Final = """
SELECT r.rep_id FROM rep r LEFT JOIN (
    SELECT rep_id, count(*) AS open FROM assignment WHERE ended_at IS NULL GROUP BY rep_id
) AS load USING (rep_id) WHERE coalesce(open, 0) < r.cap ORDER BY coalesce(open, 0), r.rep_id LIMIT 1 FOR UPDATE OF r
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What decisions took."""

    decisions: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return self.decisions / self.seconds

    @property
    def us(self) -> float:
        """CPU microseconds a decision, PostgreSQL's included."""
        return self.cpu_seconds / self.decisions * 1e6


@dataclass(frozen=True, slots=True)
class Queue:
    """What a long queue costs an arriving lead, and how fast it drains."""

    waiting: int
    arriving_before: Cost
    arriving_behind: Cost
    drained: Cost


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured: by reps, then by kind."""

    ours: Mapping[int, Mapping[str, list[Cost]]]
    naive: Mapping[int, list[Cost]]
    queue: Queue


def measure(folder: Path, *, rounds: int, leads: int, waiting: int, advance: Callable[[float], None]) -> Found:
    """Start a PostgreSQL and measure, Python's garbage collector set as the service sets it, for both sides."""
    process.rest_the_collector()
    with _server(folder) as (url, pid):
        return asyncio.run(_measure(url, pid, rounds, leads, waiting, advance))


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, int]]:
    with postgres.throwaway(folder) as server:
        yield server.url, _pid(server)


def _pid(server: postgres.Server) -> int:
    assert server.process is not None
    return server.process.pid


async def _measure(
    url: str, pid: int, rounds: int, leads: int, waiting: int, advance: Callable[[float], None]
) -> Found:
    ours: dict[int, dict[str, list[Cost]]] = {}
    naive: dict[int, list[Cost]] = {}
    meter = _Meter(pid)
    for place, reps in enumerate(REPS):
        async with _router(url, reps) as router, _naive(url, reps) as peer:
            await router.route(BATCH, BATCH)
            ours[reps], naive[reps] = {"batch": [], "single": []}, []
            for _ in range(rounds):
                ours[reps]["batch"].append(await meter.of(leads, partial(router.route, leads, BATCH)))
                ours[reps]["single"].append(await meter.of(leads // 10, partial(router.route, leads // 10, 1)))
                alone = max(20, leads // max(50, reps))
                naive[reps].append(await meter.of(alone, partial(_route_naively, peer, alone)))
        advance((place + 1) / (len(REPS) + 1))
    async with _router(url, 1_000, cap=0) as router:
        queue = await _queue(router, meter, waiting)
    advance(1.0)
    return Found(ours, naive, queue)


@dataclass(slots=True)
class _Meter:
    pid: int

    async def of(self, decisions: int, work: Callable[[], Awaitable[None]]) -> Cost:
        """Do the work and say what it took."""
        cpu, began = self._cpu(), time.perf_counter()
        await work()
        return Cost(decisions, time.perf_counter() - began, self._cpu() - cpu)

    def _cpu(self) -> float:
        server = psutil.Process(self.pid)
        family = [server, *server.children(recursive=True)]
        return time.process_time() + sum(sum(one.cpu_times()[:4]) for one in family)


@dataclass(slots=True)
class _Router:
    """The service's own parts, without Kafka."""

    db: database.Database
    out: outbox.Outbox
    cache: Cache
    handler: Handler

    async def route(self, leads: int, batch: int) -> None:
        """Let leads come in batches."""
        for first in range(0, leads, batch):
            incoming = [_qualified() for _ in range(min(batch, leads - first))]
            await self.db.run(partial(self._take, incoming))

    async def _take(self, incoming: list[Incoming], conn: database.Connection) -> None:
        await subjects.lock(conn, [event.subject for event in incoming])
        await self.handler.handle(conn, incoming)


@asynccontextmanager
async def _router(url: str, reps: int, cap: int = 1_000_000) -> AsyncIterator[_Router]:
    own = await _database(url, f"routing_{reps}_{cap}")
    await asyncio.to_thread(migration.upgrade, own, "routing")
    db = await database.connect(own, name="bench")
    try:
        async with db.transaction() as conn:
            await _hire(conn, reps, cap, OPEN if cap else 0)
        out = outbox.Outbox(topic="routing", namespace="bench", partitions=6)
        cache = Cache()
        yield _Router(db, out, cache, Handler(out, cache))
    finally:
        await db.close()


async def _hire(conn: database.Connection, reps: int, cap: int, held: int) -> None:
    hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
    texts = {"email": "x@x.example", "team": "t", "role": "sdr", "kind": "hunter", "time_zone": "UTC"}
    document = {**texts, "name": "x", "working_hours": hours, "cap": cap, "weight": 1.0, "active": True}
    names = [f"rep{number:05}" for number in range(reps)]
    await conn.execute(
        "INSERT INTO rep (rep_id, document, version, cap) SELECT name, $2, 1, $3 FROM unnest($1::text[]) AS t(name)",
        names,
        document,
        cap,
    )
    await conn.execute(
        "INSERT INTO assignment (lead_id, rep_id, cycle, pool, decision_id, assigned_at, touched)"
        " SELECT gen_random_uuid(), ($1::text[])[1 + n % $2], 1, 'sdr', gen_random_uuid(), now(), true"
        " FROM generate_series(0, $3::int - 1) AS n",
        names,
        reps,
        held,
    )
    await conn.execute("UPDATE rep SET open = $1", held // reps)
    await conn.execute("INSERT INTO policy (version, text, document, made_by) VALUES (1, '', $1, 'bench')", POLICY)


def _qualified() -> Incoming:
    lead = ids.new()
    now = times.stamp(times.parse("2026-11-26T12:00:00Z"))
    stamp = common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=now, recorded_at=now, arrived_at=now)
    told = common_pb2.LeadFields(company="Acme", account_domain=f"{lead}.example", created_at=now)
    seen = common_pb2.Qualification(stage="mql", grade="A1", cycle=1)
    message: Any = qualification_pb2.LeadQualified(stamp=stamp, qualification=seen, lead=told)
    return Incoming(
        id=ids.new(),
        type="LeadQualified",
        topic="qualification",
        subject=lead,
        original_subject=lead,
        version=1,
        time=times.at(now),
        message=message,
        traceparent="",
        partition=0,
        offset=0,
    )


async def _queue(router: _Router, meter: _Meter, waiting: int) -> Queue:
    """Fill the queue, see what it costs those who arrive behind it, make room, and wait until nobody waits."""
    await _let_it_rest(router)
    before = await meter.of(BATCH, partial(router.route, BATCH, 50))
    await router.route(waiting - 2 * BATCH, BATCH)
    await _let_it_rest(router)
    behind = await meter.of(BATCH, partial(router.route, BATCH, 50))
    async with router.db.transaction() as conn:
        await conn.execute("UPDATE rep SET cap = 1000000, document = document || '{\"cap\": 1000000}'")
        await conn.execute("UPDATE routing_group SET drain = true")
    router.cache.forget()
    return Queue(waiting, before, behind, await meter.of(waiting, partial(_drain, router)))


async def _let_it_rest(router: _Router) -> None:
    """Have PostgreSQL's own work on what was just written behind us: it is not what the next leads cost."""
    async with router.db.reading() as conn:
        await conn.execute("VACUUM ANALYZE")
        await conn.execute("CHECKPOINT")


async def _drain(router: _Router) -> None:
    timer = asyncio.ensure_future(timers.run(router.db, router.out, router.cache))
    try:
        async with router.db.reading() as conn:
            while await conn.fetchval("SELECT EXISTS (SELECT FROM waiting)"):
                await asyncio.wait([timer], timeout=0.1)
                if timer.done():
                    await timer
    finally:
        timer.cancel()


@asynccontextmanager
async def _naive(url: str, reps: int) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await asyncpg.connect(await _database(url, f"naive_{reps}"))
    try:
        await conn.execute(NAIVE)
        await conn.execute("INSERT INTO rep SELECT 'rep' || n, 1000000 FROM generate_series(0, $1::int - 1) AS n", reps)
        await conn.execute(
            "INSERT INTO assignment SELECT gen_random_uuid(), 'rep' || n % $1::int"
            " FROM generate_series(1, $2::int) AS n",
            reps,
            OPEN,
        )
        await conn.execute("VACUUM ANALYZE")
        yield conn
    finally:
        await conn.close()


async def _route_naively(conn: "asyncpg.Connection[asyncpg.Record]", leads: int) -> None:
    for _ in range(leads):
        async with conn.transaction():
            rep_id = await conn.fetchval(PICK)
            await conn.execute("INSERT INTO assignment (lead_id, rep_id) VALUES ($1, $2)", ids.new(), rep_id)


async def _database(url: str, name: str) -> str:
    conn = await asyncpg.connect(f"{url}/postgres")
    try:
        await conn.execute(f"CREATE DATABASE {name}")
    finally:
        await conn.close()
    return f"{url}/{name}"
