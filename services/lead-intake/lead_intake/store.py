"""Leads as they are kept: one function per question, all of a batch at once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backbone import times, vault
from backbone.database import Connection
from lead_intake import events
from lead_intake.domain import Lead

_LEAD = (
    "lead_id, known, attributes, external_ids, first_touch, last_touch, verified, hidden, sealed, own, created_at,"
    " recorded_at, arrived_at, updated_at, merged_into, erased_at"
)


async def load(conn: Connection, lead_ids: Iterable[UUID], keys: Mapping[UUID, bytes]) -> dict[UUID, Lead]:
    """Return leads as they show, with their personal data opened where the key exists still."""
    rows = await conn.fetch(f"SELECT {_LEAD} FROM lead WHERE lead_id = ANY($1::uuid[])", list(lead_ids))  # noqa: S608
    return {row["lead_id"]: lead_of(row, keys.get(row["lead_id"])) for row in rows}


async def load_own(conn: Connection, lead_ids: Iterable[UUID], keys: Mapping[UUID, bytes]) -> dict[UUID, Lead]:
    """Return what each lead knows by itself, without those that it stands for."""
    rows = await conn.fetch(f"SELECT {_LEAD} FROM lead WHERE lead_id = ANY($1::uuid[])", list(lead_ids))  # noqa: S608
    return {row["lead_id"]: _own(row, keys.get(row["lead_id"])) for row in rows}


def lead_of(row: Any, key: bytes | None) -> Lead:
    """Return the lead of a row."""
    opened: dict[str, Any] = {}
    if key is not None and row["sealed"] is not None:
        opened = vault.open_sealed(key, row["lead_id"], row["sealed"])
    sealed_attributes = opened.pop("attributes", {})
    return Lead(
        lead_id=row["lead_id"],
        known=row["known"],
        personal=opened,
        attributes={**row["attributes"], **sealed_attributes},
        hidden=frozenset(row["hidden"]) | frozenset(sealed_attributes),
        external_ids=tuple((connection, external) for connection, external in row["external_ids"]),
        first_touch=row["first_touch"],
        last_touch=row["last_touch"],
        verified=frozenset(row["verified"]),
        created_at=row["created_at"],
        recorded_at=row["recorded_at"],
        arrived_at=row["arrived_at"],
    )


def _own(row: Any, key: bytes | None) -> Lead:
    if row["own"] is None or key is None:
        return lead_of(row, key)
    return msgspec.convert(vault.open_sealed(key, row["lead_id"], row["own"]), Lead)


_SAVE = """
INSERT INTO lead (lead_id, known, attributes, external_ids, first_touch, last_touch, verified, hidden, sealed, own,
                  created_at, recorded_at, arrived_at, updated_at, seq)
SELECT r.lead_id, r.body->'known', r.body->'attributes', r.body->'external_ids', r.body->'first_touch',
       r.body->'last_touch', ARRAY(SELECT jsonb_array_elements_text(r.body->'verified')),
       ARRAY(SELECT jsonb_array_elements_text(r.body->'hidden')), r.sealed, r.own, r.created_at, r.recorded_at,
       r.arrived_at, $8, $9 + r.position - 1
FROM unnest($1::uuid[], $2::jsonb[], $3::bytea[], $4::bytea[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])
     WITH ORDINALITY AS r(lead_id, body, sealed, own, created_at, recorded_at, arrived_at, position)
ON CONFLICT (lead_id) DO UPDATE SET
    known = excluded.known, attributes = excluded.attributes, external_ids = excluded.external_ids,
    first_touch = excluded.first_touch, last_touch = excluded.last_touch, verified = excluded.verified,
    hidden = excluded.hidden, sealed = excluded.sealed, own = excluded.own, created_at = excluded.created_at,
    arrived_at = excluded.arrived_at, updated_at = excluded.updated_at, seq = excluded.seq
"""


async def save(
    conn: Connection,
    leads: Sequence[Lead],
    sealed: Sequence[bytes],
    own: Mapping[UUID, Lead],
    keys: Mapping[UUID, bytes],
    *,
    at: datetime,
    first_seq: int,
) -> None:
    """Write whole leads, each with its sealed snapshot.

    `own` has what those know by themselves that stand for others, `first_seq` is the first one's place.
    """
    await conn.execute(
        _SAVE,
        [lead.lead_id for lead in leads],
        [_body(lead) for lead in leads],
        sealed,
        [
            vault.seal(keys[lead.lead_id], lead.lead_id, own[lead.lead_id]) if lead.lead_id in own else None
            for lead in leads
        ],
        [lead.created_at for lead in leads],
        [lead.recorded_at for lead in leads],
        [lead.arrived_at for lead in leads],
        at,
        first_seq,
    )


def _body(lead: Lead) -> dict[str, Any]:
    return {
        "known": lead.known,
        "attributes": events.open_attributes(lead),
        "external_ids": lead.external_ids,
        "first_touch": lead.first_touch,
        "last_touch": lead.last_touch,
        "verified": sorted(lead.verified),
        "hidden": sorted(lead.hidden),
    }


async def row(conn: Connection, lead_id: UUID) -> Any:
    """Return the lead's row, None when there is none."""
    return await conn.fetchrow(f"SELECT {_LEAD} FROM lead WHERE lead_id = $1", lead_id)  # noqa: S608


async def merged_from(conn: Connection, lead_id: UUID) -> list[UUID]:
    """Return the leads that this one stands for."""
    return (await merged_from_each(conn, [lead_id]))[lead_id]


async def merged_from_each(conn: Connection, lead_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Return for each lead those that it stands for."""
    found: dict[UUID, list[UUID]] = {lead_id: [] for lead_id in lead_ids}
    for survivor, lead_id in await conn.fetch(
        "SELECT merged_into, lead_id FROM lead WHERE merged_into = ANY($1::uuid[]) ORDER BY lead_id", lead_ids
    ):
        found[survivor].append(lead_id)
    return found


_OWN = (
    "($1::text IS NULL OR EXISTS (SELECT FROM lead_owner o"
    " WHERE o.rep_id = $1 AND o.lead_id = coalesce(lead.merged_into, lead.lead_id)))"
)


async def rows(conn: Connection, lead_ids: Sequence[UUID], *, rep_id: str | None) -> list[Any]:
    """Return the leads' rows; of a rep, those that are theirs."""
    found: list[Any] = await conn.fetch(
        f"SELECT {_LEAD} FROM lead WHERE {_OWN} AND lead_id = ANY($2::uuid[]) ORDER BY lead_id",  # noqa: S608
        rep_id,
        lead_ids,
    )
    return found


async def page(
    conn: Connection,
    *,
    rep_id: str | None,
    after_seq: int,
    updated_since: datetime | None,
    spam: bool | None,
    limit: int,
) -> list[Any]:
    """Return rows in the order of their changes; of a rep, those that are theirs."""
    rows: list[Any] = await conn.fetch(
        f"SELECT {_LEAD}, seq FROM lead WHERE {_OWN} AND seq > $2"  # noqa: S608
        " AND ($3::timestamptz IS NULL OR updated_at >= $3)"
        " AND ($4::boolean IS NULL OR coalesce((known->>'spam')::boolean, false) = $4) AND erased_at IS NULL"
        " ORDER BY seq LIMIT $5",
        rep_id,
        after_seq,
        updated_since,
        spam,
        limit,
    )
    return rows


async def consents(conn: Connection, lead_ids: Iterable[UUID]) -> list[tuple[UUID, dict[str, Any]]]:
    """Return what the leads allowed, in order, each with its lead."""
    found = await conn.fetch(
        "SELECT lead_id, purpose, basis, granted, at, text_version FROM consent WHERE lead_id = ANY($1::uuid[])"
        " ORDER BY at, consent_id",
        list(lead_ids),
    )
    return [(one[0], {**dict(list(one.items())[1:]), "at": times.text(one["at"])}) for one in found]


async def last_consents(conn: Connection, lead_ids: Iterable[UUID]) -> list[tuple[UUID, dict[str, Any]]]:
    """Return the last word of each lead on each purpose, with its lead: some repeat theirs with all that they send."""
    found = await conn.fetch(
        "SELECT DISTINCT ON (lead_id, purpose) lead_id, purpose, basis, granted, at, text_version FROM consent"
        " WHERE lead_id = ANY($1::uuid[]) ORDER BY lead_id, purpose, at DESC, consent_id DESC",
        list(lead_ids),
    )
    return [(one[0], dict(list(one.items())[1:])) for one in found]


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
    """Delete what is known of them."""
    gone = list(lead_ids)
    await conn.execute(
        "UPDATE lead SET known = '{}', attributes = '{}', external_ids = '[]', first_touch = '{}', last_touch = '{}',"
        " verified = '{}', hidden = '{}', sealed = NULL, own = NULL, erased_at = now()"
        " WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute("UPDATE event SET sealed = NULL, headers = '{}' WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE fact SET note = NULL, hidden = NULL, details = details - 'properties' WHERE lead_id = ANY($1::uuid[])",
        gone,
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
