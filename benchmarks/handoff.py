"""This system as a side of the benchmark: a stack of its own, as `handoff up` starts it."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from benchmarks.client import Door
from benchmarks.measuring import Side
from handoff_local import children
from handoff_local.home import Home
from handoff_local.plan import Plan

REPS = 10
START_PATIENCE_S = 150.0
STOP_PATIENCE_S = 20.0
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DEFINITION = """
required: [email]
fit: [{rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}]
bands: {fit: {A: 40, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: pass, C1: nurture, C3: nurture}
"""
ROUTING = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""
CLOCKS = """
clocks:
  - {kind: first_response_5m, within: 1h, from: assignment}
  - {kind: first_response_30m, within: 4h, from: assignment}
  - {kind: first_response_1d, within: 1d, from: assignment}
"""
"""Three clocks a lead, as the built-in policy has them, but none that falls due while something else is measured."""


@contextmanager
def running(home: Path, port: int) -> Iterator[Side]:
    """Run a stack with fresh data; it ends with the block, and with this process whatever ends that."""
    with _up(home, port):
        # Commit times are what latencies are read from. The setting counts from the server's next start.
        asyncio.run(_keep_commit_times(home, port))
    with _up(home, port):
        asyncio.run(_prepare(home, port))
        yield _side(home, port)


@contextmanager
def _up(home: Path, port: int) -> Iterator[None]:
    folder = Home(home)
    folder.make()
    log = folder.logs / "supervisor.log"
    up: list[str | Path] = [sys.executable, "-m", "handoff_cli.main", "up", "--home", home, "--port", str(port)]
    process = children.spawn([*up, "--no-demo"], log=log, deathsig=signal.SIGTERM)
    try:
        children.await_start(
            process,
            lambda: (
                (state := folder.state()) is not None and state["ready"] and state["supervisor"]["pid"] == process.pid
            ),
            what="The stack",
            log=log,
            patience_s=START_PATIENCE_S,
        )
        yield
    finally:
        children.stop(process, signal.SIGTERM, patience_s=STOP_PATIENCE_S)


def _side(home: Path, port: int) -> Side:
    dsn = Plan(Home(home), port).dsn_of("sla-monitor")
    return Side(
        name="Handoff",
        door=Door(port + 1, "/v1/leads", token(home, "integration")),
        dsn=dsn,
        armed="SELECT lead_id::text, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM clock"
        " WHERE clock = 'first_response_5m'",
        count="SELECT count(*) FROM assignment",
        pids=lambda: _pids(home),
    )


def token(home: Path, role: str) -> str:
    """Return a token of the stack."""
    command: list[str | Path] = [sys.executable, "-m", "handoff_cli.main", "token", "--home", home, "--role", role]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _pids(home: Path) -> Mapping[str, int]:
    state: dict[str, Any] = json.loads((home / "state.json").read_text())
    return {part["name"]: part["pid"] for part in state["parts"]}


async def _keep_commit_times(home: Path, port: int) -> None:
    conn = await asyncpg.connect(
        f"postgresql://handoff:{Home(home).secrets()['postgres']}@127.0.0.1:{port + 91}/postgres"
    )
    await conn.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    await conn.close()


async def _prepare(home: Path, port: int) -> None:
    """Set up reps with room for all, a definition that passes every lead, a routing policy and an SLA policy."""
    tokens = {role: token(home, role) for role in ("admin", "marketing", "manager")}
    async with httpx.AsyncClient(timeout=30) as http:

        async def call(method: str, offset: int, path: str, role: str = "admin", **content: Any) -> None:
            headers = {"Authorization": f"Bearer {tokens[role]}"}
            url = f"http://127.0.0.1:{port + offset}{path}"
            (await http.request(method, url, headers=headers, **content)).raise_for_status()

        rep = {
            "team": "sales",
            "role": "sdr",
            "cap": 100_000,
            "time_zone": "UTC",
            "working_hours": [{"days": WEEK, "start": "00:00", "end": "24:00"}],
        }
        for number in range(REPS):
            body = {**rep, "name": f"Rep {number}", "email": f"rep{number}@desk.example"}
            await call("PUT", 3, f"/v1/reps/rep-{number}", json=body)
        await call("PUT", 3, "/v1/policy", content=ROUTING)
        await call("PUT", 4, "/v1/policies/standard", content=CLOCKS)
        await call("POST", 2, "/v1/definitions/all", content=DEFINITION)
        await call("POST", 2, "/v1/definitions/all/1/sign", "marketing", json={"party": "marketing"})
        await call("POST", 2, "/v1/definitions/all/1/sign", "manager", json={"party": "sales"})
        await call("POST", 2, "/v1/definitions/all/1/activate")
