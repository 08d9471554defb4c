"""A process of a service as a test starts it, to be killed: `python -m tests.failures.member '{…}'`.

Takes `service`, `settings`, `port` (0: any), and `ahead_seconds`: by so much its machine's clock is wrong.
"""

import asyncio
import importlib
import json
import signal
import socket
import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from backbone import process, telemetry
from backbone.testing.servers import PACKAGES

SESSION_TIMEOUT_MS: Final = 2_000
"""So soon the group goes on without a member that was killed or stopped, for a test does not wait for ten seconds."""


async def begin(
    service: str,
    settings: dict[str, Any],
    *,
    ahead_seconds: float = 0,
    port: int = 0,
    session_timeout_ms: int = SESSION_TIMEOUT_MS,
) -> asyncio.subprocess.Process:
    """Start one, from a test."""
    hurried = {**settings, "session_timeout_ms": session_timeout_ms}
    said = json.dumps({"service": service, "settings": hurried, "ahead_seconds": ahead_seconds, "port": port})
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.failures.member", said)


async def live(service: str, settings: dict[str, Any], ahead_seconds: float, port: int) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    listener = socket.create_server(("127.0.0.1", port))
    package = PACKAGES[service]
    main = importlib.import_module(f"{package}.main")
    made = importlib.import_module(f"{package}.settings").Settings(**settings)
    if ahead_seconds:
        _set_the_clock(ahead_seconds, package)
    async with process.running(service, made, main.compose, listener=listener, stopping=stopping):
        await stopping.wait()


def _set_the_clock(ahead_seconds: float, package: str) -> None:
    """Let all that is ours, and whoever asks `time`, see another time than the database does."""
    right_time = time.time
    time.time = lambda: right_time() + ahead_seconds

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Wrong":
            return super().now(tz) + timedelta(seconds=ahead_seconds)

    ours = [module for name, module in sys.modules.items() if name.startswith(("backbone.", f"{package}."))]
    for module in ours:
        if getattr(module, "datetime", None) is datetime:
            module.datetime = Wrong  # type: ignore[attr-defined]


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    telemetry.configure_logs("member", "ERROR")
    asyncio.run(live(**given))
