"""Speed to lead, and what every report needs: the zone that it counts in, rows for a table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import cohort

_GIVEN: Final = f"""answered AS (
    SELECT h.key, h.lead_id, h.assigned_at, min(t.at) AS at FROM had h JOIN touched t ON {cohort.THEIRS}
    WHERE h.counts AND t.rep_id = h.rep_id AND t.at <= coalesce(h.over_at, 'infinity')
      -- What was done long before they had it answers nothing, as it meets no clock.
      AND t.at >= h.assigned_at - {cohort.BEFORE}
    GROUP BY h.key, h.lead_id, h.assigned_at
), measured AS (
    SELECT DISTINCT ON (h.key, h.lead_id) h.key,
           CASE WHEN w.at IS NOT NULL THEN greatest(extract(epoch FROM w.at - h.assigned_at), 0)::float8 END
               AS from_assignment
    FROM had h LEFT JOIN answered w USING (key, lead_id, assigned_at) WHERE h.counts
    ORDER BY h.key, h.lead_id, w.at, h.since
)"""  # noqa: S608
_TRIED: Final = f"""tried AS (
    SELECT h.key, count(t.touch_id)::float8 / count(DISTINCT h.lead_id) AS touches_per_lead
    FROM had h LEFT JOIN touched t ON {cohort.THEIRS} GROUP BY h.key
)"""  # noqa: S608
_PACE: Final = """TABLE AS (
    SELECT key, count(*) AS TABLE_leads, count(SECONDS) AS TABLE_touched,
           count(*) FILTER (WHERE SECONDS <= 300) AS TABLE_300,
           count(*) FILTER (WHERE SECONDS <= 1800) AS TABLE_1800,
           count(*) FILTER (WHERE SECONDS <= 86400) AS TABLE_86400,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY SECONDS) AS TABLE_p50,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY SECONDS) AS TABLE_p90
    FROM OF GROUP BY key
)"""
_ARRIVED: Final = _PACE.replace("TABLE", "arrived").replace("SECONDS", "from_arrival").replace("OF", "keyed")
_ASSIGNED: Final = _PACE.replace("TABLE", "assigned").replace("SECONDS", "from_assignment").replace("OF", "measured")
_SPEED: Final = """
SELECT * FROM arrived FULL JOIN assigned USING (key) LEFT JOIN tried USING (key)
"""


async def count_in(conn: Connection, zone: str, week_starts: str) -> None:
    """Count days, weeks and hours in this zone from now on; quiet hours that name none, and are no rep's, follow."""
    await conn.execute("UPDATE setting SET week_starts = $1", week_starts or "mon")
    await conn.execute(
        "UPDATE setting SET zone = $1, zone_version = zone_version + 1, zone_since = now(), recompute = true"
        " WHERE zone <> $1",
        zone,
    )


async def speed(conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime) -> list[dict[str, Any]]:
    """Return speed to lead of those that arrived in [start, end), as known at `as_of`.

    Seconds; percentiles by linear interpolation over the touched. From its assignment a lead counts for whoever had it
    first. By rep and by team it counts from its arrival for that one too, and from its assignment for each who had it,
    by the first time that they answered, with what was done meanwhile.
    """
    query = cohort.query(by, _GIVEN, _TRIED, _ARRIVED, _ASSIGNED, _SPEED)
    rows = await conn.fetch(query, start, end, as_of)
    if not rows and by == "none":
        return [_group(None)]
    return cohort.in_order((_group(row) for row in rows), by)


def _group(row: Any) -> dict[str, Any]:
    def side(name: str) -> dict[str, Any]:
        if row is None:
            return {**dict.fromkeys(_COUNTS, 0), "p50_seconds": None, "p90_seconds": None}
        leads, touched, *within = (row[f"{name}_{what}"] or 0 for what in ("leads", "touched", 300, 1800, 86400))
        counts = dict(zip(_COUNTS, (leads, touched, leads - touched, *within), strict=True))
        return {**counts, "p50_seconds": row[f"{name}_p50"], "p90_seconds": row[f"{name}_p90"]}

    return {
        "key": row["key"] if row is not None else "all",
        "from_arrival": side("arrived"),
        "from_assignment": side("assigned"),
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
