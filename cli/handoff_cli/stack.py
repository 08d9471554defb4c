"""The local stack: up, status, down, and a token to call it with."""

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backbone import tokens
from handoff_cli import demo_company, following
from handoff_cli.steps import Steps
from handoff_local.children import StartFault, end_leftovers
from handoff_local.home import FULL_MB, SERVICES, Home, reason_of_death
from handoff_local.supervisor import DEMO, LEFTOVERS_PATIENCE_S, Supervisor

DEFAULT_HOME: Final = Path(".handoff")
DEFAULT_PORT: Final = 8100
HIGHEST_PORT: Final = 65_535 - 92
MOST_REPLICAS: Final = 20
DOWN_PATIENCE_S: Final = 20
TOKEN_LIFE_S: Final = 30 * 24 * 3600
ROLES: Final = ("admin", "manager", "rep", "sdr", "marketing", "integration")

HomeOption = Annotated[Path, typer.Option(help="The folder that the stack writes to.")]
out = Console()
err = Console(stderr=True)


def fail(message: str) -> typer.Exit:
    """Say what is wrong and how to mend it, and end with 1."""
    _warn(message)
    return typer.Exit(1)


def _warn(message: str) -> None:
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)


def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[
        int, typer.Option(min=1024, max=HIGHEST_PORT, help="The first port; the others follow from it.")
    ] = DEFAULT_PORT,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Load a demo company and let leads arrive, or an empty system.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready.")] = False,
    replicas: Annotated[str, typer.Option(help="Such as routing=3,sla-monitor=2.")] = "",
    follow: Annotated[bool, typer.Option(help="Print what the parts log.")] = True,
) -> None:
    """Start PostgreSQL, Kafka and every service; Ctrl-C ends all of it."""
    folder, wanted = Home(home.resolve()), _replicas(replicas)
    try:
        if detach:
            _detach(folder, port, demo=demo, replicas=replicas)
        else:
            _attach(folder, port, wanted, demo=demo, follow=follow)
    except StartFault as fault:
        raise fail(str(fault)) from None


def _attach(home: Home, port: int, replicas: dict[str, int], *, demo: bool, follow: bool) -> None:
    with ExitStack() as stack:
        steps = stack.enter_context(Steps(out))

        def welcome() -> None:
            stack.close()
            _welcome(home, port)
            out.print("Ctrl-C ends everything; the next start goes on with the same data.\n")
            if follow:
                following.follow(home.logs, out)

        Supervisor(home, port, replicas, steps.say, with_demo=demo).run(welcome)
    out.print("Everything has ended. The data stays for the next start.")


def _welcome(home: Home, port: int) -> None:
    kept, demo = home.secrets(), home.remembered(DEMO)
    say = partial(out.print, highlight=False, soft_wrap=True)
    say(f"\nThe console is at [bold]http://127.0.0.1:{port}[/]")
    if "loaded_by" in demo:
        rep = demo_company.on_duty(datetime.now(UTC))
        say(f"Sign in as [bold]{rep.email}[/] with [bold]{demo['password']}[/]: {rep.name}'s leads are yours to work")
        say(f"        or {demo_company.MANAGER.email}, who sees all of the team, with the same password")
        say(f"        or {kept['admin_email']} with {kept['admin_password']}, who may do everything")
    else:
        say(f"Sign in as [bold]{kept['admin_email']}[/] with [bold]{kept['admin_password']}[/]")


def _replicas(text: str) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for one in filter(None, text.split(",")):
        name, _, number = one.partition("=")
        if name not in SERVICES or not number.isdigit() or not 1 <= int(number) <= MOST_REPLICAS:
            raise fail(
                f"{one}: write a service and a number from 1 to {MOST_REPLICAS}, such as routing=3."
                f" Services: {', '.join(SERVICES)}."
            )
        wanted[name] = int(number)
    return wanted


def _detach(home: Home, port: int, *, demo: bool, replicas: str) -> None:
    # Asked before the log of a supervisor that runs here is written over.
    home.check_unclaimed()
    command = [sys.executable, "-m", "handoff_cli.main", "up", "--home", str(home.path), "--port", str(port)]
    command += ["--no-follow", "--demo" if demo else "--no-demo", *(["--replicas", replicas] if replicas else [])]
    log = home.logs / "supervisor.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    shown = 0
    while True:
        ended = process.poll() is not None
        lines = log.read_text(errors="replace").splitlines()
        if ended:
            # What is wrong may have been passed on already, a moment before the end was seen.
            raise fail("\n".join(lines[shown:])) if lines[shown:] else typer.Exit(1)
        for line in lines[shown:]:
            out.print(line, highlight=False, markup=False, soft_wrap=True)
        shown = len(lines)
        state = home.state()
        if (
            state is not None
            and state["ready"]
            and state["supervisor"]["pid"] == process.pid
            and _demo_is_in(state, demo)
        ):
            _welcome(home, port)
            return
        time.sleep(0.2)


def status(
    home: HomeOption = DEFAULT_HOME,
    wait: Annotated[float, typer.Option(min=0, help="Wait so many seconds for everything to be ready.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every part; ends with 0 only when all are ready."""
    folder = Home(home.resolve())
    deadline = time.monotonic() + wait
    while not (state := _now(folder))["ready"] and time.monotonic() < deadline:
        time.sleep(0.2)
    if as_json:
        print(json.dumps({key: state[key] for key in ("home", "ready", "parts", "kafka", "postgres")}, indent=1))
    else:
        _print_state(folder, state)
    raise typer.Exit(0 if state["ready"] else 1)


def _demo_is_in(state: dict[str, Any], wanted: bool) -> bool:
    return not wanted or any(part["state"] != "starting" for part in state["demo"])


def _now(home: Home) -> dict[str, Any]:
    """Return how the stack stands; what a supervisor wrote that is no more is not believed."""
    state = home.state() or {"parts": [], "kafka": None, "postgres": {}, "demo": []}
    state["home"] = str(home.path)
    state["runs"] = home.supervisor() is not None
    if not state["runs"]:
        state["ready"] = False
        for part in [*state["parts"], *state["demo"]]:
            part |= {"pid": None, "state": "stopped"}
            part.pop("reason", None)
    for part in state["parts"]:
        # On a full disk the supervisor cannot write down who died.
        if part["pid"] is not None and not psutil.pid_exists(part["pid"]):
            part |= {"pid": None, "state": "failed", "reason": reason_of_death(home, "it ended")}
            state["ready"] = False
    return state


def _print_state(home: Home, state: dict[str, Any]) -> None:
    if state["parts"]:
        table = Table("part", "state", "port", "pid", "reason")
        for part in [*state["parts"], *state["demo"]]:
            name = part["name"] if part["replica"] == 1 else f"{part['name']} {part['replica']}"
            shown = (name, part["state"], str(part["port"] or ""), str(part["pid"] or ""), part.get("reason", ""))
            table.add_row(*(Text(text) for text in shown))
        out.print(table)
    if not state["runs"]:
        _warn(f"No stack runs with the home {home.path}. Start one: `handoff up --home {home.path}`.")
    elif home.free_mb() < FULL_MB:
        _warn(f"The disk of {home.path} is full ({home.free_mb()} MB free). Make room there.")


def down(home: HomeOption = DEFAULT_HOME) -> None:
    """End what `up` started, and nothing else."""
    folder = Home(home.resolve())
    process = folder.supervisor()
    if process is None:
        left = end_leftovers(folder.children(), patience_s=LEFTOVERS_PATIENCE_S)
        out.print(
            f"No stack runs with the home {folder.path}."
            + (f" {left} processes of a start that was killed have ended." if left else ""),
            highlight=False,
        )
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
    print(make_token(Home(home.resolve()), role, rep))


def make_token(home: Home, role: str, rep: str | None = None) -> str:
    """Return a token that the stack's services accept."""
    if role not in ROLES:
        raise fail(f"There is no role {role}. Roles are {', '.join(ROLES)}.")
    if role in ("rep", "sdr") and not rep:
        raise fail("Say whose token with --rep ID.")
    if not home.signing_key.exists():
        raise fail(f"{home.path} is no stack's home. Start one with `handoff up --home {home.path}`.")
    key = load_pem_private_key(home.signing_key.read_bytes(), None)
    sub = f"local:{role}" + (f":{rep}" if rep else "")
    return tokens.signed(key, sub=sub, role=role, rep=rep, lasts_s=TOKEN_LIFE_S)  # type: ignore[arg-type]
