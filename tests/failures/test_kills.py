"""Processes, the broker and the database die under load; afterwards every acknowledged lead is there once."""

import asyncio
import random
import signal

import pytest

from backbone.testing import eventually
from tests.failures.conftest import Client, Stack

LEADS = 240
CAPS = 150
SERVICES = ("lead-intake", "qualification", "routing", "sla-monitor")


async def under_fire(stack: Stack, tag: str, faults: list[tuple[str, int]], chance: random.Random) -> Client:
    """Post leads from sixteen clients while the faults happen one after the other."""
    client = Client(stack)
    waiting = [f"{tag}-{number}" for number in range(LEADS)]

    async def work() -> None:
        while waiting:
            await client.post(waiting.pop())

    async def strike() -> None:
        for name, number in faults:
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            await stack.kill(name, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(work())
        group.create_task(strike())
    return client


async def check(stack: Stack, client: Client) -> None:
    """Hold what must hold after healing."""
    assert client.failed == set()
    assert client.unknown == set()

    async def decided() -> None:
        states = await stack.fetch("qualification", "SELECT lead_id::text AS lead_id FROM lead WHERE stage = 'mql'")
        assert {row["lead_id"] for row in states} >= set(client.ok.values())
        held = await stack.fetch(
            "routing",
            "SELECT lead_id::text AS lead_id FROM assignment UNION ALL SELECT lead_id::text FROM waiting",
        )
        assert sorted(row["lead_id"] for row in held if row["lead_id"] in set(client.ok.values())) == sorted(
            client.ok.values()
        )

    await eventually(decided, patience_s=90)
    leads = await stack.fetch("lead-intake", "SELECT count(*) AS n, count(DISTINCT external_ids) AS d FROM lead")
    assert leads[0]["n"] == leads[0]["d"], "an external id has two leads"
    reps = await stack.fetch("routing", "SELECT rep_id, open, cap FROM rep")
    assert all(row["open"] <= row["cap"] for row in reps)
    counted = await stack.fetch("routing", "SELECT rep_id, count(*) AS n FROM assignment GROUP BY rep_id")
    assert {row["rep_id"]: row["open"] for row in reps if row["open"]} == {row["rep_id"]: row["n"] for row in counted}
    assert sum(row["n"] for row in counted) == min(CAPS, len(await stack.fetch("lead-intake", "SELECT 1 FROM lead")))


@pytest.mark.timeout(300)
async def test_services_are_killed_under_load(stack: Stack, chance: random.Random) -> None:
    faults = [(chance.choice(SERVICES), signal.SIGKILL) for _ in range(6)]
    faults.insert(0, ("lead-intake", signal.SIGKILL))
    client = await under_fire(stack, "kills", faults, chance)
    await check(stack, client)


@pytest.mark.timeout(300)
async def test_the_broker_is_killed_under_load(stack: Stack, chance: random.Random) -> None:
    client = await under_fire(stack, "broker", [("kafka", signal.SIGKILL)], chance)
    await check(stack, client)


@pytest.mark.timeout(300)
async def test_the_database_restarts_immediately_under_load(stack: Stack, chance: random.Random) -> None:
    client = await under_fire(stack, "database", [("postgres", signal.SIGQUIT)], chance)
    await check(stack, client)
