"""Leaks: where leads are lost, with the leads behind each number."""

from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import cohort
from sla_monitor.domain import NOT_CLOSED
from sla_monitor.reports_meetings import MEETINGS
from sla_monitor.reports_persistence import MOST_IDS

KINDS: Final = ("slow", "capped", "neglected", "no_show", "declined_in_a_circle", "closed_without_outcome")
# A lead that went from rep to rep has been with sales since the first of them; one that came back later, since then.
_HELD: Final = f"""given AS (
    SELECT m.lead_id, a.assigned_at, a.released_at, a.outcome, a.without_outcome,
           lag(a.outcome) OVER (PARTITION BY a.lead_id ORDER BY a.cycle) AS outcome_before
    FROM member m JOIN assignment a ON a.lead_id = m.member_id WHERE {cohort.HELD}
), held AS (
    SELECT lead_id, bool_or(released_at IS NULL OR released_at > $3) AS is_open,
           max(assigned_at) FILTER (WHERE outcome_before IS NULL OR outcome_before <> ALL($4::text[])) AS since,
           coalesce(bool_or(without_outcome AND released_at <= $3), false) AS is_careless,
           count(*) FILTER (WHERE outcome IN ('declined', 'returned') AND released_at <= $3) AS declined
    FROM given GROUP BY lead_id
), marked AS (
    SELECT m.lead_id, bool_or(k.kind = 'qualified') AS is_qualified,
           bool_or(k.kind = 'waiting' AND k.word = 'no_capacity') AS is_capped
    FROM member m JOIN mark k ON k.lead_id = m.member_id
    WHERE k.kind IN ('qualified', 'waiting') AND k.recorded_at <= $3 GROUP BY m.lead_id
), last_touch AS (
    SELECT lead_id, max(at) AS at FROM touched GROUP BY lead_id
)"""  # noqa: S608
_LEAKS: Final = """leak (kind, lead_id) AS (
    SELECT 'slow', k.lead_id FROM keyed k LEFT JOIN held h USING (lead_id) LEFT JOIN marked m USING (lead_id)
    WHERE k.touched_at > k.created_at + interval '30 minutes' OR (
        k.touched_at IS NULL AND k.created_at + interval '30 minutes' < $3
        AND (h.lead_id IS NOT NULL OR coalesce(m.is_qualified, false)))
    UNION ALL SELECT 'capped', lead_id FROM marked WHERE is_capped
    -- `greatest` passes over NULL, so who was never touched counts from when sales got the lead.
    UNION ALL SELECT 'neglected', h.lead_id FROM held h LEFT JOIN last_touch t USING (lead_id)
    WHERE h.is_open AND greatest(t.at, h.since) <= $3 - interval '60 days'
    UNION ALL SELECT DISTINCT 'no_show', lead_id FROM meeting WHERE is_missed AND NOT is_rebooked
    UNION ALL SELECT 'declined_in_a_circle', lead_id FROM held WHERE declined >= 2
    UNION ALL SELECT 'closed_without_outcome', lead_id FROM held WHERE is_careless
)"""
_COUNTED: Final = """
SELECT kind, count(*) AS leads, (array_agg(lead_id ORDER BY lead_id))[1:$5] AS lead_ids FROM leak GROUP BY kind
"""


async def leaks(conn: Connection, start: datetime, end: datetime, *, as_of: datetime) -> list[dict[str, Any]]:
    """Return of each kind how many leads that arrived in [start, end) leak, and which (1,000 at most), as of `as_of`.

    slow: first touched later than 30 minutes after arrival, or not at all though it was qualified or assigned. capped:
    waited for a rep with room. neglected: open and 60 days untouched. no_show: a missed meeting, not booked again.
    declined_in_a_circle: declined or returned twice. closed_without_outcome: its rep did not say what came of it.
    """
    query = cohort.query("none", _HELD, MEETINGS, _LEAKS, _COUNTED)
    rows = await conn.fetch(query, start, end, as_of, list(NOT_CLOSED), MOST_IDS)
    found = {row["kind"]: row for row in rows}
    return [
        {
            "kind": kind,
            "leads": found[kind]["leads"] if kind in found else 0,
            "lead_ids": [str(one) for one in found[kind]["lead_ids"]] if kind in found else [],
        }
        for kind in KINDS
    ]
