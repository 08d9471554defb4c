"""Whose pages a batch changes, and how: pure."""

from collections.abc import Mapping
from uuid import UUID

from console.batch import Batch
from console.store_changes import Change
from console.store_leads import Assigned


def holder(cycles: Mapping[int, Assigned] | None) -> str | None:
    """Return who has a lead of these assignments: the rep of the newest, where that is open."""
    if not cycles:
        return None
    newest = cycles[max(cycles)]
    return newest.rep_id if newest.released_at is None else None


def changes(batch: Batch, before: Mapping[UUID, str | None], hidden: Mapping[UUID, str]) -> list[Change]:
    """Return what to send to whom. `hidden`: leads that are in no list any more, and why."""
    now = {lead_id: holder(batch.assigned.get(lead_id)) if lead_id not in hidden else None for lead_id in batch.touched}
    made: list[Change] = []
    loads = dict(batch.changed_reps)
    for lead_id, has in now.items():
        had = before.get(lead_id)
        if had is not None and had != has:
            made.append(_gone(batch, lead_id, had, has, hidden.get(lead_id)))
            loads[had] = None
        if has is not None:
            ticked = batch.ticked.get(lead_id)
            data = {"clocks": list(ticked)} if ticked else {}
            made.append(Change(rep_id=has, kind="lead", lead_id=lead_id, data=data))
            if had != has:
                loads[has] = None
    for lead_id, what, kind in batch.notices:
        rep_id = now.get(lead_id)
        if rep_id is not None:
            notice = {"what": what, "clock": kind}
            made.append(Change(rep_id=rep_id, kind="notice", lead_id=lead_id, data=notice))
    made += [Change(rep_id=rep_id, kind="load", data={}) for rep_id in loads]
    return made


def _gone(batch: Batch, lead_id: UUID, had: str, has: str | None, why: str | None) -> Change:
    ended = [row.outcome for row in batch.assigned[lead_id].values() if row.rep_id == had]
    reason = why or (ended[-1] if ended else "") or "reassigned"
    return Change(rep_id=had, kind="gone", lead_id=lead_id, data={"reason": reason, "rep_id": has})
