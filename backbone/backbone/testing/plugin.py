"""The fixtures of every test in the house: `start`, `database`, `signer`, `servers`."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from backbone.database import Database, connect
from backbone.testing.servers import PACKAGES, Servers, servers, started
from backbone.testing.signer import Signer
from backbone.testing.stage import Stage

__all__ = [
    "chance",
    "database",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_report_header",
    "pytest_sessionfinish",
    "servers",
    "signer",
    "start",
    "start_once",
]

# How fast a machine draws examples says nothing of what is tested.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_SHARED: Final = pytest.StashKey[ExitStack]()
_ADDRESSES: Final = pytest.StashKey[Servers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let fault tests be tried with any seed."""
    parser.getgroup("handoff", "fault tests (tests/failures)").addoption(
        "--seed",
        type=int,
        default=20261124,
        metavar="NUMBER",
        help="Which dice the fault tests throw: what is killed, when, and what is closed meanwhile. The default is the"
        " same in every run; a failure with another seed can be had again with that seed.",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say with which seed to have the same run again."""
    return f"seed of the fault tests: {config.getoption('--seed')}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start the two servers once for all worker processes of a run, and tell each where they are (pytest-xdist)."""
    stash = node.config.stash
    if _SHARED not in stash:
        stash[_SHARED] = ExitStack()
        node.config.stash[_ADDRESSES] = stash[_SHARED].enter_context(started())
    running = stash[_ADDRESSES]
    node.workerinput.update(kafka=running.kafka, postgres=running.postgres)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the servers that the workers shared."""
    if _SHARED in session.config.stash:
        session.config.stash[_SHARED].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: for whichever is begun last, all workers wait."""
    patience = defaultdict[Path, float](float)
    for item in items:
        marker = item.get_closest_marker("timeout")
        patience[item.path] = max(patience[item.path], float(marker.args[0]) if marker is not None else 0.0)
    items.sort(key=lambda item: patience[item.path], reverse=True)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The dice of a fault test."""
    return random.Random(request.config.getoption("--seed"))  # noqa: S311 - no secret


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


@pytest.fixture(scope="module")
async def start_once(servers: Servers, signer: Signer) -> AsyncIterator[Stage]:
    """`await start_once("routing")` runs a service for tests of a module that leave nothing behind: who is refused."""
    stage = Stage(servers, signer)
    yield stage
    await stage.close()


@pytest.fixture
async def database(start: Stage) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """`await database("routing")` is an empty migrated database of that service, without the service."""
    opened: list[Database] = []

    async def make(name: str) -> Database:
        # Without the loops of a service nobody goes round again after a transaction that a stalled machine lost.
        made = await connect(await start.database_url(PACKAGES.get(name, name)), name="tests", idle_ms=0)
        opened.append(made)
        return made

    yield make
    for made in opened:
        await made.close()
