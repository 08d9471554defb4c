"""How far leads came, as cohorts of their creation, and how fast and how much is won: the four Vs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from forecast import money, store, store_leads

BANDS: Final = {"srl": (0.20, 0.40), "sql": (0.80, 0.90), "won": (0.30, 0.75)}
"""Healthy conversions from the stage before: MQL->SRL, SRL->SQL, SQL->won."""
STAGES: Final = ("lead", "mql", "srl", "sql", "won")

_NOW: Final = """
SELECT lead_id, stage, type, opened_at, qualified_at, ended_at, amount, currency FROM opportunity
"""
_THEN: Final = """
SELECT * FROM unnest($6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                     $12::numeric[], $13::text[])
    AS v(lead_id, stage, type, opened_at, qualified_at, ended_at, amount, currency)
"""
_DEAL_COLUMNS: Final = ("stage", "qualified_at", "ended_at", "amount", "currency")

# A stage counts for whoever reached it or a later one, so that no share exceeds one: a deal that a rep opened by hand
# stands for an SRL, one that qualified for an SQL.
_FUNNEL: Final = """
WITH RECURSIVE member AS (
    SELECT l.lead_id, l.lead_id AS root FROM lead l JOIN subject s ON s.subject_id = l.lead_id
    WHERE s.merged_into IS NULL AND l.created_at >= $1 AND l.created_at < $2 AND l.recorded_at <= $4
    UNION SELECT s.subject_id, m.root FROM member m JOIN subject s ON s.merged_into = m.lead_id
), deal AS (DEALS), reached AS (
    SELECT m.root, bool_or(stage = 'mql') AS mql, bool_or(stage = 'srl') AS srl, bool_or(stage = 'sql') AS sql,
           (array_agg(definition ORDER BY at) FILTER (WHERE stage IN ('mql', 'srl')))[1] AS definition,
           (array_agg(stage ORDER BY at DESC))[1] = 'disqualified' AS is_out
    FROM member m JOIN milestone USING (lead_id) WHERE recorded_at <= $4 GROUP BY 1
), sold AS (
    SELECT m.root, true AS srl, bool_or(d.qualified_at IS NOT NULL) AS sql, bool_or(d.stage = 'won') AS won,
           bool_and(d.ended_at IS NOT NULL) AS is_over,
           sum(in_base(d.amount, d.currency, (d.ended_at AT TIME ZONE $3)::date, $5, $3, $4))
               FILTER (WHERE d.stage = 'won') AS amount
    FROM member m JOIN deal d USING (lead_id) WHERE d.type <> 'renewal' GROUP BY 1
), lead_at AS (
    SELECT l.created_at, l.source, coalesce(r.definition, '') AS definition, s.amount,
           coalesce(s.won, false) AS won, coalesce(r.sql OR s.sql, r.sql, s.sql, false) AS sql,
           coalesce(r.srl OR s.srl, r.srl, s.srl, false) AS srl, coalesce(r.mql, false) AS mql,
           coalesce(r.is_out, false) OR coalesce(s.is_over, false) AS is_out
    FROM member m JOIN lead l ON l.lead_id = m.root LEFT JOIN reached r ON r.root = m.root
        LEFT JOIN sold s ON s.root = m.root
    WHERE m.lead_id = m.root
), step AS (
    SELECT KEY AS key, amount, is_out, won, (sql OR won) AS sql, (srl OR sql OR won) AS srl,
           (mql OR srl OR sql OR won) AS mql FROM lead_at l
)
SELECT key, count(*) AS lead, count(*) FILTER (WHERE mql) AS mql, count(*) FILTER (WHERE srl) AS srl,
       count(*) FILTER (WHERE sql) AS sql, count(*) FILTER (WHERE won) AS won, sum(amount) AS amount,
       count(*) FILTER (WHERE NOT mql AND NOT is_out) AS mql_censored,
       count(*) FILTER (WHERE mql AND NOT srl AND NOT is_out) AS srl_censored,
       count(*) FILTER (WHERE srl AND NOT sql AND NOT is_out) AS sql_censored,
       count(*) FILTER (WHERE sql AND NOT won AND NOT is_out) AS won_censored
FROM step WHERE $3::text IS NOT NULL GROUP BY 1 ORDER BY 1
"""
_KEY: Final = {
    None: "'all'",
    "week": "to_char(date_trunc('week', (l.created_at AT TIME ZONE $3) + SHIFT) - SHIFT, 'YYYY-MM-DD')",
    "month": "to_char(l.created_at AT TIME ZONE $3, 'YYYY-MM')",
    "source": "l.source",
    "definition": "l.definition",
}

COLUMNS: Final = (
    *("key", "amount", "stage", "count", "conversion_from_previous", "conversion_from_all"),
    *("conversion_from_qualified", "band", "verdict", "censored"),
)
"""Of the funnel as a table: a row a group and stage."""


async def funnel(
    conn: Connection, start: datetime, end: datetime, *, by: str | None, as_of: datetime | None, now: datetime
) -> list[dict[str, Any]]:
    """Return how far the leads created in [start, end) came, as it was known at an instant."""
    said = await store_leads.reporting(conn)
    shift = "interval '1 day'" if said.week_starts == "sun" else "interval '0'"
    query = _FUNNEL.replace("KEY", _KEY[by].replace("SHIFT", shift)).replace("DEALS", _NOW if as_of is None else _THEN)
    deals = await _deals_then(conn, as_of) if as_of is not None else []
    rows = await conn.fetch(query, start, end, said.zone, as_of or now, said.base, *deals)
    return [{"key": row["key"], "stages": _stages(row)} for row in rows]


async def _deals_then(conn: Connection, as_of: datetime) -> list[list[Any]]:
    deals = [deal for deal in await store.known_by(conn, as_of) if deal.lead_id is not None]
    columns: dict[str, list[Any]] = {name: [getattr(deal.state, name) for deal in deals] for name in _DEAL_COLUMNS}
    columns |= {name: [getattr(deal, name) for deal in deals] for name in ("lead_id", "type", "opened_at")}
    order = ("lead_id", "stage", "type", "opened_at", "qualified_at", "ended_at", "amount", "currency")
    return [columns[name] for name in order]


def _stages(row: Any) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = []
    before: int | None = None
    for stage in STAGES:
        count = row[stage]
        from_previous = count / before if before else None
        band = BANDS.get(stage)
        stages.append(
            {
                "stage": stage,
                "count": count,
                **({"amount": money.shown(row["amount"])} if stage == "won" else {}),
                "conversion_from_previous": from_previous,
                "conversion_from_all": count / row["lead"] if row["lead"] else None,
                "conversion_from_qualified": count / row["mql"] if row["mql"] and stage != "lead" else None,
                "band": list(band) if band is not None else None,
                "verdict": _verdict(from_previous, band),
                "censored": row[f"{stage}_censored"] if stage != "lead" else 0,
            }
        )
        before = count
    return stages


def _verdict(share: float | None, band: tuple[float, float] | None) -> str | None:
    if share is None or band is None:
        return None
    return "below" if share < band[0] else "above" if share > band[1] else "in band"


def as_rows(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a funnel as a table: one row a group and stage."""
    return [{"key": group["key"], "amount": None, **stage} for group in groups for stage in group["stages"]]
