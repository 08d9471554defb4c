"""Hours open, fallbacks fall due: the queue is tried again at the very moment, by whichever replica is free."""

import asyncio
import contextlib
from typing import Final
from uuid import UUID

from backbone import database, subjects, times
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from routing import deciding, store, store_queue
from routing import desk as desks
from routing.desk import Desk
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
    overdue = await store.lapsed(conn, await times.now(conn), limit=deciding.DRAINED_AT_ONCE)
    free = await subjects.try_lock(conn, overdue) if overdue else set()
    desk = await desks.open_desk(conn, cache, free)
    for lead_id in free:
        _lapse(desk, lead_id)
    await deciding.settle(desk, conn)
    await desk.finish(conn, outbox, cache)


def _lapse(desk: Desk, lead_id: UUID) -> None:
    """Look for the next rep, as this one did not accept in time; until there is one the lead stays where it is."""
    row, assignment = desk.rows[lead_id], desk.assignments.get(lead_id)
    if assignment is None or assignment.accept_by is None or assignment.accept_by > desk.now:
        return
    assignment.accept_by = None
    desk.changed.add(lead_id)
    if desks.is_routable(row):
        row.declined = row.declined | {assignment.rep_id}
        desk.hand_over[lead_id] = "not_accepted"
        desk.to_route[lead_id] = None
