"""The forecast per period, the funnel, and how fast and how much is won: from leaves and facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from backbone.database import Connection
from forecast import domain, store
from forecast.domain import Category

BANDS: Final = {"srl": (0.20, 0.40), "sql": (0.80, 0.90), "won": (0.30, 0.75)}
"""Healthy conversions from the stage before: MQL->SRL, SRL->SQL, SQL->won."""


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the hierarchy."""

    node_id: str
    parent_id: str | None
    rep_id: str | None
    name: str


async def forecast(conn: Connection, period: str, node_id: str | None, *, view: str) -> dict[str, Any]:
    """Return every node beneath one with its five numbers per category. ValueError for no period."""
    months = domain.months_of(period)
    _, base = await store.settings(conn)
    rates = {
        row[0]: row[1]
        for row in await conn.fetch(
            "SELECT DISTINCT ON (currency) currency, rate FROM rate WHERE starts <= current_date"
            " ORDER BY currency, starts DESC"
        )
    }
    own: dict[str, dict[str, Decimal]] = {}
    unconverted: dict[str, Decimal] = {}
    for row in await store.counters(conn, months):
        rate = Decimal(1) if row["currency"] == base else rates.get(row["currency"])
        if rate is None:
            unconverted[row["currency"]] = unconverted.get(row["currency"], Decimal(0)) + row["amount"]
            continue
        sums = own.setdefault(row["rep_id"], _nothing())
        sums[row["category"]] += row["amount"] * rate
    nodes = await _nodes(conn, own)
    targets = {
        row[0]: row[1] for row in await conn.fetch("SELECT node_id, amount FROM target WHERE period = $1", period)
    }
    wanted = _beneath(nodes, node_id)
    return {
        "period": period,
        "view": view,
        "currency": base,
        "unconverted": [{"currency": name, "amount": _money(amount)} for name, amount in sorted(unconverted.items())],
        "nodes": [_shown(node, nodes, own, targets, view=view) for node in wanted],
    }


def _nothing() -> dict[str, Decimal]:
    return {str(category): Decimal(0) for category in Category}


async def _nodes(conn: Connection, own: Mapping[str, Any]) -> list[Node]:
    """Return the hierarchy; reps who are nowhere in it stand beside it, so that no deal is left out."""
    rows = await conn.fetch("SELECT node_id, parent_id, rep_id, name FROM node ORDER BY node_id")
    nodes = [Node(**dict(row)) for row in rows]
    placed = {node.rep_id for node in nodes}
    return nodes + [Node(rep_id, None, rep_id, rep_id) for rep_id in sorted(own) if rep_id not in placed]


def _beneath(nodes: Sequence[Node], node_id: str | None) -> list[Node]:
    if node_id is None:
        return list(nodes)
    found, wanted = [node for node in nodes if node.node_id == node_id], {node_id}
    grown = True
    while grown:
        more = [node for node in nodes if node.parent_id in wanted and node.node_id not in wanted]
        found += more
        wanted |= {node.node_id for node in more}
        grown = bool(more)
    return found


def _shown(
    node: Node,
    nodes: Sequence[Node],
    own: Mapping[str, Mapping[str, Decimal]],
    targets: Mapping[str, Decimal],
    *,
    view: str,
) -> dict[str, Any]:
    mine = own.get(node.rep_id or "", _nothing())
    everything = _nothing()
    for one in _beneath(nodes, node.node_id):
        for category, amount in own.get(one.rep_id or "", {}).items():
            everything[category] += amount
    if view == "cumulative":
        mine, everything = domain.cumulative(mine), domain.cumulative(everything)
    target = targets.get(node.node_id)
    closed = everything[Category.CLOSED]
    still_open = sum(everything[one] for one in (Category.PIPELINE, Category.UPSIDE, Category.COMMIT))
    gap = target - closed if target is not None else None
    categories = {}
    for category in Category:
        all_of_it = _money(everything[category])
        names = ("all", "without_owner_adjustments", "without_manager_adjustments", "final")
        categories[str(category)] = {"own": _money(mine[category]), **dict.fromkeys(names, all_of_it)}
    return {
        "node_id": node.node_id,
        "parent_id": node.parent_id,
        "name": node.name,
        "rep_id": node.rep_id,
        "target": _money(target) if target is not None else None,
        "coverage": float(Decimal(still_open) / gap) if gap is not None and gap > 0 and view == "individual" else None,
        "categories": categories,
    }


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}"


async def won_by_month(conn: Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return what was won in [start, end), by month in the zone of reports."""
    zone, base = await store.settings(conn)
    rows = await conn.fetch(
        "SELECT to_char(ended_at AT TIME ZONE $3, 'YYYY-MM') AS month, count(*) AS count, sum(amount) AS amount"
        " FROM opportunity WHERE stage = 'won' AND ended_at >= $1 AND ended_at < $2 GROUP BY 1 ORDER BY 1",
        start,
        end,
        zone,
    )
    return [
        {"month": row["month"], "count": row["count"], "amount": _money(row["amount"] or Decimal(0)), "currency": base}
        for row in rows
    ]


async def velocity(conn: Connection, start: datetime, end: datetime) -> dict[str, Any]:
    """Return the four Vs of deals that were opened in [start, end), and what was won in it."""
    _, base = await store.settings(conn)
    row = await conn.fetchrow(
        "SELECT count(*) FILTER (WHERE stage <> 'unqualified') AS volume,"
        " coalesce(sum(amount) FILTER (WHERE stage NOT IN ('unqualified', 'lost', 'handed_back')), 0) AS value,"
        " count(*) FILTER (WHERE stage = 'won' AND type = 'new') AS won_new,"
        " count(*) FILTER (WHERE stage IN ('won', 'lost') AND type = 'new') AS ended_new,"
        " count(*) FILTER (WHERE stage = 'won' AND type IN ('upsell', 'cross_sell')) AS won_existing,"
        " count(*) FILTER (WHERE stage IN ('won', 'lost') AND type IN ('upsell', 'cross_sell')) AS ended_existing,"
        " percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - opened_at))"
        "   FILTER (WHERE stage = 'won') AS p50,"
        " percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - opened_at))"
        "   FILTER (WHERE stage = 'won') AS p90"
        " FROM opportunity WHERE opened_at >= $1 AND opened_at < $2",
        start,
        end,
    )
    assert row is not None
    return {
        "volume": row["volume"],
        "value": _money(row["value"]),
        "currency": base,
        "velocity": [{"stage": "won", "p50_seconds": row["p50"], "p90_seconds": row["p90"]}],
        "conversion": [],
        "win_rate": {
            "new": row["won_new"] / row["ended_new"] if row["ended_new"] else None,
            "existing": row["won_existing"] / row["ended_existing"] if row["ended_existing"] else None,
        },
        "won_by_month": await won_by_month(conn, start, end),
    }


_FUNNEL_KEY: Final = {
    None: "'all'",
    "week": "to_char(date_trunc('week', l.created_at AT TIME ZONE $3), 'YYYY-MM-DD')",
    "month": "to_char(l.created_at AT TIME ZONE $3, 'YYYY-MM')",
    "source": "l.source",
    "definition": "l.definition",
}
_FUNNEL: Final = """
SELECT KEY AS key, count(*) AS lead, count(l.mql_at) AS mql, count(l.srl_at) AS srl, count(l.sql_at) AS sql,
       count(w.lead_id) AS won, sum(w.amount) AS amount
FROM lead l LEFT JOIN (
    SELECT lead_id, sum(amount) AS amount FROM opportunity WHERE stage = 'won' GROUP BY lead_id
) w USING (lead_id)
WHERE NOT l.closed AND l.created_at >= $1 AND l.created_at < $2 AND $3::text IS NOT NULL
GROUP BY 1 ORDER BY 1
"""


async def funnel(conn: Connection, start: datetime, end: datetime, *, by: str | None) -> list[dict[str, Any]]:
    """Return how far the leads created in [start, end) came, as cohorts."""
    zone, _ = await store.settings(conn)
    rows = await conn.fetch(_FUNNEL.replace("KEY", _FUNNEL_KEY[by]), start, end, zone)
    return [{"key": row["key"], "stages": _stages(row)} for row in rows]


def _stages(row: Any) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = []
    before: int | None = None
    for stage in ("lead", "mql", "srl", "sql", "won"):
        count = row[stage]
        from_previous = count / before if before else None
        band = BANDS.get(stage)
        stages.append(
            {
                "stage": stage,
                "count": count,
                **({"amount": _money(row["amount"] or Decimal(0))} if stage == "won" else {}),
                "conversion_from_previous": from_previous,
                "conversion_from_all": count / row["lead"] if row["lead"] else None,
                "conversion_from_qualified": count / row["mql"] if row["mql"] else None,
                "band": list(band) if band is not None else None,
                "verdict": _verdict(from_previous, band),
                "censored": 0,
            }
        )
        before = count
    return stages


def _verdict(share: float | None, band: tuple[float, float] | None) -> str | None:
    if share is None or band is None:
        return None
    return "below" if share < band[0] else "above" if share > band[1] else "in band"
