"""How a process listens: uvicorn as part of a TaskGroup, and metrics on a port of their own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import start_http_server


class Server(uvicorn.Server):
    """A server that leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's; uvicorn would raise them again before the workers have closed."""
        yield


def settings(grace_s: int) -> dict[str, Any]:
    """Return uvicorn's settings; open requests get so many seconds at the end. On uvloop aiokafka would die."""
    return {
        "loop": "asyncio",
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": grace_s,
        "timeout_keep_alive": 75,
        "backlog": 4096,
        "lifespan": "off",
        "server_header": False,
        # The console, which alone asks who calls from where, reads what a proxy says by itself.
        "proxy_headers": False,
    }


@contextmanager
def metrics(port: int | None, host: str) -> Iterator[None]:
    """Serve /metrics meanwhile; not at all without a port."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, host)
    assert isinstance(thread, threading.Thread)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
