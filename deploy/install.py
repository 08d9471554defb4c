"""Installs the pinned packages with uv, named and with its progress while it runs; needs the standard library alone.

    python3 deploy/install.py UV PYTHON LOCK MEMBER...

On a terminal uv draws bars as it downloads; the list of every package that it ends with is left out.
"""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

CLOSING: Final = (b"Installed ", b"Audited ")
"""How uv begins the line that sums up; what follows is the list."""


def main() -> None:
    """Install what is pinned, then the packages of the workspace."""
    uv, python, lock, *members = sys.argv[1:]
    editable = [part for member in members for part in ("-e", member)]
    steps = {
        "packages": ["pip", "sync", "--compile-bytecode", "--python", python, "--require-hashes", lock],
        "workspace": ["pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", *editable],
    }
    for name, words in steps.items():
        began = time.monotonic()
        sys.stdout.write(f"Installing the {name}\n")
        sys.stdout.flush()
        status = _on_terminal([uv, *words]) if sys.stderr.isatty() else _piped([uv, *words])
        if status != 0:
            sys.exit(
                f"Installing the {name} failed. Mend what is said above, then run it again; what is there is kept."
            )
        sys.stdout.write(f"Installed the {name} in {time.monotonic() - began:.1f} s\n")
        sys.stdout.flush()


def _on_terminal(command: list[str]) -> int:
    """Run it on a terminal of its own, so that it draws its bars, and pass on what it draws."""
    keep = _until_the_list()
    return os.waitstatus_to_exitcode(pty.spawn(command, lambda terminal: keep(os.read(terminal, 4096)) or b"\0"))


def _piped(command: list[str]) -> int:
    keep = _until_the_list()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.buffer.write(keep(line))
            sys.stdout.flush()
    return process.returncode


def _until_the_list() -> Callable[[bytes], bytes]:
    """Return a filter that lets everything through up to the end of the closing line."""
    closed = False

    def keep(some: bytes) -> bytes:
        nonlocal closed
        if closed:
            return b""
        for word in CLOSING:
            head, found, rest = some.partition(word)
            if found:
                closed = True
                line, newline, _ = rest.partition(b"\n")
                return head + found + line + newline
        return some

    return keep


if __name__ == "__main__":
    main()
