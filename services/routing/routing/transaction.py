"""One transaction under the group's lock: a desk is opened, work is done at it, all of it is written at the end."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from backbone.database import Connection
from backbone.outbox import Event, Outbox
from routing import events, store, store_counts, store_group, store_queue, store_reasons
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
    if not desk.paused:
        cache.keep(desk.group)
    if desk.more_wait:
        cache.more_wait.set()


async def put_reasons(desk: Desk, conn: Connection, codes: Sequence[str]) -> None:
    """Put other reason codes in force; every instance loads them with the group."""
    await store_reasons.replace(conn, codes)
    desk.group.codes = await store_reasons.load(conn)
    await store_group.advance(conn, desk.group, changed=True)


async def pause(desk: Desk, conn: Connection) -> None:
    """Write who is paused as a step of its own, before anything is decided: who replays that sees them paused."""
    for rep_id in sorted(desk.paused):
        desk.outgoing.append(await _pause(desk, conn, rep_id))
    if desk.paused:
        await store_group.advance(conn, desk.group, changed=True)


async def _pause(desk: Desk, conn: Connection, rep_id: str) -> Event:
    await conn.execute("UPDATE rep SET paused = true, version = version + 1 WHERE rep_id = $1", rep_id)
    known = await store_group.known_rep(conn, rep_id, desk.now)
    await store_group.keep_version(conn, desk.group, rep_id, known)
    return events.rep_changed(rep_id, known, desk.now)
