"""What a minute costs: how many leads became pipeline and revenue, by how soon somebody followed up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import cohort
from sla_monitor.domain import BEFORE_QUALIFIED, Marked
from sla_monitor.reports import share

BOUNDS: Final = (300, 900, 1800, 3600, 86_400)
"""Seconds from arrival to the first touch; each is the last that belongs to its bucket."""
BUCKETS: Final = (
    *(f"{low}-{high}" for low, high in zip((0, *BOUNDS[:-1]), BOUNDS, strict=True)),
    *("later", "never"),
)
OUTCOMES: Final = ("srl", "sql", "won")
_MARKS: Final = (Marked.SALES_READY, Marked.SALES_QUALIFIED, Marked.DEAL_OPENED, Marked.DEAL_MOVED)
NOTE: Final = (
    "Observational: who is called fast may differ from who is called late in other ways; the ratios do not promise"
    " what speed alone would change."
)
_Z: Final = NormalDist().inv_cdf(0.975)
# As in forecast's funnel: a stage counts for whoever reached it or a later one, so a deal that a rep opened by hand
# stands for an SRL, one that qualified for an SQL. Of what was told of a deal, the last says how it stands.
_BECAME: Final = """deal AS (
    SELECT m.lead_id, k.ref, k.kind = $7 AS is_opening, k.recorded_at, k.at, k.word AS stage
    FROM member m JOIN mark k ON k.lead_id = m.member_id WHERE k.kind IN ($7, $8) AND k.recorded_at <= $3
), stands AS (
    SELECT DISTINCT ON (lead_id, ref) lead_id, stage = 'won' AS won FROM deal
    ORDER BY lead_id, ref, is_opening, recorded_at DESC, at DESC
), reached (lead_id, sql, won) AS (
    SELECT m.lead_id, k.kind = $6, false FROM member m JOIN mark k ON k.lead_id = m.member_id
    WHERE k.kind IN ($5, $6) AND k.recorded_at <= $3
    UNION ALL SELECT lead_id, stage <> ALL($9::text[]), false FROM deal
    UNION ALL SELECT lead_id, won, won FROM stands
), became AS (
    SELECT lead_id, true AS srl, bool_or(sql) AS sql, bool_or(won) AS won FROM reached GROUP BY lead_id
), bucketed AS (
    SELECT k.key, k.lead_id, CASE WHEN k.from_arrival IS NULL THEN cardinality($4::float8[]) + 1
           ELSE (SELECT count(*) FROM unnest($4::float8[]) AS bound WHERE bound < k.from_arrival) END AS bucket
    FROM keyed k
)"""
_CONVERTED: Final = """
SELECT key, bucket, count(*) AS leads, count(*) FILTER (WHERE srl) AS srl, count(*) FILTER (WHERE sql) AS sql,
       count(*) FILTER (WHERE won) AS won
FROM bucketed LEFT JOIN became USING (lead_id) GROUP BY key, bucket
"""


async def conversion(
    conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime
) -> list[dict[str, Any]]:
    """Return by response time (seconds from arrival to the first human touch) what became of leads, as of `as_of`.

    Leads that arrived in [start, end), in all buckets: how many there are and became SRL, SQL and won, with shares.
    `odds`: of each outcome the odds ratio of the fastest bucket against all others, with its 95 % interval.
    """
    query = cohort.query(by, _BECAME, _CONVERTED)
    given = ([float(one) for one in BOUNDS], *map(str, _MARKS), list(BEFORE_QUALIFIED))
    rows = await conn.fetch(query, start, end, as_of, *given)
    counted: dict[str, dict[int, Any]] = {"all": {}} if by == "none" else {}
    for row in rows:
        counted.setdefault(row["key"], {})[row["bucket"]] = row
    return cohort.in_order((_group(key, buckets) for key, buckets in counted.items()), by)


def _group(key: str, found: Mapping[int, Any]) -> dict[str, Any]:
    buckets = []
    for number, name in enumerate(BUCKETS):
        row = found.get(number, dict.fromkeys(("leads", *OUTCOMES), 0))
        counts = {outcome: row[outcome] for outcome in OUTCOMES}
        shares = {f"{outcome}_share": share(count, row["leads"]) for outcome, count in counts.items()}
        buckets.append({"bucket": name, "leads": row["leads"], **counts, **shares})
    return {"key": key, "buckets": buckets, "odds": {outcome: _odds(buckets, outcome) for outcome in OUTCOMES}}


def _odds(buckets: Sequence[Mapping[str, Any]], outcome: str) -> dict[str, float | None]:
    fastest, others = buckets[0], buckets[1:]
    reached = sum(one[outcome] for one in others)
    return odds_ratio(
        fastest[outcome], fastest["leads"] - fastest[outcome], reached, sum(one["leads"] for one in others) - reached
    )


def odds_ratio(reached: int, not_reached: int, others: int, not_others: int) -> dict[str, float | None]:
    """Return an odds ratio with its 95 % interval by Woolf's logit; None throughout where a cell is 0."""
    cells = (reached, not_reached, others, not_others)
    if 0 in cells:
        return {"ratio": None, "low": None, "high": None}
    at = log(reached * not_others / (not_reached * others))
    reach = _Z * sqrt(sum(1 / cell for cell in cells))
    return {"ratio": exp(at), "low": exp(at - reach), "high": exp(at + reach)}


def as_rows(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a bucket; the odds ratios stand with the fastest one, which they are of."""
    return [
        {
            "key": group["key"],
            **bucket,
            **{
                f"{outcome}_odds.{name}": value if bucket["bucket"] == BUCKETS[0] else None
                for outcome, odds in group["odds"].items()
                for name, value in odds.items()
            },
            "note": NOTE,
        }
        for group in groups
        for bucket in group["buckets"]
    ]
