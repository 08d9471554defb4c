"""Step 2: is it worth a rep's time."""

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.naive.messaging import consume, run
from benchmarks.naive.models import Lead


async def qualify(session: AsyncSession, message: dict[str, Any]) -> dict[str, Any] | None:
    """Score a lead."""
    lead = await session.get(Lead, uuid.UUID(message["lead_id"]))
    if lead is None:
        return None
    lead.score = 40 if lead.employees is not None and 100 <= lead.employees < 5000 else 0
    lead.stage = "mql" if lead.score >= 40 else "nurture"
    return {"lead_id": str(lead.id), "stage": lead.stage}


if __name__ == "__main__":
    run(consume("qualification", "naive.leads", qualify, publishes="naive.qualified"))
