"""How late alerts are while many clocks are open: measured at the commit that GET /v1/alerts shows."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from benchmarks import client
from benchmarks.handoff import token
from benchmarks.measuring import PACED_CONNECTIONS, PATIENCE_S, POLL_S, Advance, Side

CLOCKS_PER_LEAD = 10
WINDOW_S = 5
LONG = "clocks:\n" + "\n".join(
    f"  - {{clock: window {number}, kind: first_response_1d, within: {number}d, from: assignment}}"
    for number in range(1, CLOCKS_PER_LEAD + 1)
)
SHORT = f"clocks: [{{kind: first_response_5m, within: {WINDOW_S}s, from: assignment, warn: [50%]}}]"
ALERTS_PER_LEAD = 2

_LATENESS = """
SELECT late_by_seconds + extract(epoch FROM pg_xact_commit_timestamp(xmin) - at)::float8 FROM alert WHERE seq > $1
"""


@dataclass(frozen=True, slots=True)
class Lateness:
    """What was measured."""

    open_clocks: int
    per_second: float
    seconds: Sequence[float]


async def measure(
    side: Side, home: Path, port: int, *, clocks: int, rate: float, seconds: float, advance: Advance
) -> Lateness:
    """Open so many clocks that are due in days, then let leads arrive whose alerts fall due at a steady rate."""
    manager = {"Authorization": f"Bearer {token(home, 'admin')}"}
    async with httpx.AsyncClient(headers=manager, timeout=30) as http:
        policy = f"http://127.0.0.1:{port + 4}/v1/policies/standard"
        conn = await asyncpg.connect(side.dsn)
        try:
            (await http.put(policy, content=LONG)).raise_for_status()
            await _fill(side, conn, clocks, advance)
            (await http.put(policy, content=SHORT)).raise_for_status()
            return await _fire(side, conn, rate, seconds, advance)
        finally:
            await conn.close()


async def _fill(side: Side, conn: "asyncpg.Connection[asyncpg.Record]", clocks: int, advance: Advance) -> None:
    open_now = "SELECT count(*) FROM clock WHERE next_at IS NOT NULL"
    missing = clocks - await conn.fetchval(open_now)
    if missing <= 0:
        return
    bodies = client.lead_bodies(-(-missing // CLOCKS_PER_LEAD), f"open{time.time_ns()}")
    posting = asyncio.create_task(client.post_all(side.door, bodies, client.Load(), connections=PACED_CONNECTIONS))
    deadline = time.monotonic() + PATIENCE_S
    while (count := await conn.fetchval(open_now)) < clocks:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} of {clocks} clocks were open within {PATIENCE_S:.0f} s")
        advance(count / clocks / 2)
        await asyncio.sleep(POLL_S * 5)
    await posting


async def _fire(
    side: Side, conn: "asyncpg.Connection[asyncpg.Record]", rate: float, seconds: float, advance: Advance
) -> Lateness:
    before = await conn.fetchval("SELECT coalesce(max(seq), 0) FROM alert")
    open_clocks = await conn.fetchval("SELECT count(*) FROM clock WHERE next_at IS NOT NULL")
    bodies = client.lead_bodies(int(rate * seconds), f"due{time.time_ns()}")
    posting = asyncio.create_task(
        client.post_all(side.door, bodies, client.Load(), connections=PACED_CONNECTIONS, rate=rate),
    )
    wanted, fired, deadline = len(bodies) * ALERTS_PER_LEAD, 0, time.monotonic() + PATIENCE_S
    while fired < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{fired} of {wanted} alerts went out within {PATIENCE_S:.0f} s")
        await asyncio.sleep(POLL_S)
        fired = await conn.fetchval("SELECT count(*) FROM alert WHERE seq > $1", before)
        advance(0.5 + fired / wanted / 2)
    await posting
    rows = await conn.fetch(_LATENESS, before)
    return Lateness(open_clocks, rate * ALERTS_PER_LEAD, [row[0] for row in rows])
