"""Who is who, as it is kept: identifiers with their leads, the holders of phones, the edges between leads."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from backbone.database import Connection
from lead_intake.identity import Edge, Identifier, People, Phone, Why


async def lock_identifiers(
    conn: Connection, identifiers: Mapping[Identifier, UUID | None]
) -> tuple[People, dict[Identifier, datetime]]:
    """Create-or-lock the rows in sorted order; returns whose they are, and which were a lead's that was erased.

    What is new is written with the lead that is expected to have it, so that nearly all rows are written once.
    """
    ordered = sorted(identifiers)
    made = await conn.fetch(
        "INSERT INTO identifier (kind, digest, lead_id) SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[])"
        " ON CONFLICT DO NOTHING RETURNING kind, digest",
        [one.kind for one in ordered],
        [one.digest for one in ordered],
        [identifiers[one] for one in ordered],
    )
    people = People()
    # What this transaction has made nobody else can hold, and nothing is known of it.
    fresh = {Identifier(kind, digest) for kind, digest in made}
    people.expected = {one: lead for one in fresh if (lead := identifiers[one]) is not None}
    people.phones = {one: Phone() for one in fresh if one.is_phone}
    present = [one for one in ordered if one not in fresh]
    erased = await _lock_present(conn, present, people) if present else {}
    return people, erased


async def _lock_present(conn: Connection, present: Sequence[Identifier], people: People) -> dict[Identifier, datetime]:
    # A statement of its own: it has to see what the transactions wrote that it waited for.
    rows = await conn.fetch(
        "SELECT kind, digest, lead_id, emails, holders, erased_at FROM identifier"
        " WHERE (kind, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))"
        " ORDER BY kind, digest FOR NO KEY UPDATE",
        [one.kind for one in present],
        [one.digest for one in present],
    )
    erased: dict[Identifier, datetime] = {}
    for kind, digest, lead_id, emails, holders, erased_at in rows:
        one = Identifier(kind, digest)
        if one.is_phone:
            people.phones[one] = Phone(holders or [], {bytes.fromhex(email) for email in emails})
        elif lead_id is not None:
            people.owners[one] = lead_id
        if erased_at is not None:
            erased[one] = erased_at
    return erased


async def save_identifiers(conn: Connection, people: People) -> None:
    """Write which lead each new identifier belongs to, where it is not written yet, and who came with which phone."""
    touched = people.misplaced()
    if not touched:
        return
    phones = [people.phones[one] if one.is_phone else Phone() for one in touched]
    await conn.execute(
        "UPDATE identifier i SET lead_id = v.lead_id, emails = v.phone->'emails', holders = CASE WHEN v.kind = 'phone'"
        " THEN ARRAY(SELECT jsonb_array_elements_text(v.phone->'holders')::uuid) END"
        " FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::jsonb[]) AS v(kind, digest, lead_id, phone)"
        " WHERE i.kind = v.kind AND i.digest = v.digest",
        [one.kind for one in touched],
        [one.digest for one in touched],
        [people.owners.get(one) for one in touched],
        [
            {"emails": {email.hex(): True for email in sorted(phone.emails)}, "holders": list(map(str, phone.holders))}
            for phone in phones
        ],
    )


async def find(conn: Connection, identifiers: Sequence[Identifier]) -> list[UUID]:
    """Return the leads, and their survivors, that any of these belongs to; a phone belongs to all who hold it."""
    rows = await conn.fetch(
        "SELECT DISTINCT coalesce(l.merged_into, l.lead_id) FROM identifier i"
        " JOIN lead l ON l.lead_id = i.lead_id OR l.lead_id = ANY(i.holders)"
        " WHERE (i.kind, i.digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[])) ORDER BY 1",
        [one.kind for one in identifiers],
        [one.digest for one in identifiers],
    )
    return [row[0] for row in rows]


async def identifiers_of(conn: Connection, lead_ids: Collection[UUID]) -> list[Identifier]:
    """Return what identifies these leads, phones that others hold too among it."""
    rows = await conn.fetch(
        "SELECT kind, digest FROM identifier WHERE lead_id = ANY($1::uuid[])"
        " UNION SELECT kind, digest FROM identifier WHERE holders && $1::uuid[]",
        list(lead_ids),
    )
    return [Identifier(row[0], row[1]) for row in rows]


async def erase(conn: Connection, lead_ids: Collection[UUID]) -> None:
    """Take the leads out; the keyed hashes stay, so that an old event that comes again is known as erased."""
    gone = list(lead_ids)
    await conn.execute(
        "UPDATE identifier SET lead_id = NULL, erased_at = now() WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute(
        "UPDATE identifier i SET holders = left_over.holders,"
        " emails = CASE WHEN cardinality(left_over.holders) = 0 THEN '{}' ELSE emails END,"
        " erased_at = CASE WHEN cardinality(left_over.holders) = 0 THEN now() ELSE erased_at END"
        " FROM (SELECT kind, digest, ARRAY(SELECT h FROM unnest(holders) h WHERE h <> ALL($1::uuid[])) AS holders"
        " FROM identifier WHERE holders && $1::uuid[]) AS left_over"
        " WHERE i.kind = left_over.kind AND i.digest = left_over.digest",
        gone,
    )
    await conn.execute("DELETE FROM lead_edge WHERE one = ANY($1::uuid[]) OR other = ANY($1::uuid[])", gone)


async def load_trees(conn: Connection, people: People, survivors: Collection[UUID]) -> None:
    """Read who stands for whom, and why. The survivors' rows have to be locked."""
    rows = await conn.fetch(
        "SELECT lead_id, merged_into FROM lead WHERE merged_into = ANY($1::uuid[])",
        list(survivors),
    )
    for lead_id, survivor in rows:
        people.trees.setdefault(survivor, {survivor}).add(lead_id)
        people.survivors[lead_id] = survivor
    members = [lead_id for tree in people.trees.values() for lead_id in tree]
    if members:
        people.edges |= await _edges(conn, members)


async def _edges(conn: Connection, leads: Sequence[UUID]) -> set[Edge]:
    rows = await conn.fetch(
        "SELECT one, other, why, digest FROM lead_edge WHERE one = ANY($1::uuid[]) AND other = ANY($1::uuid[])",
        list(leads),
    )
    return {Edge(row[0], row[1], Why(row[2]), row[3]) for row in rows}


async def save_edges(conn: Connection, added: Collection[Edge], removed: Collection[Edge]) -> None:
    """Write why leads are one person from now on."""
    for statement, edges in (
        ("DELETE FROM lead_edge WHERE (one, other, why, digest) IN (SELECT * FROM {rows})", sorted(removed)),
        ("INSERT INTO lead_edge SELECT * FROM {rows} ON CONFLICT DO NOTHING", sorted(added)),
    ):
        if edges:
            await conn.execute(
                statement.format(rows="unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])"),
                [edge.one for edge in edges],
                [edge.other for edge in edges],
                [str(edge.why) for edge in edges],
                [edge.digest for edge in edges],
            )


async def link(conn: Connection, survivors: Mapping[UUID, UUID]) -> None:
    """Say for each lead who stands for it; itself when nobody does."""
    await conn.execute(
        "UPDATE lead l SET merged_into = nullif(v.survivor, v.lead_id)"
        " FROM unnest($1::uuid[], $2::uuid[]) AS v(lead_id, survivor) WHERE l.lead_id = v.lead_id",
        list(survivors),
        list(survivors.values()),
    )
