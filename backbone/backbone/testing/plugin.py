"""The fixtures of every test in the house: `start`, `database`, `signer`, `servers`."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from backbone.database import Database, connect
from backbone.testing.servers import PACKAGES, Servers, servers
from backbone.testing.stage import Signer, Stage

__all__ = ["database", "servers", "signer", "start"]


@pytest.fixture(scope="session")
def signer() -> Signer:
    """Signs the tokens of the run."""
    return Signer()


@pytest.fixture
async def start(servers: Servers, signer: Signer) -> AsyncIterator[Stage]:
    """`await start("routing", **settings)` runs a service in this process; all of a test share one namespace."""
    stage = Stage(servers, signer)
    yield stage
    await stage.close()


@pytest.fixture
async def database(start: Stage) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """`await database("routing")` is an empty migrated database of that service, without the service."""
    opened: list[Database] = []

    async def make(name: str) -> Database:
        made = await connect(await start.database_url(PACKAGES.get(name, name)), name="tests")
        opened.append(made)
        return made

    yield make
    for made in opened:
        await made.close()
