"""Whose pages a batch changes, and how: pure."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from backbone import times
from console.noting import Batch
from console.store_changes import Change
from console.store_leads import Assigned


def holders(assigned: Iterable[Assigned]) -> dict[UUID, str]:
    """Return who has each lead: the rep of its newest assignment, where that is open."""
    newest: dict[UUID, Assigned] = {}
    for row in assigned:
        if row.lead_id not in newest or newest[row.lead_id].cycle < row.cycle:
            newest[row.lead_id] = row
    return {lead_id: row.rep_id for lead_id, row in newest.items() if row.released_at is None}


def changes(batch: Batch, before: Mapping[UUID, str], hidden: Mapping[UUID, str]) -> list[Change]:
    """Return what to send to whom. `hidden`: leads that are in no list any more, and why."""
    now = holders(batch.assigned.values())
    made: list[Change] = []
    loads = dict(batch.changed_reps)
    for lead_id in batch.touched:
        had, has = before.get(lead_id), now.get(lead_id)
        if lead_id in hidden:
            has = None
        if had is not None and had != has:
            made.append(_gone(batch, lead_id, had, has, hidden.get(lead_id)))
            loads[had] = None
        if has is not None:
            made.append(Change(rep_id=has, kind="lead", lead_id=lead_id, data={}))
            if had != has:
                loads[has] = None
    shown = {lead_id: rep_id for lead_id, rep_id in now.items() if lead_id not in hidden}
    for lead_id, clock in batch.clocks:
        if lead_id in shown:
            made.append(Change(rep_id=shown[lead_id], kind="clock", lead_id=lead_id, data=_clock(clock)))
    for lead_id, what, kind in batch.notices:
        if lead_id in shown:
            data = {"what": what, "clock": kind}
            made.append(Change(rep_id=shown[lead_id], kind="notice", lead_id=lead_id, data=data))
    made += [Change(rep_id=rep_id, kind="load", data={}) for rep_id in loads]
    return made


def _gone(batch: Batch, lead_id: UUID, had: str, has: str | None, why: str | None) -> Change:
    ended = [row.outcome for row in batch.assigned.values() if row.lead_id == lead_id and row.rep_id == had]
    reason = why or (ended[-1] if ended else "") or "reassigned"
    return Change(rep_id=had, kind="gone", lead_id=lead_id, data={"reason": reason, "rep_id": has})


def _clock(clock: Any) -> dict[str, Any]:
    return {
        "clock": clock.clock,
        "kind": clock.kind,
        "cycle": clock.cycle,
        "state": "missed" if clock.state == "breached" else clock.state,
        "due_at": times.text(times.at(clock.due_at)),
        "met_at": times.text(times.at(clock.met_at)) if clock.HasField("met_at") else None,
        "retracted": clock.retracted,
    }
