"""What the database itself refuses, and how those who wait are found."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from backbone import ids
from backbone.database import Connection, Database
from routing import store_group, store_queue
from routing.store_group import Cache, CapBroken
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


async def test_a_count_over_the_cap_is_refused_twice_over(db: Database) -> None:
    cache = Cache()
    async with db.transaction() as conn:
        group, now = await cache.lock(conn)
        group.index.give("ana", None, now, touched=False)
        group.index.give("ana", None, now, touched=False)
        with pytest.raises(CapBroken):
            await store_group.save_reps(conn, group, forced=frozenset(), more_wait=False)
    async with db.transaction() as conn:
        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute("UPDATE rep SET open = 2")


async def test_what_was_rolled_back_is_forgotten(db: Database) -> None:
    cache = Cache()

    async def give_and_fail(conn: Connection) -> None:
        group, now = await cache.lock(conn)
        group.index.give("ana", None, now, touched=False)
        await store_group.save_reps(conn, group, forced=frozenset(), more_wait=False)
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
