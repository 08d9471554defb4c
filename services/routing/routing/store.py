"""Leads, assignments and decisions, by the batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from backbone.database import Connection
from backbone.reasons import Why
from handoff.events.v1 import common_pb2
from routing import accounts
from routing.domain import MOST_CONSIDERED, Decision
from routing.meetings import Meetings

_LEAD = (
    "lead_id, fields, qualification, live, stage, created_at, recorded_at, arrived_at, cycle, touched, previous_rep,"
    " previous_at, sdr_id, declined, closed, host_email, previous, meetings, in_work, own_stage, brought"
)
_SAVED = f"{_LEAD}, account_domain, company"
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in _SAVED.split(", ") if name != "lead_id")
_LIST: Final = "\x1f"
"""Between the ids of a list; no id has it."""


@dataclass(slots=True)
class Row:
    """A lead while a transaction works on it."""

    lead_id: UUID
    fields: common_pb2.LeadFields | None = None
    qualification: common_pb2.Qualification | None = None
    live: bool = False
    stage: str = "new"
    created_at: datetime | None = None
    recorded_at: datetime | None = None
    arrived_at: datetime | None = None
    cycle: int = 0
    touched: bool = False
    previous_rep: str | None = None
    previous_at: datetime | None = None
    sdr_id: str | None = None
    declined: frozenset[str] = frozenset()
    """Who gave it back, or lost it for want of a touch or an answer."""
    closed: bool = False
    host_email: str | None = None
    """Of whoever hosts the meeting that the lead booked."""
    previous: dict[str, Any] = field(default_factory=dict)
    """By role: the rep who had it last, and until when (RFC 3339)."""
    meetings: Meetings = ()
    in_work: bool = False
    """Whether anybody has it, or had it and its stage has not ended since: if it is given back, the next one gets it.
    So it is, too, with history that came with who has it."""
    own_stage: str | None = None
    """At which stage it is itself, while it goes on as a lead that was merged into it and qualification has not said
    what it is now."""
    brought: dict[str, list[str]] = field(default_factory=dict)
    """By the id of a lead that was merged into it: who had refused that one, which is so until they are parted."""

    @property
    def refused_by(self) -> frozenset[str]:
        """Who does not get it again: of whichever of the leads that are one they said so."""
        return self.declined.union(*self.brought.values())

    @property
    def domain(self) -> str:
        """Its company's, "" where none is known."""
        return self.fields.account_domain if self.fields is not None else ""

    @property
    def company(self) -> str:
        """Its company's name as names are compared, "" where none is known."""
        return accounts.company(self.fields.company) if self.fields is not None else ""


@dataclass(slots=True)
class Assignment:
    """Who has a lead now."""

    lead_id: UUID
    rep_id: str
    cycle: int
    pool: str
    decision_id: UUID
    assigned_at: datetime
    accepted_at: datetime | None = None
    touched: bool = False
    status: str | None = None
    next_step: str | None = None
    next_at: datetime | None = None
    accept_by: datetime | None = None
    """Until then the rep has to have accepted; None when that is not asked for, or was done."""
    starts_clocks: bool = True
    """False of what was taken over, brought along, or touched before it changed hands."""
    touched_at: datetime | None = None
    """When its first touch was known, and with that its room under a cap of untouched leads."""
    over_cap: bool = False
    """Whether its rep had more than the cap with it when it was given, as a person may have it."""

    @property
    def is_untouched(self) -> bool:
        """Say whether it counts under caps of untouched leads: they keep clocks from starting together."""
        return self.starts_clocks and not self.touched


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Return the leads; one not known yet is new. Their subjects have to be locked."""
    wanted = list(lead_ids)
    rows = await conn.fetch(f"SELECT {_LEAD} FROM lead WHERE lead_id = ANY($1::uuid[])", wanted)  # noqa: S608
    found = {row["lead_id"]: _row(row) for row in rows}
    return {lead_id: found.get(lead_id) or Row(lead_id) for lead_id in wanted}


def _row(row: Any) -> Row:
    values = dict(row)
    for name, shape in (("fields", common_pb2.LeadFields), ("qualification", common_pb2.Qualification)):
        values[name] = shape.FromString(values[name]) if values[name] is not None else None
    values["declined"] = frozenset(values["declined"])
    return Row(**values)


async def save(conn: Connection, rows: Sequence[Row]) -> None:
    """Write whole leads."""
    await conn.execute(
        f"INSERT INTO lead ({_SAVED}) SELECT lead_id, fields, qualification, live, stage, created_at, recorded_at,"  # noqa: S608
        " arrived_at, cycle, touched, previous_rep, previous_at, sdr_id, string_to_array(declined, chr(31)), closed,"
        " host_email, previous, meetings::jsonb, in_work, own_stage, brought, account_domain, company"
        " FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::boolean[], $5::text[], $6::timestamptz[],"
        " $7::timestamptz[], $8::timestamptz[], $9::int[], $10::boolean[], $11::text[], $12::timestamptz[],"
        " $13::text[], $14::text[], $15::boolean[], $16::text[], $17::jsonb[], $18::text[], $19::boolean[],"
        f" $20::text[], $21::jsonb[], $22::text[], $23::text[]) AS v({_SAVED})"
        f" ON CONFLICT (lead_id) DO UPDATE SET {_CHANGES}",
        [row.lead_id for row in rows],
        [row.fields.SerializeToString() if row.fields is not None else None for row in rows],
        [row.qualification.SerializeToString() if row.qualification is not None else None for row in rows],
        [row.live for row in rows],
        [row.stage for row in rows],
        [row.created_at for row in rows],
        [row.recorded_at for row in rows],
        [row.arrived_at for row in rows],
        [row.cycle for row in rows],
        [row.touched for row in rows],
        [row.previous_rep for row in rows],
        [row.previous_at for row in rows],
        [row.sdr_id for row in rows],
        [_LIST.join(sorted(row.declined)) for row in rows],
        [row.closed for row in rows],
        [row.host_email for row in rows],
        [row.previous for row in rows],
        # As text: a list in an array would be one more dimension of it.
        [msgspec.json.encode(row.meetings).decode() for row in rows],
        [row.in_work for row in rows],
        [row.own_stage for row in rows],
        [row.brought for row in rows],
        [row.fields.account_domain if row.fields is not None else None for row in rows],
        [row.company for row in rows],
    )


async def assignments(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Assignment]:
    """Return who has these leads."""
    rows = await conn.fetch("SELECT * FROM assignment WHERE lead_id = ANY($1::uuid[])", list(lead_ids))
    return {row["lead_id"]: Assignment(**row) for row in rows}


async def save_assignments(conn: Connection, given: Sequence[Assignment]) -> None:
    """Write assignments."""
    await conn.execute(
        "INSERT INTO assignment SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::uuid[],"
        " $6::timestamptz[], $7::timestamptz[], $8::boolean[], $9::text[], $10::text[], $11::timestamptz[],"
        " $12::timestamptz[], $13::boolean[], $14::timestamptz[], $15::boolean[])"
        " ON CONFLICT (lead_id) DO UPDATE SET rep_id = excluded.rep_id, cycle = excluded.cycle, pool = excluded.pool,"
        " decision_id = excluded.decision_id, assigned_at = excluded.assigned_at, accepted_at = excluded.accepted_at,"
        " touched = excluded.touched, status = excluded.status, next_step = excluded.next_step,"
        " next_at = excluded.next_at, accept_by = excluded.accept_by, starts_clocks = excluded.starts_clocks,"
        " touched_at = excluded.touched_at, over_cap = excluded.over_cap",
        [one.lead_id for one in given],
        [one.rep_id for one in given],
        [one.cycle for one in given],
        [one.pool for one in given],
        [one.decision_id for one in given],
        [one.assigned_at for one in given],
        [one.accepted_at for one in given],
        [one.touched for one in given],
        [one.status for one in given],
        [one.next_step for one in given],
        [one.next_at for one in given],
        [one.accept_by for one in given],
        [one.starts_clocks for one in given],
        [one.touched_at for one in given],
        [one.over_cap for one in given],
    )


async def delete_assignments(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete assignments that ended."""
    await conn.execute("DELETE FROM assignment WHERE lead_id = ANY($1::uuid[])", list(lead_ids))


async def lapsed(conn: Connection, now: datetime, *, limit: int) -> list[UUID]:
    """Return leads whose rep let the time to accept go by, the longest first."""
    rows = await conn.fetch(
        "SELECT lead_id FROM assignment WHERE accept_by <= $1 ORDER BY accept_by LIMIT $2", now, limit
    )
    return [row[0] for row in rows]


_ENDED: Final = (
    *("lead_id", "cycle", "rep_id", "pool", "assigned_at", "ended_at", "touched", "touched_at", "outcome", "reason"),
    "words",
)


def as_ended(assignment: Assignment, outcome: str, why: Why, at: datetime) -> dict[str, Any]:
    """Return what is kept of an assignment that is over; the words that a person typed are kept here alone."""
    names = ("lead_id", "cycle", "rep_id", "pool", "assigned_at", "touched", "touched_at")
    kept = {name: getattr(assignment, name) for name in names}
    return {**kept, "ended_at": at, "outcome": outcome, "reason": why.code, "words": why.words}


async def add_ended(conn: Connection, ended: Sequence[Mapping[str, Any]]) -> None:
    """Keep assignments that are over."""
    await conn.copy_records_to_table(
        "ended_assignment", columns=_ENDED, records=[tuple(map(one.__getitem__, _ENDED)) for one in ended]
    )


async def ended(conn: Connection, lead_id: UUID, cycles: Iterable[int]) -> dict[int, Any]:
    """Return how assignments of a lead ended, by their cycles."""
    rows = await conn.fetch(
        "SELECT cycle, ended_at, outcome, reason, words FROM ended_assignment"
        " WHERE lead_id = $1 AND cycle = ANY($2::int[])",
        lead_id,
        list(cycles),
    )
    return {row["cycle"]: row for row in rows}


_DECISION: Final = (
    *("decision_id", "lead_id", "at", "sequence", "cycle", "outcome", "reason_code", "rule", "pool", "strategy"),
    *("rep_id", "policy_version", "considered", "ordinal", "inputs", "over_cap"),
)


def as_decided(decision: Decision, **of: Any) -> dict[str, Any]:
    """Return what is kept of a decision: itself, and of what lead, when, on what."""
    names = ("reason_code", "rule", "pool", "strategy", "rep_id", "over_cap")
    kept = {name: getattr(decision, name) for name in names}
    considered = msgspec.json.encode(decision.considered[:MOST_CONSIDERED])
    return {**kept, "outcome": str(decision.outcome), "considered": considered, **of}


async def add_decisions(conn: Connection, decisions: Sequence[Mapping[str, Any]]) -> None:
    """Keep decisions."""
    await conn.copy_records_to_table(
        "decision", columns=_DECISION, records=[tuple(map(one.__getitem__, _DECISION)) for one in decisions]
    )


async def decisions(conn: Connection, lead_id: UUID, *, after: tuple[Any, ...] | None, limit: int) -> list[Any]:
    """Return decisions over a lead, newest first; their ids are in the order in which they were made."""
    at, decision_id = after or (None, None)
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM decision WHERE lead_id = $1 AND ($2::timestamptz IS NULL OR (at, decision_id) < ($2, $3::uuid))"
        " ORDER BY at DESC, decision_id DESC LIMIT $4",
        lead_id,
        at,
        decision_id,
        limit,
    )
    return rows


async def decision(conn: Connection, decision_id: UUID) -> Any:
    """Return one decision, None when there is none."""
    return await conn.fetchrow("SELECT * FROM decision WHERE decision_id = $1", decision_id)


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what is held of a person."""
    gone = list(lead_ids)
    await conn.execute(
        "UPDATE lead SET fields = NULL, qualification = NULL, account_domain = NULL, host_email = NULL,"
        " meetings = '[]', company = '' WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute("UPDATE decision SET inputs = NULL WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute("UPDATE ended_assignment SET words = '' WHERE lead_id = ANY($1::uuid[])", gone)
