"""A process of routing as a test starts it, to be killed: `python -m tests.failures.router '{…settings…}'`."""

import asyncio
import json
import signal
import socket
import sys
from typing import Any

from backbone import process, telemetry
from routing import main
from routing.settings import Settings


async def live(settings: dict[str, Any]) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    listener = socket.create_server(("127.0.0.1", 0))
    async with process.running("routing", Settings(**settings), main.compose, listener=listener, stopping=stopping):
        await stopping.wait()


if __name__ == "__main__":
    telemetry.configure_logs("router", "ERROR")
    asyncio.run(live(json.loads(sys.argv[1])))
