"""What came in: accepted requests, engagements and touches, and those that wait for their lead."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection

_FACT = "fact_id, what, connection_id, external_id, lead_id, occurred_at, received_at, live, details, note, hidden"


async def find_doubles(conn: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Return the events that were accepted under these (connection, dedupe key) before."""
    rows = await conn.fetch(
        "SELECT connection_id, dedupe, event_id, lead_id, outcome, reason, body_hash,"
        " lead_id IS NOT NULL AND sealed IS NULL AS erased FROM event"
        " WHERE (connection_id, dedupe) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row[0], row[1]): row for row in rows}


async def add_events(conn: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Keep accepted requests; another process's event with the same dedupe key is a unique violation."""
    names = ("event_id", "connection_id", "lead_id", "what", "outcome", "reason", "sealed", "headers", "received_at")
    await conn.execute(
        "INSERT INTO event (event_id, connection_id, lead_id, what, outcome, reason, sealed, headers, received_at,"
        " dedupe, body_hash)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[],"
        " $8::jsonb[], $9::timestamptz[], $10::text[], $11::bytea[])",
        *([event[name] for event in events] for name in (*names, "dedupe", "body_hash")),
    )


async def event(conn: Connection, event_id: UUID) -> Any:
    """Return an accepted request."""
    return await conn.fetchrow("SELECT * FROM event WHERE event_id = $1", event_id)


async def held(
    conn: Connection, connection_id: str, begin: datetime, end: datetime, *, limit: int
) -> tuple[list[Any], int]:
    """Return what a connection sent in [begin, end) and nobody could read, and how many more there are."""
    rows = await conn.fetch(
        "SELECT *, count(*) OVER () AS found FROM event WHERE connection_id = $1 AND outcome = 'held' AND what = 'lead'"
        " AND received_at >= $2 AND received_at < $3 ORDER BY event_id LIMIT $4",
        connection_id,
        begin,
        end,
        limit,
    )
    return list(rows), (rows[0]["found"] - len(rows) if rows else 0)


async def find_facts(conn: Connection, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Any]:
    """Return which (what, connection, external id) are known, with their fact and lead."""
    rows = await conn.fetch(
        "SELECT what, connection_id, external_id, fact_id, lead_id FROM fact"
        " WHERE (what, connection_id, external_id) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))",
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
    )
    return {(row[0], row[1], row[2]): row for row in rows}


async def add_facts(conn: Connection, facts: Sequence[Mapping[str, Any]]) -> None:
    """Keep engagements and touches."""
    names = ("fact_id", "what", "connection_id", "external_id", "lead_id", "occurred_at", "received_at", "live")
    await conn.execute(
        "INSERT INTO fact (fact_id, what, connection_id, external_id, lead_id, occurred_at, received_at, live, details,"
        " note, hidden)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[],"
        " $7::timestamptz[], $8::boolean[], $9::jsonb[], $10::bytea[], $11::bytea[])",
        *([fact[name] for fact in facts] for name in (*names, "details", "note", "hidden")),
    )
    waiting = [(digest, fact["fact_id"]) for fact in facts for digest in fact["waits_for"]]
    if waiting:
        await conn.execute(
            "INSERT INTO waiting_fact (digest, fact_id) SELECT * FROM unnest($1::bytea[], $2::uuid[])",
            [one[0] for one in waiting],
            [one[1] for one in waiting],
        )


async def take_waiting(conn: Connection, digests: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what waits for a lead with any of these identifiers, which have to be locked."""
    rows = await conn.fetch(
        f"SELECT {_FACT}, array_agg(digest) AS waits_for FROM waiting_fact JOIN fact USING (fact_id)"  # noqa: S608
        f" WHERE digest = ANY($1::bytea[]) GROUP BY {_FACT}",
        list(digests),
    )
    return [dict(row) for row in rows]


async def settle_waiting(conn: Connection, settled: Sequence[tuple[UUID, UUID, bytes | None]]) -> None:
    """Give waiting facts their lead, with what is hidden of them sealed by its key."""
    await conn.execute(
        "UPDATE fact f SET lead_id = v.lead_id, hidden = v.hidden"
        " FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS v(fact_id, lead_id, hidden) WHERE f.fact_id = v.fact_id",
        [one[0] for one in settled],
        [one[1] for one in settled],
        [one[2] for one in settled],
    )
    await conn.execute("DELETE FROM waiting_fact WHERE fact_id = ANY($1::uuid[])", [one[0] for one in settled])


async def bodies(conn: Connection, event_ids: Sequence[UUID]) -> list[tuple[UUID, bytes]]:
    """Return what came, sealed, of these events."""
    rows = await conn.fetch(
        "SELECT event_id, sealed FROM event WHERE event_id = ANY($1::uuid[]) AND sealed IS NOT NULL", list(event_ids)
    )
    return [(row[0], row[1]) for row in rows]


async def give_bodies(conn: Connection, given: Sequence[tuple[UUID, UUID, bytes]]) -> None:
    """Give events their lead, sealed anew by its key."""
    await conn.execute(
        "UPDATE event e SET lead_id = v.lead_id, sealed = v.sealed"
        " FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS v(event_id, lead_id, sealed)"
        " WHERE e.event_id = v.event_id",
        [one[0] for one in given],
        [one[1] for one in given],
        [one[2] for one in given],
    )


async def parsed_again(conn: Connection, event_id: UUID, became: Sequence[str]) -> None:
    """Note what a kept event became when it was read once more; those have its body."""
    await conn.execute(
        "UPDATE event SET outcome = 'ignored', reason = $2, dedupe = NULL, sealed = NULL WHERE event_id = $1",
        event_id,
        f"read again as {', '.join(became)}",
    )
