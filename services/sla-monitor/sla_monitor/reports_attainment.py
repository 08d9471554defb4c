"""Attainment: how many promises were kept, by the state that is stored, or by what was known at an instant."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor import cohort, known, promising, staying, store_clocks, store_marks, store_policies, store_reps
from sla_monitor.domain import ARRIVAL, LAST_TOUCH, OF_ASSIGNMENTS, Facts
from sla_monitor.hours import REP, WALL, Calendars, Reps, after, fell_due
from sla_monitor.keeping import After
from sla_monitor.known import Decided
from sla_monitor.reports import share
from sla_monitor.store_clocks import Clock, Key
from sla_monitor.store_links import HOLDS
from sla_monitor.store_policies import Policies

# A clock that moves with each touch is counted where it began first: else every touch would take it to another span.
_BEGAN: Final = f"CASE c.source WHEN '{LAST_TOUCH}' THEN coalesce(a.assigned_at, STARTED) ELSE STARTED END"
# One that was broken once stays so, though it runs again.
_AGAIN: Final = f"(c.state = 'running' AND c.source = '{LAST_TOUCH}' AND c.breached_at IS NOT NULL)"
# A lead's own clock (from its arrival, its qualification, the queue) stands for whoever had the lead when it was met or
# fell due, and has it while it runs: nobody else could keep the promise. Where nobody had it, for who got it then:
# under no name it would be missing from every team's sum.
_HOLDER: Final = """SELECT FIELDS FROM assignment h WHERE h.lead_id = LEAD AND h.recorded_at <= UPTO
    ORDER BY h.assigned_at > DECIDED, CASE WHEN h.assigned_at > DECIDED THEN h.cycle ELSE -h.cycle END LIMIT 1"""
_WHOSE: Final = f"""CASE WHEN c.rep_id <> '' THEN c.FIELD ELSE coalesce((
    {_HOLDER.replace("FIELDS", "h.FIELD").replace("LEAD", "c.lead_id").replace("DECIDED", "least(c.met_at, c.due_at)")}
), '') END"""
_HOLDERS: Final = f"""
SELECT coalesce(h.rep_id, '') AS rep, coalesce(h.team, '') AS team
FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY o(lead_id, decided_at, number) LEFT JOIN LATERAL (
    {
    _HOLDER.replace("FIELDS", "h.rep_id, h.team")
    .replace("LEAD", "o.lead_id")
    .replace("UPTO", "$3")
    .replace("DECIDED", "o.decided_at")
}
) h ON true ORDER BY o.number
"""  # noqa: S608
# What a merge moved to the survivor is counted there, as soon as it was known; where the survivor had a rep of its own
# nothing was moved, or what was answered already promises nothing anew, what had become of the other's promises stays.
_STAYED: Final = f"""NOT (c.source = ANY(ARRAY{[*OF_ASSIGNMENTS]}) AND coalesce(a.outcome, '') = 'merged'
    AND a.released_at <= UPTO AND EXISTS (
        SELECT FROM link k JOIN assignment s ON s.lead_id = k.survivor_id
        JOIN clock o ON o.lead_id = s.lead_id AND o.cycle = s.cycle AND o.clock = c.clock AND o.source = c.source
        WHERE k.member_id = c.lead_id AND s.moved AND s.rep_id = a.rep_id AND s.assigned_at = a.assigned_at AND {HOLDS}
    ))"""
_SOURCE: Final = """coalesce((
    SELECT b.source FROM lead_before b WHERE b.lead_id = c.lead_id AND b.until > UPTO ORDER BY b.until LIMIT 1
), l.source)"""
_STORED: Final = """
SELECT KEYS AS keys, c.kind,
       count(*) FILTER (WHERE c.state = 'met') AS met,
       count(*) FILTER (WHERE c.state = 'breached' OR AGAIN) AS missed,
       count(*) FILTER (WHERE c.state = 'running' AND NOT AGAIN) AS running
FROM clock c JOIN lead l USING (lead_id) LEFT JOIN assignment a USING (lead_id, cycle)
WHERE BEGAN >= $1 AND BEGAN < $2 AND c.state <> 'cancelled' AND STAYED
  AND c.kind = ANY(coalesce($3::text[], ARRAY[c.kind]))
GROUP BY 1, c.kind
"""
# Pages of the primary key, whatever of them lies in the span: with a LIMIT of its own the planner sorted all for each.
_PAGE_END: Final = """
SELECT lead_id, clock, cycle, round FROM clock
WHERE (lead_id, clock, cycle, round) > ($1::uuid, $2::text, $3::int, $4::int)
ORDER BY lead_id, clock, cycle, round OFFSET $5 LIMIT 1
"""
# A merge, or its undoing, moved what runs from the arrival: until that was recorded it began elsewhere. Its deadline is
# the one that the first change since found with this beginning; where none did, as both were read at once, its hours
# say it. What is learned later may have begun before: that a lead came, or came to life, and that it was somebody's
# elsewhere, whose clocks begin when they move in; the lead's own do not, though the assignment of the same number does.
_PAGE: Final = f"""
WITH moved AS MATERIALIZED (
    SELECT DISTINCT ON (lead_id) lead_id, arrived_at FROM lead_before
    WHERE until > $3 AND lead_id >= $4 AND lead_id <= $8 ORDER BY lead_id, until
)
SELECT KEYS AS keys, c.*, STARTED AS started_then, coalesce((
           SELECT x.due_before FROM clock_change x
           WHERE x.lead_id = c.lead_id AND x.clock = c.clock AND x.cycle = c.cycle AND x.round = c.round AND x.at > $3
             AND coalesce(x.started_before, STARTED) = STARTED
           ORDER BY x.at LIMIT 1
       ), CASE WHEN c.started_at = STARTED THEN c.due_at END) AS due_then
FROM clock c JOIN lead l USING (lead_id) LEFT JOIN assignment a USING (lead_id, cycle)
LEFT JOIN moved m ON m.lead_id = c.lead_id AND c.source = '{ARRIVAL}'
WHERE BEGAN >= $1 AND BEGAN < $2 AND BEGAN <= $3
  AND (a.begins_at IS NULL OR a.begins_at <= $3 OR c.source <> ALL(ARRAY{[*OF_ASSIGNMENTS]}))
  AND (c.source <> '{ARRIVAL}' OR l.live_known_at <= $3)
  AND (c.lead_id, c.clock, c.cycle, c.round) > ($4::uuid, $5::text, $6::int, $7::int)
  AND (c.lead_id, c.clock, c.cycle, c.round) <= ($8::uuid, $9::text, $10::int, $11::int)
  AND c.kind = ANY(coalesce($12::text[], ARRAY[c.kind])) AND STAYED
"""  # noqa: S608
_FIRST: Final[Key] = (UUID(int=0), "", 0, 0)
_LAST: Final[Key] = (UUID(int=2**128 - 1), "", 0, 0)
PAGE: Final = 2000
"""How many clocks are looked at in one go for those of the span."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Clocks that started in [start, end), of some kinds or (None) of all, under one or several keys each."""

    start: datetime
    end: datetime
    by: Sequence[str]
    kinds: Sequence[str] | None = None

    def of(self, text: str, upto: str, started: str) -> str:
        """Return a query that counts under these keys, with what had begun by an instant, and where it had."""
        rep, team = (_WHOSE.replace("FIELD", field) for field in ("rep_id", "team"))
        keys = [cohort.key(by, _BEGAN, rep=rep, team=team, source=_SOURCE) for by in self.by]
        text = text.replace("KEYS", f"ARRAY[{', '.join(keys)}]").replace("STAYED", _STAYED).replace("UPTO", upto)
        return text.replace("BEGAN", _BEGAN).replace("STARTED", started).replace("AGAIN", _AGAIN)


Counted = Mapping[tuple[tuple[str, ...], str], Counter[Decided]]
"""By keys and kind, how many clocks came to what."""


async def attainment(
    conn: Connection, start: datetime, end: datetime, *, by: str, as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """Return by key and kind how many clocks that started in [start, end) were met, missed, or run.

    `share` is met of met and missed, None while neither. What was over before anything was due does not count; of which
    kinds that is says decision 10. With `as_of` the facts known by then decide.
    """
    found = await counted(conn, Asked(start=start, end=end, by=[by]), as_of=as_of)
    groups = []
    for ((key,), kind), count in sorted(found.items()):
        shown = {str(what): count[what] for what in Decided}
        decided = count[Decided.MET] + count[Decided.MISSED]
        groups.append({"key": key, "kind": kind, **shown, "share": share(count[Decided.MET], decided)})
    return cohort.in_order(groups, by)


async def counted(conn: Connection, asked: Asked, *, as_of: datetime | None = None) -> Counted:
    """Return how many clocks came to what: by the state that is stored, or by the facts known at `as_of`."""
    if as_of is not None:
        return await _as_of(conn, asked, as_of)
    rows = await conn.fetch(asked.of(_STORED, "'infinity'", "c.started_at"), asked.start, asked.end, asked.kinds)
    return {(tuple(row["keys"]), row["kind"]): Counter({what: row[what] for what in Decided}) for row in rows}


async def _as_of(conn: Connection, asked: Asked, as_of: datetime) -> Counted:
    past = Calendars(await store_policies.versions(conn, as_of), as_of.year)
    found: dict[tuple[tuple[str, ...], str], Counter[Decided]] = {}
    over = partial(promising.over, conn, Policies())
    async for some in _started(conn, asked, as_of, past):
        clocks, now = [clock for _, clock, _ in some], [clock for _, _, clock in some]
        about = await store_marks.facts(conn, {clock.lead_id for clock in clocks}, as_of=as_of)
        about = await staying.note(conn, about, over, as_of)
        begun = await known.begun(conn, clocks, about)
        without = await known.ended_by_merge(conn, clocks, over, as_of) | known.erased(now)
        own = past.knowing(await _reps(conn, clocks, as_of))
        decided = []
        for keys, clock, _ in some:
            if clock.key not in begun or clock.key in without:
                continue
            terms, of_lead = clock.terms, about[clock.lead_id]
            if terms.source == LAST_TOUCH:
                said = known.decide_moving(terms, of_lead, clock.cycle, as_of, _after(clock, own))
            else:
                said = known.decide(terms, of_lead, clock.cycle, as_of)
            if said is not None:
                decided.append((keys, clock, said))
        for keys, clock, said in await _named(conn, asked, decided, about, as_of):
            found.setdefault((keys, clock.terms.kind), Counter())[said] += 1
    return found


_Decided = tuple[tuple[str, ...], Clock, Decided]


async def _named(
    conn: Connection, asked: Asked, decided: Sequence[_Decided], about: Mapping[UUID, Facts], as_of: datetime
) -> Sequence[_Decided]:
    """Name who stands for the leads' own clocks, by when they were decided as was known then."""
    own = [clock for _, clock, _ in decided if not clock.terms.rep_id]
    if not own or not {"rep", "team"}.intersection(asked.by):
        return decided
    decided_at = [known.decided_at(clock.terms, about[clock.lead_id], clock.cycle) for clock in own]
    rows = await conn.fetch(_HOLDERS, [clock.lead_id for clock in own], decided_at, as_of)
    of = {clock.key: row for clock, row in zip(own, rows, strict=True)}
    return [
        (tuple(of[clock.key].get(by, said) for by, said in zip(asked.by, keys, strict=True)), clock, what)
        if clock.key in of
        else (keys, clock, what)
        for keys, clock, what in decided
    ]


async def _started(
    conn: Connection, asked: Asked, as_of: datetime, past: Calendars
) -> AsyncIterator[Sequence[tuple[tuple[str, ...], Clock, Clock]]]:
    """Yield the clocks of the span, some at a time: keys, clock with the terms that it had then, clock as it is now."""
    query = asked.of(_PAGE, "$3", "coalesce(m.arrived_at, c.started_at)")
    last = _FIRST
    while last != _LAST:
        row = await conn.fetchrow(_PAGE_END, *last, PAGE - 1)
        upto = tuple(row) if row is not None else _LAST
        rows = await conn.fetch(query, asked.start, asked.end, as_of, *last, *upto, asked.kinds)
        for number in range(0, len(rows), known.AT_ONCE):
            some = [(row, store_clocks.clock_of(row)) for row in rows[number : number + known.AT_ONCE]]
            yield [(tuple(row["keys"]), _then(row, clock, past), clock) for row, clock in some]
        last = upto


def _then(row: Any, clock: Clock, past: Calendars) -> Clock:
    """Return a clock with the terms that it had then."""
    due_at = row["due_then"] or _after(clock, past)(row["started_then"])
    return replace(clock, terms=replace(clock.terms, started_at=row["started_then"], due_at=due_at))


async def _reps(conn: Connection, clocks: Sequence[Clock], as_of: datetime) -> Reps:
    """Return those whose hours decide when a window ends that began anew, as they were since when."""
    wanted = {clock.terms.rep_id for clock in clocks if clock.terms.source == LAST_TOUCH and clock.hours == REP}
    return await store_reps.versions(conn, wanted, as_of) if wanted else {}


def _after(clock: Clock, past: Calendars) -> After:
    """Return when a window of the clock ended, by its own hours as they were."""
    seconds = clock.terms.within_seconds
    if clock.hours == WALL:
        return lambda begins: after(None, begins, seconds)
    versions = past.then(clock.hours, clock.terms.rep_id)
    return lambda begins: fell_due(versions, begins, seconds)
