"""Fault tests: a stack of their own with real processes, a seed, and clients that remember every answer."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest

from backbone.testing import eventually
from handoff_cli.stack import make_token
from handoff_local import ports
from handoff_local.home import Home

WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DEFINITION: Final = """
required: [email]
fit: [{rule: everybody, when: "true", points: 40}]
bands: {fit: {A: 40, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: pass, C1: nurture, C3: nurture}
"""
POLICY: Final = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""


@dataclass(slots=True)
class Stack:
    """A running stack of real processes."""

    home: Home
    state: dict[str, Any]
    http: httpx.AsyncClient

    def url(self, service: str) -> str:
        """Return a service's address."""
        return str(self.state["urls"][service])

    def pid(self, name: str) -> int:
        """Return the pid of a part as it is now."""
        state = self.home.state()
        assert state is not None
        (part,) = [one for one in state["parts"] if one["name"] == name and one["replica"] == 1]
        assert part["pid"] is not None, f"{name} is not running"
        return int(part["pid"])

    async def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a part a signal, once it runs."""

        async def act() -> None:
            os.kill(self.pid(name), number)

        await eventually(act)

    async def fetch(self, service: str, query: str) -> list[asyncpg.Record]:
        """Ask a service's database."""
        conn = await asyncpg.connect(self.state["postgres"][service])
        try:
            return list(await conn.fetch(query))
        finally:
            await conn.close()


@dataclass(slots=True)
class Client:
    """Posts leads and remembers what became of each: ok, failed (certainly not taken) or unknown."""

    stack: Stack
    ok: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    async def post(self, external_id: str) -> None:
        """Post one lead with an idempotency key, again and again until it is answered."""
        body = {"external_id": external_id, "email": f"{external_id}@load.example"}
        for _ in range(200):
            try:
                answer = await self.stack.http.post(
                    f"{self.stack.url('lead-intake')}/v1/leads", json=body, headers={"Idempotency-Key": external_id}
                )
            except httpx.TransportError:
                self.unknown.add(external_id)
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 202:
                self.ok[external_id] = answer.json()["lead_id"]
                self.unknown.discard(external_id)
                return
            assert answer.status_code in (409, 429, 503), answer.text
            await asyncio.sleep(0.05)
        self.failed.add(external_id)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A stack without demo, ended with the module."""
    folder: Path = tmp_path_factory.mktemp("stack")
    port = ports.free()
    while any(ports.answers(port + offset) for offset in range(100)) or port > 60_000:
        port = ports.free()
    command = [sys.executable, "-m", "handoff_cli.main"]
    subprocess.run([*command, "up", "--home", folder, "--port", str(port), "--detach"], check=True, timeout=200)
    yield Home(folder)
    subprocess.run([*command, "down", "--home", folder], check=True, timeout=60)


@pytest.fixture
async def stack(home: Home) -> AsyncIterator[Stack]:
    """The module's stack with three reps of a tight cap, a definition and a policy."""
    state = home.state()
    assert state is not None
    headers = {"Authorization": f"Bearer {make_token(home, 'admin')}"}
    async with httpx.AsyncClient(headers=headers, timeout=10) as http:
        made = Stack(home, state, http)
        await _prepare(made)
        yield made


async def _prepare(stack: Stack) -> None:
    hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
    for rep_id in ("ana", "ben", "cem"):
        body = {"name": rep_id, "email": f"{rep_id}@x.example", "team": "t", "role": "sdr", "time_zone": "UTC"}
        url = f"{stack.url('routing')}/v1/reps/{rep_id}"
        (await stack.http.put(url, json={**body, "working_hours": hours, "cap": 50})).raise_for_status()
    (await stack.http.put(f"{stack.url('routing')}/v1/policy", content=POLICY)).raise_for_status()
    url = f"{stack.url('qualification')}/v1/definitions/d"
    if (await stack.http.get(f"{url}/1")).status_code == 404:
        (await stack.http.post(url, content=DEFINITION)).raise_for_status()
        for role, party in (("marketing", "marketing"), ("manager", "sales")):
            headers = {"Authorization": f"Bearer {make_token(stack.home, role)}"}
            answer = await stack.http.post(f"{url}/1/sign", json={"party": party}, headers=headers)
            answer.raise_for_status()
        (await stack.http.post(f"{url}/1/activate")).raise_for_status()
