"""Ports: free ones for tests, and whether a wanted one is taken."""

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

BLOCK: Final = 100
"""Ports that a stack takes at most, from its first one on."""
BLOCKS: Final = range(12_000, 32_000, BLOCK)
"""Below the ports that the kernel gives to outgoing connections, which may take one while a part starts anew."""


def free() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def block() -> Iterator[int]:
    """Hold the ports of a stack for as long as it is entered, and say the first of them.

    No other caller on this machine gets one of them, not even while the stack is down and nobody listens.
    """
    for first in random.SystemRandom().sample(BLOCKS, len(BLOCKS)):
        if (held := _hold(first)) is not None:
            with held:
                yield first
            return
    raise RuntimeError(f"no {BLOCK} free ports in a row between {BLOCKS.start} and {BLOCKS.stop}")


def _hold(first: int) -> IO[str] | None:
    """Return the locked file of a block whose ports are all free; closing it gives the block back."""
    try:
        held = (Path(tempfile.gettempdir()) / f"handoff-ports-{first}").open("a")
    except OSError:  # Another user's.
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not any(is_taken(first + offset) for offset in range(BLOCK)):
            return held
    except BlockingIOError:
        pass
    held.close()
    return None


def answers(port: int) -> bool:
    """Say whether somebody listens on it."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_taken(port: int) -> bool:
    """Say whether a server could not listen on it, be the holder listening or not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    # On some systems an address for all interfaces does not stand in the way of one for this machine.
    return answers(port)
