"""Step 5: the funnel."""

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.naive.messaging import consume, run
from benchmarks.naive.models import Stage


async def count(session: AsyncSession, message: dict[str, Any]) -> None:
    """Note how far a lead has come."""
    session.add(Stage(lead_id=uuid.UUID(message["lead_id"]), stage=message["stage"]))


if __name__ == "__main__":
    run(consume("forecast", "naive.qualified", count))
