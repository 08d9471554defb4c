"""Scores leads anew that nothing happened to: their interest decayed, or another definition is in force."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from backbone import database, subjects
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from qualification import desk as desks
from qualification import rescoring, store_queue
from qualification.store_definitions import Compiled

BATCH: Final = 200
POLL_S: Final = 0.5
REST_S: Final = 0.01

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """Works for as long as the process lives; any number of replicas share the work."""

    database: Database
    outbox: Outbox
    compiled: Compiled
    most: int
    """Engagements of a lead that count."""

    async def run(self) -> None:
        """Score what is due, for ever."""
        while True:
            done = 0
            try:
                done = await self.database.run(self.score_due) + await self.database.run(self.follow_definition)
            except Exception as error:
                if not database.is_transient(error):
                    raise
            await asyncio.sleep(REST_S if done else POLL_S)

    async def score_due(self, conn: Connection) -> int:
        """Score leads whose grade time alone may have changed, or whom a person set aside until now."""
        free = await subjects.try_lock(conn, await store_queue.due(conn, BATCH))
        if not free:
            return 0
        desk = await desks.open_desk(conn, self.compiled, sorted(free))
        for lead_id, row in desk.rows.items():
            if row.next_score_at is not None and row.next_score_at <= desk.now:
                row.next_score_at, row.recorded_at = None, desk.now
                desk.changed.add(lead_id)
                desk.score_anew(lead_id)
        await rescoring.rescore(conn, desk, most=self.most)
        await desk.finish(conn, self.outbox)
        return len(desk.changed)

    async def follow_definition(self, conn: Connection) -> int:
        """Score a batch of all leads after a definition came into force or went out of it."""
        job = await store_queue.claim_rescoring(conn)
        if job is None:
            return 0
        lead_ids = await store_queue.next_to_rescore(conn, job["after"], BATCH)
        done = job["done"] + len(lead_ids)
        if not lead_ids:
            await store_queue.end_rescoring(conn, job["reason"])
            log.info("every lead is scored anew", because=job["reason"], leads=done)
            return 1
        locked = await subjects.lock(conn, lead_ids)
        own = [one for one in lead_ids if locked[one].subject_id == one and locked[one].erased_at is None]
        desk = await desks.open_desk(conn, self.compiled, own)
        for lead_id in own:
            desk.rows[lead_id].recorded_at = desk.now
            desk.score_anew(lead_id)
        await rescoring.rescore(conn, desk, most=self.most)
        await desk.finish(conn, self.outbox)
        await store_queue.go_on(conn, job["reason"], lead_ids[-1], done)
        log.info("leads are scored anew", because=job["reason"], leads=done)
        return len(lead_ids)
