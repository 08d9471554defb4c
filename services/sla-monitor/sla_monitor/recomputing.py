"""Open clocks follow the hours that they run on when these change, a rep's or a calendar's, each change on record.

Apart from the batch that brings the change: it locks the rep, and the clocks' leads would have to be locked before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Final
from uuid import UUID

from backbone import database, subjects, times
from backbone.database import Connection, Database
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, events, store, store_changes, store_clocks, store_policies, store_reps
from sla_monitor.applying import Applying
from sla_monitor.domain import Terms
from sla_monitor.hours import REP, Calendars
from sla_monitor.starting import NOBODY
from sla_monitor.store_clocks import Clock
from sla_monitor.taking_in import Batch

AT_ONCE: Final = 500
REST_S: Final = 0.25
SHORT_REST_S: Final = 0.02
LONGEST_TRANSACTION: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Change:
    """Hours that changed, and which clocks run on them."""

    rep: common_pb2.Rep | None
    """Whose hours changed; of a calendar's clocks the rep only says in which zone quiet hours are."""
    named: Calendars
    version: int
    is_of: Callable[[Clock], bool]


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
    """Compute a few hundred clocks of one rep or calendar anew; returns whether there may be more."""
    return await _of_a_rep(conn, applying) or await _of_a_calendar(conn, applying)


async def _of_a_rep(conn: Connection, applying: Applying) -> bool:
    row = await conn.fetchrow(
        "SELECT rep_id, version, rep, judged_to FROM rep WHERE recompute ORDER BY rep_id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    if row is None:
        return False
    rep_id, version = row["rep_id"], row["version"]
    wanted = await store_changes.of_changed_rep(conn, rep_id, version, limit=AT_ONCE)
    if not wanted:
        await _judge_by_team(conn, applying, rep_id, row["judged_to"])
        return True
    named = Calendars({}, (await times.now(conn)).year)

    def is_of(clock: Clock) -> bool:
        return (clock.terms.rep_id, clock.hours) == (rep_id, REP) and clock.rep_version < version

    change = Change(common_pb2.Rep.FromString(row["rep"]), named, version, is_of)
    await _recompute(conn, applying, wanted, change)
    return True


async def _judge_by_team(conn: Connection, applying: Applying, rep_id: str, judged_to: UUID | None) -> None:
    """Judge the clocks anew that a colleague's touch may have met: of which team the rep is may be known only now.

    In the order of leads, up to one that somebody else holds: the next transaction goes on there.
    """
    leads = await store_changes.touched_by_colleague(conn, rep_id, after=judged_to, limit=AT_ONCE)
    free = set(await subjects.try_lock(conn, leads))
    ready = list(takewhile(free.__contains__, leads))
    if ready:
        await applying.apply(conn, Batch(news=set(ready)), await store.load(conn, ready))
    if leads:
        await conn.execute("UPDATE rep SET judged_to = $2 WHERE rep_id = $1", rep_id, ready[-1] if ready else judged_to)
    else:
        await conn.execute("UPDATE rep SET recompute = false, judged_to = NULL WHERE rep_id = $1", rep_id)


async def _of_a_calendar(conn: Connection, applying: Applying) -> bool:
    rows = await conn.fetch("SELECT name FROM calendar WHERE recompute ORDER BY name, version FOR UPDATE SKIP LOCKED")
    newest = await store_policies.calendars(conn) if rows else {}
    for name in dict.fromkeys(row["name"] for row in rows):
        version = newest[name][0]
        reference = f"{name}@{version}"
        wanted = await store_changes.of_changed_calendar(conn, name, reference, limit=AT_ONCE)
        if wanted:
            _, named = await applying.policies.in_force(conn, await times.now(conn))
            change = Change(None, named, 0, partial(_runs_on_older, name, reference))
            await _recompute(conn, applying, wanted, change)
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
    return clock.hours == name and clock.calendar != reference


async def _recompute(conn: Connection, applying: Applying, wanted: list[UUID], change: Change) -> None:
    # The lead of a clock may be in a batch that waits for this rep: never waited for.
    free = await subjects.try_lock(conn, wanted)
    leads, now = await store.load(conn, free), await times.now(conn)
    changed: list[tuple[Clock, str, Terms]] = []
    known = await store_clocks.clocks(conn, free)
    reps = await store_reps.reps_as_known(conn, {clock.terms.rep_id for some in known.values() for clock in some})
    for of_lead in known.values():
        for clock in of_lead:
            if clock.next_at is None or not change.is_of(clock):
                continue
            before = (clock.calendar, clock.terms)
            policy = await applying.policies.of(conn, clock.policy)
            spec = policy.spec(clock.clock)
            rep = change.rep or reps.get(clock.terms.rep_id, NOBODY)
            by = clocks.plan(policy, spec, rep, change.named) if spec is not None else None
            if by is None or not clocks.recompute(clock, by, change.version, now):
                # It never opens again: the deadline stays, under the calendar that was asked.
                clock.rep_version, clock.calendar = change.version, by.calendar if by is not None else clock.calendar
            changed.append((clock, *before))
    if changed:
        some = [clock for clock, _, _ in changed]
        await store_clocks.change(conn, some)
        await store_changes.note_changes(conn, changed)
        await applying.outbox.add(conn, [events.started(leads[clock.lead_id], clock, now) for clock in some])
