"""The forecast of a period: leaves summed up the hierarchy, in the base currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from backbone.database import Connection
from forecast import domain, money, store, store_leads
from forecast.domain import Category
from forecast.store_leads import Reporting

Sums = dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the hierarchy."""

    node_id: str
    parent_id: str | None
    rep_id: str | None
    name: str


async def forecast(
    conn: Connection, period: str, node_id: str | None, *, view: str, as_of: datetime | None, now: datetime
) -> dict[str, Any]:
    """Return every node beneath one with its five numbers per category. ValueError for no period, LookupError for none.

    Now is what the counters say; an instant before is folded from what was known then.
    """
    months = domain.months_of(period)
    said = await store_leads.reporting(conn)
    leaves = await store.counters(conn, months) if as_of is None else await _known_by(conn, said, months, as_of)
    own, unconverted = await _in_base(conn, said, leaves, as_of or now)
    nodes = await _nodes(conn, own)
    wanted = _beneath(nodes, node_id)
    if not wanted and node_id is not None:
        raise LookupError(node_id)
    targets = {
        row[0]: row[1] for row in await conn.fetch("SELECT node_id, amount FROM target WHERE period = $1", period)
    }
    undated = await conn.fetchval(
        "SELECT count(*) FROM opportunity WHERE (amount IS NULL OR close_date IS NULL) AND ended_at IS NULL"
    )
    return {
        "period": period,
        "view": view,
        "currency": said.base,
        "unconverted": [{"currency": name, "amount": money.shown(amount)} for name, amount in sorted(unconverted)],
        "undated": undated,
        "nodes": [_shown(node, nodes, own, targets, view=view) for node in wanted],
    }


async def _known_by(
    conn: Connection, said: Reporting, months: Sequence[str], as_of: datetime
) -> list[Mapping[str, Any]]:
    sums: dict[domain.Leaf, Decimal] = {}
    for deal in await store.known_by(conn, as_of):
        leaf = domain.leaf(deal.state, said.tz)
        if leaf is not None and leaf.month in months:
            sums[leaf] = sums.get(leaf, Decimal(0)) + (deal.state.amount or 0)
    return [
        {
            "rep_id": leaf.rep_id,
            "month": leaf.month,
            "category": leaf.category,
            "currency": leaf.currency,
            "amount": sum_,
        }
        for leaf, sum_ in sums.items()
    ]


async def _in_base(
    conn: Connection, said: Reporting, leaves: Sequence[Mapping[str, Any]], at: datetime
) -> tuple[dict[str, Sums], list[tuple[str, Decimal]]]:
    """Return what each rep has by category, and what no rate converts: a month by the last rate that it knew."""
    rows = await conn.fetch(
        "SELECT v.rep_id, v.category, v.currency, v.amount,"
        " in_base(v.amount, v.currency, (v.month || '-01')::date, $7, $8, $6) AS in_base"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[])"
        " AS v(rep_id, month, category, currency, amount)",
        *([leaf[name] for leaf in leaves] for name in ("rep_id", "month", "category", "currency", "amount")),
        at,
        said.base,
        said.zone,
    )
    own: dict[str, Sums] = {}
    unconverted: dict[str, Decimal] = {}
    for row in rows:
        if row["in_base"] is None:
            unconverted[row["currency"]] = unconverted.get(row["currency"], Decimal(0)) + row["amount"]
            continue
        own.setdefault(row["rep_id"], _nothing())[row["category"]] += row["in_base"]
    return own, list(unconverted.items())


def _nothing() -> Sums:
    return {str(category): Decimal(0) for category in Category}


_AMOUNTS: Final = ("all", "without_owner_adjustments", "without_manager_adjustments", "final")
"""Of a node and all beneath it."""
COLUMNS: Final = ("node_id", "name", "target", "category", "own", *_AMOUNTS)
"""Of the forecast as a table: a row a node and category."""


async def _nodes(conn: Connection, own: Mapping[str, Any]) -> list[Node]:
    """Return the hierarchy; reps who are nowhere in it stand beside it, so that no deal is left out."""
    rows = await conn.fetch("SELECT node_id, parent_id, rep_id, name FROM node ORDER BY node_id")
    nodes = [Node(**dict(row)) for row in rows]
    placed = {node.rep_id for node in nodes}
    return nodes + [Node(rep_id, None, rep_id, rep_id) for rep_id in sorted(own) if rep_id not in placed]


def _beneath(nodes: Sequence[Node], node_id: str | None) -> list[Node]:
    if node_id is None:
        return list(nodes)
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent_id, []).append(node)
    found = [node for node in nodes if node.node_id == node_id]
    for node in found:  # grows while it is walked: a tree, so it ends
        found += children.get(node.node_id, ())
    return found


def _shown(
    node: Node,
    nodes: Sequence[Node],
    own: Mapping[str, Sums],
    targets: Mapping[str, Decimal],
    *,
    view: str,
) -> dict[str, Any]:
    mine = own.get(node.rep_id or "", _nothing()) if node.rep_id is not None else _nothing()
    everything = _nothing()
    for one in _beneath(nodes, node.node_id):
        if one.rep_id is not None:
            for category, amount in own.get(one.rep_id, {}).items():
                everything[category] += amount
    target = targets.get(node.node_id)
    still_open = sum(everything[one] for one in (Category.PIPELINE, Category.UPSIDE, Category.COMMIT))
    gap = target - everything[Category.CLOSED] if target is not None else None
    if view == "cumulative":
        mine, everything = domain.cumulative(mine), domain.cumulative(everything)
    categories = {}
    for category in Category:
        all_of_it = money.shown(everything[category])
        categories[str(category)] = {"own": money.shown(mine[category]), **dict.fromkeys(_AMOUNTS, all_of_it)}
    return {
        "node_id": node.node_id,
        "parent_id": node.parent_id,
        "name": node.name,
        "rep_id": node.rep_id,
        "target": money.shown(target) if target is not None else None,
        "coverage": float(Decimal(still_open) / gap) if gap is not None and gap > 0 else None,
        "categories": categories,
    }


def as_rows(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a forecast as a table: one row a node and category."""
    return [
        {"node_id": node["node_id"], "name": node["name"], "target": node["target"], "category": category, **sums}
        for node in nodes
        for category, sums in node["categories"].items()
    ]
