"""Recipients and messages; a message is claimed before it is sent, and its fate recorded after."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from notifications.domain import Recipient

LOOKED_AT: Final = 500
"""Due messages among which the next are chosen."""


async def recipients(conn: Connection, rep_ids: Iterable[str]) -> dict[str, Recipient]:
    """Return how these reps want to be told; one who said nothing is told by console and work e-mail."""
    wanted = list(rep_ids)
    rows = await conn.fetch("SELECT * FROM recipient WHERE rep_id = ANY($1::text[])", wanted)
    found = {
        row["rep_id"]: Recipient(
            rep_id=row["rep_id"],
            email=row["email"] or row["work_email"],
            webhook_url=row["webhook_url"] if row["webhook_off_at"] is None else None,
            channels=row["channels"],
        )
        for row in rows
    }
    return {rep_id: found.get(rep_id) or Recipient(rep_id=rep_id) for rep_id in wanted}


async def note_reps(conn: Connection, addresses: Mapping[str, str]) -> None:
    """Note reps' work addresses."""
    await conn.execute(
        "INSERT INTO recipient (rep_id, work_email)"
        " SELECT v.rep_id, v.email FROM unnest($1::text[], $2::text[]) AS v(rep_id, email)"
        " WHERE NOT EXISTS (SELECT FROM recipient r WHERE r.rep_id = v.rep_id AND r.work_email = v.email)"
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


async def claim(
    conn: Connection, *, limit: int, lease_s: float, per_recipient: int, busy: Iterable[tuple[str, str]]
) -> list[Any]:
    """Take messages that are due; nobody else has them until the lease is over.

    At most a few for one recipient over one channel, and none for those who are `busy`: an endpoint that hangs keeps
    nobody else waiting.
    """
    occupied = list(busy)
    rows: list[Any] = await conn.fetch(
        "WITH due AS (SELECT message_id, rep_id, channel, next_at FROM message WHERE state = 'pending'"
        " AND next_at <= now() AND (rep_id, channel) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))"
        " ORDER BY next_at, message_id LIMIT $6),"
        " placed AS (SELECT message_id, row_number()"
        " OVER (PARTITION BY rep_id, channel ORDER BY next_at, message_id) AS place FROM due),"
        " chosen AS (SELECT m.message_id FROM placed p JOIN message m USING (message_id)"
        " WHERE p.place <= $5 AND m.state = 'pending' ORDER BY m.next_at, m.message_id LIMIT $1"
        " FOR UPDATE OF m SKIP LOCKED)"
        " UPDATE message m SET state = 'sending', attempts = attempts + 1,"
        " claimed_until = now() + make_interval(secs => $2) FROM chosen WHERE m.message_id = chosen.message_id"
        " RETURNING m.*",
        limit,
        lease_s,
        [rep_id for rep_id, _ in occupied],
        [channel for _, channel in occupied],
        per_recipient,
        LOOKED_AT,
    )
    return rows


async def addresses(conn: Connection, rep_ids: Iterable[str]) -> dict[str, Any]:
    """Return where reps are to be reached now."""
    rows = await conn.fetch(
        "SELECT rep_id, coalesce(email, work_email) AS email, webhook_secret,"
        " CASE WHEN webhook_off_at IS NULL THEN webhook_url END AS webhook_url"
        " FROM recipient WHERE rep_id = ANY($1::text[])",
        list(rep_ids),
    )
    return {row["rep_id"]: row for row in rows}


async def switch_off(conn: Connection, rep_id: str, url: str) -> None:
    """Send nothing more to an endpoint that said it is gone, until it is put again."""
    await conn.execute(
        "UPDATE recipient SET webhook_off_at = now() WHERE rep_id = $1 AND webhook_url = $2", rep_id, url
    )


async def abandoned(conn: Connection) -> list[Any]:
    """Return messages whose sender was not heard of again within its lease, locked."""
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM message WHERE state = 'sending' AND claimed_until < now() LIMIT 100 FOR UPDATE SKIP LOCKED"
    )
    return rows


async def record(conn: Connection, row: Any, state: str, reason: str | None, *, again_in_s: float | None) -> bool:
    """Record the fate of the attempt that `row` was claimed for; False when it is another's by now."""
    status: str = await conn.execute(
        "UPDATE message SET state = $2, reason = $3, claimed_until = NULL,"
        " next_at = CASE WHEN $2 = 'pending' THEN now() + make_interval(secs => $4) ELSE next_at END,"
        " done_at = CASE WHEN $2 = 'pending' THEN NULL ELSE now() END"
        " WHERE message_id = $1 AND state = 'sending' AND attempts = $5",
        row["message_id"],
        state,
        reason,
        again_in_s or 0.0,
        row["attempts"],
    )
    return status.endswith(" 1")


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


async def sealed(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Any]:
    """Return what is sealed of leads, with whose key; an erased one has nothing."""
    rows = await conn.fetch(
        "SELECT lead_id, sealed, key_lead_id FROM lead WHERE lead_id = ANY($1::uuid[])", list(lead_ids)
    )
    return {row["lead_id"]: row for row in rows}


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what is held of a person."""
    gone = list(lead_ids)
    await conn.execute("DELETE FROM lead WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute("UPDATE message SET body = '{}' WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE message SET state = 'failed', reason = 'the lead was erased', done_at = now()"
        " WHERE state = 'pending' AND lead_id = ANY($1::uuid[])",
        gone,
    )
