"""Requests that wait together are committed together: who asks gets its answer when its event is durable.

One flusher a process takes whatever queued while the flush before was under way. A lone request waits for nothing;
after a flush of several the next begins a little later, so that a crowd shares its commits, here and at every reader.
A batch that fails is tried again request by request.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import structlog

from backbone import database, problem
from backbone.database import Database
from backbone.outbox import Outbox
from backbone.problem import Problem
from lead_intake import accepting
from lead_intake.asks import Ask
from lead_intake.vaulting import Vault

BATCH: Final = 500
TRIES: Final = 3
GATHER_S: Final = 0.02
"""From the beginning of a crowd's flush to that of the next: a commit costs as much CPU as several leads."""

log = structlog.get_logger()


class Flusher:
    """The queue and its one reader."""

    def __init__(self, db: Database, vault: Vault, outbox: Outbox, *, limit: int) -> None:
        self._db = db
        self._vault = vault
        self._outbox = outbox
        self._limit = limit
        self._waiting: list[Ask] = []
        self._woken = asyncio.Event()

    async def take_one(self, ask: Ask) -> Mapping[str, Any]:
        """As `take`, for the one event that nearly all requests bring."""
        self._queue([ask])
        return await ask.answer

    async def take(self, asks: Sequence[Ask]) -> list[Mapping[str, Any]]:
        """Return the answers once everything is durable. Problem 503 while the queue is full or the database away."""
        self._queue(asks)
        return list(await asyncio.gather(*(ask.answer for ask in asks)))

    async def try_take(self, asks: Sequence[Ask]) -> list[Mapping[str, Any] | BaseException]:
        """As `take`, with an error in its place."""
        self._queue(asks)
        return list(await asyncio.gather(*(ask.answer for ask in asks), return_exceptions=True))

    def _queue(self, asks: Sequence[Ask]) -> None:
        if len(self._waiting) + len(asks) > self._limit:
            raise problem.unavailable("Too many requests wait. Send the same request again.")
        self._waiting.extend(asks)
        self._woken.set()

    async def run(self) -> None:
        """Flush for ever."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                if len(self._waiting) < BATCH and (early := next_at - loop.time()) > 0:
                    await asyncio.sleep(early)
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                next_at = loop.time() + (GATHER_S if len(batch) > 1 else 0)
                await self._flush(batch)

    async def _flush(self, batch: Sequence[Ask]) -> None:
        try:
            await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - each of the batch gets its own answer below
            if len(batch) > 1 and not _is_away(error):
                for ask in batch:
                    await self._flush([ask])
                return
            refusal = error if isinstance(error, Problem) else problem.of_failure(error)
            if refusal.status == 500:
                log.error("an event was not accepted", error=type(error).__name__)
            for ask in batch:
                if not ask.answer.done():
                    ask.answer.set_exception(refusal)

    async def _commit(self, batch: Sequence[Ask]) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                answers = await self._db.run(lambda conn: accepting.accept(conn, self._vault, self._outbox, batch))
                break
            except asyncpg.UniqueViolationError:
                # Another replica accepted the same delivery in between; now it can be seen.
                if attempt == TRIES:
                    raise
        for ask, given in zip(batch, answers, strict=True):
            if ask.answer.done():
                continue
            if isinstance(given, Problem):
                ask.answer.set_exception(given)
            else:
                ask.answer.set_result(given)


def _is_away(error: BaseException) -> bool:
    """Say whether the database is gone for everybody, so that trying one by one would only take longer."""
    return database.is_transient(error) and not isinstance(
        error, asyncpg.DeadlockDetectedError | asyncpg.LockNotAvailableError
    )
