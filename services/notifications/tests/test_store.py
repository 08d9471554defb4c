"""Claims: one sender has a message, few are on their way to one recipient, and who lost a claim records nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backbone import ids
from backbone.database import Connection, Database
from notifications import store


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("notifications")


def message(rep_id: str, **fields: Any) -> dict[str, Any]:
    said = {"message_id": ids.new(), "event_id": ids.new(), "channel": "webhook", "rep_id": rep_id, "lead_id": None}
    return {**said, "kind": "routed", "body": {}, "state": "pending", **fields}


async def claim(conn: Connection, *, limit: int = 10, busy: Any = (), lease_s: float = 30) -> list[Any]:
    return await store.claim(conn, limit=limit, lease_s=lease_s, per_recipient=2, busy=busy)


async def test_one_event_gives_one_message_a_channel_and_rep(db: Database) -> None:
    one = message("ana")
    async with db.transaction() as conn:
        await store.add(conn, [one])
        await store.add(conn, [{**one, "message_id": ids.new()}, {**one, "message_id": ids.new(), "channel": "email"}])
        assert await conn.fetchval("SELECT count(*) FROM message") == 2


async def test_who_has_many_messages_keeps_nobody_waiting(db: Database) -> None:
    async with db.transaction() as conn:
        await store.add(conn, [message("ana") for _ in range(20)])
        await store.add(conn, [message("ben")])
        assert sorted(row["rep_id"] for row in await claim(conn)) == ["ana", "ana", "ben"]
        assert await claim(conn, busy=[("ana", "webhook")]) == []
        assert len(await claim(conn)) == 2


async def test_two_senders_never_have_the_same_message(db: Database) -> None:
    async with db.transaction() as conn:
        await store.add(conn, [message(f"rep{number}") for number in range(6)])
    async with db.transaction() as first, db.transaction() as second:
        some, others = await claim(first, limit=4), await claim(second)
        assert (len(some), len(others)) == (4, 2)
        assert not {row["message_id"] for row in some} & {row["message_id"] for row in others}


async def test_an_attempt_that_lost_its_claim_records_nothing(db: Database) -> None:
    async with db.transaction() as conn:
        await store.add(conn, [message("ana")])
        (lost,) = await claim(conn, lease_s=0)
    async with db.transaction() as conn:
        (found,) = await store.abandoned(conn)
        assert await store.record(conn, found, "pending", "again", again_in_s=0)
        (again,) = await claim(conn)
        assert not await store.record(conn, lost, "failed", "late", again_in_s=None)
        assert await store.record(conn, again, "delivered", None, again_in_s=None)
        assert await conn.fetchval("SELECT state FROM message") == "delivered"


async def test_an_erased_leads_messages_are_not_sent_any_more(db: Database) -> None:
    lead = ids.new()
    async with db.transaction() as conn:
        await store.add(conn, [message("ana", lead_id=lead, body={"company": "Fintrove"})])
        await store.erase(conn, [lead])
        assert await claim(conn) == []
        row = await conn.fetchrow("SELECT state, body FROM message")
        assert row is not None
        assert tuple(row) == ("failed", {})
