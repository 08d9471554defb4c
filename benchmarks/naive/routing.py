"""Step 3: one rep who has room."""

import uuid
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.naive.messaging import consume, run
from benchmarks.naive.models import Assignment, Lead, Rep


async def route(session: AsyncSession, message: dict[str, Any]) -> dict[str, Any] | None:
    """Give a lead to the rep with the fewest open ones."""
    lead = await session.get(Lead, uuid.UUID(message["lead_id"]))
    if lead is None or lead.stage != "mql":
        return None
    held = func.count(Assignment.id)
    is_open = and_(Assignment.rep_id == Rep.id, Assignment.state == "open")
    loads = select(Rep, held).outerjoin(Assignment, is_open).group_by(Rep.id).order_by(held)
    chosen = next((rep for rep, load in await session.execute(loads) if load < rep.cap), None)
    if chosen is None:
        return None
    session.add(Assignment(lead_id=lead.id, rep_id=chosen.id))
    return {"lead_id": str(lead.id), "rep_id": chosen.id}


if __name__ == "__main__":
    run(consume("routing", "naive.qualified", route, publishes="naive.routed"))
