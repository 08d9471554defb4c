"""Merging two leads by hand, and undoing it: a link, never a deletion."""

from datetime import datetime
from uuid import UUID

from backbone import streams, subjects, times
from backbone.database import Connection
from backbone.outbox import Outbox
from backbone.problem import Problem
from lead_intake import domain, events, store
from lead_intake.domain import Lead
from lead_intake.reading import DEFAULT_SEALED
from lead_intake.vaulting import Vault


async def merge(conn: Connection, vault: Vault, outbox: Outbox, survivor_id: UUID, other_id: UUID) -> None:
    """Merge `other_id` into `survivor_id`. Problem 404 or 409 when that cannot be."""
    if survivor_id == other_id:
        raise Problem(409, "The same lead", "A lead cannot be merged with itself.")
    locked = await subjects.lock(conn, [survivor_id, other_id])
    if any(subject.erased_at for subject in locked.values()):
        raise Problem(409, "Erased", "One of the two was erased; nothing is left to merge.")
    if locked[other_id].subject_id != other_id or locked[survivor_id].subject_id != survivor_id:
        raise Problem(409, "Merged already", "One of the two is merged into another lead. Merge those that survive.")
    keys = await vault.fetch([survivor_id, other_id])
    leads = await store.load(conn, [survivor_id, other_id], keys)
    if len(leads) < 2:
        raise Problem(404, "No such lead", "Send the ids of two leads.")
    united = domain.unite(leads[survivor_id], leads[other_id])
    now = await times.now(conn)
    sealed = events.seal(keys[survivor_id], united, DEFAULT_SEALED)
    await subjects.link(conn, other_id, survivor_id)
    await store.link(conn, other_id, survivor_id, "by hand")
    made = events.merged(united, other_id, sealed=sealed, sealed_names=DEFAULT_SEALED, at=now, why="by hand")
    await outbox.add(conn, made)
    await _save(conn, [united], {survivor_id: sealed}, now)


async def unmerge(conn: Connection, vault: Vault, outbox: Outbox, survivor_id: UUID, other_id: UUID) -> None:
    """Part the two again; each keeps what it knew. Problem 409 when they are not merged."""
    await subjects.lock(conn, [survivor_id, other_id])
    if not await store.unlink(conn, other_id, survivor_id):
        raise Problem(409, "Not merged", "The second lead is not merged into the first.")
    await subjects.unlink(conn, other_id)
    keys = await vault.fetch([survivor_id, other_id])
    leads = await store.load(conn, [survivor_id, other_id], keys)
    now = await times.now(conn)
    sealed = {lead_id: events.seal(keys[lead_id], lead, DEFAULT_SEALED) for lead_id, lead in leads.items()}
    made = [
        events.unmerged(lead, survivor_id, other_id, sealed=sealed[lead_id], sealed_names=DEFAULT_SEALED, at=now)
        for lead_id, lead in sorted(leads.items())
    ]
    await outbox.add(conn, made)
    await _save(conn, list(leads.values()), sealed, now)


async def _save(conn: Connection, leads: list[Lead], sealed: dict[UUID, bytes], now: datetime) -> None:
    seq = await streams.take(conn, "leads", len(leads))
    names = {lead.lead_id: DEFAULT_SEALED for lead in leads}
    await store.save(conn, leads, sealed, names, at=now, first_seq=seq)
