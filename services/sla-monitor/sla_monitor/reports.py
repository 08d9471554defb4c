"""Speed to lead and attainment, from facts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection

# Set-based throughout: each fact is read once, whatever the number of leads.
_SPEED: Final = """
WITH RECURSIVE cohort AS (
    SELECT lead_id, created_at, source FROM lead
    WHERE NOT closed AND created_at >= $1 AND created_at < $2 AND known_at <= $3
), member (lead_id, member_id) AS (
    SELECT lead_id, lead_id FROM cohort
    UNION SELECT m.lead_id, s.subject_id FROM member m JOIN subject s ON s.merged_into = m.member_id
), touched AS (
    SELECT m.lead_id, t.rep_id, t.at FROM member m JOIN touch t ON t.lead_id = m.member_id
    WHERE NOT t.automated AND t.recorded_at <= $3
), first_touch AS (
    SELECT DISTINCT ON (lead_id) lead_id, at, rep_id FROM touched ORDER BY lead_id, at
), touches AS (
    SELECT lead_id, count(*) AS touches FROM touched GROUP BY lead_id
), first_assignment AS (
    SELECT DISTINCT ON (c.lead_id) c.lead_id, a.rep_id, a.team, a.assigned_at
    FROM cohort c JOIN assignment a ON a.lead_id = c.lead_id WHERE a.assigned_at <= $3 ORDER BY c.lead_id, a.cycle
), answered AS (
    SELECT a.lead_id, min(t.at) AS at FROM first_assignment a JOIN touched t USING (lead_id)
    WHERE t.rep_id = a.rep_id AND t.at >= a.assigned_at - interval '10 seconds' GROUP BY a.lead_id
), measured AS (
    SELECT KEY AS key, c.created_at, coalesce(n.touches, 0) AS touches, a.assigned_at,
           -- By CASE: `greatest` passes over NULL, and would give who was never touched zero seconds.
           CASE WHEN f.at IS NOT NULL THEN greatest(extract(epoch FROM f.at - c.created_at), 0)::float8 END
               AS from_arrival,
           CASE WHEN w.at IS NOT NULL THEN greatest(extract(epoch FROM w.at - a.assigned_at), 0)::float8 END
               AS from_assignment
    FROM cohort c LEFT JOIN first_touch f USING (lead_id) LEFT JOIN touches n USING (lead_id)
    LEFT JOIN first_assignment a USING (lead_id) LEFT JOIN answered w USING (lead_id)
    LEFT JOIN rep toucher ON toucher.rep_id = f.rep_id
)
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
FROM measured GROUP BY key ORDER BY key
"""
_LOCAL: Final = "INSTANT AT TIME ZONE (SELECT zone FROM setting)"
# PostgreSQL's weeks begin on Monday, so those of others are moved there.
_MOVED: Final = "(SELECT CASE week_starts WHEN 'sun' THEN 1 ELSE 0 END FROM setting) * interval '1 day'"
_HOUR: Final = f"to_char({_LOCAL}, 'HH24')"
_WEEK: Final = f"to_char(date_trunc('week', {_LOCAL} + {_MOVED}) - {_MOVED}, 'YYYY-MM-DD')"
_KEY: Final = {
    "none": "'all'",
    # Of a lead that nobody was given, as in another desk's history: who touched it first.
    "rep": "coalesce(a.rep_id, f.rep_id, '')",
    "team": "coalesce(a.team, toucher.team, '')",
    "source": "c.source",
    "hour": _HOUR.replace("INSTANT", "c.created_at"),
    "week": _WEEK.replace("INSTANT", "c.created_at"),
}


async def count_in(conn: Connection, zone: str, week_starts: str) -> None:
    """Count days, weeks and hours in this zone from now on."""
    await conn.execute("UPDATE setting SET zone = $1, week_starts = $2", zone, week_starts or "mon")


async def speed(conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime) -> list[dict[str, Any]]:
    """Return speed to lead of those that arrived in [start, end), as known at `as_of`.

    Seconds; percentiles by linear interpolation over the touched.
    """
    rows = await conn.fetch(_SPEED.replace("KEY", _KEY[by]), start, end, as_of)
    if not rows and by == "none":
        return [_group(None)]
    return [_group(row) for row in rows]


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
_ATTAINMENT: Final = """
SELECT KEY AS key, c.kind,
       count(*) FILTER (WHERE c.state = 'met') AS met,
       count(*) FILTER (WHERE c.state = 'breached') AS missed,
       count(*) FILTER (WHERE c.state = 'running') AS running
FROM clock c JOIN lead l USING (lead_id)
WHERE c.started_at >= $1 AND c.started_at < $2 AND c.state <> 'cancelled'
GROUP BY 1, c.kind ORDER BY 1, c.kind
"""
_ATTAINMENT_KEY: Final = {
    "none": "'all'",
    "rep": "c.rep_id",
    "team": "c.team",
    "source": "l.source",
    "hour": _HOUR.replace("INSTANT", "c.started_at"),
    "week": _WEEK.replace("INSTANT", "c.started_at"),
}


async def attainment(conn: Connection, start: datetime, end: datetime, *, by: str) -> list[dict[str, Any]]:
    """Return how many clocks that started in [start, end) were met and missed."""
    rows = await conn.fetch(_ATTAINMENT.replace("KEY", _ATTAINMENT_KEY[by]), start, end)
    groups = []
    for row in rows:
        decided = row["met"] + row["missed"]
        groups.append({**dict(row), "share": row["met"] / decided if decided else None})
    return groups


async def last_recorded(conn: Connection) -> datetime | None:
    """Return when the last fact that we read was recorded."""
    at: datetime | None = await conn.fetchval("SELECT max(recorded_at) FROM lead")
    return at


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
