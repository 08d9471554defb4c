"""Persistence: how often leads are tried until somebody speaks with them, and which were given up too soon."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor import cohort, known, store_clocks, store_marks, verdicts
from sla_monitor.domain import CONNECTED, DEMOTED, NOT_CLOSED, Facts
from sla_monitor.reports import share
from sla_monitor.store_clocks import Clock

MOST_IDS: Final = 1000
"""How many lead ids stand behind a number; the number is the true one."""
MINIMUM_TOUCHES: Final = "minimum_touches"
_NOT_GIVEN_UP: Final = (*NOT_CLOSED, DEMOTED, "converted", "erased")
"""Outcomes of an assignment after which nobody gave the lead up: others work it, or its rep did not end that."""
_WORKED: Final = f"""numbered AS (
    SELECT h.key, h.lead_id, t.outcome,
           row_number() OVER (PARTITION BY h.key, h.lead_id ORDER BY t.at, t.touch_id) AS number
    FROM had h JOIN touched t ON {cohort.THEIRS}
), worked AS (
    SELECT key, lead_id, count(*) AS touches, min(number) FILTER (WHERE outcome = $4) AS until_contact
    FROM numbered GROUP BY key, lead_id
)"""  # noqa: S608
_TRIED: Final = """
SELECT k.key, count(*) AS leads, coalesce(sum(w.touches), 0)::float8 / count(*) AS touches_per_lead,
       count(w.until_contact) AS contacted, avg(w.until_contact)::float8 AS mean,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY w.until_contact) AS p50
FROM (SELECT DISTINCT key, lead_id FROM had) k LEFT JOIN worked w USING (key, lead_id) GROUP BY k.key
"""
_RELEASED: Final = """
SELECT DISTINCT WHOSE AS key, k.lead_id, m.member_id, a.cycle
FROM keyed k JOIN member m USING (lead_id) JOIN clock c ON c.lead_id = m.member_id
JOIN assignment a ON a.lead_id = c.lead_id AND a.cycle = c.cycle
WHERE c.kind = $4 AND a.released_at <= $3 AND coalesce(a.outcome, '') <> ALL($5::text[])
"""


async def persistence(
    conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime
) -> list[dict[str, Any]]:
    """Return how often leads that arrived in [start, end) were tried by humans, as known at `as_of`.

    What was done long before a lead arrived is no try of it, as it is no response in the report on speed.
    `touches_until_contact` counts to the first connected one, over the contacted. `given_up`: an assignment was closed,
    without a conversion, before the touches of its minimum_touches clock were done; nobody else works the lead then.
    By rep and by team a lead counts for each who had it, with what was done meanwhile, and who closed it gave it up.
    """
    rows = await conn.fetch(cohort.query(by, _WORKED, _TRIED), start, end, as_of, CONNECTED)
    given_up = await _given_up(conn, start, end, by, as_of)
    groups = [_group(dict(row), given_up.pop(row["key"], set())) for row in rows]
    # Of a lead that was merged away, whoever had it may have nothing else.
    groups += [_group({**_NOBODY, "key": key}, leads) for key, leads in given_up.items()]
    if not groups and by == "none":
        return [_group(_NOBODY, set())]
    return cohort.in_order(groups, by)


_NOBODY: Final = {"key": "all", "leads": 0, "touches_per_lead": None, "contacted": 0, "mean": None, "p50": None}


def _group(row: dict[str, Any], given_up: set[UUID]) -> dict[str, Any]:
    return {
        "key": row["key"],
        "leads": row["leads"],
        "touches_per_lead": row["touches_per_lead"],
        "contacted": row["contacted"],
        "contacted_share": share(row["contacted"], row["leads"]),
        "touches_until_contact": {"mean": row["mean"], "p50": row["p50"]},
        "given_up": {"leads": len(given_up), "lead_ids": [str(one) for one in sorted(given_up)[:MOST_IDS]]},
    }


async def _given_up(conn: Connection, start: datetime, end: datetime, by: str, as_of: datetime) -> dict[str, set[UUID]]:
    """Return who was given up, by key: of those whose assignment is over, whose touches were not done by then."""
    released = _RELEASED.replace("WHOSE", {"rep": "a.rep_id", "team": "a.team"}.get(by, "k.key"))
    rows = await conn.fetch(cohort.query(by, released), start, end, as_of, MINIMUM_TOUCHES, list(_NOT_GIVEN_UP))
    found: dict[str, set[UUID]] = {}
    for first in range(0, len(rows), known.AT_ONCE):
        some = rows[first : first + known.AT_ONCE]
        members = {row["member_id"] for row in some}
        about = await store_marks.facts(conn, members, as_of=as_of)
        clocks = await store_clocks.clocks(conn, members)
        for row in some:
            if _is_given_up(clocks[row["member_id"]], about[row["member_id"]], row["cycle"]):
                found.setdefault(row["key"], set()).add(row["lead_id"])
    return found


def _is_given_up(clocks: Sequence[Clock], about: Facts, cycle: int) -> bool:
    """Say whether an assignment ended too soon; what ended a clock before that, as a contact may, is not giving up."""
    assignment = about.assignments.get(cycle)
    if assignment is None or assignment.outcome in _NOT_GIVEN_UP:
        return False
    said = [
        verdicts.verdict(clock.terms, about, cycle)
        for clock in clocks
        if clock.cycle == cycle and clock.terms.kind == MINIMUM_TOUCHES
    ]
    return any(one.met_at is None and one.ended_at == assignment.released_at is not None for one in said)
