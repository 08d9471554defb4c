"""Open clocks follow their hours, and the zone of their quiet ones, when these change, each new deadline on record.

Hours are a rep's or a calendar's; where quiet hours name no zone it is the rep's, or for a lead's own clocks the
company's. Apart from the batch that brings the change: it locks the rep, and the leads would have to be locked before.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Final
from uuid import UUID

from backbone import database, subjects, times
from backbone.database import Connection, Database
from sla_monitor import clocks, events, store, store_changes, store_clocks, store_policies, store_reps
from sla_monitor.applying import Applying
from sla_monitor.domain import FOR_EVER, Terms
from sla_monitor.starting import NOBODY
from sla_monitor.store_clocks import Clock
from sla_monitor.taking_in import Batch

AT_ONCE: Final = 100
"""What falls due of these leads meanwhile waits: 0.04 s a transaction, where 500 hold it for 0.3 and are no faster."""
REST_S: Final = 0.25
SHORT_REST_S: Final = 0.02
LONGEST_TRANSACTION: Final = timedelta(seconds=15)


async def run(db: Database, applying: Applying) -> None:
    """Bring clocks to their hours for ever."""
    while True:
        try:
            more = await db.run(lambda conn: _some(conn, applying))
        except Exception as error:
            if not database.is_transient(error):
                raise
            more = False
        await asyncio.sleep(SHORT_REST_S if more else REST_S)


async def _some(conn: Connection, applying: Applying) -> bool:
    """Compute clocks of some leads anew: of a rep, a calendar, or the company; returns whether there may be more."""
    for some in (_of_a_rep, _of_a_calendar, _of_the_company):
        if await some(conn, applying):
            return True
    return False


async def _of_a_rep(conn: Connection, applying: Applying) -> bool:
    # One instance a rep. The rep itself stays free: batches that tell of it hold leads that this waits for otherwise.
    row = await conn.fetchrow(
        "SELECT rep_id, version, judged_to FROM rep"
        " WHERE recompute AND pg_try_advisory_xact_lock(hashtextextended('recompute ' || rep_id, 0))"
        " ORDER BY rep_id LIMIT 1"
    )
    if row is None:
        return False
    rep_id, version = row["rep_id"], row["version"]
    if not await _of_older(conn, applying, rep_id, version):
        await _judge_by_team(conn, applying, rep_id, version, row["judged_to"])
    return True


async def _of_older(conn: Connection, applying: Applying, rep_id: str, version: int) -> bool:
    """Compute clocks anew that are by an older version of a rep's hours or zone; of nobody's, of the company's zone."""
    wanted = await store_changes.of_changed_rep(conn, rep_id, version, limit=AT_ONCE)
    if wanted:
        await _recompute(conn, applying, wanted, partial(_is_by_older, rep_id, version))
    return bool(wanted)


def _is_by_older(rep_id: str, version: int, clock: Clock) -> bool:
    return clock.terms.rep_id == rep_id and 0 < clock.rep_version < version


async def _of_the_company(conn: Connection, applying: Applying) -> bool:
    version = await conn.fetchval("SELECT zone_version FROM setting WHERE recompute FOR UPDATE SKIP LOCKED")
    if version is None:
        return False
    if await _of_older(conn, applying, NOBODY.rep_id, version):
        return True
    await conn.execute(
        "UPDATE setting SET recompute = false WHERE zone_since < now() - $1::interval", LONGEST_TRANSACTION
    )
    return False


async def _judge_by_team(
    conn: Connection, applying: Applying, rep_id: str, version: int, judged_to: UUID | None
) -> None:
    """Judge the clocks anew that a colleague's touch may have met: of which team the rep is may be known only now.

    In the order of leads, up to one that somebody else holds: the next transaction goes on there.
    """
    leads = await store_changes.touched_by_colleague(conn, rep_id, after=judged_to, limit=AT_ONCE)
    free = set(await subjects.try_lock(conn, leads))
    ready = list(takewhile(free.__contains__, leads))
    if ready:
        await applying.apply(conn, Batch(news=set(ready)), await store.load(conn, ready))
    if leads:
        judged_to = ready[-1] if ready else judged_to
        await conn.execute(
            "UPDATE rep SET judged_to = $3 WHERE rep_id = $1 AND version = $2", rep_id, version, judged_to
        )
    else:
        # Whoever began before the rep changed, and started a clock by the version of before, held the rep's row.
        done = "UPDATE rep SET recompute = false, judged_to = NULL WHERE rep_id = $1 AND version = $2"
        await conn.execute(done, rep_id, version)


async def _of_a_calendar(conn: Connection, applying: Applying) -> bool:
    rows = await conn.fetch("SELECT name FROM calendar WHERE recompute ORDER BY name, version FOR UPDATE SKIP LOCKED")
    newest = await store_policies.calendars(conn) if rows else {}
    for name in dict.fromkeys(row["name"] for row in rows):
        version = newest[name][0]
        reference = f"{name}@{version}"
        wanted = await store_changes.of_changed_calendar(conn, name, reference, limit=AT_ONCE)
        if wanted:
            await _recompute(conn, applying, wanted, partial(_runs_on_older, name, reference))
            return True
        # Whoever began a transaction before the calendar was put may yet start a clock on the one before.
        await conn.execute(
            "UPDATE calendar SET recompute = false"
            " WHERE name = $1 AND version <= $2 AND made_at < now() - $3::interval",
            name,
            version,
            LONGEST_TRANSACTION,
        )
    return False


def _runs_on_older(name: str, reference: str, clock: Clock) -> bool:
    return clock.hours == name and (clock.steps_by or clock.calendar) != reference


async def _recompute(conn: Connection, applying: Applying, wanted: list[UUID], is_of: Callable[[Clock], bool]) -> None:
    # The lead of a clock may be in a batch that waits for this rep: never waited for.
    free = await subjects.try_lock(conn, wanted)
    leads, now = await store.load(conn, free), await times.now(conn)
    _, named = await applying.policies.in_force(conn, now)
    known = await store_clocks.clocks(conn, free)
    some = [clock for of_lead in known.values() for clock in of_lead if clock.next_at is not None and is_of(clock)]
    rep_ids = {clock.terms.rep_id for clock in some}
    reps = await store_reps.reps_as_known(conn, rep_ids)
    named = named.knowing(await store_reps.versions(conn, rep_ids, FOR_EVER))
    moved: list[tuple[Clock, str, Terms]] = []
    for clock in some:
        before = (clock.calendar, clock.terms)
        policy = await applying.policies.of(conn, clock.policy)
        spec = policy.spec(clock.clock)
        by = clocks.plan(policy, spec, reps.get(clock.terms.rep_id, NOBODY), named) if spec is not None else None
        if by is None:
            clock.rep_version = 0  # A line that policies have no more, of those built in: it follows nobody.
            continue
        clocks.recompute(clock, by.lasting(clock.terms.within_seconds), now)
        if (clock.calendar, clock.terms) != before:
            moved.append((clock, *before))
    await store_clocks.change(conn, some)
    if moved:
        await store_changes.note_changes(conn, moved)
        await applying.outbox.add(conn, [events.started(leads[clock.lead_id], clock, now) for clock, _, _ in moved])
        # What had been too late may have been in time, or over before, and the other way round.
        await applying.apply(conn, Batch(news={clock.lead_id for clock, _, _ in moved}), leads)
