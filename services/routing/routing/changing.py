"""A change of what decisions read: under the group's lock, in force at once, and then who waits is let in."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

from backbone import database, outbox, subjects
from backbone.database import Connection
from routing import deciding, store_group, store_queue, transaction
from routing.desk import Desk
from routing.store_group import Cache

Change = Callable[[Connection, Desk], Awaitable[dict[str, Any]]]
"""Writes the change, adds its events to the desk, and returns the answer."""


class Changing:
    """Makes changes, on this process's knowledge of the group."""

    def __init__(self, db: database.Database, out: outbox.Outbox, cache: Cache) -> None:
        self._db = db
        self._out = out
        self._cache = cache

    async def make(self, change: Change, *, locks: Iterable[UUID] = (), concerns_all: bool = False) -> dict[str, Any]:
        """Make a change in a transaction of its own."""
        return await self._db.run(lambda conn: self.within(conn, change, locks=locks, concerns_all=concerns_all))

    async def within(
        self, conn: Connection, change: Change, *, locks: Iterable[UUID] = (), concerns_all: bool = False
    ) -> dict[str, Any]:
        """Make a change in the caller's transaction. `locks` are the subjects of its events.

        `concerns_all`: rules read what it changes, so that all who wait are decided over anew.
        """
        wanted = list(locks)
        if wanted:
            await subjects.lock(conn, wanted)
        desk = await transaction.open_desk(conn, self._cache, [])
        answer = await change(conn, desk)
        await store_group.advance(conn, desk.group, changed=True)
        await store_queue.decide_anew(conn, everybody=concerns_all)
        self._cache.forget()
        fresh = await transaction.open_desk(conn, self._cache, [])
        await deciding.settle(fresh, conn)
        fresh.outgoing = [*desk.outgoing, *fresh.outgoing]
        await transaction.finish(fresh, conn, self._out, self._cache)
        return answer
