"""Erasure: the key is destroyed, so that what topics and backups keep is noise, and every service is told to delete.

What is known goes in one transaction, which tells everybody; the keys lie in another database, so they go after it, and
a process that ends in between leaves a note by which any other finishes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from backbone import database, ids, subjects, times, vault
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from backbone.problem import Problem
from lead_intake import bodies, events, store, store_identity
from lead_intake.vaulting import Vault

SERVICES: Final = {
    "intake": "lead-intake",
    "qualification": "qualification",
    "routing": "routing",
    "sla": "sla-monitor",
    "forecast": "forecast",
    "notifications": "notifications",
    "console": "console",
}
"""The topic on which a service says that it has deleted -> its name."""
BACKUPS_KEPT: Final = timedelta(days=30)
"""How long backups of the keys may be kept; after it no copy of a destroyed key is left."""
FINISH_EVERY_S: Final = 30.0

log = structlog.get_logger()


async def erase(db: Database, keeper: Vault, outbox: Outbox, lead_id: UUID) -> UUID:
    """Erase a lead and every lead merged into it; returns the id of the erasure."""
    erasure_id = await db.run(lambda conn: _erase(conn, outbox, lead_id))
    await finish(db, keeper, outbox)
    return erasure_id


async def _erase(conn: Connection, outbox: Outbox, lead_id: UUID) -> UUID:
    survivor, gone = await _lock(conn, lead_id)
    erasure_id, now = ids.new(), await times.now(conn)
    await store.erase(conn, gone)
    await store_identity.erase(conn, gone)
    subjects.erase(conn, gone)
    await conn.execute(
        "INSERT INTO erasure (erasure_id, lead_id, erased) VALUES ($1, $2, $3)", erasure_id, survivor, gone
    )
    others = [one for one in gone if one != survivor]
    await outbox.add(conn, [events.erased(survivor, others, erasure_id, at=now)])
    return erasure_id


async def _lock(conn: Connection, lead_id: UUID) -> tuple[UUID, list[UUID]]:
    """Lock what the erasure touches, identifiers before leads as everybody does; returns the survivor and all."""
    row = await store.row(conn, lead_id)
    if row is None:
        raise Problem(404, "No such lead", "Send the id of a lead.")
    survivor: UUID = row["merged_into"] or lead_id
    gone = [survivor, *await store.merged_from(conn, survivor)]
    await store_identity.lock_identifiers(conn, dict.fromkeys(await store_identity.identifiers_of(conn, gone)))
    locked = await subjects.lock(conn, gone)
    now_survivor = locked[survivor].subject_id
    if now_survivor != survivor or set(await store.merged_from(conn, survivor)) | {survivor} != set(gone):
        raise Problem(409, "Merged just now", "The lead was merged or parted meanwhile. Send the same request again.")
    return survivor, gone


async def finish(db: Database, keeper: Vault, outbox: Outbox) -> None:
    """Destroy the keys of erasures that have theirs still, and then say that this service has deleted."""
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT erasure_id, lead_id, erased FROM erasure WHERE keys_gone_at IS NULL")
    for row in rows:
        await keeper.destroy(row["erased"])
        await db.run(lambda conn, row=row: _say_deleted(conn, outbox, row["erasure_id"], row["lead_id"]))  # type: ignore[misc]


async def _say_deleted(conn: Connection, outbox: Outbox, erasure_id: UUID, lead_id: UUID) -> None:
    await subjects.lock(conn, [lead_id])
    marked = await conn.fetchval(
        "UPDATE erasure SET keys_gone_at = now() WHERE erasure_id = $1 AND keys_gone_at IS NULL RETURNING true",
        erasure_id,
    )
    if not marked:
        return
    await conn.execute(
        "INSERT INTO erasure_answer (erasure_id, service) VALUES ($1, 'intake') ON CONFLICT DO NOTHING", erasure_id
    )
    now = await times.now(conn)
    await outbox.add(conn, [events.personal_data_deleted(lead_id, erasure_id, "intake", at=now)])


def finishing(db: Database, keeper: Vault, outbox: Outbox) -> Callable[[], Awaitable[None]]:
    """Return the work that finishes what another process left."""

    async def finish_forever() -> None:
        while True:
            try:
                await finish(db, keeper, outbox)
            except Exception as error:
                if not database.is_transient(error):
                    raise
                log.info("erasures are finished later", reason=type(error).__name__)
            await asyncio.sleep(FINISH_EVERY_S)

    return finish_forever


async def report(conn: Connection, erasure_id: UUID) -> dict[str, Any]:
    """Return how far an erasure is."""
    row = await conn.fetchrow("SELECT lead_id, asked_at FROM erasure WHERE erasure_id = $1", erasure_id)
    if row is None:
        raise Problem(404, "No such erasure", "Send the erasure_id that the deletion was answered with.")
    answers = await conn.fetch("SELECT service FROM erasure_answer WHERE erasure_id = $1", erasure_id)
    done = {answer[0] for answer in answers}
    states = {name: "done" if topic in done else "pending" for topic, name in SERVICES.items()}
    return {
        "erasure_id": str(erasure_id),
        "lead_id": str(row["lead_id"]),
        "state": "done" if done >= set(SERVICES) else "running",
        "services": states,
        "backups_clean_at": times.text(row["asked_at"] + BACKUPS_KEPT),
    }


async def opened(keeper: Vault, row: Any) -> bytes | None:
    """Return the body of an accepted request, None when its lead was erased."""
    if row["sealed"] is None:
        return None
    if row["lead_id"] is None:
        return bodies.from_json(keeper.open_json(row["sealed"]))
    key = (await keeper.fetch([row["lead_id"]])).get(row["lead_id"])
    if key is None:
        return None
    return bodies.from_json(vault.open_sealed(key, row["lead_id"], row["sealed"]))
