"""Marketing's promises beside what it delivered, and sales' beside it, week by week: from facts."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from backbone.weeks import Zone
from sla_monitor import cohort, marketing, reports_attainment
from sla_monitor.domain import FIRST_RESPONSE, Marked
from sla_monitor.known import Decided
from sla_monitor.marketing import ALL, Event, Held, Promise, Promises, Qualified

PERIODS: Final = ("week", "month", "quarter")
SALES: Final[Mapping[str, Sequence[str]]] = {
    "first_response": FIRST_RESPONSE,
    "minimum_touches": ("minimum_touches",),
    "status_update": ("status_update",),
}
"""Sales' promises that stand beside marketing's, with the kinds of their clocks."""
_NONE: Final[Counter[Decided]] = Counter()
_READ: Final = (
    *(Marked.WAITING, Marked.HANDED_BACK, Marked.OUT),
    *(Marked.SALES_READY, Marked.SALES_QUALIFIED, Marked.WON, Marked.DEAL_OPENED, Marked.DEAL_MOVED),
)
# Up from whoever was marked to the lead that is there now, and down to all that were merged into it. A lead that was
# history is delivered when it qualifies anew after it came to life, not when its past was scored. What an SDR accepts
# out of the review queue is ready for sales without having been an MQL: it is delivered with that.
_QUALIFIED: Final = f"""
WITH RECURSIVE {cohort.THEN}, up (lead_id) AS (
    SELECT lead_id FROM mark
    WHERE kind IN ('qualified', 'sales_ready') AND at >= $1 AND at < $2 AND recorded_at <= $3
    UNION {cohort.UP}
), cohort AS (
    SELECT n.lead_id FROM up JOIN known n USING (lead_id) WHERE {cohort.APART}
), {cohort.MEMBERS}, whole AS (
    SELECT m.lead_id, array_agg(m.member_id) AS members, coalesce(bool_or(l.live_known_at <= $3), false) AS live,
           min(n.created_at) AS created_at, min(n.arrived_at) FILTER (WHERE l.live_known_at <= $3) AS arrived_at
    FROM member m JOIN known n ON n.lead_id = m.member_id JOIN lead l ON l.lead_id = m.member_id GROUP BY m.lead_id
), first AS (
    -- With all that is told of it: joined again by the lead, it would be compared with each other one.
    SELECT DISTINCT ON (w.lead_id) w.*, k.at, k.word, k.ref
    FROM whole w CROSS JOIN unnest(w.members) AS one (member_id)
    JOIN mark k ON k.lead_id = one.member_id AND k.kind IN ('qualified', 'sales_ready') AND k.recorded_at <= $3
    WHERE NOT w.live OR w.arrived_at IS NULL OR k.at >= w.arrived_at - interval '10 seconds'
    ORDER BY w.lead_id, k.at, k.kind, k.mark_id
)
SELECT f.lead_id, n.source, f.live, f.members, coalesce(f.created_at, f.at) AS since, f.at, f.word, f.ref
FROM first f JOIN known n USING (lead_id) WHERE f.at >= $1 AND f.at < $2 ORDER BY f.at, f.lead_id
"""  # noqa: S608
_EVENTS: Final = """
SELECT one.lead_id, k.kind, k.at, k.word, k.ref
FROM unnest($1::uuid[], $2::uuid[]) AS one (lead_id, member_id) JOIN mark k ON k.lead_id = one.member_id
WHERE k.kind = ANY($3::text[]) AND k.recorded_at <= $4 ORDER BY k.at, k.mark_id
"""
_HELD: Final = f"""
SELECT one.lead_id, a.assigned_at, coalesce(a.outcome, '') AS outcome,
       CASE WHEN a.reason = '' AND a.without_outcome THEN 'closed_without_outcome' ELSE a.reason END AS reason,
       CASE WHEN a.released_at <= $3 THEN a.released_at END AS released_at
FROM unnest($1::uuid[], $2::uuid[]) AS one (lead_id, member_id) JOIN assignment a ON a.lead_id = one.member_id
WHERE {cohort.HELD} ORDER BY a.assigned_at, a.cycle
"""  # noqa: S608
_PROMISES: Final = """
SELECT definition, at, supply, CASE WHEN retired_at <= $1 THEN retired_at END AS until
FROM promise WHERE at <= $1 ORDER BY definition, at, version
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Leads that qualified in [start, end), as known at `as_of`, by `none` or `source`."""

    start: datetime
    end: datetime
    by: str
    as_of: datetime
    is_now: bool = False
    """No earlier instant is asked for: sales' promises are counted by the state that is stored, which costs less."""

    @property
    def until(self) -> datetime:
        """Return how far the report sees: to its end, and not beyond what was known."""
        return min(self.end, self.as_of)


async def report(conn: Connection, asked: Asked) -> dict[str, list[dict[str, Any]]]:
    """Return `weeks` (in the reporting zone), `totals` over the whole span and `periods` to date.

    Rows of the first two have a `key`: `all`, or a source. Times in seconds, shares from 0 to 1. A week, and a period,
    is held against the promise that was in force when it ended, or is in force where the report sees no further.
    """
    zone = Zone(**dict(await conn.fetchrow("SELECT zone AS name, week_starts FROM setting") or {"name": "UTC"}))
    # The last instant that it sees: a quarter that ends with the span is still the one that is asked for.
    last = asked.until - timedelta(microseconds=1)
    spans = {period: zone.span(period, last) for period in PERIODS}
    given = await promises(conn, asked.as_of)
    first = min(asked.start, *(start for _, start, _ in spans.values()))
    leads = await qualified(conn, first, max(first, asked.until), asked.as_of)
    kept = await _kept(conn, asked)

    def told() -> dict[str, list[dict[str, Any]]]:
        within = [lead for lead in leads if asked.start <= lead.at < asked.end]
        weeks = {week: given.at(zone.last_of(week, last)) for week in zone.weeks(asked.start, asked.end)}
        keys = _keys(asked.by, within, weeks.values(), kept)
        return {
            "weeks": _weeks(asked, zone, keys, within, weeks, given, kept),
            "totals": [{"key": key, **marketing.delivery(_of(within, key), given, asked.as_of)} for key in keys],
            "periods": [_period(period, spans[period], asked.until, leads, given.at(last)) for period in PERIODS],
        }

    # In a thread: alerts leave from this process in time, however many leads a quarter has.
    return await asyncio.to_thread(told)


async def promises(conn: Connection, as_of: datetime) -> Promises:
    """Return what marketing promised with each definition, from version to version."""
    found: dict[str, list[Promise]] = {}
    for row in await conn.fetch(_PROMISES, as_of):
        supply = row["supply"]
        one = Promise(
            definition=row["definition"],
            since=row["at"],
            until=row["until"],
            counts={period: supply.get(f"per_{period}", 0) for period in marketing.WEEKS_OF},
            by_source=supply.get("by_source", {}),
            handoff_within_seconds=supply.get("handoff_within_seconds", 0),
        )
        found.setdefault(one.definition, []).append(one)
    return Promises(found)


async def qualified(conn: Connection, start: datetime, end: datetime, as_of: datetime) -> list[Qualified]:
    """Return the leads that first qualified in [start, end), merged ones as their survivor, the earliest first."""
    rows = await conn.fetch(_QUALIFIED, start, end, as_of)
    survivors = [row["lead_id"] for row in rows for _ in row["members"]]
    members = [member for row in rows for member in row["members"]]
    events = await conn.fetch(_EVENTS, survivors, members, list(_READ), as_of)
    held = await conn.fetch(_HELD, survivors, members, as_of)
    return await asyncio.to_thread(_assembled, rows, events, held)


def _assembled(rows: Sequence[Any], events: Iterable[Any], assignments: Iterable[Any]) -> list[Qualified]:
    happened: dict[UUID, list[Event]] = {row["lead_id"]: [] for row in rows}
    held: dict[UUID, list[Held]] = {row["lead_id"]: [] for row in rows}
    for row in events:
        happened[row["lead_id"]].append(Event(kind=row["kind"], at=row["at"], word=row["word"], ref=row["ref"]))
    for row in assignments:
        one = Held(start=row["assigned_at"], end=row["released_at"], outcome=row["outcome"], reason=row["reason"])
        held[row["lead_id"]].append(one)
    return [
        Qualified(
            lead_id=row["lead_id"],
            source=row["source"],
            live=row["live"],
            since=row["since"],
            at=row["at"],
            definition=row["word"].rpartition("@")[0] or row["word"],
            complete=not row["ref"],
            held=held[row["lead_id"]],
            events=happened[row["lead_id"]],
        )
        for row in rows
    ]


Kept = Mapping[tuple[str, str, str], Counter[Decided]]
"""By week, key and promise, how often sales kept one that began then."""


async def _kept(conn: Connection, asked: Asked) -> Kept:
    names = {kind: promise for promise, kinds in SALES.items() for kind in kinds}
    clocks = reports_attainment.Asked(
        start=asked.start, end=max(asked.start, asked.until), by=["week", asked.by], kinds=list(names)
    )
    counted = await reports_attainment.counted(conn, clocks, as_of=None if asked.is_now else asked.as_of)
    found: dict[tuple[str, str, str], Counter[Decided]] = {}
    for ((week, key), kind), count in counted.items():
        found.setdefault((week, key, names[kind]), Counter()).update(count)
    return found


def _keys(by: str, leads: Iterable[Qualified], given: Iterable[Sequence[Promise]], kept: Kept) -> list[str]:
    if by == "none":
        return [ALL]
    found = {lead.source for lead in leads} | {key for _, key, _ in kept}
    return sorted(found.union(*(one.by_source for some in given for one in some)))


def _of(leads: Iterable[Qualified], key: str) -> list[Qualified]:
    return [lead for lead in leads if key in (ALL, lead.source)]


def _weeks(
    asked: Asked,
    zone: Zone,
    keys: Sequence[str],
    leads: Sequence[Qualified],
    weeks: Mapping[date, Sequence[Promise]],
    given: Promises,
    kept: Kept,
) -> list[dict[str, Any]]:
    """Return a row for each week and key, empty weeks too: nothing delivered is an answer."""
    found: dict[tuple[date, str], list[Qualified]] = {}
    for lead in leads:
        found.setdefault((zone.week(zone.day(lead.at)), lead.source if asked.by == "source" else ALL), []).append(lead)

    def sales(week: date, key: str) -> dict[str, dict[str, int]]:
        counts = {name: kept.get((week.isoformat(), key, name), _NONE) for name in SALES}
        return {name: {str(end): count[end] for end in (Decided.MET, Decided.MISSED)} for name, count in counts.items()}

    return [
        {
            "week": week.isoformat(),
            "key": key,
            "promised": marketing.promised(promises, "week", key),
            **marketing.delivery(found.get((week, key), []), given, asked.as_of),
            **sales(week, key),
        }
        for week, promises in weeks.items()
        for key in keys
    ]


def _period(
    period: str,
    span: tuple[str, datetime, datetime],
    until: datetime,
    leads: Iterable[Qualified],
    given: Sequence[Promise],
) -> dict[str, Any]:
    name, start, end = span
    passed = (until - start) / (end - start)
    delivered = Counter(lead.source for lead in leads if lead.live and start <= lead.at < until)
    sources = sorted({*delivered, *(source for one in given for source in one.by_source)})

    def beside(key: str, count: int) -> dict[str, Any]:
        return marketing.to_date(count, marketing.promised(given, period, key), passed)

    return {
        "period": period,
        "name": name,
        "from": start,
        "to": end,
        "share_passed": passed,
        **beside(ALL, delivered.total()),
        "by_source": [{"key": source, **beside(source, delivered[source])} for source in sources],
    }


def by_key(periods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for all of a period, and one for each of its sources."""
    rows = []
    for period in periods:
        beside = {name: value for name, value in period.items() if name != "by_source"}
        head = {name: beside.pop(name) for name in ("period", "name")}
        rows += [{**head, "key": ALL, **beside, **one} for one in ({}, *period["by_source"])]
    return rows
