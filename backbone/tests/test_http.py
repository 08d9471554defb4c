"""Problems, callers, idempotency and parked limits as an HTTP client meets them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict
from starlette.responses import Response

from backbone import database, idempotency, process, security
from backbone.settings import ServiceSettings
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage

Manager = Annotated[security.Caller, Depends(security.allow("manager"))]


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    at: AwareDatetime | None = None


async def compose(service: process.Service[ServiceSettings]) -> None:
    async with service.database.transaction() as conn:
        await conn.execute("CREATE TABLE IF NOT EXISTS orders (name text)")

    @service.app.post("/v1/orders")
    async def order(request: Request, caller: Manager, body: Order) -> Response:
        async def act(conn: database.Connection) -> idempotency.Answer:
            await conn.execute("INSERT INTO orders VALUES ($1)", body.name)
            count = await conn.fetchval("SELECT count(*) FROM orders")
            return idempotency.Answer(201, {"name": body.name, "count": count})

        return await idempotency.answer(service.database, request, caller, act)

    @service.app.get("/v1/secret", dependencies=[Depends(security.allow("service"))])
    async def secret() -> dict[str, bool]:
        return {"secret": True}


@pytest.fixture
async def actor(start: Stage) -> Actor:
    return await start.bare("routing", compose)


async def test_nobody_without_a_token_and_nobody_with_another_role(actor: Actor) -> None:
    body = {"name": "a"}
    assert (await actor.as_nobody().post("/v1/orders", json=body)).status_code == 401
    assert (await actor.as_role("rep", rep="ana").post("/v1/orders", json=body)).status_code == 403
    assert (await actor.as_role("manager").post("/v1/orders", json=body)).status_code == 201
    assert (await actor.http.post("/v1/orders", json=body)).status_code == 201


async def test_service_routes_are_closed_to_admins(actor: Actor) -> None:
    assert (await actor.http.get("/v1/secret")).status_code == 403
    assert (await actor.as_service().get("/v1/secret")).status_code == 200


async def test_a_token_of_somebody_else_is_nobodys(actor: Actor) -> None:
    from backbone.testing.signer import Signer

    client = actor.as_nobody()
    forged = Signer().token("admin")
    assert (await client.post("/v1/orders", json={}, headers={"Authorization": f"Bearer {forged}"})).status_code == 401


@pytest.mark.parametrize(
    ("content", "status", "pointer"),
    [
        (b"{", 400, None),
        (b"[" * 100_000, 400, None),
        (b'{"name": "a", "colour": "red"}', 422, "/colour"),
        (b'{"name": 1}', 422, "/name"),
        (b'{"name": "a", "at": "2026-01-01T00:00:00"}', 422, "/at"),
        (b'{"name": "nul \\u0000"}', 422, None),
    ],
)
async def test_bad_bodies_get_a_problem_with_a_pointer(
    actor: Actor, content: bytes, status: int, pointer: str | None
) -> None:
    response = await actor.http.post("/v1/orders", content=content, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["detail"]
    if pointer is not None:
        assert body["errors"][0]["pointer"] == pointer


async def test_a_body_over_a_mebibyte_is_413(actor: Actor) -> None:
    response = await actor.http.post("/v1/orders", content=b'{"name": "' + b"a" * 1024 * 1024 + b'"}')
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_body_that_grows_over_a_mebibyte_on_the_way_is_413(actor: Actor) -> None:
    async def grow() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 64 * 1024

    assert (await actor.http.post("/v1/orders", content=grow())).status_code == 413


async def test_unknown_addresses_and_methods_are_problems(actor: Actor) -> None:
    assert (await actor.http.get("/v1/nothing")).json()["status"] == 404
    assert (await actor.http.put("/v1/orders")).json()["status"] == 405


async def test_the_same_key_and_body_get_the_same_answer_and_one_effect(actor: Actor) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await actor.http.post("/v1/orders", json={"name": "a"}, headers=headers)
    second = await actor.http.post("/v1/orders", json={"name": "a"}, headers=headers)
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, {"name": "a", "count": 1})
    assert first.content == second.content


async def test_the_same_key_with_another_body_is_422(actor: Actor) -> None:
    headers = {"Idempotency-Key": "one"}
    await actor.http.post("/v1/orders", json={"name": "a"}, headers=headers)
    assert (await actor.http.post("/v1/orders", json={"name": "b"}, headers=headers)).status_code == 422


async def test_twenty_at_once_with_one_key_have_one_effect(actor: Actor) -> None:
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(actor.http.post("/v1/orders", json={"name": "a"}, headers=headers) for _ in range(20))
    )
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, '{"name":"a","count":1}')}


@asynccontextmanager
async def slow_transaction(actor: Actor) -> AsyncIterator[tuple[Any, Any]]:
    """Open a transaction that may idle."""
    conn = await database.connect_single(actor.settings.database_url, name="tests", idle_ms=0)
    begun = conn.transaction()
    await begun.start()
    yield conn, begun
    await conn.close()


async def test_a_second_waits_for_the_first_and_gets_409_after_two_seconds_and_its_own_answer_after_a_crash(
    actor: Actor,
) -> None:
    headers = {"Idempotency-Key": "one"}
    async with slow_transaction(actor) as (first, begun):
        await idempotency.claim(first, "test:admin", "POST /v1/orders", "one", b"")
        busy = asyncio.create_task(actor.http.post("/v1/orders", json={"name": "a"}, headers=headers))
        refused = await busy
        assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
        # The first one dies.
        await begun.rollback()
    again = await actor.http.post("/v1/orders", json={"name": "a"}, headers=headers)
    assert (again.status_code, again.json()) == (201, {"name": "a", "count": 1})


async def test_a_second_that_waits_gets_the_answer_of_the_first(actor: Actor) -> None:
    async with slow_transaction(actor) as (first, begun):
        body = b'{"name":"a"}'
        digest = idempotency.body_hash("test:admin", body)
        await idempotency.claim(first, "test:admin", "POST /v1/orders", "one", digest)
        second = asyncio.create_task(
            actor.http.post(
                "/v1/orders", content=body, headers={"Idempotency-Key": "one", "content-type": "application/json"}
            )
        )

        async def waiting() -> None:
            async with actor.database.reading() as conn:
                assert await conn.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type ="
                    " 'Lock'"
                )

        await eventually(waiting)
        kept = idempotency.Answer(201, {"from": "the first"})
        await idempotency.keep(first, "test:admin", "POST /v1/orders", "one", kept)
        await begun.commit()
    answer = await second
    assert (answer.status_code, answer.json()) == (201, {"from": "the first"})


async def test_keys_are_kept_for_seven_days(start: Stage) -> None:
    url = await start.database_url("backbone")
    conn = await database.connect_single(url, name="tests", idle_ms=0)
    for key, days in (("six", 6), ("eight", 8)):
        await conn.execute(
            "INSERT INTO idempotency (caller, route, key, body_hash, created_at)"
            " VALUES ('c', 'r', $1, '', now() - make_interval(days => $2))",
            key,
            days,
        )
    await start.bare("routing", compose, database_url=url)

    async def swept() -> None:
        assert [row[0] for row in await conn.fetch("SELECT key FROM idempotency")] == ["six"]

    await eventually(swept)
    await conn.close()


def test_a_route_without_a_role_is_refused_at_the_start() -> None:
    app = FastAPI()

    @app.get("/open")
    async def route() -> None:
        return None

    with pytest.raises(LookupError, match="/open"):
        security.check_routes(app)


async def test_readiness_says_why_not(start: Stage) -> None:
    actor = await start.bare("routing", compose)
    actor.service.stopping.set()
    assert actor.service.stopping.is_set()
    assert await actor.service.not_ready_because() == "stopping"
