"""Open clocks follow their rep's hours when these change, on record: the calendar's version is told with the deadline.

Apart from the batch that brings the change: it locks the rep, and the clocks' leads would have to be locked before.
"""

import asyncio
from typing import Final

from backbone import database, subjects, times
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, events, store, store_clocks
from sla_monitor.hours import REP, Calendars

AT_ONCE: Final = 500
REST_S: Final = 0.25
SHORT_REST_S: Final = 0.02


async def run(db: Database, outbox: Outbox) -> None:
    """Bring clocks to their reps' hours for ever."""
    while True:
        try:
            more = await db.run(lambda conn: _some(conn, outbox))
        except Exception as error:
            if not database.is_transient(error):
                raise
            more = False
        await asyncio.sleep(SHORT_REST_S if more else REST_S)


async def _some(conn: Connection, outbox: Outbox) -> bool:
    """Compute a few hundred clocks of one rep anew; returns whether there may be more."""
    row = await conn.fetchrow(
        "SELECT rep_id, version, rep FROM rep WHERE recompute ORDER BY rep_id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    if row is None:
        return False
    rep, now = common_pb2.Rep.FromString(row["rep"]), await times.now(conn)
    wanted = await store_clocks.of_changed_rep(conn, row["rep_id"], row["version"], limit=AT_ONCE)
    if not wanted:
        await conn.execute("UPDATE rep SET recompute = false WHERE rep_id = $1", row["rep_id"])
        return True
    # The lead of a clock may be in a batch that waits for this rep: never waited for.
    free = await subjects.try_lock(conn, wanted)
    leads = await store.load(conn, free)
    hours = Calendars({}, now.year).of_rep(rep)
    changed = []
    for of_lead in (await store_clocks.clocks(conn, free)).values():
        for clock in of_lead:
            if (clock.terms.rep_id, clock.hours, str(clock.state)) != (row["rep_id"], REP, "running"):
                continue
            if not clocks.recompute(clock, hours, row["version"], now):
                clock.rep_version = row["version"]
            changed.append(clock)
    if changed:
        await store_clocks.change(conn, changed)
        await outbox.add(conn, [events.started(leads[clock.lead_id], clock, now) for clock in changed])
    return True
