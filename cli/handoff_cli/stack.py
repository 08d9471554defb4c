"""The local stack: up, status, down, and a token to call it with."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import jwt
import psutil
import typer
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.table import Table

from backbone import security
from handoff_local.children import StartFault
from handoff_local.home import SERVICES, Home
from handoff_local.supervisor import Supervisor

DEFAULT_HOME: Final = Path(".handoff")
DEFAULT_PORT: Final = 8100
DETACH_PATIENCE_S: Final = 150
DOWN_PATIENCE_S: Final = 20
TOKEN_LIFE_S: Final = 30 * 24 * 3600
ROLES: Final = ("admin", "manager", "rep", "sdr", "marketing", "integration")

HomeOption = Annotated[Path, typer.Option(help="The folder that the stack writes to.")]
out = Console()
err = Console(stderr=True)


def fail(message: str) -> typer.Exit:
    """Say what is wrong and how to mend it, and end with 1."""
    err.print(message, style="red", highlight=False, markup=False)
    return typer.Exit(1)


def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="The first port; the others follow from it.")] = DEFAULT_PORT,
    demo: Annotated[bool, typer.Option(help="Load a demo company and let leads arrive.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready.")] = False,
    replicas: Annotated[str, typer.Option(help="Such as routing=3,sla-monitor=2.")] = "",
) -> None:
    """Start PostgreSQL, Kafka and every service; Ctrl-C ends all of it."""
    wanted = _replicas(replicas)
    if detach:
        _detach(home, port, demo=demo, replicas=replicas)
        return
    stack = Supervisor(Home(home), port, wanted, _say, with_demo=demo)
    began = time.monotonic()

    def say(text: str) -> None:
        out.print(f"[dim]{time.monotonic() - began:5.1f} s[/] {text}", highlight=False)
        if text == "Services: ready":
            _welcome(Home(home), port)

    stack.say = say
    try:
        stack.run()
    except StartFault as fault:
        raise fail(str(fault)) from None


def _say(text: str) -> None:
    out.print(text)


def _welcome(home: Home, port: int) -> None:
    kept = home.secrets()
    out.print(f"\nThe console is at [bold]http://127.0.0.1:{port}[/]")
    out.print(f"Sign in as [bold]{kept['admin_email']}[/] with [bold]{kept['admin_password']}[/]", highlight=False)
    out.print("Ctrl-C ends everything; the next start goes on with the same data.\n")


def _replicas(text: str) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for one in filter(None, text.split(",")):
        name, _, number = one.partition("=")
        if name not in SERVICES or not number.isdigit() or not 1 <= int(number) <= 20:
            raise fail(
                f"{one}: write a service and a number from 1 to 20, such as routing=3. Services: {', '.join(SERVICES)}."
            )
        wanted[name] = int(number)
    return wanted


def _detach(home: Path, port: int, *, demo: bool, replicas: str) -> None:
    folder = Home(home)
    folder.make()
    command = [sys.executable, "-m", "handoff_cli.main", "up", "--home", str(home), "--port", str(port)]
    command += ["--demo" if demo else "--no-demo", *(["--replicas", replicas] if replicas else [])]
    log = folder.logs / "supervisor.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + DETACH_PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise fail(log.read_text(errors="replace").strip() or "The stack ended at its start.")
        state = folder.state()
        if state is not None and state["ready"] and state["supervisor"]["pid"] == process.pid:
            _welcome(folder, port)
            return
        time.sleep(0.2)
    raise fail(f"Not ready within {DETACH_PATIENCE_S} s. See `handoff status --home {home}` and {folder.logs}.")


def status(
    home: HomeOption = DEFAULT_HOME,
    wait: Annotated[float, typer.Option(help="Wait so many seconds for everything to be ready.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every part; ends with 0 only when all are ready."""
    deadline = time.monotonic() + wait
    while True:
        state = _alive(Home(home))
        if (state is not None and state["ready"]) or time.monotonic() >= deadline:
            break
        time.sleep(0.2)
    if state is None:
        if as_json:
            out.print_json(json.dumps({"home": str(home.resolve()), "ready": False, "parts": []}))
            raise typer.Exit(1)
        raise fail(f"No stack runs with the home {home}. Start one with `handoff up --home {home}`.")
    if as_json:
        print(json.dumps(state))
    else:
        _print_table(state)
    raise typer.Exit(0 if state["ready"] else 1)


def _alive(home: Home) -> dict[str, Any] | None:
    return home.state() if home.supervisor() is not None else None


def _print_table(state: dict[str, Any]) -> None:
    table = Table("part", "state", "port", "pid", "reason")
    for part in state["parts"]:
        name = part["name"] if part["replica"] == 1 else f"{part['name']} {part['replica']}"
        table.add_row(name, part["state"], str(part["port"]), str(part["pid"] or ""), part.get("reason", ""))
    out.print(table)


def down(home: HomeOption = DEFAULT_HOME) -> None:
    """End what `up` started, and nothing else."""
    process = Home(home).supervisor()
    if process is None:
        out.print(f"No stack runs with the home {home}.")
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(DOWN_PATIENCE_S)
    except psutil.TimeoutExpired:
        raise fail(f"The supervisor (pid {process.pid}) is still ending; look again with `handoff status`.") from None
    out.print("Everything has ended. The data stays for the next start.")


def token(
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    rep: Annotated[str | None, typer.Option(help="Whose, for rep and sdr.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Print a bearer token of the local stack."""
    print(make_token(Home(home), role, rep))


def make_token(home: Home, role: str, rep: str | None = None) -> str:
    """Return a token that the stack's services accept."""
    if role not in ROLES:
        raise fail(f"There is no role {role}. Roles are {', '.join(ROLES)}.")
    if role in ("rep", "sdr") and not rep:
        raise fail("Say whose token with --rep ID.")
    if not home.signing_key.exists():
        raise fail(f"{home.path} is no stack's home. Start one with `handoff up --home {home.path}`.")
    key = load_pem_private_key(home.signing_key.read_bytes(), None)
    claims = {
        "sub": f"local:{role}" + (f":{rep}" if rep else ""),
        "role": role,
        "iss": security.ISSUER,
        "exp": int(time.time()) + TOKEN_LIFE_S,
        **({"rep": rep} if rep else {}),
    }
    return jwt.encode(claims, key, security.ALGORITHM, headers={"kid": security.key_id(key)})  # type: ignore[arg-type]
