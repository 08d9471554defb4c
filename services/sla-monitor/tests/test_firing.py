"""What is looked for when: a backlog, and a clock whose lead was locked when it fell due."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from backbone import ids, subjects
from backbone.database import Database
from backbone.outbox import Outbox
from backbone.testing import eventually
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, firing, policies, store, store_clocks
from sla_monitor.firing import Firing
from sla_monitor.hours import Calendars
from sla_monitor.policies import Policy

POLICY = policies.build(
    "standard", 1, policies.parse(b"clocks: [{kind: first_response_5m, within: 5m, from: assignment}]", []).data
)
CHAIN = """
clocks: [{kind: first_response_5m, within: 5m, from: assignment}]
escalations:
- {kind: first_response_5m, after: 0s, to: rep}
- {kind: first_response_5m, after: 1m, to: rep}
- {kind: first_response_5m, after: 2m, to: manager}
"""


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("sla_monitor")


def monitor(db: Database) -> Firing:
    nobody: Any = None
    outbox = Outbox(topic="sla", namespace="test", partitions=1)
    return Firing(db, outbox, nobody, namespace="test", partitions=1, catch_up_s=1)


async def let_be_due(db: Database, count: int, ago: timedelta, policy: Policy = POLICY) -> list[UUID]:
    at = datetime.now(UTC) - ago - timedelta(minutes=5)
    named, rep = Calendars({}, 2026), common_pb2.Rep(rep_id="ana")
    by = clocks.plan(policy, policy.clocks[0], rep, named)
    assert by is not None
    made = [clocks.start(ids.new(), by, cycle=1, started_at=at, rep=rep) for _ in range(count)]
    leads = [one.lead_id for one in made]
    async with db.transaction() as conn:
        subjects.make(conn, leads)
        await store.save(conn, [store.Row(lead, live=True, changed=True) for lead in leads])
        await store_clocks.add(conn, made)
    return leads


async def look_and_fire(monitoring: Firing) -> float:
    return await monitoring._round(await monitoring._look())


async def alerts(db: Database) -> int:
    async with db.reading() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM alert"))


async def test_a_backlog_longer_than_a_batch_leaves_without_a_rest(db: Database) -> None:
    await let_be_due(db, 2 * firing.FIRED_AT_ONCE + 1, timedelta(hours=1))
    monitoring = monitor(db)
    assert [await look_and_fire(monitoring) > 0 for _ in range(3)] == [False, False, True]
    assert await alerts(db) == 2 * firing.FIRED_AT_ONCE + 1


async def test_all_steps_of_a_clock_that_an_outage_made_late_leave_one_after_the_other(db: Database) -> None:
    policy = policies.build("chain", 1, policies.parse(CHAIN.encode(), []).data)
    await let_be_due(db, 1, timedelta(hours=1), policy)
    monitoring = monitor(db)
    for _ in range(4):
        await look_and_fire(monitoring)
    assert await alerts(db) == 4


async def test_a_clock_whose_lead_was_locked_long_is_found_within_a_second_of_its_release(db: Database) -> None:
    (lead,) = await let_be_due(db, 1, timedelta(seconds=30))
    monitoring = monitor(db)
    async with db.transaction() as conn:
        await subjects.lock(conn, [lead])
        await look_and_fire(monitoring)
    assert await alerts(db) == 0

    async def fired() -> None:
        await look_and_fire(monitoring)
        assert await alerts(db) == 1

    await eventually(fired)


async def test_two_that_find_the_same_step_alert_it_once(db: Database) -> None:
    await let_be_due(db, 300, timedelta(seconds=0.5))
    both = monitor(db), monitor(db)
    for _ in range(2):
        await asyncio.gather(*(look_and_fire(one) for one in both))
    assert await alerts(db) == 300


async def test_a_step_that_was_raised_meanwhile_is_nobodys_to_raise_again(db: Database) -> None:
    await let_be_due(db, 3, timedelta(seconds=0.5))
    async with db.transaction() as conn:
        found = [store_clocks.clock_of(row) for row in await conn.fetch("SELECT * FROM clock")]
        due = [(clock, clock.step, clock.version) for clock in found]
        at = datetime.now(UTC) + timedelta(minutes=1)
        assert len(await store_clocks.raise_steps(conn, due[:2], at)) == 2
        assert await store_clocks.raise_steps(conn, due, at) == {due[2][0].key}


@pytest.mark.parametrize("turns", range(4))
async def test_looking_where_topics_end_stops_whenever_it_is_told_to(db: Database, turns: int) -> None:
    class Kafka:
        async def ends(self) -> dict[Any, int]:
            asyncio.get_running_loop().call_soon(looking.cancel)
            for _ in range(turns):
                await asyncio.sleep(0)
            return {}

    monitoring = monitor(db)
    monitoring._consumer, _ = cast(Any, Kafka()), monitoring._wants_ends.set()
    looking = asyncio.create_task(monitoring.keep_ends())
    _, left = await asyncio.wait([looking], timeout=5)
    looking.cancel()
    assert not left
