"""Recipients and messages; a message is claimed before it is sent, and its fate recorded after."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from backbone.database import Connection
from notifications.domain import Recipient


async def recipients(conn: Connection, rep_ids: Iterable[str]) -> dict[str, Recipient]:
    """Return how these reps want to be told; one who said nothing is told by console and work e-mail."""
    wanted = list(rep_ids)
    rows = await conn.fetch("SELECT * FROM recipient WHERE rep_id = ANY($1::text[])", wanted)
    found = {
        row["rep_id"]: Recipient(
            rep_id=row["rep_id"],
            email=row["email"] or row["work_email"],
            webhook_url=row["webhook_url"],
            channels=row["channels"],
        )
        for row in rows
    }
    return {rep_id: found.get(rep_id) or Recipient(rep_id=rep_id) for rep_id in wanted}


async def note_reps(conn: Connection, addresses: Mapping[str, str]) -> None:
    """Note reps' work addresses."""
    await conn.execute(
        "INSERT INTO recipient (rep_id, work_email) SELECT * FROM unnest($1::text[], $2::text[])"
        " ON CONFLICT (rep_id) DO UPDATE SET work_email = excluded.work_email",
        list(addresses),
        list(addresses.values()),
    )


async def note_leads(conn: Connection, rows: Sequence[tuple[UUID, str, bytes, UUID]]) -> None:
    """Note leads: (id, company, sealed person, whose key)."""
    await conn.execute(
        "INSERT INTO lead SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[])"
        " ON CONFLICT (lead_id) DO UPDATE SET company = excluded.company, sealed = excluded.sealed,"
        " key_lead_id = excluded.key_lead_id",
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )


async def add(conn: Connection, messages: Sequence[Mapping[str, Any]]) -> None:
    """Add messages; one that exists for the event, channel and rep is not added again."""
    names = ("message_id", "event_id", "channel", "rep_id", "lead_id", "kind", "body", "state")
    await conn.execute(
        "INSERT INTO message (message_id, event_id, channel, rep_id, lead_id, kind, body, state)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::jsonb[],"
        " $8::text[]) ON CONFLICT (event_id, channel, rep_id) DO NOTHING",
        *([message[name] for message in messages] for name in names),
    )


async def claim(conn: Connection, *, limit: int, lease_s: float) -> list[Any]:
    """Take messages that are due; nobody else has them until the lease is over."""
    rows: list[Any] = await conn.fetch(
        "UPDATE message m SET state = 'sending', attempts = attempts + 1,"
        " claimed_until = now() + make_interval(secs => $2)"
        " FROM (SELECT message_id FROM message WHERE state = 'pending' AND next_at <= now() ORDER BY next_at LIMIT $1"
        " FOR UPDATE SKIP LOCKED) AS due"
        " WHERE m.message_id = due.message_id"
        " RETURNING m.*, (SELECT r.webhook_url FROM recipient r WHERE r.rep_id = m.rep_id) AS webhook_url,"
        " (SELECT r.webhook_secret FROM recipient r WHERE r.rep_id = m.rep_id) AS webhook_secret,"
        " (SELECT coalesce(r.email, r.work_email) FROM recipient r WHERE r.rep_id = m.rep_id) AS email",
        limit,
        lease_s,
    )
    return rows


async def abandoned(conn: Connection) -> list[Any]:
    """Return messages whose sender was not heard of again within its lease, locked."""
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM message WHERE state = 'sending' AND claimed_until < now() LIMIT 100 FOR UPDATE SKIP LOCKED"
    )
    return rows


async def record(
    conn: Connection, message_id: UUID, state: str, reason: str | None, *, again_in_s: float | None
) -> None:
    """Record a message's fate."""
    await conn.execute(
        "UPDATE message SET state = $2, reason = $3, claimed_until = NULL,"
        " next_at = CASE WHEN $2 = 'pending' THEN now() + make_interval(secs => $4) ELSE next_at END,"
        " done_at = CASE WHEN $2 = 'pending' THEN NULL ELSE now() END WHERE message_id = $1",
        message_id,
        state,
        reason,
        again_in_s or 0.0,
    )


async def deliveries(
    conn: Connection, *, lead_id: UUID | None, rep_id: str | None, after: UUID | None, limit: int
) -> list[Any]:
    """Return messages, newest first."""
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM message WHERE ($1::uuid IS NULL OR lead_id = $1) AND ($2::text IS NULL OR rep_id = $2)"
        " AND ($3::uuid IS NULL OR message_id < $3) ORDER BY message_id DESC LIMIT $4",
        lead_id,
        rep_id,
        after,
        limit,
    )
    return rows


async def lead(conn: Connection, lead_id: UUID) -> Any:
    """Return what is known of a lead, unless it was erased."""
    return await conn.fetchrow("SELECT * FROM lead WHERE lead_id = $1", lead_id)


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what is held of a person."""
    gone = list(lead_ids)
    await conn.execute("DELETE FROM lead WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute("UPDATE message SET body = '{}' WHERE lead_id = ANY($1::uuid[])", gone)
