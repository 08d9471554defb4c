"""A decision made again from what it saw: the reps and their counts at its place in the group's log, its policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbone.database import Connection
from routing import assigning, domain, history, inputs, store_group
from routing.domain import Considered, Decision, Outcome


@dataclass(frozen=True, slots=True)
class Again:
    """What the decision comes to when it is made again, and what was thought of everybody."""

    decision: Decision
    considered: list[Considered]


async def again(conn: Connection, row: Mapping[str, Any]) -> Again | None:
    """Make a stored decision again; None for one whose lead was erased.

    One that named its rep has no inputs, and needs none.
    """
    is_by_name = row["rep_id"] is not None and not row["strategy"]
    if row["inputs"] is None and not is_by_name:
        return None
    rows = await conn.fetch(history.AS_IT_WAS, row["sequence"], row["ordinal"])
    group = history.group_of(rows, await history.policy_of(conn, row["policy_version"]), row["at"].year)
    store_group.set_availability(group, row["at"])
    if is_by_name:
        named = {name: row[name] for name in ("rule", "pool", "over_cap")}
        decision = domain.by_name(row["rep_id"], outcome=Outcome(row["outcome"]), **named)
    else:
        decision = assigning.decide(inputs.lead_of(row), group.index, group.policy, row["at"], most=None)
    return Again(decision, list(assigning.everybody(decision, group.index)))
