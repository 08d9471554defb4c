"""Processes, the broker and the database die under load; afterwards all that was promised holds."""

import asyncio
import random
import signal

import pytest

from tests.failures import invariants, load
from tests.failures.conftest import Stack

LEADS = 240
SERVICES = ("lead-intake", "qualification", "routing", "sla-monitor", "forecast", "notifications")


async def under_fire(stack: Stack, tag: str, faults: list[tuple[str, int]], chance: random.Random) -> None:
    """Let leads come and go while the faults happen one after the other, then hold what must hold."""
    client = load.Client(stack.http, stack.url("lead-intake"))
    desk = load.Desk(stack.http, stack.url("routing"), random.Random(chance.random()))
    eye = load.Eye(stack.dsn("routing"))

    async def strike() -> None:
        for name, number in faults:
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            await stack.kill(name, number)

    leads = [f"{tag}-{number}" for number in range(LEADS)]
    async with eye.watching():  # Leads may all be taken in before the first is given to anybody: until they are, too.
        await load.run(client, leads, strike(), lambda: desk.close_some(client))
        await invariants.healed(stack, client)
    await invariants.check(stack, client, eye)


@pytest.mark.timeout(450)
async def test_services_are_killed_under_load(stack: Stack, chance: random.Random) -> None:
    faults = [(chance.choice(SERVICES), signal.SIGKILL) for _ in range(6)]
    await under_fire(stack, "kills", [("lead-intake", signal.SIGKILL), *faults], chance)


@pytest.mark.timeout(450)
async def test_the_broker_is_killed_under_load(stack: Stack, chance: random.Random) -> None:
    await under_fire(stack, "broker", [("kafka", signal.SIGKILL)], chance)


@pytest.mark.timeout(450)
async def test_the_database_restarts_immediately_under_load(stack: Stack, chance: random.Random) -> None:
    await under_fire(stack, "database", [("postgres", signal.SIGQUIT)], chance)
