"""`Idempotency-Key`: the key's row and the effect are one transaction, so a crash leaves neither or both."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import asyncpg
import structlog
from fastapi import Request
from fastapi.encoders import jsonable_encoder
from starlette.responses import JSONResponse, Response

from backbone.database import Connection, Database
from backbone.problem import Problem
from backbone.security import Caller

HEADER: Final = "idempotency-key"
LONGEST_KEY: Final = 255
KEPT_DAYS: Final = 7
SWEEP_EVERY_S: Final = 3600.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with. The body is JSON, or what FastAPI can make JSON of."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the HTTP answer."""
        return JSONResponse(jsonable_encoder(self.body), self.status, headers=self.headers)


def _as_it_is(body: Any) -> Any:
    return body


async def answer(
    database: Database,
    request: Request,
    caller: Caller,
    act: Callable[[Connection], Awaitable[Answer]],
    *,
    close: Callable[[Any], Any] = _as_it_is,
    reopen: Callable[[Any], Any] = _as_it_is,
) -> Response:
    """Do `act` once per key of this caller on this route, and answer every repetition the same.

    Another body under the same key is 422. While the first is running a second waits up to the lock timeout (2 s), then
    gets 409 with Retry-After. Without the header `act` is just done. An answer with a secret in it is kept as `close`
    makes it, and read with `reopen`.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return (await database.run(act)).response()
    if not key or len(key) > LONGEST_KEY or "\x00" in key:
        raise Problem(422, "Not a key", f"Idempotency-Key is a text of 1 to {LONGEST_KEY} characters.")
    digest = body_hash(caller.sub, await request.body())
    route = f"{request.method} {request.url.path}"

    async def once(conn: Connection) -> Answer:
        found = await claim(conn, caller.sub, route, key, digest)
        if found is not None:
            return replace(found, body=reopen(found.body))
        fresh = await act(conn)
        await keep(conn, caller.sub, route, key, replace(fresh, body=close(fresh.body)))
        return fresh

    return (await database.run(once)).response()


def still_running() -> Problem:
    """Return the refusal for a second request that waited for the first in vain."""
    return Problem(
        409,
        "Still at it",
        "A request with this Idempotency-Key is running. Send the same again.",
        headers={"Retry-After": "1"},
    )


def body_hash(caller: str, body: bytes) -> bytes:
    """Return the keyed hash of a body: equal bodies of one caller have equal hashes, nobody can search by it."""
    return hmac.digest(hashlib.sha256(f"handoff idempotency {caller}".encode()).digest(), body, "sha256")


async def claim(conn: Connection, caller: str, route: str, key: str, digest: bytes) -> Answer | None:
    """Take the key in this transaction; returns the answer of whoever had it before, Problem 422 for another body."""
    try:
        taken = await conn.fetchval(
            "INSERT INTO idempotency (caller, route, key, body_hash) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT DO NOTHING RETURNING true",
            caller,
            route,
            key,
            digest,
        )
    except asyncpg.LockNotAvailableError as error:
        raise still_running() from error
    if taken:
        return None
    row = await conn.fetchrow(
        "SELECT body_hash, status, body, headers FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3",
        caller,
        route,
        key,
    )
    if row is None or row["status"] is None:
        raise still_running()
    if not hmac.compare_digest(row["body_hash"], digest):
        raise Problem(422, "Another body", "This Idempotency-Key was used with another body. Take a new key.")
    return Answer(row["status"], json.loads(row["body"]), row["headers"])


async def keep(conn: Connection, caller: str, route: str, key: str, given: Answer) -> None:
    """Keep the answer beside the key."""
    await conn.execute(
        "UPDATE idempotency SET status = $4, body = $5, headers = $6 WHERE caller = $1 AND route = $2 AND key = $3",
        caller,
        route,
        key,
        given.status,
        json.dumps(jsonable_encoder(given.body)),
        given.headers,
    )


async def sweep_forever(database: Database) -> None:
    """Delete keys older than seven days, once an hour."""
    while True:
        try:
            async with database.reading() as conn:
                await conn.execute(
                    "DELETE FROM idempotency WHERE created_at < now() - make_interval(days => $1)", KEPT_DAYS
                )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.info("old idempotency keys stay for now", reason=type(error).__name__)
        await asyncio.sleep(SWEEP_EVERY_S)
