"""Hours open, fallbacks and answers fall due, hand-overs too: at the very moment, by whichever replica is free."""

import asyncio
import contextlib
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import database, subjects, times
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from backbone.problem import Problem
from routing import deciding, handing_over, parting, performing, store, store_hand_over, store_queue, transaction
from routing import desk as desks
from routing.changing import Changing
from routing.desk import Desk
from routing.handing_along import HandOver
from routing.store_group import Cache
from routing.store_queue import Due

LONGEST_SLEEP_S: Final = 1.0
"""Another replica may have written an earlier instant; it is seen by then."""
SHORTEST_SLEEP_S: Final = 0.02
BETWEEN_PAGES_S: Final = 0.005
"""Of a queue that drains: whoever waits for the group, with an arriving lead say, has it in between."""


async def run(db: Database, outbox: Outbox, cache: Cache) -> None:
    """Do what is due at each instant at which something is."""
    changes = Changing(db, outbox, cache)
    while True:
        try:
            async with db.reading() as conn:
                due = await store_queue.next_due(conn)
            if _is_past(due.weigh_at, due):
                await performing.weigh(changes)
            if _is_past(due.hand_over_at, due):
                await db.run(lambda conn: _hand_over(conn, outbox, cache))
            if _is_past(due.settle_at, due):
                await db.run(lambda conn: _settle(conn, outbox, cache))
                await asyncio.sleep(BETWEEN_PAGES_S)
                continue
            left = _left(due)
        except Exception as error:
            if not database.is_transient(error):
                raise
            left = LONGEST_SLEEP_S
        await asyncio.sleep(SHORTEST_SLEEP_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cache.more_wait.wait(), min(left, LONGEST_SLEEP_S))
        cache.more_wait.clear()


def _is_past(at: datetime | None, due: Due) -> bool:
    return at is not None and at <= due.now


def _left(due: Due) -> float:
    """Return the seconds until the next of what is not past."""
    ahead = [(at - due.now).total_seconds() for at in due[:3] if at is not None and at > due.now]
    return min(ahead, default=LONGEST_SLEEP_S)


async def _settle(conn: Connection, outbox: Outbox, cache: Cache) -> None:
    overdue = await store.lapsed(conn, await times.now(conn), limit=deciding.DRAINED_AT_ONCE)
    free = await subjects.try_lock(conn, overdue) if overdue else set()
    desk = await transaction.open_desk(conn, cache, free)
    for lead_id in free:
        _lapse(desk, lead_id)
    await deciding.settle(desk, conn)
    await transaction.finish(desk, conn, outbox, cache)


def _lapse(desk: Desk, lead_id: UUID) -> None:
    """Look for the next rep, as this one did not accept in time; until there is one the lead stays where it is."""
    row, assignment = desk.rows[lead_id], desk.assignments.get(lead_id)
    if assignment is None or assignment.accept_by is None or assignment.accept_by > desk.now:
        return
    assignment.accept_by = None
    desk.changed.add(lead_id)
    if desks.is_routable(row):
        row.declined = row.declined | {assignment.rep_id}
        desk.look_for_another(row, parting.NOT_ACCEPTED)


async def _hand_over(conn: Connection, outbox: Outbox, cache: Cache) -> None:
    """Make the first hand-over that is due; one that cannot be made any more says why, and is not tried again."""
    row = await store_hand_over.due(conn, await times.now(conn))
    if row is None:
        return
    try:
        answer = await handing_over.make(conn, HandOver(**row["body"]), outbox, cache)
    except Problem as problem:
        answer = {"refused": problem.as_json()}
    await store_hand_over.answer(conn, row["hand_over_id"], answer)
