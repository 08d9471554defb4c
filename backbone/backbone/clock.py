"""The database's time, told without asking for it each time: instances agree on it, and their machines may not.

It is measured at the start and then every few seconds; in between the monotonic clock counts, which nobody sets.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

_zero: float | None = None
"""When the monotonic clock was zero, in seconds since 1970, by the database's clock as far as that is known."""


def now() -> datetime:
    """Return what time it is by the database; by this machine, in a process that never measured."""
    if _zero is None:
        return datetime.now(UTC)
    return datetime.fromtimestamp(_zero + time.monotonic(), UTC)


async def measure(ask: Callable[[], Awaitable[datetime]]) -> None:
    """Ask the database for its time, and correct ours as far as the answer proves it wrong.

    The answer was made at some instant while we waited: it can be told from ours no closer than that.
    """
    global _zero
    asked_at = time.monotonic()
    ours = _zero if _zero is not None else time.time() - asked_at
    answer = (await ask()).timestamp()
    earliest, latest = answer - time.monotonic(), answer - asked_at
    _zero = min(max(ours, earliest), latest)
