"""Hours open, fallbacks fall due: the queue is tried again at the very moment, by whichever replica is free."""

import asyncio
import contextlib
from typing import Final

from backbone import database, times
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from routing import deciding, store_queue
from routing import desk as desks
from routing.store_group import Cache

LONGEST_SLEEP_S: Final = 1.0
"""Another replica may have written an earlier instant; it is seen by then."""
SHORTEST_SLEEP_S: Final = 0.02


async def run(db: Database, outbox: Outbox, cache: Cache) -> None:
    """Settle at each instant at which somebody who waits may be routed."""
    while True:
        try:
            async with db.reading() as conn:
                at, now = await store_queue.next_retry(conn), await times.now(conn)
            if at is not None and at <= now:
                await db.run(lambda conn: _settle(conn, outbox, cache))
                await asyncio.sleep(SHORTEST_SLEEP_S)
                continue
            left = (at - now).total_seconds() if at is not None else LONGEST_SLEEP_S
        except Exception as error:
            if not database.is_transient(error):
                raise
            left = LONGEST_SLEEP_S
        await asyncio.sleep(SHORTEST_SLEEP_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cache.more_wait.wait(), min(left, LONGEST_SLEEP_S))
        cache.more_wait.clear()


async def _settle(conn: Connection, outbox: Outbox, cache: Cache) -> None:
    desk = await desks.open_desk(conn, cache, [])
    await deciding.settle(desk, conn)
    await desk.finish(conn, outbox, cache)
