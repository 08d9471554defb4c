"""What firing a step makes of its clock, and the alert that tells of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from backbone import times
from backbone.database import Connection
from sla_monitor import chain, clocks, store_alerts, store_links
from sla_monitor.domain import Level, State
from sla_monitor.recipients import Recipient
from sla_monitor.store_alerts import Fired
from sla_monitor.store_clocks import Clock, Key

LATE_S: Final = 1.0


def due_at(clock: Clock) -> datetime:
    """Return the instant of the step that a clock tells next, whenever it is looked at."""
    return times.parse(clock.steps[clock.step]["at"])


async def spent(conn: Connection, acting: Sequence[Clock]) -> set[Key]:
    """Return which would take a lead away once more than the policy allows."""
    taking = [clock for clock in acting if clock.steps[clock.step]["to"] == chain.REASSIGN]
    if not taking:
        return set()
    # What was taken away before a merge was it, too, whichever of those that are one lead by now it was.
    members = await store_links.members(conn, {clock.lead_id for clock in taking})
    by_lead = await store_alerts.taken_away(conn, {one for some in members.values() for one in some})
    taken = {lead_id: sum(by_lead.get(one, 0) for one in some) for lead_id, some in members.items()}
    over: set[Key] = set()
    for clock in taking:
        if taken[clock.lead_id] >= clock.steps[clock.step].get("times", 1):
            over.add(clock.key)
        else:
            taken[clock.lead_id] += 1
    return over


def step(clock: Clock, to: Recipient, now: datetime) -> Fired:
    """Raise the step of a clock that is due, and return it with its alert."""
    said = clock.steps[clock.step]
    late_by = (now - due_at(clock)).total_seconds()
    alert: dict[str, Any] = {
        "alert_id": clocks.alert_id(clock, said["level"], clock.step),
        "at": now,
        "level": said["level"],
        "step": clock.step,
        "goes_to": to.role(said["to"]),
        "rep_id": to.rep_id,
        "manager_ids": to.manager_ids,
        "assignment_cycle": to.cycle,
        "late_by_seconds": late_by,
        "late": late_by > LATE_S,
    }
    fired = Fired(clock, alert, step=clock.step, version=clock.version)
    if said["level"] == Level.BREACH:
        clock.state, clock.breached_at = State.BREACHED, now
    clock.step += 1
    clock.next_at = clocks.step_at(clock, clock.step)
    clock.version += 1
    return fired
