"""Sessions and messages: what every step is made of."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

DATABASE_URL = os.environ.get("NAIVE_DATABASE_URL", "postgresql+asyncpg://localhost/naive")
KAFKA = os.environ.get("NAIVE_KAFKA", "127.0.0.1:9092")

engine = create_async_engine(DATABASE_URL, pool_size=20)
Session = async_sessionmaker(engine, expire_on_commit=False)

Handle = Callable[[AsyncSession, dict[str, Any]], Awaitable[dict[str, Any] | None]]


def producer() -> AIOKafkaProducer:
    """Make a producer that waits for the broker."""
    return AIOKafkaProducer(bootstrap_servers=KAFKA, acks="all")


async def publish(sender: AIOKafkaProducer, topic: str, message: dict[str, Any]) -> None:
    """Send one message and wait until it is there."""
    await sender.send_and_wait(topic, json.dumps(message).encode(), key=str(message["lead_id"]).encode())


async def consume(group: str, topic: str, handle: Handle, *, publishes: str | None = None) -> None:
    """Handle the messages of a topic one by one: a session and a commit each, then tell the next step."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=KAFKA, group_id=group, auto_offset_reset="earliest")
    sender = producer()
    await consumer.start()
    await sender.start()
    try:
        async for record in consumer:
            async with Session() as session:
                said = await handle(session, json.loads(record.value))
                await session.commit()
            if publishes is not None and said is not None:
                await publish(sender, publishes, said)
    finally:
        await sender.stop()
        await consumer.stop()


def run(main: Awaitable[None]) -> None:
    """Run a step until it is told to end."""

    async def until_told() -> None:
        task = asyncio.ensure_future(main)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        await engine.dispose()

    asyncio.run(until_told())
