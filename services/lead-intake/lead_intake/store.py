"""Leads and what identifies them: one function per question, all of a batch at once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import times, vault
from backbone.database import Connection
from lead_intake.domain import Identifier, Lead, Owners

_LEAD = (
    "lead_id, known, attributes, external_ids, first_touch, last_touch, verified, sealed, created_at, recorded_at,"
    " arrived_at, updated_at, merged_into, erased_at"
)


async def lock_identifiers(
    conn: Connection, identifiers: Iterable[Identifier]
) -> tuple[Owners, dict[Identifier, datetime]]:
    """Create-or-lock the rows in sorted order; returns who owns them, and which were a lead's that was erased."""
    ordered = sorted(set(identifiers))
    kinds, digests = [one.kind for one in ordered], [one.digest for one in ordered]
    await conn.execute(
        "INSERT INTO identifier (kind, digest) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING",
        kinds,
        digests,
    )
    rows = await conn.fetch(
        "SELECT kind, digest, lead_id, emails, erased_at FROM identifier"
        " WHERE (kind, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))"
        " ORDER BY kind, digest FOR NO KEY UPDATE",
        kinds,
        digests,
    )
    owners = Owners()
    erased: dict[Identifier, datetime] = {}
    for kind, digest, lead_id, emails, erased_at in rows:
        one = Identifier(kind, digest)
        if lead_id is not None:
            owners.leads[one] = lead_id
        if emails:
            owners.emails_of_phone[one] = {bytes.fromhex(email) for email in emails}
        if erased_at is not None:
            erased[one] = erased_at
    return owners, erased


async def save_identifiers(conn: Connection, owners: Owners, claimed: Sequence[Identifier]) -> None:
    """Write which lead each claimed identifier belongs to, and the e-mails that phones came with."""
    touched = sorted({*claimed, *owners.emails_of_phone})
    await conn.execute(
        "UPDATE identifier i SET lead_id = v.lead_id, emails = v.emails"
        " FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::jsonb[]) AS v(kind, digest, lead_id, emails)"
        " WHERE i.kind = v.kind AND i.digest = v.digest",
        [one.kind for one in touched],
        [one.digest for one in touched],
        [owners.leads.get(one) for one in touched],
        [{email.hex(): True for email in sorted(owners.emails_of_phone.get(one, set()))} for one in touched],
    )


async def find_identifier(conn: Connection, one: Identifier) -> UUID | None:
    """Return whose it is."""
    lead_id: UUID | None = await conn.fetchval(
        "SELECT lead_id FROM identifier WHERE kind = $1 AND digest = $2", one.kind, one.digest
    )
    return lead_id


async def identifiers_of(conn: Connection, lead_ids: Iterable[UUID]) -> list[Identifier]:
    """Return what identifies these leads."""
    rows = await conn.fetch("SELECT kind, digest FROM identifier WHERE lead_id = ANY($1::uuid[])", list(lead_ids))
    return [Identifier(row[0], row[1]) for row in rows]


async def load(conn: Connection, lead_ids: Iterable[UUID], keys: Mapping[UUID, bytes]) -> dict[UUID, Lead]:
    """Return leads with their personal data opened, where the key exists still."""
    rows = await conn.fetch(f"SELECT {_LEAD} FROM lead WHERE lead_id = ANY($1::uuid[])", list(lead_ids))  # noqa: S608
    return {row["lead_id"]: _lead(row, keys.get(row["lead_id"])) for row in rows}


def _lead(row: Any, key: bytes | None) -> Lead:
    opened: dict[str, Any] = {}
    if key is not None and row["sealed"] is not None:
        opened = vault.open_sealed(key, row["lead_id"], row["sealed"])
    hidden = opened.pop("attributes", {})
    return Lead(
        lead_id=row["lead_id"],
        known=row["known"],
        personal=opened,
        attributes={**row["attributes"], **hidden},
        external_ids=tuple((connection, external) for connection, external in row["external_ids"]),
        first_touch=row["first_touch"],
        last_touch=row["last_touch"],
        verified=frozenset(row["verified"]),
        created_at=row["created_at"],
        recorded_at=row["recorded_at"],
        arrived_at=row["arrived_at"],
    )


_SAVE = """
INSERT INTO lead (lead_id, known, attributes, external_ids, first_touch, last_touch, verified, sealed, created_at,
                  recorded_at, arrived_at, updated_at, seq)
SELECT r.lead_id, r.body->'known', r.body->'attributes', r.body->'external_ids', r.body->'first_touch',
       r.body->'last_touch', ARRAY(SELECT jsonb_array_elements_text(r.body->'verified')), r.sealed, r.created_at,
       r.recorded_at, r.arrived_at, $7, $8 + r.position - 1
FROM unnest($1::uuid[], $2::jsonb[], $3::bytea[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
     WITH ORDINALITY AS r(lead_id, body, sealed, created_at, recorded_at, arrived_at, position)
ON CONFLICT (lead_id) DO UPDATE SET
    known = excluded.known, attributes = excluded.attributes, external_ids = excluded.external_ids,
    first_touch = excluded.first_touch, last_touch = excluded.last_touch, verified = excluded.verified,
    sealed = excluded.sealed, created_at = excluded.created_at, arrived_at = excluded.arrived_at,
    updated_at = excluded.updated_at, seq = excluded.seq
"""


async def save(
    conn: Connection,
    leads: Sequence[Lead],
    sealed: Mapping[UUID, bytes],
    sealed_names: Mapping[UUID, Iterable[str]],
    *,
    at: datetime,
    first_seq: int,
) -> None:
    """Write whole leads. `first_seq` is their place in the stream of changes."""
    bodies = []
    for lead in leads:
        hidden = set(sealed_names.get(lead.lead_id, ()))
        bodies.append(
            {
                "known": lead.known,
                "attributes": {name: value for name, value in lead.attributes.items() if name not in hidden},
                "external_ids": lead.external_ids,
                "first_touch": lead.first_touch,
                "last_touch": lead.last_touch,
                "verified": sorted(lead.verified),
            }
        )
    await conn.execute(
        _SAVE,
        [lead.lead_id for lead in leads],
        bodies,
        [sealed[lead.lead_id] for lead in leads],
        [lead.created_at for lead in leads],
        [lead.recorded_at for lead in leads],
        [lead.arrived_at for lead in leads],
        at,
        first_seq,
    )


async def link(conn: Connection, merged: UUID, survivor: UUID, why: str) -> None:
    """Say that a lead is another one."""
    await conn.execute("UPDATE lead SET merged_into = $2, merge_reason = $3 WHERE lead_id = $1", merged, survivor, why)


async def unlink(conn: Connection, merged: UUID, survivor: UUID) -> bool:
    """Undo the link; False when there was none."""
    status = await conn.execute(
        "UPDATE lead SET merged_into = NULL, merge_reason = NULL WHERE lead_id = $1 AND merged_into = $2",
        merged,
        survivor,
    )
    return status.endswith(" 1")


async def row(conn: Connection, lead_id: UUID) -> Any:
    """Return the lead's row, None when there is none."""
    return await conn.fetchrow(f"SELECT {_LEAD} FROM lead WHERE lead_id = $1", lead_id)  # noqa: S608


async def merged_from(conn: Connection, lead_id: UUID) -> list[UUID]:
    """Return the leads that were merged into this one, and into those."""
    rows = await conn.fetch(
        "WITH RECURSIVE tree AS (SELECT lead_id FROM lead WHERE merged_into = $1"
        " UNION SELECT l.lead_id FROM lead l JOIN tree t ON l.merged_into = t.lead_id) SELECT lead_id FROM tree",
        lead_id,
    )
    return [found[0] for found in rows]


async def page(
    conn: Connection, *, after_seq: int, updated_since: datetime | None, spam: bool | None, limit: int
) -> list[Any]:
    """Return rows in the order of their changes."""
    rows: list[Any] = await conn.fetch(
        f"SELECT {_LEAD}, seq FROM lead WHERE seq > $1 AND ($2::timestamptz IS NULL OR updated_at >= $2)"  # noqa: S608
        " AND ($3::boolean IS NULL OR coalesce((known->>'spam')::boolean, false) = $3) AND erased_at IS NULL"
        " ORDER BY seq LIMIT $4",
        after_seq,
        updated_since,
        spam,
        limit,
    )
    return rows


async def consents(conn: Connection, lead_id: UUID) -> list[dict[str, Any]]:
    """Return what the lead allowed, in order."""
    rows = await conn.fetch(
        "SELECT purpose, basis, granted, at, text_version FROM consent WHERE lead_id = $1 ORDER BY at, consent_id",
        lead_id,
    )
    return [{**dict(found), "at": times.text(found["at"])} for found in rows]


async def add_consents(conn: Connection, said: Sequence[tuple[UUID, Mapping[str, Any]]]) -> None:
    """Record what leads allowed."""
    await conn.execute(
        "INSERT INTO consent (lead_id, purpose, basis, granted, at, text_version)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[])",
        [lead_id for lead_id, _ in said],
        [one["purpose"] for _, one in said],
        [one["basis"] for _, one in said],
        [one["granted"] for _, one in said],
        [one["at"] for _, one in said],
        [one["text_version"] for _, one in said],
    )


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete personal data; the keyed hashes stay, so that an old event that comes again is known as erased."""
    gone = list(lead_ids)
    await conn.execute(
        "UPDATE lead SET known = '{}', attributes = '{}', external_ids = '[]', first_touch = '{}', last_touch = '{}',"
        " verified = '{}', sealed = NULL, erased_at = now() WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute(
        "UPDATE identifier SET lead_id = NULL, emails = '{}', erased_at = now() WHERE lead_id = ANY($1::uuid[])", gone
    )
    await conn.execute("UPDATE event SET sealed = NULL WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE fact SET note = NULL, details = details - 'properties' - 'sealed' WHERE lead_id = ANY($1::uuid[])", gone
    )
    await conn.execute("DELETE FROM consent WHERE lead_id = ANY($1::uuid[])", gone)


async def owner(conn: Connection, lead_id: UUID) -> str | None:
    """Return which rep has the lead now."""
    rep_id: str | None = await conn.fetchval("SELECT rep_id FROM lead_owner WHERE lead_id = $1", lead_id)
    return rep_id


async def set_owners(conn: Connection, owners: Sequence[tuple[UUID, str, int]]) -> None:
    """Note who has the leads; an older cycle never replaces a newer one."""
    await conn.execute(
        "INSERT INTO lead_owner SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[])"
        " ON CONFLICT (lead_id) DO UPDATE SET rep_id = excluded.rep_id, cycle = excluded.cycle"
        " WHERE lead_owner.cycle <= excluded.cycle",
        [one[0] for one in owners],
        [one[1] for one in owners],
        [one[2] for one in owners],
    )


async def clear_owners(conn: Connection, released: Sequence[tuple[UUID, int]]) -> None:
    """Note whose assignment of which cycle ended."""
    await conn.execute(
        "DELETE FROM lead_owner o USING unnest($1::uuid[], $2::int[]) AS v(lead_id, cycle)"
        " WHERE o.lead_id = v.lead_id AND o.cycle <= v.cycle",
        [one[0] for one in released],
        [one[1] for one in released],
    )
