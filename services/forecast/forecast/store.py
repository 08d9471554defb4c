"""Opportunities, moves and the leaves that sums are made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from backbone import ids
from backbone.database import Connection
from forecast import domain
from forecast.domain import Leaf, Move, State


@dataclass(slots=True)
class Deal:
    """An opportunity's row. `opening` is the state that its moves are folded over."""

    opportunity_id: UUID
    external_id: str | None
    lead_id: UUID | None
    lead_reference: str | None
    account: str
    name: str
    type: str
    origin: str
    sourced_by: str
    live: bool
    opened_at: datetime
    recorded_at: datetime
    opening: State
    state: State


def subject_of(external_id: str) -> UUID:
    """Return the id of an opportunity that a caller names: known before it opens, so moves can wait under it."""
    return ids.derived("opportunity", external_id)


async def find(conn: Connection, opportunity_id: UUID) -> Deal | None:
    """Return an opportunity."""
    row = await conn.fetchrow("SELECT * FROM opportunity WHERE opportunity_id = $1", opportunity_id)
    return _deal(row) if row is not None else None


async def of_lead(conn: Connection, lead_id: UUID) -> list[Deal]:
    """Return a lead's opportunities, oldest first."""
    rows = await conn.fetch("SELECT * FROM opportunity WHERE lead_id = $1 ORDER BY opened_at, opportunity_id", lead_id)
    return [_deal(row) for row in rows]


async def page(
    conn: Connection, *, owner_id: str | None, lead_id: UUID | None, after: UUID | None, limit: int
) -> list[Deal]:
    """Return opportunities in the order of their ids."""
    rows = await conn.fetch(
        "SELECT * FROM opportunity WHERE ($1::text IS NULL OR owner_id = $1) AND ($2::uuid IS NULL OR lead_id = $2)"
        " AND ($3::uuid IS NULL OR opportunity_id > $3) ORDER BY opportunity_id LIMIT $4",
        owner_id,
        lead_id,
        after,
        limit,
    )
    return [_deal(row) for row in rows]


def _deal(row: Any) -> Deal:
    names = ("stage", "category", "owner_id", "amount", "currency", "close_date", "ended_at", "reason")
    opening = row["opening"]
    return Deal(
        **{name: row[name] for name in Deal.__dataclass_fields__ if name not in ("opening", "state")},
        opening=State(
            stage=opening["stage"],
            category=opening["category"],
            owner_id=opening["owner_id"],
            amount=Decimal(opening["amount"]) if opening["amount"] is not None else None,
            currency=opening["currency"],
            close_date=date.fromisoformat(opening["close_date"]) if opening["close_date"] else None,
        ),
        state=State(**{name: row[name] for name in names}),
    )


async def save(conn: Connection, deal: Deal, before: State | None) -> None:
    """Write an opportunity and move its amount between leaves."""
    opening, state = deal.opening, deal.state
    body = {
        "stage": opening.stage,
        "category": opening.category,
        "owner_id": opening.owner_id,
        "amount": str(opening.amount) if opening.amount is not None else None,
        "currency": opening.currency,
        "close_date": opening.close_date.isoformat() if opening.close_date is not None else None,
    }
    await conn.execute(
        "INSERT INTO opportunity VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
        " $18, $19, $20, $21) ON CONFLICT (opportunity_id) DO UPDATE SET lead_id = excluded.lead_id,"
        " stage = excluded.stage, category = excluded.category, owner_id = excluded.owner_id, amount = excluded.amount,"
        " currency = excluded.currency, close_date = excluded.close_date, ended_at = excluded.ended_at,"
        " reason = excluded.reason, opening = excluded.opening",
        deal.opportunity_id,
        deal.external_id,
        deal.lead_id,
        deal.lead_reference,
        deal.account,
        deal.name,
        deal.type,
        deal.origin,
        deal.sourced_by,
        deal.live,
        deal.opened_at,
        deal.recorded_at,
        body,
        state.stage,
        state.category,
        state.owner_id,
        state.amount,
        state.currency,
        state.close_date,
        state.ended_at,
        state.reason,
    )
    await _recount(conn, before, state)


async def _recount(conn: Connection, before: State | None, after: State) -> None:
    changes: list[tuple[Leaf, int, Decimal]] = []
    for state, sign in ((before, -1), (after, 1)):
        if state is not None and (leaf := domain.leaf(state)) is not None:
            assert state.amount is not None
            changes.append((leaf, sign, sign * state.amount))
    # Sorted: everybody takes counters in one order.
    for leaf, deals, amount in sorted(changes, key=lambda change: (str(change[0]), change[1])):
        await conn.execute(
            "INSERT INTO counter VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rep_id, month, category, currency)"
            " DO UPDATE SET deals = counter.deals + excluded.deals, amount = counter.amount + excluded.amount",
            leaf.rep_id,
            leaf.month,
            leaf.category,
            leaf.currency,
            deals,
            amount,
        )


async def moves(conn: Connection, opportunity_id: UUID) -> list[Move]:
    """Return the moves of an opportunity, also those that wait for its opening."""
    rows = await conn.fetch(
        "SELECT move_id, occurred_at, recorded_at, changes, reason FROM move WHERE opportunity_id = $1", opportunity_id
    )
    return sorted((Move(**dict(row)) for row in rows), key=domain.order)


async def add_move(conn: Connection, opportunity_id: UUID, move: Move, *, external_id: str | None, by: str) -> bool:
    """Keep a move; False when one with its external id is there already."""
    status = await conn.execute(
        "INSERT INTO move VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        move.move_id,
        opportunity_id,
        external_id,
        move.occurred_at,
        move.recorded_at,
        dict(move.changes),
        move.reason,
        by,
    )
    return status.endswith(" 1")


async def counters(conn: Connection, months: Sequence[str]) -> list[Any]:
    """Return the leaves of some months."""
    rows: list[Any] = await conn.fetch(
        "SELECT rep_id, category, currency, sum(amount) AS amount FROM counter WHERE month = ANY($1::text[])"
        " GROUP BY rep_id, category, currency",
        list(months),
    )
    return rows


async def note_leads(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note what is known of leads for the funnel; the first time that a stage was reached stays."""
    await conn.execute(
        "INSERT INTO lead (lead_id, live, created_at, recorded_at, source, account, definition, mql_at, srl_at, sql_at,"
        " rep_id, sdr_id, closed)"
        " SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[],"
        " $7::text[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[],"
        " $13::boolean[])"
        " ON CONFLICT (lead_id) DO UPDATE SET live = lead.live OR excluded.live,"
        " created_at = coalesce(excluded.created_at, lead.created_at),"
        " recorded_at = coalesce(excluded.recorded_at, lead.recorded_at),"
        " source = coalesce(nullif(excluded.source, ''), lead.source),"
        " account = coalesce(nullif(excluded.account, ''), lead.account),"
        " definition = coalesce(nullif(excluded.definition, ''), lead.definition),"
        " mql_at = least(lead.mql_at, excluded.mql_at), srl_at = least(lead.srl_at, excluded.srl_at),"
        " sql_at = least(lead.sql_at, excluded.sql_at), rep_id = coalesce(excluded.rep_id, lead.rep_id),"
        " sdr_id = coalesce(excluded.sdr_id, lead.sdr_id), closed = lead.closed OR excluded.closed",
        *([row.get(name, default) for row in rows] for name, default in _LEAD_COLUMNS),
    )


_LEAD_COLUMNS = (
    ("lead_id", None),
    ("live", False),
    ("created_at", None),
    ("recorded_at", None),
    ("source", ""),
    ("account", ""),
    ("definition", ""),
    ("mql_at", None),
    ("srl_at", None),
    ("sql_at", None),
    ("rep_id", None),
    ("sdr_id", None),
    ("closed", False),
)


async def link_references(conn: Connection, references: Mapping[str, UUID]) -> None:
    """Note which lead a source's reference names, and give it the opportunities that came before it."""
    await conn.execute(
        "INSERT INTO lead_reference SELECT * FROM unnest($1::text[], $2::uuid[])"
        " ON CONFLICT (reference) DO UPDATE SET lead_id = excluded.lead_id",
        list(references),
        list(references.values()),
    )
    await conn.execute(
        "UPDATE opportunity o SET lead_id = v.lead_id FROM unnest($1::text[], $2::uuid[]) AS v(reference, lead_id)"
        " WHERE o.lead_reference = v.reference AND o.lead_id IS NULL",
        list(references),
        list(references.values()),
    )


async def lead_of(conn: Connection, reference: str) -> UUID | None:
    """Return the lead that a reference names."""
    lead_id: UUID | None = await conn.fetchval("SELECT lead_id FROM lead_reference WHERE reference = $1", reference)
    return lead_id


async def lead(conn: Connection, lead_id: UUID) -> Any:
    """Return what is known of a lead."""
    return await conn.fetchrow("SELECT * FROM lead WHERE lead_id = $1", lead_id)


async def settings(conn: Connection) -> tuple[str, str]:
    """Return (zone of reports, base currency)."""
    row = await conn.fetchrow("SELECT zone, base_currency FROM setting")
    return (row[0], row[1]) if row is not None else ("UTC", "USD")


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what names a person: an opportunity's own name may."""
    await conn.execute("UPDATE opportunity SET name = '' WHERE lead_id = ANY($1::uuid[])", list(lead_ids))
