"""Clocks, and what becomes of their alerts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor.domain import Counts, State, Terms


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


async def clocks(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, list[Clock]]:
    """Return every clock of the leads."""
    rows = await conn.fetch(
        "SELECT * FROM clock WHERE lead_id = ANY($1::uuid[]) ORDER BY cycle, due_at", list(lead_ids)
    )
    found: dict[UUID, list[Clock]] = {}
    for row in rows:
        found.setdefault(row["lead_id"], []).append(clock_of(row))
    return found


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
    )


_SAVE_CLOCKS: Final = """
INSERT INTO clock (lead_id, clock, cycle, kind, source, rep_id, team, manager_id, started_at, due_at, policy, calendar,
                   counts, needs, done, spread_seconds, steps, state, met_at, breached_at, retracted, step, next_at,
                   version, hours, rep_version)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::jsonb[], $14::jsonb[],
                     $15::jsonb[], $16::float8[], $17::jsonb[], $18::text[], $19::timestamptz[], $20::timestamptz[],
                     $21::boolean[], $22::int[], $23::timestamptz[], $24::bigint[], $25::text[],
                     $26::bigint[])
ON CONFLICT (lead_id, clock, cycle) DO UPDATE SET
    rep_id = excluded.rep_id, state = excluded.state, met_at = excluded.met_at, breached_at = excluded.breached_at,
    retracted = excluded.retracted, done = excluded.done, step = excluded.step, next_at = excluded.next_at,
    version = excluded.version, due_at = excluded.due_at, steps = excluded.steps, calendar = excluded.calendar,
    rep_version = excluded.rep_version
"""


async def save_clocks(conn: Connection, given: Sequence[Clock]) -> None:
    """Write clocks."""
    columns: list[list[Any]] = [
        [one.lead_id for one in given],
        [one.clock for one in given],
        [one.cycle for one in given],
        [one.terms.kind for one in given],
        [one.terms.source for one in given],
        [one.terms.rep_id for one in given],
        [one.team for one in given],
        [one.manager_id for one in given],
        [one.terms.started_at for one in given],
        [one.terms.due_at for one in given],
        [one.policy for one in given],
        [one.calendar for one in given],
        [_counts(one.terms.counts) for one in given],
        [dict(one.terms.needs) for one in given],
        [dict(one.done) for one in given],
        [one.terms.spread_seconds for one in given],
        [{"steps": list(one.steps)} for one in given],
        [str(one.state) for one in given],
        [one.met_at for one in given],
        [one.breached_at for one in given],
        [one.retracted for one in given],
        [one.step for one in given],
        [one.next_at for one in given],
        [one.version for one in given],
        [one.hours for one in given],
        [one.rep_version for one in given],
    ]
    await conn.execute(_SAVE_CLOCKS, *columns)


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "outcome": list(counts.outcome),
        "kinds": list(counts.kinds),
        "automated": counts.automated,
        "by": counts.by,
        "before_start_seconds": counts.before_start.total_seconds(),
    }


async def retract_alerts(conn: Connection, alert_ids: Sequence[UUID], at: datetime) -> None:
    """Say of alerts that they were wrong after all."""
    await conn.execute("UPDATE alert SET retracted_at = $2 WHERE alert_id = ANY($1::uuid[])", list(alert_ids), at)


async def raise_steps(
    conn: Connection, given: Sequence[tuple[Clock, int, int]], now: datetime
) -> set[tuple[UUID, str, int]]:
    """Write clocks whose step was raised: (clock, step and version before). Returns those that nobody else raised."""
    raised = await conn.fetch(
        "UPDATE clock c SET step = v.step + 1, version = v.version + 1, state = v.state,"
        " breached_at = v.breached_at, next_at = v.next_at"
        " FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::timestamptz[],"
        " $8::timestamptz[]) AS v(lead_id, clock, cycle, step, version, state, breached_at, next_at)"
        " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.step = v.step"
        " AND c.version = v.version AND c.next_at <= $9 RETURNING c.lead_id, c.clock, c.cycle",
        [clock.lead_id for clock, _, _ in given],
        [clock.clock for clock, _, _ in given],
        [clock.cycle for clock, _, _ in given],
        [step for _, step, _ in given],
        [version for _, _, version in given],
        [str(clock.state) for clock, _, _ in given],
        [clock.breached_at for clock, _, _ in given],
        [clock.next_at for clock, _, _ in given],
        now,
    )
    return {(row[0], row[1], row[2]) for row in raised}


async def postpone(conn: Connection, given: Sequence[Clock], until: datetime) -> None:
    """Look at these clocks again a little later; their steps stay due when they were."""
    await conn.execute(
        "UPDATE clock c SET next_at = $4 FROM unnest($1::uuid[], $2::text[], $3::int[]) AS v(lead_id, clock, cycle)"
        " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle",
        [one.lead_id for one in given],
        [one.clock for one in given],
        [one.cycle for one in given],
        until,
    )


async def of_changed_rep(conn: Connection, rep_id: str, version: int, *, limit: int) -> list[UUID]:
    """Return leads with clocks that run on an older version of the rep's hours."""
    rows = await conn.fetch(
        "SELECT DISTINCT lead_id FROM clock WHERE rep_id = $1 AND hours = 'rep' AND state = 'running'"
        " AND rep_version < $2 ORDER BY lead_id LIMIT $3",
        rep_id,
        version,
        limit,
    )
    return [row[0] for row in rows]
