"""What the database itself refuses, and how those who wait are found."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from backbone import ids
from backbone.database import Connection, Database
from routing import store_counts, store_group, store_queue
from routing.store_counts import CapBroken
from routing.store_group import Cache, Group
from routing.store_queue import Waiting

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    made = await database("routing")
    document = {
        **dict.fromkeys(("name", "team", "role", "kind"), "x"),
        "email": "x@x",
        "time_zone": "UTC",
        "working_hours": [],
        "weight": 1.0,
        "active": True,
        "cap": 1,
    }
    async with made.transaction() as conn:
        await conn.execute("INSERT INTO rep (rep_id, document, version, cap) VALUES ('ana', $1, 1, 1)", document)
    return made


def waits(number: int, key: str, **fields: Any) -> Waiting:
    return Waiting(
        **{
            "lead_id": ids.new(),
            "pool": "sdr",
            "rule": "r",
            "reason_code": "no_capacity",
            "rank": 1,
            "created_at": NOW + timedelta(seconds=number),
            "since": NOW,
            "decision_id": ids.new(),
            "retry_at": None,
            "key": ids.derived("queue", key),
            "targets": [key],
            "reasons": frozenset(),
            "domain": "",
            "company": "",
            **fields,
        }
    )


async def count(db: Database, change: Callable[[Group, datetime], None], *, forced: str = "") -> None:
    """Write what a change made of the counts in memory."""
    async with db.transaction() as conn:
        group, now = await Cache().lock(conn)
        change(group, now)
        await store_counts.save(conn, group, forced=frozenset({forced} - {""}))
        await store_group.advance(conn, group)


def give(group: Group, now: datetime) -> None:
    group.index.give("ana", group.policy.pools["sdr"] if group.policy else None, now, touched=False)


async def is_full(db: Database, table: str) -> None:
    """Whoever writes it, one more is refused."""
    with pytest.raises(asyncpg.CheckViolationError):
        async with db.transaction() as conn:
            await conn.execute(f"UPDATE {table} SET open = open + 1")
    with pytest.raises(CapBroken):
        await count(db, give)


async def test_a_count_over_the_cap_is_refused_but_as_far_as_a_person_went_over_it(db: Database) -> None:
    await count(db, give)
    await is_full(db, "rep")
    await count(db, give, forced="ana")
    await is_full(db, "rep")
    for _ in range(2):
        await count(db, lambda group, _: group.index.take("ana", "", untouched=True))
        async with db.transaction() as conn:
            left = await conn.fetchrow("SELECT open, allowed FROM rep")
        assert left["allowed"] == 0
    await count(db, give)
    await is_full(db, "rep")


async def test_a_pools_count_over_its_cap_is_refused_though_the_memory_of_it_is_stale(db: Database) -> None:
    document = {"pools": [{"pool": "sdr", "reps": "true", "cap": 1}], "rules": [{"rule": "all", "to": "sdr"}]}
    async with db.transaction() as conn:
        await conn.execute("UPDATE rep SET cap = 9")
        await conn.execute("INSERT INTO policy (version, text, document, made_by) VALUES (1, '', $1, 'x')", document)
        await store_counts.count_pools(conn, {"sdr": 1})
    await count(db, give)
    await is_full(db, "pool_load")
    await count(db, lambda group, now: group.index.give("ana", None, now, touched=False))


async def test_a_lower_cap_of_a_pool_lets_everybody_keep_what_they_have(db: Database) -> None:
    given = [(ids.new(), ids.new()) for _ in range(3)]
    async with db.transaction() as conn:
        await conn.executemany(
            "INSERT INTO assignment (lead_id, rep_id, cycle, pool, decision_id, assigned_at, touched)"
            " VALUES ($1, 'ana', 1, 'sdr', $2, now(), false)",
            given,
        )
        for cap in (5, 2):
            await store_counts.count_pools(conn, {"sdr": cap, "sales": 1})
        assert dict(await conn.fetchrow("SELECT open, cap, allowed FROM pool_load")) == {
            "open": 3,
            "cap": 2,
            "allowed": 3,
        }


async def test_what_was_rolled_back_is_forgotten(db: Database) -> None:
    cache = Cache()

    async def give_and_fail(conn: Connection) -> None:
        group, now = await cache.lock(conn)
        group.index.give("ana", None, now, touched=False)
        await store_counts.save(conn, group, forced=frozenset())
        await store_group.advance(conn, group)
        cache.keep(group)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(give_and_fail)
    async with db.transaction() as conn:
        group, _ = await cache.lock(conn)
        assert group.index.reps["ana"].open == 0


async def test_each_queue_is_found_once_and_its_leads_best_and_oldest_first(db: Database) -> None:
    some = [waits(number, f"queue {number % 3}", rank=2 if number < 3 else 1) for number in range(30)]
    later = waits(99, "timed", retry_at=NOW + timedelta(hours=1))
    async with db.transaction() as conn:
        assert await store_queue.queues(conn) == {}
        await store_queue.save(conn, [*some, later])
        found = await store_queue.queues(conn)
        assert sorted(targets[0] for targets in found.values()) == ["queue 0", "queue 1", "queue 2", "timed"]
        keys = [ids.derived("queue", name) for name in ("queue 0", "queue 1")]
        wanted = sorted(
            (one for one in some if one.key in keys), key=lambda one: (one.rank, one.created_at, one.lead_id)
        )
        ordered = [one.lead_id for one in wanted]
        assert await store_queue.next_for(conn, keys, limit=5, but=[]) == ordered[:5]
        assert await store_queue.next_for(conn, keys, limit=99, but=ordered[:5]) == ordered[5:]
        assert await store_queue.due(conn, NOW, limit=9, but=[]) == []
        assert await store_queue.due(conn, NOW + timedelta(hours=2), limit=9, but=[]) == [later.lead_id]


async def test_leads_left_over_are_tried_again_at_once(db: Database) -> None:
    async with db.transaction() as conn:
        await store_queue.save(conn, [waits(1, "one")])
        assert (await store_queue.next_due(conn)).settle_at is None
        group, _ = await Cache().lock(conn)
        await store_group.advance(conn, group, more_wait=True)
        assert (await store_queue.next_due(conn)).settle_at is not None
