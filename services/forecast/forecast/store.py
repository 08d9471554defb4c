"""Opportunities, their moves, and the leaves that sums are made of."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

from backbone import ids, reasons
from backbone.database import Connection
from forecast import domain
from forecast.domain import Move, State


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
    by_srl: bool = False
    """The SRL opened it by itself; people or another system did not."""

    def fold(self, moves: Sequence[Move]) -> State:
        """Return the state after these moves."""
        return domain.fold(self.opening, self.opened_at, moves)


_STATE = ("stage", "category", "owner_id", "amount", "currency", "close_date", "ended_at", "reason", "qualified_at")
_HEAD = tuple(name for name in Deal.__dataclass_fields__ if name not in ("opening", "state"))
_COLUMNS = ", ".join((*_HEAD, "opening", *_STATE))
_FAMILY = (
    "WITH RECURSIVE member AS (SELECT unnest($1::uuid[]) AS lead_id UNION"
    " SELECT s.subject_id FROM member m JOIN subject s ON s.merged_into = m.lead_id)"
)
"""The leads asked for and all that were merged into them."""


def subject_of(external_id: str) -> UUID:
    """Return the id of an opportunity that a caller names: known before it opens, so moves can wait under it."""
    return ids.derived("opportunity", external_id)


async def find(conn: Connection, opportunity_id: UUID) -> Deal | None:
    """Return an opportunity."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM opportunity WHERE opportunity_id = $1", opportunity_id)  # noqa: S608
    return _deal(row) if row is not None else None


async def of_lead(conn: Connection, lead_id: UUID) -> list[Deal]:
    """Return the opportunities of a lead and of those merged into it, oldest first."""
    rows = await conn.fetch(
        f"{_FAMILY} SELECT {_COLUMNS} FROM opportunity JOIN member USING (lead_id) ORDER BY opened_at, opportunity_id",  # noqa: S608
        [lead_id],
    )
    return [_deal(row) for row in rows]


async def ids_of_leads(conn: Connection, lead_ids: Iterable[UUID]) -> list[UUID]:
    """Return which opportunities these leads have."""
    rows = await conn.fetch(
        f"{_FAMILY} SELECT opportunity_id FROM opportunity JOIN member USING (lead_id)",  # noqa: S608
        list(lead_ids),
    )
    return [row[0] for row in rows]


async def page(
    conn: Connection, *, owner_id: str | None, lead_id: UUID | None, after: UUID | None, limit: int
) -> list[Deal]:
    """Return opportunities in the order of their ids."""
    rows = await conn.fetch(
        f"{_FAMILY} SELECT {_COLUMNS} FROM opportunity WHERE ($2::text IS NULL OR owner_id = $2)"  # noqa: S608
        " AND ($1::uuid[] IS NULL OR lead_id IN (SELECT lead_id FROM member))"
        " AND ($3::uuid IS NULL OR opportunity_id > $3) ORDER BY opportunity_id LIMIT $4",
        [lead_id] if lead_id is not None else None,
        owner_id,
        after,
        limit,
    )
    return [_deal(row) for row in rows]


async def known_by(conn: Connection, as_of: datetime) -> list[Deal]:
    """Return every opportunity as it was known to be at an instant."""
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM opportunity WHERE recorded_at <= $1", as_of)  # noqa: S608
    moved: dict[UUID, list[Move]] = {}
    for row in await conn.fetch(f"{_MOVES} WHERE recorded_at <= $1", as_of):
        moved.setdefault(row["opportunity_id"], []).append(_move(row))
    deals = [_deal(row) for row in rows]
    for deal in deals:
        deal.state = deal.fold(moved.get(deal.opportunity_id, ()))
    return deals


def _deal(row: Any) -> Deal:
    opening = row["opening"]
    return Deal(
        **{name: row[name] for name in _HEAD},
        opening=State(
            stage=opening["stage"],
            category=opening["category"],
            owner_id=opening["owner_id"],
            amount=Decimal(opening["amount"]) if opening["amount"] is not None else None,
            currency=opening["currency"],
            close_date=date.fromisoformat(opening["close_date"]) if opening["close_date"] else None,
        ),
        state=State(**{name: row[name] for name in _STATE}),
    )


async def save(conn: Connection, deal: Deal, before: State | None, zone: tzinfo) -> None:
    """Write an opportunity and move its amount between leaves."""
    opening = deal.opening
    body = {
        "stage": opening.stage,
        "category": opening.category,
        "owner_id": opening.owner_id,
        "amount": str(opening.amount) if opening.amount is not None else None,
        "currency": opening.currency,
        "close_date": opening.close_date.isoformat() if opening.close_date is not None else None,
    }
    values = [*(getattr(deal, name) for name in _HEAD), body, *(getattr(deal.state, name) for name in _STATE)]
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in ("lead_id", *_STATE))
    await conn.execute(
        f"INSERT INTO opportunity ({_COLUMNS}) VALUES ({places})"  # noqa: S608
        f" ON CONFLICT (opportunity_id) DO UPDATE SET {changes}",
        *values,
    )
    # Sorted: everybody takes counters in one order.
    for leaf, deals, amount in domain.recounted(before, deal.state, zone):
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


LEAVES = """
SELECT owner_id AS rep_id,
       to_char(CASE WHEN stage = 'won' THEN (ended_at AT TIME ZONE $1)::date ELSE close_date END, 'YYYY-MM') AS month,
       category, currency, count(*)::int AS deals, sum(amount) AS amount
FROM opportunity
WHERE amount IS NOT NULL AND category <> 'omitted' AND (stage = 'won' OR close_date IS NOT NULL)
GROUP BY 1, 2, 3, 4
"""
"""The leaves as the deals themselves say them, in a zone: what the counters have to equal."""


async def count_anew(conn: Connection, zone: str) -> None:
    """Make the counters again: another zone has other months. The settings have to be locked."""
    await conn.execute("DELETE FROM counter")
    await conn.execute(f"INSERT INTO counter (rep_id, month, category, currency, deals, amount) {LEAVES}", zone)


_MOVES = "SELECT opportunity_id, move_id, occurred_at, recorded_at, changes, reason, words FROM move"


def _move(row: Any) -> Move:
    return Move(**{name: row[name] for name in Move.__dataclass_fields__})


async def moves(conn: Connection, opportunity_id: UUID) -> list[Move]:
    """Return the moves of an opportunity, also those that wait for its opening."""
    rows = await conn.fetch(f"{_MOVES} WHERE opportunity_id = $1", opportunity_id)
    return sorted((_move(row) for row in rows), key=domain.order)


async def add_move(conn: Connection, opportunity_id: UUID, move: Move, *, external_id: str | None, by: str) -> bool:
    """Keep a move; False when one with its external id is there already."""
    status = await conn.execute(
        "INSERT INTO move VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        move.move_id,
        opportunity_id,
        external_id,
        move.occurred_at,
        move.recorded_at,
        dict(move.changes),
        move.reason,
        by,
        move.words,
    )
    return status.endswith(" 1")


async def counters(conn: Connection, months: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return the leaves of some months."""
    rows: list[Any] = await conn.fetch(
        "SELECT rep_id, month, category, currency, amount FROM counter WHERE month = ANY($1::text[]) AND deals <> 0",
        list(months),
    )
    return rows


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what names a person: an opportunity's own name may, and words that were typed for its moves."""
    gone = list(lead_ids)
    await conn.execute("UPDATE opportunity SET name = '' WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE move m SET words = '' FROM opportunity o WHERE o.opportunity_id = m.opportunity_id"
        " AND o.lead_id = ANY($1::uuid[]) AND m.words <> ''",
        gone,
    )


async def codes(conn: Connection) -> Collection[str]:
    """Return the reason codes in force: those shipped, until qualification tells others."""
    return {row[0] for row in await conn.fetch("SELECT code FROM reason")} or reasons.SHIPPED


async def set_codes(conn: Connection, told: Sequence[str]) -> None:
    """Put other reason codes in force."""
    await conn.execute("DELETE FROM reason")
    await conn.execute("INSERT INTO reason SELECT DISTINCT unnest($1::text[])", list(told))
