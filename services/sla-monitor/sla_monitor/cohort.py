"""Whom a report is about and what was known of them then, as parts of queries: the span is $1 to $2, `as_of` is $3.

Set-based throughout: each fact is read once, whatever the number of leads. Merged leads count under their survivor.
"""

from collections.abc import Iterable
from typing import Any, Final

from backbone.calendars import DAYS
from sla_monitor.store_links import HOLDS
from sla_monitor.store_reps import team_of

_LINKED: Final = HOLDS.replace("UPTO", "$3")
# What a lead was then: until a merge or a correction, it was of another age, source or arrival.
THEN: Final = """outdated AS (
    SELECT DISTINCT ON (lead_id) lead_id, created_at, source, arrived_at FROM lead_before
    WHERE until > $3 ORDER BY lead_id, until
), known AS NOT MATERIALIZED (
    SELECT l.lead_id, l.created_at, l.source, l.arrived_at, l.known_at FROM lead l
    WHERE l.lead_id NOT IN (SELECT lead_id FROM outdated)
    UNION ALL SELECT o.lead_id, o.created_at, o.source, coalesce(o.arrived_at, l.arrived_at), l.known_at
    FROM outdated o JOIN lead l USING (lead_id)
)"""
APART: Final = f"NOT EXISTS (SELECT FROM link k WHERE k.member_id = n.lead_id AND {_LINKED})"
"""Of a row `n` of `known`: it was a lead of its own."""
ARRIVED: Final = f"""cohort AS (
    SELECT n.lead_id, n.created_at, n.source FROM known n
    WHERE n.created_at >= $1 AND n.created_at < $2 AND n.known_at <= $3 AND {APART}
)"""  # noqa: S608
HELD: Final = """a.recorded_at <= $3 AND (NOT a.moved OR EXISTS (
    SELECT FROM link k WHERE k.survivor_id = a.lead_id AND k.since <= $3
))"""
"""Of an assignment `a`: it was known, also if a merge moved it to the survivor with the instant that it had.

There it stays, though the merge be undone.
"""
UP: Final = f"SELECT k.survivor_id FROM up JOIN link k ON k.member_id = up.lead_id WHERE {_LINKED}"  # noqa: S608
"""From leads in `up` to those that they were merged into."""
MEMBERS: Final = f"""member (lead_id, member_id) AS (
    SELECT lead_id, lead_id FROM cohort
    UNION SELECT m.lead_id, k.member_id FROM member m JOIN link k ON k.survivor_id = m.member_id AND {_LINKED}
)"""  # noqa: S608
BEFORE: Final = "interval '10 seconds'"
"""How long before an arrival or an assignment a touch may be that is its own: clocks of machines differ."""
_KEYED: Final = f"""touched AS (
    -- What was done long before it arrived answers nothing, as it meets no clock, and is no try of it.
    SELECT m.lead_id, m.member_id, t.touch_id, t.rep_id, t.outcome, t.at
    FROM cohort c JOIN member m USING (lead_id) JOIN touch t ON t.lead_id = m.member_id
    WHERE NOT t.automated AND t.recorded_at <= $3 AND t.at >= c.created_at - {BEFORE}
), first_touch AS (
    SELECT DISTINCT ON (lead_id) lead_id, at, rep_id FROM touched ORDER BY lead_id, at, touch_id
), begun AS (
    SELECT m.lead_id, m.member_id, a.rep_id, a.team, a.cycle, a.assigned_at, a.moved,
           CASE WHEN a.released_at <= $3 THEN a.released_at END AS over_at,
           -- Who got it by a merge had it from then on, however long they had had the other one.
           CASE WHEN a.moved THEN greatest(a.assigned_at, a.recorded_at) ELSE a.assigned_at END AS began
    FROM member m JOIN assignment a ON a.lead_id = m.member_id WHERE {HELD}
), turn AS (
    SELECT *, CASE WHEN row_number() OVER cycles > 1 THEN began ELSE '-infinity' END AS since,
           -- Since when touches of its own rep are its own. Who has it again does not lose what they did before.
           CASE WHEN row_number() OVER cycles > 1 THEN least(began, greatest(
               began - {BEFORE}, lag(began) OVER cycles,
               CASE WHEN lag(rep_id) OVER cycles = rep_id
                   THEN coalesce(lag(over_at) OVER cycles + interval '1 microsecond', began) END
           )) ELSE '-infinity' END AS its_since
    FROM begun WINDOW cycles AS (PARTITION BY lead_id, member_id ORDER BY cycle)
), tenure AS (
    SELECT *, coalesce(lead(since) OVER cycles, 'infinity') AS until, lead(rep_id) OVER cycles AS next_rep,
           coalesce(lead(its_since) OVER cycles, 'infinity') AS nexts_since
    FROM turn WINDOW cycles AS (PARTITION BY lead_id, member_id ORDER BY cycle)
), first_assignment AS (
    -- The survivor's own; of one that got it by a merge, the other one's.
    SELECT DISTINCT ON (lead_id) * FROM tenure WHERE since = '-infinity'
    ORDER BY lead_id, moved, member_id <> lead_id, assigned_at
), keyed AS (
    SELECT KEY AS key, c.lead_id, c.created_at, f.at AS touched_at, a.assigned_at, a.rep_id AS given_to,
           -- By CASE: `greatest` passes over NULL, and would give who was never touched zero seconds.
           CASE WHEN f.at IS NOT NULL THEN greatest(extract(epoch FROM f.at - c.created_at), 0)::float8 END
               AS from_arrival
    FROM cohort c LEFT JOIN first_touch f USING (lead_id) LEFT JOIN first_assignment a USING (lead_id)
), had AS (
    SELECT WHO AS key, t.lead_id, t.member_id, t.rep_id, t.assigned_at, t.over_at, t.since, t.its_since, t.until,
           t.nexts_since, t.next_rep, COUNTS AS counts
    FROM tenure t JOIN keyed k USING (lead_id)
    UNION ALL SELECT k.key, k.lead_id, m.member_id, NULL, NULL, NULL, '-infinity', '-infinity', 'infinity', 'infinity',
           NULL, false
    FROM keyed k JOIN member m USING (lead_id) WHERE NOT EXISTS (
        SELECT FROM tenure t WHERE t.lead_id = k.lead_id AND t.member_id = m.member_id
    )
)"""  # noqa: S608
THEIRS: Final = """t.lead_id = h.lead_id AND t.member_id = h.member_id
    AND t.at >= CASE WHEN t.rep_id = h.rep_id THEN h.its_since ELSE h.since END
    AND t.at < CASE WHEN t.rep_id = h.next_rep THEN h.nexts_since ELSE h.until END"""
"""Of a touch `t` of `touched`: it is one of those of `had` as `h`. Each is one of exactly one of them."""
_LOCAL: Final = "INSTANT AT TIME ZONE (SELECT zone FROM setting)"
# PostgreSQL's weeks begin on Monday, so those of others are moved there.
_MOVED: Final = "(SELECT CASE week_starts WHEN 'sun' THEN 1 ELSE 0 END FROM setting) * interval '1 day'"
_MOMENTS: Final = {
    "hour": f"to_char({_LOCAL}, 'HH24')",
    "weekday": f"to_char({_LOCAL}, 'dy')",
    "week": f"to_char(date_trunc('week', {_LOCAL} + {_MOVED}) - {_MOVED}, 'YYYY-MM-DD')",
}


def key(by: str, instant: str, *, rep: str, team: str, source: str) -> str:
    """Return the expression that rows are grouped by: one of these, or a moment in the zone that reports count in."""
    named = {"none": "'all'", "rep": rep, "team": team, "source": source}
    return named[by] if by in named else _MOMENTS[by].replace("INSTANT", instant)


def query(by: str, *parts: str) -> str:
    """Return a query over the leads that arrived in the span: more tables, and last what is selected.

    It knows `member` (lead_id, member_id), `touched` by humans, each lead once in `keyed` (key, lead_id, created_at,
    touched_at, assigned_at, given_to, from_arrival in seconds), and in `had` (key, lead_id, member_id, rep_id,
    assigned_at, over_at, since, its_since, until, nexts_since, next_rep, counts) each time that a rep had one, or one
    that was merged into it; where nobody had, without them. Whose touches are whose says THEIRS; `counts` whether it is
    one that a lead is counted from: its first, also as a merge moved it, and by rep and by team each that one of theirs
    had.
    """
    # Of a lead that nobody was given, as in another desk's history: who touched it first.
    rep, team = "coalesce(a.rep_id, f.rep_id, '')", f"coalesce(a.team, {team_of('f.rep_id', 'f.at')}, '')"
    keyed = _KEYED.replace("KEY", key(by, "c.created_at", rep=rep, team=team, source="c.source"))
    who = {"rep": "t.rep_id", "team": "t.team"}.get(by)
    keyed = keyed.replace("WHO", who or "k.key")
    keyed = keyed.replace("COUNTS", "true" if who else "(t.rep_id, t.assigned_at) = (k.given_to, k.assigned_at)")
    return statement(THEN, ARRIVED, MEMBERS, keyed, *parts)


def statement(*parts: str) -> str:
    """Return a query of tables, and last what is selected from them."""
    return f"WITH RECURSIVE {', '.join(parts[:-1])} {parts[-1]}"


def in_order(groups: Iterable[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """Return groups by their keys, days as a week has them; those of one key as they came."""
    return sorted(groups, key=lambda group: DAYS.index(group["key"]) if by == "weekday" else group["key"])
