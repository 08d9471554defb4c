"""Child processes that die with their parent, whatever ends it, and leave nothing behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
POLL_S: Final = 0.05

_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartFault(Exception):
    """A server did not come up; the text says what is wrong and how to mend it."""


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
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def await_start(
    process: "subprocess.Popen[bytes]", is_up: "object", *, what: str, log: Path, patience_s: float
) -> None:
    """Wait until `is_up()` is true. StartFault with the log's end when the process ends or takes too long."""
    assert callable(is_up)
    deadline = time.monotonic() + patience_s
    while not is_up():
        if process.poll() is not None:
            raise StartFault(f"{what} ended at its start. The end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            stop(process, signal.SIGTERM, patience_s=2)
            raise StartFault(f"{what} did not come up within {patience_s:.0f} s. The end of {log}:\n{tail(log)}")
        time.sleep(POLL_S)
