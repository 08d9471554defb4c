"""After an activation every lead is scored anew, in the background, batch by batch, by whichever replica is free."""

import asyncio
from typing import Final

import structlog

from backbone import database, subjects
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from qualification import moving, store
from qualification.store_definitions import Compiled

BATCH: Final = 200
POLL_S: Final = 0.5
REST_S: Final = 0.01

log = structlog.get_logger()


async def run(db: Database, outbox: Outbox, compiled: Compiled, *, most: int) -> None:
    """Work off rescorings for ever."""
    while True:
        try:
            done = await db.run(lambda conn: _step(conn, outbox, compiled, most))
        except Exception as error:
            if not database.is_transient(error):
                raise
            done = 0
        await asyncio.sleep(REST_S if done else POLL_S)


async def _step(conn: Connection, outbox: Outbox, compiled: Compiled, most: int) -> int:
    job = await conn.fetchrow(
        "SELECT r.reason FROM rescoring r WHERE EXISTS (SELECT FROM definition d WHERE d.state = 'active'"
        " AND d.active_from <= now() AND d.name || '@' || d.version = r.reason) LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    if job is None:
        return 0
    lead_ids = await store.next_to_rescore(conn, job["reason"], BATCH)
    if not lead_ids:
        await conn.execute("DELETE FROM rescoring WHERE reason = $1", job["reason"])
        log.info("every lead is scored anew", definition=job["reason"])
        return 0
    await subjects.lock(conn, lead_ids)
    desk = await moving.open_desk(conn, compiled, lead_ids)
    desk.rescored |= dict.fromkeys(lead_ids)
    await moving.rescore(conn, desk, most=most)
    await desk.finish(conn, outbox)
    await conn.execute("UPDATE rescoring SET after = $2 WHERE reason = $1", job["reason"], lead_ids[-1])
    log.info("leads are scored anew", definition=job["reason"], count=len(lead_ids))
    return len(lead_ids)
