"""Keeps a process's clock (`clock.now`) by its database's."""

import asyncio
from typing import Final

from backbone import clock, times
from backbone.database import Database, is_transient

MEASURE_EVERY_S: Final = 10.0


async def measure(db: Database) -> None:
    """Measure once; raises what the database does."""
    async with db.reading() as conn:
        await clock.measure(lambda: times.now(conn))


async def follow(db: Database) -> None:
    """Measure until cancelled; while the database is away it counts on from what was measured last."""
    while True:
        await asyncio.sleep(MEASURE_EVERY_S)
        try:
            await measure(db)
        except Exception as error:
            if not is_transient(error):
                raise
