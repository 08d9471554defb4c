"""A decision made again from what it saw: the reps and their counts at its place in the group's log, its policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbone.database import Connection
from routing import assigning, history, store_group
from routing.domain import Considered, Decision


@dataclass(frozen=True, slots=True)
class Again:
    """What the decision comes to when it is made again, and what was thought of everybody."""

    decision: Decision
    considered: list[Considered]


async def again(conn: Connection, row: Mapping[str, Any]) -> Again | None:
    """Make a stored decision again; None for one that a person made, or whose lead was erased."""
    if row["inputs"] is None:
        return None
    rows = await conn.fetch(history.AS_IT_WAS, row["sequence"], row["ordinal"])
    group = history.group_of(rows, await history.policy_of(conn, row["policy_version"]), row["at"].year)
    store_group.set_availability(group, row["at"])
    decision = assigning.decide(history.lead_of(row), group.index, group.policy, row["at"], most=None)
    return Again(decision, list(assigning.everybody(decision, group.index)))
