"""Volume, value, velocity and conversion of the qualified pipeline, and what was won by month."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from backbone.database import Connection
from forecast import money, store_leads

_VELOCITY: Final = """
WITH deal AS (
    SELECT *, in_base(amount, currency, (coalesce(ended_at, $3) AT TIME ZONE $5)::date, $4, $5, $3) AS worth,
           stage IN ('won', 'lost') AND qualified_at IS NOT NULL AS is_judged, stage = 'won' AS is_won,
           type <> 'new' AS is_existing, extract(epoch FROM qualified_at - opened_at) AS until_qualified,
           extract(epoch FROM ended_at - qualified_at) AS until_ended, extract(epoch FROM ended_at - opened_at) AS life
    FROM opportunity WHERE opened_at >= $1 AND opened_at < $2 AND type <> 'renewal'
)
SELECT count(*) AS opened, count(qualified_at) AS volume, sum(worth) FILTER (WHERE qualified_at IS NOT NULL) AS value,
       count(*) FILTER (WHERE is_won) AS won,
       count(*) FILTER (WHERE is_judged AND NOT is_existing) AS ended_new,
       count(*) FILTER (WHERE is_won AND NOT is_existing) AS won_new,
       sum(worth) FILTER (WHERE is_judged AND NOT is_existing) AS ended_new_amount,
       sum(worth) FILTER (WHERE is_won AND NOT is_existing) AS won_new_amount,
       count(*) FILTER (WHERE is_judged AND is_existing) AS ended_existing,
       count(*) FILTER (WHERE is_won AND is_existing) AS won_existing,
       sum(worth) FILTER (WHERE is_judged AND is_existing) AS ended_existing_amount,
       sum(worth) FILTER (WHERE is_won AND is_existing) AS won_existing_amount,
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY until_qualified) AS unqualified,
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY until_ended) FILTER (WHERE is_won) AS qualified,
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY life) FILTER (WHERE is_won) AS won_seconds
FROM deal
"""
"""What was handed back, or lost before it qualified, is in no win rate."""


async def velocity(conn: Connection, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
    """Return the four Vs of deals that were opened in [start, end), renewals apart, and what was won in it."""
    said = await store_leads.reporting(conn)
    row = await conn.fetchrow(_VELOCITY, start, end, now, said.base, said.zone)
    assert row is not None
    won, unconverted = await won_by_month(conn, start, end, now)
    return {
        "volume": row["volume"],
        "value": money.shown(row["value"]),
        "currency": said.base,
        "velocity": [
            _speed("unqualified", row["unqualified"]),
            _speed("qualified", row["qualified"]),
            _speed("won", row["won_seconds"]),
        ],
        "conversion": [
            {"from": "unqualified", "to": "qualified", "share": _share(row["volume"], row["opened"])},
            {"from": "qualified", "to": "won", "share": _share(row["won"], row["volume"])},
        ],
        "win_rate": {kind: _share(row[f"won_{kind}"], row[f"ended_{kind}"]) for kind in ("new", "existing")},
        "win_rate_by_amount": {
            kind: _share(row[f"won_{kind}_amount"], row[f"ended_{kind}_amount"]) for kind in ("new", "existing")
        },
        "won_by_month": won,
        "unconverted": unconverted,
    }


def _speed(stage: str, seconds: list[float | None] | None) -> dict[str, Any]:
    """Say how long deals stood at a stage; at `won` how long from opening to winning."""
    median, ninetieth = seconds or (None, None)
    return {"stage": stage, "p50_seconds": median, "p90_seconds": ninetieth}


def _share(some: Any, of: Any) -> float | None:
    return float((some or 0) / of) if of else None


WON: Final = ("month", "count", "amount", "currency")
"""Of what was won by month as a table."""


async def won_by_month(
    conn: Connection, start: datetime, end: datetime, now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what was won in [start, end), by month in the zone of reports, and what no rate converts."""
    said = await store_leads.reporting(conn)
    rows = await conn.fetch(
        "WITH won AS (SELECT (ended_at AT TIME ZONE $3)::date AS day, amount, currency,"
        " in_base(amount, currency, (ended_at AT TIME ZONE $3)::date, $5, $3, $4) AS worth"
        " FROM opportunity WHERE stage = 'won' AND ended_at >= $1 AND ended_at < $2)"
        " SELECT to_char(day, 'YYYY-MM') AS month, currency, count(*) AS count, sum(worth) AS amount,"
        " sum(amount) FILTER (WHERE worth IS NULL) AS unconverted FROM won GROUP BY 1, 2 ORDER BY 1, 2",
        start,
        end,
        said.zone,
        now,
        said.base,
    )
    return _months(rows, said.base), [
        {"month": row["month"], "currency": row["currency"], "amount": money.shown(row["unconverted"])}
        for row in rows
        if row["unconverted"] is not None
    ]


def _months(rows: Sequence[Any], base: str) -> list[dict[str, Any]]:
    months: dict[str, dict[str, Any]] = {}
    for row in rows:
        month = months.setdefault(
            row["month"], {"month": row["month"], "count": 0, "amount": Decimal(0), "currency": base}
        )
        month["count"] += row["count"]
        month["amount"] += row["amount"] or 0
    return [{**month, "amount": money.shown(month["amount"])} for month in months.values()]
