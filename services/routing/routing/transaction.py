"""One transaction under the group's lock: a desk is opened, work is done at it, all of it is written at the end."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from backbone.database import Connection
from backbone.outbox import Outbox
from routing import store, store_counts, store_group, store_queue, store_reasons
from routing.desk import Desk
from routing.store_group import Cache


async def open_desk(conn: Connection, cache: Cache, lead_ids: Iterable[UUID]) -> Desk:
    """Lock the group and load leads whose subjects are locked already."""
    wanted = list(lead_ids)
    group, now = await cache.lock(conn)
    return Desk(
        group=group,
        now=now,
        rows=await store.load(conn, wanted),
        assignments=await store.assignments(conn, wanted),
        waiting=await store_queue.of(conn, wanted) if wanted and not group.nobody_waits else {},
        dirty=set(wanted),
        nobody_waited=group.nobody_waits,
    )


async def finish(desk: Desk, conn: Connection, outbox: Outbox, cache: Cache) -> None:
    """Write everything under the lock and announce it."""
    if desk.dirty:
        await store.save(conn, [desk.rows[lead_id] for lead_id in desk.dirty if lead_id in desk.rows])
    await store_counts.save(conn, desk.group, forced=frozenset(desk.forced))
    await store_group.advance(conn, desk.group, more_wait=desk.more_wait)
    if desk.ended:
        await store.delete_assignments(conn, desk.ended)
    if desk.changed:
        await store.save_assignments(conn, [desk.assignments[lead_id] for lead_id in desk.changed])
    if desk.no_longer_waiting:
        await store_queue.delete(conn, desk.no_longer_waiting)
    if desk.now_waiting:
        await store_queue.save(conn, list(desk.now_waiting.values()))
    if desk.past:
        await store.add_ended(conn, desk.past)
    if desk.decisions:
        await store.add_decisions(conn, desk.decisions)
    await outbox.add(conn, desk.outgoing)
    desk.group.nobody_waits = desk.nobody_waited and not desk.now_waiting
    if not desk.paused_by:
        cache.keep(desk.group)
    if desk.more_wait:
        cache.more_wait.set()


async def put_reasons(desk: Desk, conn: Connection, codes: Sequence[str]) -> None:
    """Put other reason codes in force; every instance loads them with the group."""
    await store_reasons.replace(conn, codes)
    desk.group.codes = await store_reasons.load(conn)
    await store_group.advance(conn, desk.group, changed=True)
