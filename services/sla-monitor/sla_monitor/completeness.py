"""How far the facts are known, for reports that a late event may change."""

import asyncio
from datetime import datetime
from typing import Final

from backbone import kafka, times
from backbone.consumer import Consumer
from backbone.database import Connection

ENDS_TIMEOUT_S: Final = 1.0


async def until(conn: Connection, consumer: Consumer) -> datetime | None:
    """Return until when every fact is known: now, when all topics are read to their ends; else what was read last."""
    now = await times.now(conn)
    try:
        ends = await asyncio.wait_for(consumer.ends(), ENDS_TIMEOUT_S)
    except (kafka.KafkaError, TimeoutError, OSError):
        ends = None
    if ends is not None and await consumer.have_read(conn, ends):
        return now
    at: datetime | None = await conn.fetchval("SELECT max(recorded_at) FROM lead")
    return at
