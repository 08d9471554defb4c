"""A decision made again from what it saw: the reps and their counts at its place in the group's log, its policy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from backbone.database import Connection
from routing import assigning, policies, store_group
from routing.assigning import Index
from routing.domain import Considered, Decision, Lead, Policy

_REPS: Final = """
SELECT DISTINCT ON (v.rep_id) v.*, coalesce(c.open, 0) AS open, coalesce(c.untouched, 0) AS untouched,
       coalesce(c.by_pool, '{}') AS by_pool, coalesce(c.turns, '{}') AS turns, c.last_assigned_at
FROM rep_version v LEFT JOIN LATERAL (
    SELECT * FROM rep_count c WHERE c.rep_id = v.rep_id AND (c.sequence, c.ordinal) < ($1, $2)
    ORDER BY c.sequence DESC, c.ordinal DESC LIMIT 1
) c ON true
WHERE v.sequence < $1 ORDER BY v.rep_id, v.sequence DESC
"""


@dataclass(frozen=True, slots=True)
class Again:
    """What the decision comes to when it is made again, and what was thought of everybody."""

    decision: Decision
    considered: list[Considered]


async def again(conn: Connection, row: Mapping[str, Any]) -> Again | None:
    """Make a stored decision again; None for one that a person made, or whose lead was erased."""
    if row["inputs"] is None:
        return None
    rows = await conn.fetch(_REPS, row["sequence"], row["ordinal"])
    policy = await _policy(conn, row["policy_version"], rows)
    index = _index(rows, row["at"], policy)
    lead = _lead(row["lead_id"], msgspec.json.decode(row["inputs"]))
    decision = assigning.decide(lead, index, policy, row["at"], most=None)
    return Again(decision, list(assigning.everybody(decision, index)))


def _index(rows: Iterable[Any], at: datetime, policy: Policy | None) -> Index:
    reps, worked = {}, {}
    for row in rows:
        rep = store_group.rep_of(row)
        rep.by_pool = dict(row["by_pool"])
        spans = [(_instant(start), _instant(end)) for start, end in row["time_off"]["spans"]]
        known = store_group.known_of(row, spans)
        rep.away, rep.back_at, rep.share, _ = store_group.availability(known, at, policy)
        reps[rep.rep_id], worked[rep.rep_id] = rep, known.calendar
    return Index(reps, store_group.hours_of(worked))


async def _policy(conn: Connection, version: int, rows: Iterable[Any]) -> Policy | None:
    document = await conn.fetchval("SELECT document FROM policy WHERE version = $1", version)
    if document is None:
        return None
    return policies.build(version, document, {row["rep_id"]: store_group.rep_of(row).values for row in rows})


def _lead(lead_id: UUID, inputs: Mapping[str, Any]) -> Lead:
    instants = ("created_at", "waiting_since", "previous_at")
    said = {**inputs, **{name: _instant(inputs[name]) if inputs[name] else None for name in instants}}
    return Lead(lead_id=lead_id, **{**said, "declined": frozenset(inputs["declined"])})


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
