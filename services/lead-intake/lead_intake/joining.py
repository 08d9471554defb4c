"""Merging two leads by hand, and undoing it: a link, never a deletion."""

from uuid import UUID

from backbone import times
from backbone.database import Connection
from backbone.outbox import Outbox
from backbone.problem import Problem
from lead_intake import batch as batches
from lead_intake.batch import Batch
from lead_intake.identity import Why, between
from lead_intake.vaulting import Vault


async def merge(conn: Connection, keeper: Vault, outbox: Outbox, survivor_id: UUID, other_id: UUID) -> None:
    """Merge `other_id` into `survivor_id`. Problem 404 or 409 when that cannot be."""
    batch = await _begin(conn, keeper, survivor_id, other_id)
    people = batch.people
    if people.survivor(other_id) != other_id or people.survivor(survivor_id) != survivor_id:
        raise Problem(409, "Merged already", "One of the two is merged into another lead. Merge those that survive.")
    people.edges.add(between(survivor_id, other_id, Why.HAND))
    now = await times.now(conn)
    batch.apply(people.merge(other_id, survivor_id, Why.HAND), at=now)
    await batches.write(conn, keeper, outbox, batch, at=now)


async def unmerge(conn: Connection, keeper: Vault, outbox: Outbox, survivor_id: UUID, other_id: UUID) -> None:
    """Part the two again; each keeps what it knew by itself. Problem 409 when they are not merged."""
    batch = await _begin(conn, keeper, survivor_id, other_id)
    if batch.people.survivor(other_id) != survivor_id:
        raise Problem(409, "Not merged", "The second lead is not merged into the first.")
    now = await times.now(conn)
    for part in batch.people.part(survivor_id, other_id):
        batch.apply(part, at=now)
    await batches.write(conn, keeper, outbox, batch, at=now)


async def _begin(conn: Connection, keeper: Vault, survivor_id: UUID, other_id: UUID) -> Batch:
    if survivor_id == other_id:
        raise Problem(409, "The same lead", "A lead can be neither merged with itself nor parted from itself.")
    batch = await batches.begin(conn, keeper, {}, (survivor_id, other_id))
    if batch.gone:
        raise Problem(409, "Erased", "One of the two was erased; nothing is left to merge.")
    if any(batch.shown(lead_id) is None for lead_id in (survivor_id, other_id)):
        raise Problem(404, "No such lead", "Send the ids of two leads.")
    return batch
