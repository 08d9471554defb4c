"""Child processes that die with their parent, whatever ends it, and leave nothing behind."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

PR_SET_PDEATHSIG: Final = 1
POLL_S: Final = 0.05
URGENT_PATIENCE_S: Final = 2.0
TAIL_BYTES: Final = 16_384
STACK_LINES: Final = 80
_FRAMES: Final = ("at ", "... ", "File ", "^", "~")
"""How the lines of a stack begin, in Java and in Python."""

_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartFault(Exception):
    """Something did not come up; the text says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process and nobody else: a number alone is given to another process before long."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """Return who has this number now. psutil.Error when nobody has."""
        return cls(pid, _started(pid))

    def alive(self) -> psutil.Process | None:
        """Return the process while it is the one that was meant, and runs."""
        try:
            process = psutil.Process(self.pid)
            is_it = abs(_started(self.pid) - self.started) < 0.001 and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return None
        return process if is_it else None


def _started(pid: int) -> float:
    """Return when a process started: in ticks since boot on Linux, where a changed wall clock cannot move it."""
    if sys.platform != "linux":
        return float(psutil.Process(pid).create_time())
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
    return float(fields[19])


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
    cwd: Path | None = None,
    deathsig: int = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a process in a group of its own. It gets `deathsig` when its parent's main thread ends, even by kill -9.

    Call it from the parent's main thread: Linux ties the signal to the thread that forked.
    """
    parent = os.getpid()

    def settle() -> None:
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        if _libc is not None:
            # After the change of user, which clears it; then look whether the parent went in between.
            _libc.prctl(PR_SET_PDEATHSIG, deathsig)
            if os.getppid() != parent:
                os._exit(1)

    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=settle,
        )


def stop(process: "subprocess.Popen[bytes]", number: int, *, patience_s: float) -> None:
    """Send a signal, wait, and kill the whole group if it does not end in time."""
    if process.poll() is None:
        process.send_signal(number)
    await_end(process, patience_s=patience_s)


def await_end(process: "subprocess.Popen[bytes]", *, patience_s: float, urgently: int | None = None) -> None:
    """Wait for a process that was told to end, and kill the whole group if it does not in time.

    `urgently` is a signal to try before that, for a server whose own children leave its group.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    if urgently is not None and process.poll() is None:
        process.send_signal(urgently)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(URGENT_PATIENCE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


def end_leftovers(left: Sequence[Identity], *, patience_s: float) -> int:
    """Wait for what a killed supervisor left behind, which is ending by itself, and kill what stays. Return how many.

    Each is matched by when it started, so that nobody else's process is ever ended.
    """
    deadline = time.monotonic() + patience_s
    remaining = [process for one in left if (process := one.alive()) is not None]
    found = len(remaining)
    while remaining and time.monotonic() < deadline:
        time.sleep(POLL_S)
        remaining = [process for one in left if (process := one.alive()) is not None]
    for process in remaining:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return found


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def last_words(log: Path) -> str:
    """Return what a process said last, in one line: a log line's event, or an exception without where it passed."""
    lines = [line.strip() for line in tail(log, STACK_LINES).splitlines()]
    line = next((one for one in reversed(lines) if not one.startswith(_FRAMES)), "")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        said = json.loads(line)
        line = " ".join(str(said[key]) for key in ("event", "reason", "error") if said.get(key))
    return line[:300]


def await_start(
    process: "subprocess.Popen[bytes]", is_up: Callable[[], bool], *, what: str, log: Path, patience_s: float
) -> None:
    """Wait until `is_up()` is true. StartFault with the log's end when the process ends or takes too long."""
    deadline = time.monotonic() + patience_s
    while not is_up():
        if process.poll() is not None:
            raise StartFault(f"{what} ended at its start. The end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            stop(process, signal.SIGTERM, patience_s=2)
            raise StartFault(f"{what} did not come up within {patience_s:.0f} s. The end of {log}:\n{tail(log)}")
        time.sleep(POLL_S)
