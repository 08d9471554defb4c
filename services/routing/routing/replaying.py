"""A decision made again from what it saw: the reps and their counts at its place in the group's log, its policy."""

from collections.abc import Mapping
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
    index = await _index(conn, row["sequence"], row["ordinal"], row["at"])
    policy = await _policy(conn, row["policy_version"], index)
    decision = assigning.decide(_lead(row["lead_id"], msgspec.json.decode(row["inputs"])), index, policy, row["at"])
    return Again(decision, list(assigning.everybody(decision, index)))


async def _index(conn: Connection, sequence: int, ordinal: int, at: datetime) -> Index:
    reps = {}
    for row in await conn.fetch(_REPS, sequence, ordinal):
        rep = store_group.rep_of(row)
        rep.by_pool = dict(row["by_pool"])
        spans = [(_instant(start), _instant(end)) for start, end in row["time_off"]["spans"]]
        rep.away, rep.back_at, _ = store_group.availability(store_group.known_of(row, spans), at)
        reps[rep.rep_id] = rep
    return Index(reps)


async def _policy(conn: Connection, version: int, index: Index) -> Policy | None:
    document = await conn.fetchval("SELECT document FROM policy WHERE version = $1", version)
    if document is None:
        return None
    return policies.build(version, document, {rep_id: rep.values for rep_id, rep in index.reps.items()})


def _lead(lead_id: UUID, inputs: Mapping[str, Any]) -> Lead:
    instants = ("created_at", "waiting_since", "previous_at")
    said = {**inputs, **{name: _instant(inputs[name]) if inputs[name] else None for name in instants}}
    return Lead(lead_id=lead_id, **{**said, "declined": frozenset(inputs["declined"])})


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
