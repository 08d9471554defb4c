"""Step 4: the clocks."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.naive.messaging import consume, run
from benchmarks.naive.models import Clock, now

WINDOWS = {"first_response_5m": 300, "first_response_30m": 1800, "first_response_1d": 86_400}


async def start(session: AsyncSession, message: dict[str, Any]) -> None:
    """Start the clocks of an assigned lead."""
    for kind, seconds in WINDOWS.items():
        session.add(
            Clock(
                lead_id=uuid.UUID(message["lead_id"]),
                rep_id=message["rep_id"],
                kind=kind,
                due_at=now() + timedelta(seconds=seconds),
            )
        )


if __name__ == "__main__":
    run(consume("sla", "naive.routed", start))
