"""Speed to lead, and what every report needs: the zone that it counts in, rows for a table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import cohort

_TOUCHES: Final = "touches AS (SELECT lead_id, count(*) AS touches FROM touched GROUP BY lead_id)"
_MEASURED: Final = """answered AS (
    SELECT a.lead_id, min(t.at) AS at FROM first_assignment a JOIN touched t USING (lead_id)
    WHERE t.rep_id = a.rep_id AND t.at >= a.assigned_at - interval '10 seconds'
      AND t.at <= coalesce(a.over_at, 'infinity') GROUP BY a.lead_id
), measured AS (
    SELECT k.key, coalesce(n.touches, 0) AS touches, k.assigned_at, k.from_arrival,
           CASE WHEN w.at IS NOT NULL THEN greatest(extract(epoch FROM w.at - k.assigned_at), 0)::float8 END
               AS from_assignment
    FROM keyed k LEFT JOIN touches n USING (lead_id) LEFT JOIN answered w USING (lead_id)
)"""
_SPEED: Final = """
SELECT key, count(*) AS leads, count(from_arrival) AS touched,
       count(*) FILTER (WHERE from_arrival <= 300) AS within_300,
       count(*) FILTER (WHERE from_arrival <= 1800) AS within_1800,
       count(*) FILTER (WHERE from_arrival <= 86400) AS within_86400,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY from_arrival) AS p50,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY from_arrival) AS p90,
       count(assigned_at) AS assigned, count(from_assignment) AS answered,
       count(*) FILTER (WHERE from_assignment <= 300) AS answered_300,
       count(*) FILTER (WHERE from_assignment <= 1800) AS answered_1800,
       count(*) FILTER (WHERE from_assignment <= 86400) AS answered_86400,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY from_assignment) AS answered_p50,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY from_assignment) AS answered_p90,
       sum(touches)::float8 / count(*) AS touches_per_lead
FROM measured GROUP BY key
"""


async def count_in(conn: Connection, zone: str, week_starts: str) -> None:
    """Count days, weeks and hours in this zone from now on."""
    await conn.execute("UPDATE setting SET zone = $1, week_starts = $2", zone, week_starts or "mon")


async def speed(conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime) -> list[dict[str, Any]]:
    """Return speed to lead of those that arrived in [start, end), as known at `as_of`.

    Seconds; percentiles by linear interpolation over the touched.
    """
    rows = await conn.fetch(cohort.query(by, _TOUCHES, _MEASURED, _SPEED), start, end, as_of)
    if not rows and by == "none":
        return [_group(None)]
    return cohort.in_order((_group(row) for row in rows), by)


def _group(row: Any) -> dict[str, Any]:
    def side(total: str, touched: str, prefix: str, p50: str, p90: str) -> dict[str, Any]:
        if row is None:
            return {**dict.fromkeys(_COUNTS, 0), "p50_seconds": None, "p90_seconds": None}
        counts = [row[total], row[touched], row[total] - row[touched]]
        counts += [row[f"{prefix}_{seconds}"] for seconds in (300, 1800, 86400)]
        return {**dict(zip(_COUNTS, counts, strict=True)), "p50_seconds": row[p50], "p90_seconds": row[p90]}

    return {
        "key": row["key"] if row is not None else "all",
        "from_arrival": side("leads", "touched", "within", "p50", "p90"),
        "from_assignment": side("assigned", "answered", "answered", "answered_p50", "answered_p90"),
        "touches_per_lead": row["touches_per_lead"] if row is not None else None,
    }


_COUNTS: Final = (
    "leads",
    "touched",
    "never_touched",
    "within_300_seconds",
    "within_1800_seconds",
    "within_86400_seconds",
)


def share(part: int, whole: int) -> float | None:
    """Return a fraction; None of nothing."""
    return part / whole if whole else None


def flat(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return groups as rows of a table, nested fields with a dot in their names."""
    return [
        {
            (f"{name}.{inner}" if isinstance(value, dict) else name): (
                value[inner] if isinstance(value, dict) else value
            )
            for name, value in group.items()
            for inner in (value if isinstance(value, dict) else [""])
        }
        for group in groups
    ]
