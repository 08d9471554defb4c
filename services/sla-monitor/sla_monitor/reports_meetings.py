"""Meetings: booked, held, cancelled, missed; and what became of the missed ones."""

from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import cohort
from sla_monitor.store_reps import team_of

REASONS: Final = ("lost_interest", "wrong_time", "unreachable", "unknown")
"""Why a missed meeting was not booked again."""
COUNTS: Final = ("booked", "held", "cancelled", "missed", "rebooked")
# A meeting counts when it was booked, else when it begins.
# A missed one is looked at from its start on: as it says itself, else the last one that had passed when it was noted,
# since it may have been moved. Who books again often does so before anybody notes that nobody came. Its own booking is
# not another.
# Booked again under its name it is another meeting, which may be missed, too; told twice, a miss is one.
# Which booking a miss or a cancellation is about, meetings.of says in the same way.
MEETINGS: Final = """said AS (
    SELECT m.lead_id, k.mark_id, k.kind, k.at, k.word, k.until,
           CASE WHEN k.host_known_at > $3 THEN '' ELSE k.rep_id END AS rep_id,
           coalesce(nullif(k.ref, ''), k.until::text) IS NULL AS is_unnamed,
           coalesce(nullif(k.ref, ''), k.until::text, k.mark_id::text) AS ref
    FROM member m JOIN mark k ON k.lead_id = m.member_id
    WHERE k.kind IN ('meeting_booked', 'meeting_cancelled', 'meeting_missed', 'no_show') AND k.recorded_at <= $3
), about AS (
    SELECT DISTINCT ON (s.mark_id) s.mark_id, b.ref FROM said s
    JOIN said b ON b.lead_id = s.lead_id AND b.kind = 'meeting_booked'
     AND (b.ref = s.ref OR b.until = s.until OR (s.is_unnamed AND
          CASE s.kind WHEN 'meeting_missed' THEN coalesce(b.until, b.at) ELSE b.at END <= s.at))
    WHERE s.kind IN ('meeting_cancelled', 'meeting_missed')
    ORDER BY s.mark_id, b.ref = s.ref DESC, b.until = s.until DESC NULLS LAST,
             CASE s.kind WHEN 'meeting_missed' THEN coalesce(b.until, b.at) ELSE b.at END DESC, b.mark_id DESC
), told AS (
    SELECT s.mark_id, s.lead_id, s.kind, s.at, s.rep_id, s.word, s.until, coalesce(a.ref, s.ref) AS ref
    FROM said s LEFT JOIN about a USING (mark_id)
), began AS (
    SELECT DISTINCT ON (m.mark_id) m.lead_id, m.ref, m.at, m.rep_id, m.until, coalesce(t.until, m.at) AS since,
           coalesce(t.until, t.at, m.at) AS sitting
    FROM told m LEFT JOIN told t ON t.lead_id = m.lead_id AND t.ref = m.ref AND coalesce(t.until, t.at) <= m.at
     AND (t.kind = 'meeting_booked' OR (t.kind = 'meeting_missed' AND t.until IS NOT NULL))
    WHERE m.kind = 'meeting_missed'
    ORDER BY m.mark_id, t.until = m.until DESC NULLS LAST, coalesce(t.until, t.at) DESC NULLS LAST,
             t.until DESC NULLS LAST
), missed AS (
    SELECT lead_id, ref, min(at) AS missed_at, min(since) AS since,
           row_number() OVER (PARTITION BY lead_id, ref ORDER BY sitting) - 1 AS number,
           lead(min(since)) OVER (PARTITION BY lead_id ORDER BY min(since)) AS until,
           (array_agg(until ORDER BY at DESC) FILTER (WHERE until IS NOT NULL))[1] AS starts_at,
           (array_agg(rep_id ORDER BY at DESC) FILTER (WHERE rep_id <> ''))[1] AS rep_id
    FROM began GROUP BY lead_id, ref, sitting
), behind AS (
    SELECT t.mark_id, count(*) AS number FROM told t JOIN missed m ON m.lead_id = t.lead_id AND m.ref = t.ref
     AND least(t.at, t.until) > m.since GROUP BY t.mark_id
), booked AS (
    SELECT t.lead_id, t.ref, coalesce(b.number, 0) AS number,
           min(t.at) FILTER (WHERE t.kind = 'meeting_booked') AS booked_at,
           max(t.at) FILTER (WHERE t.kind = 'meeting_booked') AS moved_at,
           max(t.at) FILTER (WHERE t.kind = 'meeting_cancelled') AS cancelled_at,
           (array_agg(t.until ORDER BY t.kind = 'meeting_booked' DESC, t.at DESC)
               FILTER (WHERE t.until IS NOT NULL))[1] AS starts_at,
           (array_agg(t.rep_id ORDER BY t.at DESC) FILTER (WHERE t.rep_id <> ''))[1] AS rep_id
    FROM told t LEFT JOIN behind b USING (mark_id) WHERE t.kind IN ('meeting_booked', 'meeting_cancelled')
    GROUP BY 1, 2, 3
), again AS (
    SELECT DISTINCT m.lead_id, m.ref, m.number, true AS booked
    FROM missed m JOIN told t ON t.lead_id = m.lead_id AND t.kind = 'meeting_booked' AND t.at >= m.since
     AND NOT (t.ref = m.ref AND coalesce(t.until, t.at) <= m.since)
), word AS (
    SELECT DISTINCT ON (m.lead_id, m.ref, m.number) m.lead_id, m.ref, m.number, t.word
    FROM missed m JOIN told t ON t.lead_id = m.lead_id AND t.kind = 'no_show' AND t.at >= m.since
     AND (m.until IS NULL OR t.at < m.until)
    ORDER BY m.lead_id, m.ref, m.number, t.at DESC
), meeting AS (
    SELECT lead_id, n.booked_at, coalesce(n.starts_at, m.starts_at) AS starts_at,
           coalesce(n.rep_id, m.rep_id) AS rep_id, m.missed_at IS NOT NULL AS is_missed,
           coalesce(n.booked_at, n.starts_at, m.starts_at, m.missed_at, n.cancelled_at) AS at,
           m.missed_at IS NULL AND n.cancelled_at IS NOT NULL
               AND (n.moved_at IS NULL OR n.moved_at <= n.cancelled_at) AS is_cancelled,
           m.missed_at IS NOT NULL AND (coalesce(w.word = 'rebooked', false) OR coalesce(a.booked, false))
               AS is_rebooked,
           CASE WHEN w.word IN ('lost_interest', 'wrong_time', 'unreachable') THEN w.word ELSE 'unknown' END AS why
    FROM booked n FULL JOIN missed m USING (lead_id, ref, number)
        LEFT JOIN again a USING (lead_id, ref, number) LEFT JOIN word w USING (lead_id, ref, number)
    WHERE n.booked_at IS NOT NULL OR number = 0
)"""
# Whoever has a meeting in the span, by any fact that may put one there; merged leads' meetings are their survivors'.
_WHO: Final = f"""concerned AS (
    SELECT lead_id FROM mark
    WHERE kind IN ('meeting_booked', 'meeting_cancelled', 'meeting_missed') AND recorded_at <= $3
      AND ((at >= $1 AND at < $2) OR (until >= $1 AND until < $2))
    UNION SELECT lead_id FROM touch
    WHERE kind = 'meeting' AND outcome = 'connected' AND NOT automated AND recorded_at <= $3 AND at >= $1 AND at < $2
), up (lead_id) AS (
    SELECT lead_id FROM concerned
    UNION {cohort.UP}
), cohort AS (
    SELECT n.lead_id, n.source FROM up JOIN known n USING (lead_id) WHERE {cohort.APART}
)"""  # noqa: S608
_SAT: Final = """unbooked AS (
    SELECT m.lead_id, t.at, t.rep_id FROM member m JOIN touch t ON t.lead_id = m.member_id
    WHERE t.kind = 'meeting' AND t.outcome = 'connected' AND NOT t.automated AND t.recorded_at <= $3
      AND NOT EXISTS (
          SELECT FROM meeting b
          WHERE b.lead_id = m.lead_id AND b.booked_at <= t.at AND NOT b.is_cancelled AND NOT b.is_missed
      )
), sat AS (
    SELECT lead_id, at, starts_at, rep_id, booked_at IS NOT NULL AS booked, is_cancelled AS cancelled,
           is_missed AS missed, is_rebooked AS rebooked, why,
           booked_at IS NOT NULL AND coalesce(starts_at <= $3, false) AND NOT is_cancelled AND NOT is_missed AS held
    FROM meeting
    UNION ALL SELECT lead_id, at, at, rep_id, false, false, false, false, 'unknown', true FROM unbooked
)"""
# A meeting is of whom its booking names as its host, else of who had the lead when it began.
_COUNTED: Final = f"""
SELECT KEY AS key, count(*) FILTER (WHERE s.booked) AS booked, count(*) FILTER (WHERE s.held) AS held,
       count(*) FILTER (WHERE s.cancelled) AS cancelled, count(*) FILTER (WHERE s.missed) AS missed,
       count(*) FILTER (WHERE s.rebooked) AS rebooked,
       count(*) FILTER (WHERE s.missed AND NOT s.rebooked AND s.why = 'lost_interest') AS lost_interest,
       count(*) FILTER (WHERE s.missed AND NOT s.rebooked AND s.why = 'wrong_time') AS wrong_time,
       count(*) FILTER (WHERE s.missed AND NOT s.rebooked AND s.why = 'unreachable') AS unreachable,
       count(*) FILTER (WHERE s.missed AND NOT s.rebooked AND s.why = 'unknown') AS unknown
FROM sat s JOIN cohort c USING (lead_id)
LEFT JOIN LATERAL (
    SELECT a.rep_id, a.team FROM assignment a
    WHERE a.lead_id = s.lead_id AND a.assigned_at <= coalesce(s.starts_at, s.at) AND {cohort.HELD}
    ORDER BY a.assigned_at DESC LIMIT 1
) a ON s.rep_id IS NULL
WHERE s.at >= $1 AND s.at < $2 GROUP BY 1
"""  # noqa: S608


async def meetings(
    conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime
) -> list[dict[str, Any]]:
    """Return what became of meetings that were booked in [start, end), or begin there if no booking is known.

    As known at `as_of`, each once. Held are those whose start has passed by then, and meetings that a rep logged where
    none was booked, or none that was not called off or missed. `not_rebooked` says why, of the missed ones.
    """
    key = cohort.key(
        by,
        "s.at",
        rep="coalesce(s.rep_id, a.rep_id, '')",
        team=f"coalesce({team_of('s.rep_id', 'coalesce(s.starts_at, s.at)')}, a.team, '')",
        source="c.source",
    )
    query = cohort.statement(cohort.THEN, _WHO, cohort.MEMBERS, MEETINGS, _SAT, _COUNTED.replace("KEY", key))
    rows = [dict(row) for row in await conn.fetch(query, start, end, as_of)]
    if not rows and by == "none":
        rows = [{"key": "all", **dict.fromkeys((*COUNTS, *REASONS), 0)}]
    groups = (
        {
            "key": row["key"],
            **{name: row[name] for name in COUNTS},
            "not_rebooked": {reason: row[reason] for reason in REASONS},
        }
        for row in rows
    )
    return cohort.in_order(groups, by)
