"""The clocks of a lead."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from backbone import database, security, subjects, times
from backbone.problem import Problem
from sla_monitor import store, store_clocks
from sla_monitor.store_clocks import Clock

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]


def router(db: database.Database) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["clocks"])

    @api.get("/v1/leads/{lead_id}/clocks")
    async def clocks(caller: Reading, lead_id: UUID) -> list[dict[str, Any]]:
        """Show every clock of a lead; whoever had the lead before sees those of that time."""
        async with db.reading() as conn:
            survivor = await subjects.survivor(conn, lead_id)
            found = (await store_clocks.clocks(conn, [survivor])).get(survivor, [])
            holder = await store.holder(conn, survivor)
        if not caller.owns(holder):
            found = [one for one in found if caller.owns(one.terms.rep_id)]
            if not found:
                raise Problem(403, "Not your lead", "A rep sees own leads only.")
        return [_clock(one) for one in found]

    return api


def _clock(one: Clock) -> dict[str, Any]:
    return {
        "clock": one.clock,
        "kind": one.terms.kind,
        "cycle": one.cycle,
        "rep_id": one.terms.rep_id or None,
        "started_at": times.text(one.terms.started_at),
        "due_at": times.text(one.terms.due_at),
        "state": str(one.state),
        **({"met_at": times.text(one.met_at)} if one.met_at is not None else {}),
        **({"breached_at": times.text(one.breached_at)} if one.breached_at is not None else {}),
        **({"retracted": True} if one.retracted else {}),
        **({"touches": {"done": dict(one.done), "needed": dict(one.terms.needs)}} if one.terms.needs else {}),
        "policy": one.policy,
        "calendar": one.calendar,
    }
