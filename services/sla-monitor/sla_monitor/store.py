"""Facts about leads, the clocks that follow from them, and alerts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from backbone.database import Connection
from sla_monitor import policies
from sla_monitor.domain import Assignment, Counts, Policy, State, Terms, Touch


@dataclass(slots=True)
class Row:
    """A lead while a transaction works on it."""

    lead_id: UUID
    live: bool = False
    created_at: datetime | None = None
    recorded_at: datetime | None = None
    arrived_at: datetime | None = None
    source: str = ""
    closed: bool = False


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


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Return the leads; one not known yet is new. Their subjects have to be locked."""
    wanted = list(lead_ids)
    rows = await conn.fetch("SELECT * FROM lead WHERE lead_id = ANY($1::uuid[])", wanted)
    found = {row["lead_id"]: Row(**row) for row in rows}
    return {lead_id: found.get(lead_id) or Row(lead_id) for lead_id in wanted}


async def save(conn: Connection, rows: Sequence[Row]) -> None:
    """Write whole leads."""
    await conn.execute(
        "INSERT INTO lead SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[], $4::timestamptz[],"
        " $5::timestamptz[], $6::text[], $7::boolean[])"
        " ON CONFLICT (lead_id) DO UPDATE SET live = excluded.live, created_at = excluded.created_at,"
        " recorded_at = excluded.recorded_at, arrived_at = excluded.arrived_at, source = excluded.source,"
        " closed = excluded.closed",
        [row.lead_id for row in rows],
        [row.live for row in rows],
        [row.created_at for row in rows],
        [row.recorded_at for row in rows],
        [row.arrived_at for row in rows],
        [row.source for row in rows],
        [row.closed for row in rows],
    )


async def add_touches(conn: Connection, touches: Sequence[tuple[UUID, Touch, datetime]]) -> None:
    """Keep touches: (original lead id, touch, when we learned of it)."""
    await conn.execute(
        "INSERT INTO touch SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],"
        " $6::boolean[], $7::timestamptz[], $8::timestamptz[]) ON CONFLICT DO NOTHING",
        [touch.touch_id for _, touch, _ in touches],
        [lead_id for lead_id, _, _ in touches],
        [touch.rep_id for _, touch, _ in touches],
        [touch.kind for _, touch, _ in touches],
        [touch.outcome for _, touch, _ in touches],
        [touch.automated for _, touch, _ in touches],
        [touch.at for _, touch, _ in touches],
        [recorded_at for _, _, recorded_at in touches],
    )


async def touches(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, list[Touch]]:
    """Return the touches of each lead and of every lead merged into it."""
    wanted = list(lead_ids)
    rows = await conn.fetch(
        "SELECT w.survivor, t.touch_id, t.rep_id, t.kind, t.outcome, t.automated, t.at"
        " FROM (SELECT v.lead_id AS survivor, v.lead_id FROM unnest($1::uuid[]) AS v(lead_id)"
        " UNION SELECT s.merged_into, s.subject_id FROM subject s WHERE s.merged_into = ANY($1::uuid[])) AS w"
        " JOIN touch t ON t.lead_id = w.lead_id",
        wanted,
    )
    found: dict[UUID, list[Touch]] = {lead_id: [] for lead_id in wanted}
    for row in rows:
        values = dict(row)
        found[values.pop("survivor")].append(Touch(**values))
    return found


async def assignments(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, dict[int, Assignment]]:
    """Return the assignments of each lead by cycle."""
    rows = await conn.fetch(
        "SELECT lead_id, cycle, rep_id, assigned_at, accepted_at, released_at FROM assignment"
        " WHERE lead_id = ANY($1::uuid[])",
        list(lead_ids),
    )
    found: dict[UUID, dict[int, Assignment]] = {}
    for row in rows:
        values = dict(row)
        lead_id = values.pop("lead_id")
        found.setdefault(lead_id, {})[row["cycle"]] = Assignment(**values)
    return found


async def add_assignments(conn: Connection, given: Sequence[tuple[UUID, Assignment, str, bytes | None]]) -> None:
    """Keep assignments: (lead id, assignment, team, the LeadRouted that said it)."""
    await conn.execute(
        "INSERT INTO assignment (lead_id, cycle, rep_id, team, assigned_at, routed)"
        " SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[])"
        " ON CONFLICT DO NOTHING",
        [one[0] for one in given],
        [one[1].cycle for one in given],
        [one[1].rep_id for one in given],
        [one[2] for one in given],
        [one[1].assigned_at for one in given],
        [one[3] for one in given],
    )


async def note_assignment(conn: Connection, column: str, said: Sequence[tuple[UUID, int, datetime]]) -> None:
    """Note when assignments were accepted or released (`accepted_at`, `released_at`)."""
    assert column in ("accepted_at", "released_at")
    await conn.execute(
        f"UPDATE assignment a SET {column} = v.at"  # noqa: S608 - one of two names
        " FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS v(lead_id, cycle, at)"
        " WHERE a.lead_id = v.lead_id AND a.cycle = v.cycle",
        [one[0] for one in said],
        [one[1] for one in said],
        [one[2] for one in said],
    )


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
    )


_SAVE_CLOCKS = """
INSERT INTO clock (lead_id, clock, cycle, kind, source, rep_id, team, manager_id, started_at, due_at, policy, calendar,
                   counts, needs, done, spread_seconds, steps, state, met_at, breached_at, retracted, step, next_at,
                   version)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::jsonb[], $14::jsonb[],
                     $15::jsonb[], $16::float8[], $17::jsonb[], $18::text[], $19::timestamptz[], $20::timestamptz[],
                     $21::boolean[], $22::int[], $23::timestamptz[], $24::bigint[])
ON CONFLICT (lead_id, clock, cycle) DO UPDATE SET
    rep_id = excluded.rep_id, state = excluded.state, met_at = excluded.met_at, breached_at = excluded.breached_at,
    retracted = excluded.retracted, done = excluded.done, step = excluded.step, next_at = excluded.next_at,
    version = excluded.version
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


class Policies:
    """Policies in force, compiled once a version."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Policy] = {}
        self._built_in = policies.built_in()

    async def in_force(self, conn: Connection) -> list[Policy]:
        """Return the newest version of each name, or the built-in one while there is none."""
        rows = await conn.fetch("SELECT DISTINCT ON (name) name, version FROM policy ORDER BY name, version DESC")
        found = [await self._version(conn, row[0], row[1]) for row in rows]
        return found or [self._built_in]

    async def _version(self, conn: Connection, name: str, version: int) -> Policy:
        if (name, version) not in self._known:
            data = await conn.fetchval("SELECT document FROM policy WHERE name = $1 AND version = $2", name, version)
            self._known[name, version] = policies.build(name, version, data)
        return self._known[name, version]
