"""The database's time, told without asking for it each time: instances agree on it, and their machines may not.

It is measured at the start and then every few seconds; in between a clock counts on that nobody sets.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

_ticks: Final = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
"""Where there is one, the clock that goes on while the machine sleeps."""
_zero: float | None = None
"""When that clock was zero, in seconds since 1970, by the database's clock as far as that is known."""


def now() -> datetime:
    """Return what time it is by the database; by this machine, in a process that never measured."""
    if _zero is None:
        return datetime.now(UTC)
    return datetime.fromtimestamp(_zero + _ticks(), UTC)


async def measure(ask: Callable[[], Awaitable[datetime]]) -> None:
    """Ask the database for its time, and correct ours as far as the answer proves it wrong.

    The answer was made at some instant while we waited: it can be told from ours no closer than that.
    """
    global _zero
    asked_at = _ticks()
    ours = _zero if _zero is not None else time.time() - asked_at
    answer = (await ask()).timestamp()
    earliest, latest = answer - _ticks(), answer - asked_at
    _zero = min(max(ours, earliest), latest)
