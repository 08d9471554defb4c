"""What is kept, and how: locks, identifiers, edges."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Connection, Database
from lead_intake import store_identity
from lead_intake.identity import Identifier, Kind, Why, between

EMAIL = Identifier(Kind.EMAIL, b"e")
PHONE = Identifier(Kind.PHONE, b"p")


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("intake")


async def add_lead(conn: Connection, lead_id: UUID) -> None:
    await conn.execute(
        "INSERT INTO lead (lead_id, known, attributes, external_ids, first_touch, last_touch, verified, created_at,"
        " recorded_at, updated_at, seq) VALUES ($1, '{}', '{}', '[]', '{}', '{}', '{}', now(), now(), now(), 1)",
        lead_id,
    )


async def test_identifiers_come_back_as_they_were_saved(db: Database) -> None:
    one, other = ids.new(), ids.new()
    async with db.transaction() as conn:
        people, _ = await store_identity.lock_identifiers(conn, dict.fromkeys([EMAIL, PHONE]))
        people.place([EMAIL, PHONE], one)
        people.claim([PHONE], other)
        await store_identity.save_identifiers(conn, people)
    async with db.transaction() as conn:
        people, erased = await store_identity.lock_identifiers(conn, dict.fromkeys([PHONE, EMAIL, PHONE]))
    assert people.owners == {EMAIL: one}
    assert people.phones[PHONE].holders == [one, other]
    assert people.phones[PHONE].emails == {b"e"}
    assert erased == {}


async def test_who_was_expected_to_have_an_identifier_has_it_only_where_it_turned_out_so(db: Database) -> None:
    lead, other = ids.new(), ids.new()
    named = [Identifier(Kind.EMAIL, bytes([number])) for number in range(4)]
    async with db.transaction() as conn:
        people, _ = await store_identity.lock_identifiers(conn, dict.fromkeys(named[:3], lead))
        assert not people.owners
        people.claim(named[:1], lead)
        people.claim(named[1:2], other)
        await store_identity.save_identifiers(conn, people)
    async with db.transaction() as conn:
        people, _ = await store_identity.lock_identifiers(conn, dict.fromkeys(named, other))
        assert people.owners == {named[0]: lead, named[1]: other}


async def test_who_names_the_same_identifier_waits_for_the_other(db: Database) -> None:
    order: list[str] = []

    async def take(name: str, others_turn: asyncio.Event, mine: asyncio.Event) -> None:
        async with db.transaction() as conn:
            await mine.wait()
            people, _ = await store_identity.lock_identifiers(conn, dict.fromkeys([EMAIL]))
            order.append(f"{name} sees {len(people.owners)}")
            others_turn.set()
            people.place([EMAIL], ids.new())
            await store_identity.save_identifiers(conn, people)

    first, second = asyncio.Event(), asyncio.Event()
    first.set()
    await asyncio.gather(take("one", second, first), take("other", first, second))
    assert order == ["one sees 0", "other sees 1"]


async def test_erasing_one_holder_of_a_phone_leaves_the_other(db: Database) -> None:
    gone, stays = ids.new(), ids.new()
    async with db.transaction() as conn:
        for lead_id in (gone, stays):
            await add_lead(conn, lead_id)
        people, _ = await store_identity.lock_identifiers(conn, dict.fromkeys([EMAIL, PHONE]))
        people.place([EMAIL, PHONE], gone)
        people.claim([PHONE], stays)
        await store_identity.save_identifiers(conn, people)
        assert set(await store_identity.identifiers_of(conn, [gone])) == {EMAIL, PHONE}
        await store_identity.erase(conn, [gone])
        assert await store_identity.find(conn, [PHONE]) == [stays]
        assert await store_identity.find(conn, [EMAIL]) == []
        _, erased = await store_identity.lock_identifiers(conn, dict.fromkeys([EMAIL, PHONE]))
        assert set(erased) == {EMAIL}
        await store_identity.erase(conn, [stays])
        _, erased = await store_identity.lock_identifiers(conn, dict.fromkeys([EMAIL, PHONE]))
        assert set(erased) == {EMAIL, PHONE}


async def test_edges_and_links_come_back_as_a_tree(db: Database) -> None:
    a, b, c = (ids.new() for _ in range(3))
    edges = {between(b, a, Why.SAME), between(c, b, Why.PHONE, b"p")}
    async with db.transaction() as conn:
        for lead_id in (a, b, c):
            await add_lead(conn, lead_id)
        await store_identity.link(conn, {a: a, b: a, c: a})
        await store_identity.save_edges(conn, edges, ())
        people, _ = await store_identity.lock_identifiers(conn, {})
        await store_identity.load_trees(conn, people, [a])
        assert people.edges == edges
        assert people.members(a) == {a, b, c}
        await store_identity.save_edges(conn, (), edges)
        await store_identity.link(conn, {b: b})
        people, _ = await store_identity.lock_identifiers(conn, {})
        await store_identity.load_trees(conn, people, [a])
    assert (people.edges, people.members(a)) == (set(), {a, c})
