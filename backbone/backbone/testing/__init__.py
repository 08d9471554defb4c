"""What tests stand on: real servers, services in this process, and waiting for conditions instead of for time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.02


async def eventually(check: Callable[[], Awaitable[T]], *, patience_s: float = PATIENCE_S) -> T:
    """Await `check` again and again until it stops raising AssertionError, and return what it returns."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
