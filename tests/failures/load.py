"""What runs while faults happen: clients that remember every answer, a desk that works, an eye on every cap."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import httpx

TRIES: Final = 400
REST_S: Final = 0.05
LOOK_EVERY_S: Final = 0.05
CLIENTS: Final = 16

_CAPS: Final = """
SELECT r.rep_id, r.cap, r.open, count(a.lead_id) AS counted
FROM rep r LEFT JOIN assignment a USING (rep_id) GROUP BY r.rep_id
"""


@dataclass(slots=True)
class Client:
    """Posts leads and remembers what became of each: ok, failed (certainly not taken) or unknown."""

    http: httpx.AsyncClient
    intake: str
    ok: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    async def post(self, external_id: str) -> None:
        """Post one lead with an idempotency key, again and again until it is answered."""
        body = {"external_id": external_id, "email": f"{external_id}@load.example"}
        for _ in range(TRIES):
            try:
                answer = await self.http.post(
                    f"{self.intake}/v1/leads", json=body, headers={"Idempotency-Key": external_id}
                )
            except httpx.TransportError:
                self.unknown.add(external_id)
                await asyncio.sleep(REST_S)
                continue
            if answer.status_code == 202:
                self.ok[external_id] = answer.json()["lead_id"]
                self.unknown.discard(external_id)
                return
            assert answer.status_code in (409, 429, 503), answer.text
            assert "retry-after" in answer.headers, "a refusal says when to come back"
            await asyncio.sleep(REST_S)
        self.failed.add(external_id)


@dataclass(slots=True)
class Desk:
    """Closes leads now and then, so that room appears and who waits gets it."""

    http: httpx.AsyncClient
    routing: str
    chance: random.Random

    async def close_some(self, client: Client) -> None:
        """Close one of the accepted leads after the other, until cancelled; whatever is answered."""
        while True:
            await asyncio.sleep(REST_S)
            if not client.ok:
                continue
            lead = self.chance.choice(list(client.ok.values()))
            try:
                await self.http.post(f"{self.routing}/v1/assignments/{lead}/close", json={"outcome": "disqualified"})
            except httpx.TransportError:
                continue


@dataclass(slots=True)
class Eye:
    """Looks at caps while faults happen: each look is one statement, so one moment."""

    dsn: str
    looks: int = 0
    fullest: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look for as long as the block lasts."""
        async with _beside([self._watch]):
            yield

    async def _watch(self) -> None:
        """Look until cancelled; a database that is away is asked again."""
        while True:
            try:
                conn = await asyncpg.connect(self.dsn)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                while True:
                    self._look(await conn.fetch(_CAPS))
                    await asyncio.sleep(LOOK_EVERY_S)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue
            finally:
                conn.terminate()

    def _look(self, reps: Sequence[asyncpg.Record]) -> None:
        self.looks += 1
        self.fullest = max(self.fullest, sum(row["counted"] for row in reps))
        self.wrong += [dict(row) for row in reps if not row["counted"] == row["open"] <= row["cap"]]


async def run(client: Client, leads: Sequence[str], strike: Awaitable[None], *beside: Callable[[], Any]) -> None:
    """Post the leads from sixteen clients while `strike` happens, with what runs beside until both have ended."""
    waiting = list(reversed(leads))

    async def work() -> None:
        while waiting:
            await client.post(waiting.pop())

    async with _beside(beside), asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())
        group.create_task(_awaited(strike))


@asynccontextmanager
async def _beside(work: Sequence[Callable[[], Any]]) -> AsyncIterator[None]:
    """Let work go on until the block has ended; none of it may end before."""
    others = [asyncio.create_task(one()) for one in work]
    try:
        yield
    finally:
        for task in others:
            task.cancel()
        ended = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def _awaited(strike: Awaitable[None]) -> None:
    await strike
