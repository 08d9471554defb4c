"""Whom an alert concerns: the rep whose clock it is; for a clock of the lead's own, whoever has the lead by now.

Who is paused is whom the lead was taken from for it, or who had it when it was missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor import chain, clocks, domain, store_reps
from sla_monitor.domain import Level
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


_NAMED: Final = """
SELECT DISTINCT ON (t.alert_id) t.alert_id, a.cycle, a.rep_id, r.rep
FROM alert t JOIN assignment a ON a.lead_id = t.lead_id AND a.rep_id = t.rep_id AND a.assigned_at <= t.at
LEFT JOIN rep r ON r.rep_id = a.rep_id
WHERE t.alert_id = ANY($1::uuid[]) ORDER BY t.alert_id, a.cycle DESC
"""
"""Whom alerts named, as far as anybody was told."""


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
    whom = {id(clock): holders.get(clock.lead_id, _NOBODY) for clock in ownerless}
    whom |= await _who_missed(conn, ownerless)
    lacking = [clock for clock in ownerless if _asks_all(clock, whom[id(clock)])]
    managers = await _managers(conn) if lacking else {}
    whom |= {id(clock): replace(whom[id(clock)], manager_ids=_of_all(clock, managers)) for clock in lacking}
    return found | {id(clock): _named(clock, whom[id(clock)]) for clock in ownerless}


async def _who_missed(conn: Connection, due: Sequence[Clock]) -> dict[int, Recipient]:
    """Return whom a pause is meant for that follows on taking the lead away: not who got it for that.

    From whom the chain took it; where another had taken it already, who had it when the promise was missed.
    """
    missed = {id(clock): _told(clock) for clock in due if clock.steps[clock.step]["to"] == chain.PAUSE}
    rows = await conn.fetch(_NAMED, [alert for told in missed.values() for alert in told]) if missed else []
    named = {row["alert_id"]: _holder(row) for row in rows}
    return {
        one: next((named[alert] for alert in told if alert in named), _NOBODY) for one, told in missed.items() if told
    }


def _told(clock: Clock) -> list[UUID]:
    """Return the alerts by which a chain took the lead away and said that it was missed, last one first, if it did."""
    fired = clock.steps[: clock.step]
    acts = [number for number, step in enumerate(fired) if step["to"] == chain.REASSIGN]
    breaches = [number for number, step in enumerate(fired) if step["level"] == Level.BREACH and acts]
    return [clocks.alert_id(clock, fired[number]["level"], number) for number in reversed(breaches + acts)]


def _own(clock: Clock, rep: common_pb2.Rep | None) -> Recipient:
    """Who leads the rep by now is told; a clock of two months has seen managers come and go."""
    manager_id = rep.manager_id if rep is not None else clock.manager_id
    return Recipient(clock.terms.rep_id, [manager_id] if manager_id else [], clock.cycle)


def _holder(row: Any) -> Recipient:
    rep = common_pb2.Rep.FromString(row["rep"] or b"")
    return Recipient(row["rep_id"], [rep.manager_id] if rep.manager_id else [], row["cycle"])


def _asks_all(clock: Clock, one: Recipient) -> bool:
    """Say whether it concerns the managers of all who could have the lead: nobody has it, or nobody leads who does."""
    return not one.rep_id or (clock.terms.kind == REVIEW and not one.manager_ids)


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
