"""Leads a second from webhook to armed clock, latency from end to end at a fixed load, CPU per lead by process.

`python -m benchmarks.throughput [LEADS] [RATE]` starts a stack of its own, with fresh data.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from benchmarks.client import percentile, post_all

PORT = 18400
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DEFINITION = """
required: [email]
fit: [{rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}]
bands: {fit: {A: 40, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: pass, C1: nurture, C3: nurture}
"""
POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""


def handoff(*arguments: str) -> str:
    """Run the command line."""
    command = [sys.executable, "-m", "handoff_cli.main", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def prepare(home: str) -> dict[str, str]:
    """Set up ten reps, a definition and a policy; returns tokens."""
    import httpx

    tokens = {role: handoff("token", "--home", home, "--role", role) for role in ("admin", "marketing", "manager")}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {tokens['admin']}"}, timeout=30) as http:
        for number in range(10):
            hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
            body: dict[str, Any] = {"name": "Rep", "email": "rep@x.example", "team": "t", "role": "sdr", "cap": 100_000}
            body |= {"time_zone": "UTC", "working_hours": hours}
            (await http.put(f"http://127.0.0.1:{PORT + 3}/v1/reps/r{number}", json=body)).raise_for_status()
        (await http.put(f"http://127.0.0.1:{PORT + 3}/v1/policy", content=POLICY)).raise_for_status()
        base = f"http://127.0.0.1:{PORT + 2}/v1/definitions/d"
        (await http.post(base, content=DEFINITION)).raise_for_status()
        for role, party in (("marketing", "marketing"), ("manager", "sales")):
            headers = {"Authorization": f"Bearer {tokens[role]}"}
            (await http.post(f"{base}/1/sign", json={"party": party}, headers=headers)).raise_for_status()
        (await http.post(f"{base}/1/activate")).raise_for_status()
    return tokens


def both(seconds: list[float]) -> str:
    """Return p50 and p99 in words."""
    return f"p50 {percentile(seconds, 0.5) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms"


def bodies(count: int, tag: str) -> list[bytes]:
    """Return leads that are all routed."""
    return [
        json.dumps({"email": f"{tag}{number}@acme{number % 97}.example", "company": "Acme", "employees": 800}).encode()
        for number in range(count)
    ]


async def armed(dsn: str, wanted: int, patience_s: float = 120) -> None:
    """Wait until so many leads have a clock."""
    conn = await asyncpg.connect(dsn)
    deadline = time.monotonic() + patience_s
    while await conn.fetchval("SELECT count(*) FROM clock WHERE clock = 'first_response_5m'") < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {wanted} armed clocks within {patience_s} s")
        await asyncio.sleep(0.02)
    await conn.close()


def cpu(parts: list[dict[str, Any]]) -> dict[str, float]:
    """Return CPU seconds so far by part, children included."""
    used = {}
    for part in parts:
        process = psutil.Process(part["pid"])
        family = [process, *process.children(recursive=True)]
        used[part["name"]] = sum(sum(one.cpu_times()[:2]) for one in family)
    return used


async def measure(home: str, leads: int, rate: float) -> None:
    """Print the table."""
    state = json.loads((Path(home) / "state.json").read_text())
    tokens = await prepare(home)
    dsn = state["postgres"]["sla-monitor"]
    await post_all(PORT + 1, "/v1/leads", tokens["admin"], bodies(500, "warm"), connections=32)
    await armed(dsn, 500)
    before, began = cpu(state["parts"]), time.perf_counter()
    load = await post_all(PORT + 1, "/v1/leads", tokens["admin"], bodies(leads, "full"), connections=128)
    await armed(dsn, 500 + leads)
    seconds = time.perf_counter() - began
    used = {name: value - before[name] for name, value in cpu(state["parts"]).items()}
    print(
        f"webhook to armed clock: {leads / seconds:8.0f} leads/s   (HTTP {leads / load.seconds:.0f}/s, {load.statuses})"
    )
    print(f"HTTP {both(load.latencies)}")
    print(f"CPU per lead: {sum(used.values()) / leads * 1e6:8.0f} us")
    for name, value in sorted(used.items(), key=lambda one: -one[1]):
        print(f"  {name:14} {value / leads * 1e6:8.0f} us")
    await fixed(dsn, tokens["admin"], rate, already=500 + leads)


async def fixed(dsn: str, token: str, rate: float, *, already: int) -> None:
    """Print latency at a fixed load: from the lead's arrival to the commit of its clock."""
    count = int(rate * 10)
    load = await post_all(PORT + 1, "/v1/leads", token, bodies(count, "rate"), connections=64, rate=rate)
    await armed(dsn, already + count)
    conn = await asyncpg.connect(dsn)
    rows = await conn.fetch(
        "SELECT extract(epoch FROM c.started_at - l.arrived_at)::float8 FROM clock c JOIN lead l USING (lead_id)"
        " WHERE c.clock = 'first_response_5m' ORDER BY l.arrived_at DESC LIMIT $1",
        count,
    )
    await conn.close()
    values = [row[0] for row in rows]
    print(f"at {rate:.0f} leads/s: HTTP {both(load.latencies)}; arrival to assignment {both(values)}")


def main() -> None:
    """Start a stack, measure, end it."""
    leads = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 300.0
    home = tempfile.mkdtemp(prefix="handoff-bench-")
    try:
        handoff("up", "--home", home, "--port", str(PORT), "--detach")
        asyncio.run(measure(home, leads, rate))
    finally:
        handoff("down", "--home", home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
