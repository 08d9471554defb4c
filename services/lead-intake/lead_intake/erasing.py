"""Erasure: the key is destroyed, so that what topics and backups keep is noise, and every service is told to delete."""

from typing import Any, Final
from uuid import UUID

from backbone import ids, subjects, times, vault
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from backbone.problem import Problem
from lead_intake import events, store
from lead_intake.vaulting import Vault

SERVICES: Final = ("intake", "qualification", "routing", "sla", "forecast", "notifications", "console")


async def erase(db: Database, keeper: Vault, outbox: Outbox, lead_id: UUID) -> UUID:
    """Erase a lead and every lead merged into it; returns the id of the erasure."""

    async def act(conn: Connection) -> tuple[UUID, list[UUID]]:
        locked = await subjects.lock(conn, [lead_id])
        survivor = locked[lead_id].subject_id
        if await store.row(conn, survivor) is None:
            raise Problem(404, "No such lead", "Send the id of a lead.")
        others = await store.merged_from(conn, survivor)
        if others:
            await subjects.lock(conn, [survivor, *others])
        # Whose hashes these are has to be known in one order with posts that name them.
        await store.lock_identifiers(conn, await store.identifiers_of(conn, [survivor, *others]))
        erasure_id, now = ids.new(), await times.now(conn)
        await store.erase(conn, [survivor, *others])
        await subjects.erase(conn, [survivor, *others])
        await conn.execute("INSERT INTO erasure (erasure_id, lead_id) VALUES ($1, $2)", erasure_id, survivor)
        await conn.execute("INSERT INTO erasure_answer (erasure_id, service) VALUES ($1, 'intake')", erasure_id)
        await outbox.add(
            conn,
            [
                events.erased(survivor, others, erasure_id, at=now),
                events.personal_data_deleted(survivor, erasure_id, "intake", at=now),
            ],
        )
        return erasure_id, [survivor, *others]

    erasure_id, gone = await db.run(act)
    await keeper.destroy(gone)
    return erasure_id


async def report(conn: Connection, erasure_id: UUID) -> dict[str, Any]:
    """Return how far an erasure is."""
    row = await conn.fetchrow("SELECT lead_id FROM erasure WHERE erasure_id = $1", erasure_id)
    if row is None:
        raise Problem(404, "No such erasure", "Send the erasure_id that the deletion was answered with.")
    answers = await conn.fetch("SELECT service FROM erasure_answer WHERE erasure_id = $1", erasure_id)
    done = {answer[0] for answer in answers}
    states = {service: "done" if service in done else "pending" for service in SERVICES}
    return {
        "erasure_id": str(erasure_id),
        "lead_id": str(row["lead_id"]),
        "state": "done" if done >= set(SERVICES) else "running",
        "services": states,
    }


async def opened(keeper: Vault, row: Any) -> str | None:
    """Return the body of an accepted request, None when its lead was erased."""
    if row["sealed"] is None:
        return None
    if row["lead_id"] is None:
        return keeper.open_secret(row["sealed"])
    key = (await keeper.fetch([row["lead_id"]])).get(row["lead_id"])
    if key is None:
        return None
    body: str = vault.open_sealed(key, row["lead_id"], row["sealed"])
    return body
