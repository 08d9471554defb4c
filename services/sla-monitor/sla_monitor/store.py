"""Facts about leads: when they arrived, who had them, who touched them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor import store_links
from sla_monitor.domain import Assignment, Touch
from sla_monitor.store_reps import team_of

Release = tuple[UUID, int, datetime, str, str, bool]
"""(Lead, cycle, when it was over, outcome, reason, nobody gave an outcome)."""


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
    fields: bytes | None = None
    """LeadFields, for policies that read them."""
    arrival: bool = False
    """Clocks from arrival were started."""
    known_at: datetime | None = None
    """When the lead was first recorded, for reports as of an instant."""
    live_known_at: datetime | None = None
    """When that was recorded by which it is no history, or no more; None while it is."""
    changed: bool = False
    """Something was learned of it that is to be written."""
    came: bytes | None = None
    """LeadFields as they were when it came, if it came just now."""
    before: list[tuple[datetime, datetime, str, datetime | None]] = field(default_factory=list)
    """What it was, until a merge or a correction was recorded: (until, created at, source, arrived at)."""

    def note_live(self, recorded_at: datetime) -> None:
        """Note that it was known to live by then: whichever topic is read first, the earliest counts."""
        if self.live and (self.live_known_at is None or recorded_at < self.live_known_at):
            self.live_known_at, self.changed = recorded_at, True

    def note_arrival(self) -> None:
        """Keep how it came: what is learned next changes no promise made then, be it read in the same batch."""
        if self.came is None and self.live and not self.arrival and self.arrived_at is not None:
            self.came = self.fields

    def lead_fields(self) -> common_pb2.LeadFields:
        """Return what may be read of it."""
        return common_pb2.LeadFields.FromString(self.fields or b"")


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Return the leads; one not known yet is new. Their subjects have to be locked."""
    wanted = list(lead_ids)
    rows = await conn.fetch("SELECT * FROM lead WHERE lead_id = ANY($1::uuid[])", wanted)
    found = {row["lead_id"]: Row(**row) for row in rows}
    return {lead_id: found.get(lead_id) or Row(lead_id) for lead_id in wanted}


async def save(conn: Connection, rows: Sequence[Row]) -> None:
    """Write whole leads, those of them that changed."""
    rows = [row for row in rows if row.changed]
    if not rows:
        return
    await conn.execute(
        "INSERT INTO lead (lead_id, live, created_at, recorded_at, arrived_at, source, closed, fields, arrival,"
        " known_at, live_known_at) SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[],"
        " $4::timestamptz[], $5::timestamptz[], $6::text[], $7::boolean[], $8::bytea[], $9::boolean[],"
        " $10::timestamptz[], $11::timestamptz[])"
        " ON CONFLICT (lead_id) DO UPDATE SET live = excluded.live, created_at = excluded.created_at,"
        " recorded_at = excluded.recorded_at, arrived_at = excluded.arrived_at, source = excluded.source,"
        " closed = excluded.closed, fields = excluded.fields, arrival = excluded.arrival,"
        " known_at = excluded.known_at, live_known_at = excluded.live_known_at",
        [row.lead_id for row in rows],
        [row.live for row in rows],
        [row.created_at for row in rows],
        [row.recorded_at for row in rows],
        [row.arrived_at for row in rows],
        [row.source for row in rows],
        [row.closed for row in rows],
        [row.fields for row in rows],
        [row.arrival for row in rows],
        [row.known_at for row in rows],
        [row.live_known_at for row in rows],
    )
    before = [(row.lead_id, *said) for row in rows for said in row.before]
    if before:
        await store_links.note_before(conn, before)


async def add_touches(conn: Connection, touches: Sequence[tuple[UUID, Touch, datetime]]) -> None:
    """Keep touches: (original lead id, touch, when we learned of it)."""
    await conn.execute(
        "INSERT INTO touch (touch_id, lead_id, rep_id, kind, outcome, automated, at, recorded_at, next_at)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],"
        " $6::boolean[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[]) ON CONFLICT DO NOTHING",
        [touch.touch_id for _, touch, _ in touches],
        [lead_id for lead_id, _, _ in touches],
        [touch.rep_id for _, touch, _ in touches],
        [touch.kind for _, touch, _ in touches],
        [touch.outcome for _, touch, _ in touches],
        [touch.automated for _, touch, _ in touches],
        [touch.at for _, touch, _ in touches],
        [recorded_at for _, _, recorded_at in touches],
        [touch.next_at for _, touch, _ in touches],
    )


async def touches(
    conn: Connection, members: Mapping[UUID, Sequence[UUID]], *, as_of: datetime | None = None
) -> dict[UUID, list[Touch]]:
    """Return the touches of all that are one lead, by its survivor; with `as_of` those recorded by then."""
    # Lead by lead, by OFFSET 0: the planner takes more leads than there are, and would read every touch.
    rows = await conn.fetch(
        "SELECT one.survivor, t.touch_id, t.rep_id, t.kind, t.outcome, t.automated, t.at, t.next_at,"  # noqa: S608
        f" coalesce({team_of('t.rep_id', 't.at')}, '') AS team"
        " FROM unnest($1::uuid[], $2::uuid[]) AS one (survivor, lead_id)"
        " CROSS JOIN LATERAL (SELECT * FROM touch WHERE lead_id = one.lead_id OFFSET 0) t"
        " WHERE $3::timestamptz IS NULL OR t.recorded_at <= $3",
        *store_links.columns(members),
        as_of,
    )
    found: dict[UUID, list[Touch]] = {lead_id: [] for lead_id in members}
    for row in rows:
        values = dict(row)
        found[values.pop("survivor")].append(Touch(**values))
    return found


async def arrivals(conn: Connection, members: Mapping[UUID, Sequence[UUID]]) -> dict[UUID, datetime]:
    """Return when the first one arrived of all that are one lead, by its survivor."""
    rows = await conn.fetch(
        "SELECT one.survivor, min(l.arrived_at) FROM unnest($1::uuid[], $2::uuid[]) AS one (survivor, lead_id)"
        " JOIN lead l USING (lead_id) WHERE l.arrived_at IS NOT NULL GROUP BY 1",
        *store_links.columns(members),
    )
    return {row[0]: row[1] for row in rows}


async def assignments(
    conn: Connection, lead_ids: Iterable[UUID], *, as_of: datetime | None = None
) -> dict[UUID, dict[int, Assignment]]:
    """Return the assignments of each lead by cycle; with `as_of` what was known of them by then."""
    rows = await conn.fetch(
        "SELECT lead_id, cycle, rep_id, assigned_at, CASE WHEN accepted_at <= v.at THEN accepted_at END AS accepted_at,"
        " CASE WHEN released_at <= v.at THEN released_at END AS released_at,"
        " CASE WHEN released_at <= v.at THEN outcome END AS outcome, policy, touched, begins_at,"
        " CASE WHEN moved THEN recorded_at END AS moved_at"
        " FROM assignment, coalesce($2::timestamptz, 'infinity') AS v(at)"
        " WHERE lead_id = ANY($1::uuid[]) AND recorded_at <= v.at",
        list(lead_ids),
        as_of,
    )
    found: dict[UUID, dict[int, Assignment]] = {}
    for row in rows:
        values = dict(row)
        lead_id = values.pop("lead_id")
        found.setdefault(lead_id, {})[row["cycle"]] = Assignment(**values)
    return found


async def add_assignments(conn: Connection, given: Sequence[tuple[UUID, Assignment, str, datetime]]) -> None:
    """Keep assignments: (lead id, assignment, team, when we learned of it)."""
    await conn.execute(
        "INSERT INTO assignment (lead_id, cycle, rep_id, team, assigned_at, policy, touched, begins_at, moved,"
        " recorded_at)"
        " SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],"
        " $7::boolean[], $8::timestamptz[], $9::boolean[], $10::timestamptz[]) ON CONFLICT DO NOTHING",
        [one[0] for one in given],
        [one[1].cycle for one in given],
        [one[1].rep_id for one in given],
        [one[2] for one in given],
        [one[1].assigned_at for one in given],
        [one[1].policy for one in given],
        [one[1].touched for one in given],
        [one[1].begins_at for one in given],
        [one[1].moved for one in given],
        [one[3] for one in given],
    )


async def note_accepted(conn: Connection, said: Sequence[tuple[UUID, int, datetime]]) -> None:
    """Note when assignments were accepted."""
    await conn.execute(
        "UPDATE assignment a SET accepted_at = v.at FROM unnest($1::uuid[], $2::int[], $3::timestamptz[])"
        " AS v(lead_id, cycle, at) WHERE a.lead_id = v.lead_id AND a.cycle = v.cycle",
        [one[0] for one in said],
        [one[1] for one in said],
        [one[2] for one in said],
    )


async def note_released(conn: Connection, said: Sequence[Release]) -> None:
    """Note when assignments were over, how, and for which reason."""
    await conn.execute(
        "UPDATE assignment a SET released_at = v.at, outcome = v.outcome, reason = v.reason,"
        " without_outcome = v.without_outcome"
        " FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[], $5::text[], $6::boolean[])"
        " AS v(lead_id, cycle, at, outcome, reason, without_outcome)"
        " WHERE a.lead_id = v.lead_id AND a.cycle = v.cycle",
        [one[0] for one in said],
        [one[1] for one in said],
        [one[2] for one in said],
        [one[3] for one in said],
        [one[4] for one in said],
        [one[5] for one in said],
    )


async def holder(conn: Connection, lead_id: UUID) -> str | None:
    """Return who has the lead now."""
    rep_id: str | None = await conn.fetchval(
        "SELECT rep_id FROM assignment WHERE lead_id = $1 AND released_at IS NULL ORDER BY cycle DESC LIMIT 1", lead_id
    )
    return rep_id


async def forget(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what leads said of themselves and people typed; that they came, and when, stays for the reports."""
    gone = list(lead_ids)
    await conn.execute("UPDATE lead SET fields = NULL WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute("UPDATE mark SET note = NULL WHERE lead_id = ANY($1::uuid[]) AND note IS NOT NULL", gone)
