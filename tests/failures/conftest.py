"""Fault tests: a stack of their own with real processes, a small company, and a seed (`--seed`)."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from backbone.testing import eventually
from backbone.testing.servers import Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Stage
from handoff_cli.stack import make_token
from handoff_local import ports
from handoff_local.home import Home
from tests.failures import company

pytest.register_assert_rewrite("tests.failures.invariants", "tests.failures.load")


@pytest.fixture
async def stage(servers: Servers, signer: Signer) -> AsyncIterator[Stage]:
    made = Stage(servers, signer)
    yield made
    await made.close()


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
            try:
                os.kill(self.pid(name), number)
            except ProcessLookupError as error:
                raise AssertionError("killed already, and not started anew yet") from error

        await eventually(act)

    def dsn(self, service: str) -> str:
        """Return the address of a service's database."""
        return str(self.state["postgres"][service])

    async def fetch(self, service: str, query: str) -> list[asyncpg.Record]:
        """Ask a service's database."""
        conn = await asyncpg.connect(self.state["postgres"][service])
        try:
            return list(await conn.fetch(query))
        finally:
            await conn.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A stack without demo, ended with the module."""
    folder: Path = tmp_path_factory.mktemp("stack")
    command = [sys.executable, "-m", "handoff_cli.main"]
    with ports.block() as port:
        subprocess.run([*command, "up", "--home", folder, "--port", str(port), "--detach"], check=True, timeout=200)
        yield Home(folder)
        subprocess.run([*command, "down", "--home", folder], check=True, timeout=60)


@pytest.fixture
async def stack(home: Home) -> AsyncIterator[Stack]:
    """The module's stack, with the company."""
    state = home.state()
    assert state is not None
    async with contextlib.AsyncExitStack() as clients:
        made = {
            role: await clients.enter_async_context(
                httpx.AsyncClient(headers={"Authorization": f"Bearer {make_token(home, role)}"}, timeout=10)
            )
            for role in ("admin", "manager", "marketing")
        }
        urls = state["urls"]
        await company.found(
            made.__getitem__, qualification=urls["qualification"], routing=urls["routing"], sla=urls["sla-monitor"]
        )
        yield Stack(home, state, made["admin"])
