"""A stack's home: one folder with its data, logs, secrets and what runs now; one supervisor at a time."""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handoff_local.children import Identity, StartFault

SERVICES: Final = ("lead-intake", "qualification", "routing", "sla-monitor", "forecast", "notifications", "console")
"""In the order of their ports, but the console, whose port is the stack's first."""
ROOM_MB: Final = 500
"""Free space that a start asks for: the databases' first files, Kafka's segments, and logs for a while."""
FULL_MB: Final = 20
"""With less than this a disk is as good as full: whatever dies, dies of it."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder."""

    path: Path

    @property
    def state_file(self) -> Path:
        """Return where the supervisor writes what runs."""
        return self.path / "state.json"

    @property
    def logs(self) -> Path:
        """Return the folder of logs."""
        return self.path / "logs"

    @property
    def signing_key(self) -> Path:
        """Return the console's private key."""
        return self.path / "signing-key.pem"

    def make(self) -> None:
        """Make the folder, passable for the database's user. StartFault when that cannot be."""
        try:
            for folder in (self.path, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".{secrets.token_hex(8)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise self._unwritable(self.path, error) from error

    def check_room(self) -> None:
        """Look for free space before anything is written. StartFault when there is too little."""
        free = self.free_mb()
        if free < ROOM_MB:
            raise StartFault(
                f"Only {free} MB are free on the disk of {self.path}, and a stack needs {ROOM_MB} MB."
                " Make room there, or take a home on another disk with --home."
            )

    def free_mb(self) -> int:
        """Return how much may still be written."""
        return shutil.disk_usage(self.path).free // 1_000_000

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the home while a supervisor runs. StartFault when another one does."""
        self.make()
        with (self.path / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise self._in_use() from None
            yield

    def check_unclaimed(self) -> None:
        """StartFault when a supervisor holds the home."""
        with self.claimed():
            return

    def _in_use(self) -> StartFault:
        running = self.supervisor()
        who = f" (pid {running.pid})" if running is not None else ""
        return StartFault(
            f"A stack runs already with the home {self.path}{who}. See it with `handoff status --home {self.path}`,"
            f" end it with `handoff down --home {self.path}`, or start another one with --home and --port of its own."
        )

    def state(self) -> dict[str, Any] | None:
        """Return what the supervisor wrote last, None when there is nothing."""
        try:
            found: dict[str, Any] = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return None
        return found

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state in one step, for its owner's eyes alone. StartFault when the disk is full."""
        self._write_private(self.state_file, json.dumps(state, indent=1).encode())

    def supervisor(self) -> psutil.Process | None:
        """Return the supervisor that is alive; a recorded pid that is somebody else's by now is nobody."""
        state = self.state()
        if state is None or "supervisor" not in state:
            return None
        return Identity(**state["supervisor"]).alive()

    def children(self) -> list[Identity]:
        """Return the processes that the last supervisor wrote down."""
        return [Identity(**one) for one in (self.state() or {}).get("children", [])]

    def secrets(self) -> dict[str, Any]:
        """Return the stack's secrets, made at its first start, for its owner's eyes alone."""
        file = self.path / "secrets.json"
        if file.exists():
            try:
                found: dict[str, Any] = json.loads(file.read_text())
            except (OSError, ValueError) as error:
                raise StartFault(
                    f"{file} cannot be read. Put its backup back; without it the data of {self.path} cannot be opened."
                ) from error
            return found
        made = {
            "postgres": secrets.token_urlsafe(24),
            "roles": {service: secrets.token_urlsafe(24) for service in (*SERVICES, "vault")},
            "keys": {service: f"hk_{secrets.token_urlsafe(32)}" for service in SERVICES},
            "master_key": base64.b64encode(os.urandom(32)).decode(),
            "admin_email": "admin@kestrel.example",
            "admin_password": secrets.token_urlsafe(12),
            "made_at": time.time(),
        }
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # The key first: a home whose start was cut short is then begun anew, and never half believed.
        self._write_private(self.signing_key, pem)
        self._write_private(file, json.dumps(made, indent=1).encode())
        return made

    def remember(self, name: str, entries: dict[str, str]) -> None:
        """Add entries to a private file of the home, such as the secrets of connections made from here."""
        self._write_private(self.path / f"{name}.json", json.dumps({**self.remembered(name), **entries}).encode())

    def remembered(self, name: str) -> dict[str, str]:
        """Return the entries of a private file of the home."""
        try:
            found: dict[str, str] = json.loads((self.path / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _write_private(self, file: Path, content: bytes) -> None:
        unfinished = file.with_suffix(".new")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
            unfinished.rename(file)
        except OSError as error:
            raise self._unwritable(file, error) from error

    def _unwritable(self, file: Path, error: OSError) -> StartFault:
        return StartFault(
            f"{file} cannot be written ({error.strerror}). Make room or mend its permissions,"
            " or take another home with --home."
        )


def reason_of_death(home: Home, said: str) -> str:
    """Return why a part ended, as its last words say it, or the full disk that they are about."""
    with contextlib.suppress(OSError):
        if (free := home.free_mb()) < FULL_MB:
            return f"the disk of {home.path} is full ({free} MB free): make room there; {said}"
    return said


def identities(pids: Sequence[int]) -> list[dict[str, float]]:
    """Return processes as the state keeps them."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            one = Identity.of(pid)
            found.append({"pid": one.pid, "started": one.started})
    return found
