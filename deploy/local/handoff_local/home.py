"""A stack's home: one folder with its data, logs, secrets and what runs now; one supervisor at a time."""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handoff_local.children import StartFault

SERVICES: Final = ("lead-intake", "qualification", "routing", "sla-monitor", "forecast", "notifications", "console")
"""In the order of their ports, but the console, whose port is the stack's first."""


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
        """Make the folder, readable by its owner and passable for the database's user."""
        for folder in (self.path, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the home while a supervisor runs. StartFault when another one does."""
        self.make()
        with (self.path / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StartFault(
                    f"A stack runs already with the home {self.path}. See it with `handoff status`, end it with"
                    " `handoff down`, or take another home with --home and other ports with --port."
                ) from None
            yield

    def state(self) -> dict[str, Any] | None:
        """Return what the supervisor wrote last, None when there is nothing."""
        try:
            found: dict[str, Any] = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return None
        return found

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state in one step. StartFault when the disk is full."""
        unfinished = self.state_file.with_suffix(".new")
        try:
            unfinished.write_text(json.dumps(state, indent=1))
            unfinished.rename(self.state_file)
        except OSError as error:
            raise StartFault(
                f"{self.path} cannot be written ({error.strerror}). Make room, then start again."
            ) from error

    def supervisor(self) -> psutil.Process | None:
        """Return the supervisor that is alive; a recorded pid that is somebody else's by now is nobody."""
        state = self.state()
        if state is None:
            return None
        try:
            process = psutil.Process(state["supervisor"]["pid"])
            return process if abs(process.create_time() - state["supervisor"]["started"]) < 1 else None
        except (psutil.Error, KeyError):
            return None

    def secrets(self) -> dict[str, Any]:
        """Return the stack's secrets, made at its first start, for its owner's eyes alone."""
        file = self.path / "secrets.json"
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text())
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
        _write_private(file, json.dumps(made, indent=1).encode())
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_private(self.signing_key, pem)
        return made


def _write_private(file: Path, content: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
    except OSError as error:
        raise StartFault(f"{file} cannot be written ({error.strerror}). Make room, then start again.") from error
