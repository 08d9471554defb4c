"""Clocks, and what becomes of their alerts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor.domain import OF_ASSIGNMENTS, Counts, State, Terms

Key = tuple[UUID, str, int, int]
"""Lead, clock, cycle, round."""


@dataclass(slots=True)
class Clock:
    """A clock's row. `steps` are instants with what happens then; `next_at` is that of `step`, None after the last."""

    lead_id: UUID
    clock: str
    cycle: int
    terms: Terms
    team: str
    manager_id: str
    policy: str
    calendar: str
    steps: Sequence[Mapping[str, Any]]
    state: State = State.RUNNING
    met_at: datetime | None = None
    breached_at: datetime | None = None
    retracted: bool = False
    done: Mapping[str, int] = field(default_factory=dict)
    step: int = 0
    next_at: datetime | None = None
    version: int = 1
    hours: str = "wall"
    rep_version: int = 0
    steps_by: str = ""
    """What is left of its steps is by this version of its calendar; "": by the one that made the deadline."""
    reason: str = ""
    """Why it is cancelled, or, of one that was missed, why nothing more is told."""
    is_final: bool = False
    """No fact of its lead brings it back. The reason does not say so: people and other services use the same words."""
    round: int = 0
    """Which one of its name in the cycle, of a promise that begins anew."""

    @property
    def key(self) -> Key:
        """Return what it is told apart by."""
        return (self.lead_id, self.clock, self.cycle, self.round)

    @property
    def promise(self) -> tuple[object, ...]:
        """Return what tells promises apart that begin at one instant: those of two policies may have one name."""
        rep_id = self.terms.rep_id if self.terms.source in OF_ASSIGNMENTS else ""
        return (self.clock, rep_id, self.terms.kind, self.terms.within_seconds, self.hours)


async def clocks(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, list[Clock]]:
    """Return every clock of the leads."""
    rows = await conn.fetch(
        "SELECT * FROM clock WHERE lead_id = ANY($1::uuid[]) ORDER BY cycle, round, due_at", list(lead_ids)
    )
    found: dict[UUID, list[Clock]] = {}
    for row in rows:
        found.setdefault(row["lead_id"], []).append(clock_of(row))
    return found


async def of_others(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, list[Clock]]:
    """Return the clocks that leads have of their own which are part of these, or were one with them before."""
    rows = await conn.fetch(_OF_OTHERS, list(lead_ids))
    found: dict[UUID, list[Clock]] = {}
    for row in rows:
        found.setdefault(row["of"], []).append(clock_of(row))
    return found


# Of those that are part of them by others, too: several may be merged in a row before one of them is read.
_OF_OTHERS: Final = """
WITH RECURSIVE part (lead_id, other) AS (
    SELECT survivor_id, member_id FROM link WHERE survivor_id = ANY($1::uuid[]) AND until IS NULL
    UNION SELECT p.lead_id, k.member_id FROM part p JOIN link k ON k.survivor_id = p.other AND k.until IS NULL
), near (lead_id, other) AS (
    SELECT lead_id, other FROM part
    UNION SELECT survivor_id, member_id FROM link WHERE survivor_id = ANY($1::uuid[])
    UNION SELECT member_id, survivor_id FROM link WHERE member_id = ANY($1::uuid[])
)
SELECT n.lead_id AS of, c.* FROM near n JOIN clock c ON c.lead_id = n.other WHERE n.other <> n.lead_id
"""


def clock_of(row: Any) -> Clock:
    """Return a clock of its row."""
    said = row["counts"]
    counts = Counts(
        outcome=said["outcome"],
        kinds=said["kinds"],
        automated=said["automated"],
        by=said["by"],
        before_start=timedelta(seconds=said["before_start_seconds"]),
    )
    terms = Terms(
        kind=row["kind"],
        source=row["source"],
        rep_id=row["rep_id"],
        started_at=row["started_at"],
        due_at=row["due_at"],
        counts=counts,
        needs=row["needs"],
        spread_seconds=row["spread_seconds"],
        team=row["team"],
        within_seconds=row["within_seconds"],
        booking_counts=row["booking_counts"],
        ends_when=row["ends_when"],
    )
    return Clock(
        lead_id=row["lead_id"],
        clock=row["clock"],
        cycle=row["cycle"],
        terms=terms,
        team=row["team"],
        manager_id=row["manager_id"],
        policy=row["policy"],
        calendar=row["calendar"],
        steps=row["steps"]["steps"],
        state=State(row["state"]),
        met_at=row["met_at"],
        breached_at=row["breached_at"],
        retracted=row["retracted"],
        done=row["done"],
        step=row["step"],
        next_at=row["next_at"],
        version=row["version"],
        hours=row["hours"],
        rep_version=row["rep_version"],
        steps_by=row["steps_by"],
        reason=row["reason"],
        is_final=row["is_final"],
        round=row["round"],
    )


_COLUMNS: Final = (
    *("lead_id", "clock", "cycle", "kind", "source", "rep_id", "team", "manager_id", "started_at", "due_at", "policy"),
    *("calendar", "counts", "needs", "done", "spread_seconds", "steps", "state", "met_at", "breached_at", "retracted"),
    *("step", "next_at", "version", "hours", "rep_version", "within_seconds", "booking_counts", "ends_when"),
    *("reason", "is_final", "round"),
)


async def add(conn: Connection, given: Sequence[Clock]) -> None:
    """Write clocks that are new: their lead is locked, so that nobody else has made them meanwhile."""
    if given:
        await conn.copy_records_to_table("clock", columns=_COLUMNS, records=[_record(one) for one in given])


def _record(one: Clock) -> tuple[Any, ...]:
    terms = one.terms
    return (
        one.lead_id,
        one.clock,
        one.cycle,
        terms.kind,
        terms.source,
        terms.rep_id,
        one.team,
        one.manager_id,
        terms.started_at,
        terms.due_at,
        one.policy,
        one.calendar,
        _counts(terms.counts),
        terms.needs,
        one.done,
        terms.spread_seconds,
        {"steps": one.steps},
        one.state,
        one.met_at,
        one.breached_at,
        one.retracted,
        one.step,
        one.next_at,
        one.version,
        one.hours,
        one.rep_version,
        terms.within_seconds,
        terms.booking_counts,
        list(terms.ends_when),
        one.reason,
        one.is_final,
        one.round,
    )


_CHANGE: Final = """
UPDATE clock c SET state = v.state, met_at = v.met_at, breached_at = v.breached_at, retracted = v.retracted,
                   done = v.done, step = v.step, next_at = v.next_at, version = v.version, due_at = v.due_at,
                   steps = v.steps, calendar = v.calendar, rep_version = v.rep_version, started_at = v.started_at,
                   reason = v.reason, is_final = v.is_final, steps_by = v.steps_by
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::boolean[],
            $8::jsonb[], $9::int[], $10::timestamptz[], $11::bigint[], $12::timestamptz[], $13::jsonb[], $14::text[],
            $15::bigint[], $16::timestamptz[], $17::text[], $18::boolean[], $19::int[], $20::text[])
     AS v(lead_id, clock, cycle, state, met_at, breached_at, retracted, done, step, next_at, version, due_at, steps,
          calendar, rep_version, started_at, reason, is_final, round, steps_by)
WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.round = v.round
"""


async def change(conn: Connection, given: Sequence[Clock]) -> None:
    """Write what facts, hours and the end of their lead change of clocks that are there."""
    if not given:
        return
    await conn.execute(
        _CHANGE,
        [one.lead_id for one in given],
        [one.clock for one in given],
        [one.cycle for one in given],
        [str(one.state) for one in given],
        [one.met_at for one in given],
        [one.breached_at for one in given],
        [one.retracted for one in given],
        [dict(one.done) for one in given],
        [one.step for one in given],
        [one.next_at for one in given],
        [one.version for one in given],
        [one.terms.due_at for one in given],
        [{"steps": list(one.steps)} for one in given],
        [one.calendar for one in given],
        [one.rep_version for one in given],
        [one.terms.started_at for one in given],
        [one.reason for one in given],
        [one.is_final for one in given],
        [one.round for one in given],
        [one.steps_by for one in given],
    )


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "outcome": list(counts.outcome),
        "kinds": list(counts.kinds),
        "automated": counts.automated,
        "by": counts.by,
        "before_start_seconds": counts.before_start.total_seconds(),
    }


async def raise_steps(conn: Connection, given: Sequence[tuple[Clock, int, int]], now: datetime) -> set[Key]:
    """Write clocks whose step was raised: (clock, step and version before). Returns those that nobody else raised."""
    raised = await conn.fetch(
        "UPDATE clock c SET step = v.step + 1, version = v.version + 1, state = v.state,"
        " breached_at = v.breached_at, next_at = v.next_at, retracted = c.retracted AND v.state <> 'breached'"
        " FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::timestamptz[],"
        " $8::timestamptz[], $10::int[]) AS v(lead_id, clock, cycle, step, version, state, breached_at, next_at, round)"
        " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.round = v.round"
        " AND c.step = v.step AND c.version = v.version AND c.next_at <= $9"
        " RETURNING c.lead_id, c.clock, c.cycle, c.round",
        [clock.lead_id for clock, _, _ in given],
        [clock.clock for clock, _, _ in given],
        [clock.cycle for clock, _, _ in given],
        [step for _, step, _ in given],
        [version for _, _, version in given],
        [str(clock.state) for clock, _, _ in given],
        [clock.breached_at for clock, _, _ in given],
        [clock.next_at for clock, _, _ in given],
        now,
        [clock.round for clock, _, _ in given],
    )
    return {(row[0], row[1], row[2], row[3]) for row in raised}


def _keys(given: Sequence[Clock]) -> tuple[list[Any], ...]:
    """Return columns of what clocks are told apart by."""
    return tuple(list(column) for column in zip(*(one.key for one in given), strict=True)) if given else ([],) * 4


async def reorder(conn: Connection, given: Sequence[Clock]) -> None:
    """Write in which order steps of these clocks come that have not fired."""
    if not given:
        return
    await conn.execute(
        "UPDATE clock c SET steps = v.steps FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::jsonb[])"
        " AS v(lead_id, clock, cycle, round, steps)"
        " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.round = v.round",
        *_keys(given),
        [{"steps": list(one.steps)} for one in given],
    )


async def postpone(conn: Connection, given: Sequence[Clock], until: datetime) -> None:
    """Look at these clocks again a little later; their steps stay due when they were."""
    await conn.execute(
        "UPDATE clock c SET next_at = $5 FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[])"
        " AS v(lead_id, clock, cycle, round)"
        " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.round = v.round",
        *_keys(given),
        until,
    )
