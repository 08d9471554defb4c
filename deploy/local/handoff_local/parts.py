"""One process of a stack: started, looked at, started again with growing pauses when it dies."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from handoff_local import children, ports
from handoff_local.children import StartFault
from handoff_local.home import Home, reason_of_death

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 10.0
STEADY_AFTER_S: Final = 20.0
LOOK_AGAIN_S: Final = 1.0
"""How often a part that is ready is asked whether it still is; one that is not is asked at each look."""
PROBE_TIMEOUT_S: Final = 2.0

Launch = Callable[[], "subprocess.Popen[bytes]"]
Probe = Callable[[], str | None]
"""Returns None when ready, else what is in the way, which may be nothing that it knows."""


@dataclass(slots=True)
class Part:
    """A process that is to run."""

    home: Home
    name: str
    replica: int
    port: int
    metrics_port: int | None
    log: Path
    launch: Launch
    probe: Probe
    process: "subprocess.Popen[bytes] | None" = None
    state: str = "starting"
    reason: str = ""
    deaths: int = 0
    """Since it was last steady."""
    _began: float = 0.0
    _backoff_s: float = FIRST_BACKOFF_S
    _again_at: float = 0.0
    _looked_at: float = 0.0

    def look(self) -> None:
        """Start it when it does not run and its pause is over; see whether it died; ask whether it is ready."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._again_at:
                self.start()
        elif self.process.poll() is not None:
            words = children.last_words(self.log)
            self._fail(f"ended with {self.process.returncode}" + (f": {words}" if words else ""))
        elif self.state != "ready" or now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            self._ask(now)

    def start(self) -> None:
        """Launch it; what keeps it from being launched is kept as its reason."""
        self._began = time.monotonic()
        try:
            self.process = self.launch()
        except (StartFault, OSError) as fault:
            self._fail(str(fault).splitlines()[0])
            return
        self.state = "starting"

    def _ask(self, now: float) -> None:
        wrong = self.probe()
        if wrong is None:
            self.state, self.reason = "ready", ""
            if now - self._began > STEADY_AFTER_S:
                self._backoff_s, self.deaths = FIRST_BACKOFF_S, 0
        else:
            # Why it died last time stays beside it until it is ready again.
            self.state, self.reason = "starting", wrong or self.reason

    def _fail(self, said: str) -> None:
        self.deaths += 1
        self.reason = reason_of_death(self.home, said)
        self.state, self.process = "failed", None
        self._again_at = time.monotonic() + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, LONGEST_BACKOFF_S)

    def shown(self) -> dict[str, Any]:
        """Return the part as `handoff status` shows it."""
        return {
            "name": self.name,
            "replica": self.replica,
            "pid": self.process.pid if self.process is not None else None,
            "port": self.port,
            "metrics_port": self.metrics_port,
            "state": self.state,
            **({"reason": self.reason} if self.reason else {}),
            "log": str(self.log),
        }


def readiness(port: int) -> Probe:
    """Return a probe of a service: its own word."""

    def probe() -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PROBE_TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            return _detail(error)
        except (OSError, ValueError, HTTPException):
            return ""

    return probe


def liveness(is_up: Callable[[], bool]) -> Probe:
    """Return a probe of a server that answers or not."""
    return lambda: None if is_up() else ""


def free_port(taken: set[int]) -> int:
    """Return a free port that is not promised to another part, and promise it."""
    while True:
        port = ports.free()
        if port not in taken:
            taken.add(port)
            return port


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"answers {error.code}"
