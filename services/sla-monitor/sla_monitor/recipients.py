"""Whom an alert concerns: the rep whose clock it is; for a clock of the lead's own, whoever has the lead by now.

Who is paused is whom the lead was taken from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor import chain, clocks, domain, store_reps
from sla_monitor.store_clocks import Clock

REP: Final = "rep"
MANAGER: Final = "manager"
SDR: Final = "sdr"
REVIEW: Final = "review"

_HOLDERS: Final = """
SELECT DISTINCT ON (a.lead_id) a.lead_id, a.cycle, a.rep_id, r.rep
FROM assignment a LEFT JOIN rep r USING (rep_id)
WHERE a.lead_id = ANY($1::uuid[]) AND a.released_at IS NULL ORDER BY a.lead_id, a.cycle DESC
"""


_TAKEN_FROM: Final = """
SELECT DISTINCT ON (t.alert_id) t.alert_id, a.cycle, a.rep_id, r.rep
FROM alert t JOIN assignment a ON a.lead_id = t.lead_id AND a.rep_id = t.rep_id AND a.assigned_at <= t.at
LEFT JOIN rep r ON r.rep_id = a.rep_id
WHERE t.alert_id = ANY($1::uuid[]) ORDER BY t.alert_id, a.cycle DESC
"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom an alert concerns; nobody's rep and cycle 0 where nobody has the lead."""

    rep_id: str
    manager_ids: Sequence[str]
    cycle: int
    is_for_managers: bool = False

    def role(self, to: str) -> str:
        """Return who is told: managers instead of a rep where nobody has the lead, and of what is to be reviewed."""
        return MANAGER if to == REP and (self.is_for_managers or not self.rep_id) else to


_NOBODY: Final = Recipient("", (), 0)


async def of(conn: Connection, due: Sequence[Clock]) -> dict[int, Recipient]:
    """Return whom the alerts of clocks concern, by the clock's identity."""
    ownerless = [clock for clock in due if clock.terms.source not in domain.OF_ASSIGNMENTS]
    reps = await store_reps.reps_as_known(conn, {clock.terms.rep_id for clock in due} - {""})
    found = {id(clock): _own(clock, reps.get(clock.terms.rep_id)) for clock in due}
    if not ownerless:
        return found
    rows = await conn.fetch(_HOLDERS, list({clock.lead_id for clock in ownerless}))
    holders = {row["lead_id"]: _holder(row) for row in rows}
    lacking = [clock for clock in ownerless if _asks_all(clock, holders.get(clock.lead_id))]
    found |= {id(clock): _named(clock, holders[clock.lead_id]) for clock in ownerless if clock.lead_id in holders}
    managers = await _managers(conn) if lacking else {}
    for clock in lacking:
        one = holders.get(clock.lead_id, _NOBODY)
        found[id(clock)] = _named(clock, replace(one, manager_ids=_of_all(clock, managers)))
    return {**found, **await _who_missed(conn, ownerless)}


async def _who_missed(conn: Connection, due: Sequence[Clock]) -> dict[int, Recipient]:
    """Return whom a pause is meant for whose chain took the lead away before: not who got it for that."""
    taken = {one: id(clock) for clock in due if clock.steps[clock.step]["to"] == chain.PAUSE and (one := _taken(clock))}
    rows = await conn.fetch(_TAKEN_FROM, list(taken)) if taken else []
    return {taken[row["alert_id"]]: _holder(row) for row in rows}


def _taken(clock: Clock) -> UUID | None:
    """Return the alert by which the chain took the lead away."""
    steps = [number for number, step in enumerate(clock.steps[: clock.step]) if step["to"] == chain.REASSIGN]
    return clocks.alert_id(clock, clock.steps[steps[-1]]["level"], steps[-1]) if steps else None


def _own(clock: Clock, rep: common_pb2.Rep | None) -> Recipient:
    """Who leads the rep by now is told; a clock of two months has seen managers come and go."""
    manager_id = rep.manager_id if rep is not None else clock.manager_id
    return Recipient(clock.terms.rep_id, [manager_id] if manager_id else [], clock.cycle)


def _holder(row: Any) -> Recipient:
    rep = common_pb2.Rep.FromString(row["rep"] or b"")
    return Recipient(row["rep_id"], [rep.manager_id] if rep.manager_id else [], row["cycle"])


def _asks_all(clock: Clock, holder: Recipient | None) -> bool:
    """Say whether it concerns the managers of all who could have the lead: nobody has it, or nobody leads who does."""
    return holder is None or (clock.terms.kind == REVIEW and not holder.manager_ids)


def _named(clock: Clock, one: Recipient) -> Recipient:
    return replace(one, is_for_managers=clock.terms.kind == REVIEW)


def _of_all(clock: Clock, managers: dict[str, set[str]]) -> Sequence[str]:
    """Who judges what is queued is an SDR; a lead that waits for a rep is everybody's."""
    return sorted(managers.get(SDR, set()) if clock.terms.source == domain.QUEUED else set().union(*managers.values()))


async def _managers(conn: Connection) -> dict[str, set[str]]:
    """Return the managers of active reps, by the reps' role."""
    found: dict[str, set[str]] = {}
    for row in await conn.fetch("SELECT rep FROM rep"):
        rep = common_pb2.Rep.FromString(row["rep"])
        if rep.active and rep.manager_id:
            found.setdefault(rep.role, set()).add(rep.manager_id)
    return found
