"""One real stack, driven by the command line as people do: started, looked at, hurt, killed, started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from backbone.testing import eventually
from handoff_cli import demo_company
from handoff_local import ports
from handoff_local.home import SERVICES, Home

PATIENCE_S = 60.0
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Stack:
    """A home and its first port."""

    home: Path
    port: int

    def run(self, *words: str, fails: bool = False) -> str:
        """Run a command with this home and return what it printed."""
        command = [sys.executable, "-m", "handoff_cli.main", *words, "--home", str(self.home)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=250, env={**os.environ, "COLUMNS": "200"}
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self) -> None:
        """Start it and wait until it is ready."""
        self.run("up", "--port", str(self.port), "--no-demo", "--detach")

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says of a stack that is ready."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def ask(self, port: int, path: str) -> Any:
        """Ask a service as an admin."""
        token = self.run("token", "--role", "admin").strip()
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack that runs when a test begins; the last one leaves it ended."""
    with tempfile.TemporaryDirectory(prefix="handoff-stack-") as folder, ports.block() as port:
        Path(folder).chmod(0o755)
        made = Stack(Path(folder) / "home", port)
        try:
            made.up()
            yield made
        finally:
            made.run("down")


def test_status_says_what_runs_and_where(stack: Stack) -> None:
    state = stack.status()
    assert set(state) == {"home", "ready", "parts", "kafka", "postgres"}
    assert (state["home"], state["ready"]) == (str(stack.home), True)
    parts = {part["name"]: part for part in state["parts"]}
    assert set(parts) == {*SERVICES, "postgres", "kafka"}
    wanted = {"name", "replica", "pid", "port", "metrics_port", "state", "log"}
    assert all(set(part) == wanted and part["state"] == "ready" for part in parts.values())
    assert (parts["console"]["port"], parts["sla-monitor"]["port"]) == (stack.port, stack.port + 4)
    assert parts["notifications"]["metrics_port"] == stack.port + 26
    assert state["kafka"] == f"127.0.0.1:{stack.port + 90}"
    assert set(state["postgres"]) == set(SERVICES)
    assert all(Path(part["log"]).is_file() and psutil.pid_exists(part["pid"]) for part in parts.values())


def test_a_second_up_is_refused_and_harms_nothing(stack: Stack) -> None:
    before = stack.status()
    assert "A stack runs already" in stack.run("up", "--port", str(stack.port), "--detach", fails=True)
    elsewhere = Stack(stack.home.parent / "other", stack.port)
    said = elsewhere.run("up", "--port", str(stack.port), fails=True)
    assert re.search(r"Port \d+, for [\w-]+, is taken by .* \(pid \d+\)", said)
    assert "--port" in said
    assert elsewhere.run("status", fails=True)
    assert stack.status() == before


def test_a_home_that_cannot_be_made_says_so(stack: Stack) -> None:
    (stack.home.parent / "file").write_text("no folder")
    said = Stack(stack.home.parent / "file" / "home", stack.port).run("up", fails=True)
    assert "cannot be written" in said
    assert "--home" in said


def test_a_port_that_another_program_only_holds_is_taken(stack: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        assert ports.is_taken(holder.getsockname()[1])
    assert not ports.is_taken(ports.free())


def test_nobody_else_gets_the_ports_of_a_stack_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with ports.block() as port:
        monkeypatch.setattr(ports, "BLOCKS", range(port, port + ports.BLOCK, ports.BLOCK))
        with pytest.raises(RuntimeError, match="no 100 free ports"), ports.block():
            pass
    with ports.block() as again:
        assert again == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 91))
        with pytest.raises(RuntimeError, match="no 100 free ports"), ports.block():
            pass


@pytest.mark.parametrize("provider", ["generic", "hubspot-workflow", "mautic"])
def test_a_connection_takes_what_its_provider_sends(stack: Stack, provider: str) -> None:
    said = stack.run("connection", "add", provider, "--name", "a tool", "--setting", "default_region=DE")
    made = dict(line.split(": ", 1) for line in said.splitlines())
    assert set(made) == {"id", "hook_url", "secret"}
    assert stack.run("send", provider, "--connection", made["id"], "--count", "2").count("created ") == 2
    told = stack.run("send", provider, "--connection", made["id"], "--secret", "whsec_wrong", fails=True)
    assert "ignature" in told or "credential" in told or "ecret" in told


def test_documents_are_checked_before_anybody_signs(stack: Stack, tmp_path: Path) -> None:
    document = tmp_path / "saas.yaml"
    document.write_text(demo_company.DEFINITION)
    assert "valid" in stack.run("definition", "validate", str(document))
    document.write_text(demo_company.DEFINITION.replace("lead.email_is_free", "lead.email_is_fre"))
    wrong = next(number for number, line in enumerate(demo_company.DEFINITION.splitlines(), 1) if "free mail" in line)
    assert f"line {wrong}," in stack.run("definition", "validate", str(document), fails=True)
    policy = tmp_path / "policy.yaml"
    policy.write_text("pools:\n  - {pool: all, reps: 'true'}\nrules:\n  - {rule: everyone, to: nobody}\n")
    assert "no such pool" in stack.run("policy", "validate", str(policy), fails=True)
    policy.write_text("pools:\n  - {pool: all, reps: 'true'}\nrules:\n  - {rule: everyone, to: all}\n")
    policy.write_text("pools:\n  - {pool: all, reps: 'rep.cap < 0'}\nrules:\n  - {rule: everyone, to: all}\n")
    said = stack.run("policy", "validate", str(policy))
    assert "warning: line 2" in said
    assert "valid" in said
    policy.write_text("pools:\n  - {pool: all, reps: 'true'}\nrules:\n  - {rule: everyone, to: all}\n")
    sla = tmp_path / "sla.yaml"
    sla.write_text(demo_company.SLA)
    assert "valid" in stack.run("policy", "validate", str(sla))
    sla.write_text("clocks:\n  - {kind: first_response_5m, within: 0m, from: arrival}\n")
    assert "line 2," in stack.run("policy", "validate", str(sla), fails=True)
    assert "0 leads" in stack.run("policy", "simulate", str(policy))
    assert "no_rule" in stack.run("policy", "explain", "country=DE", "stage=mql", "--json")
    assert "Nothing is set aside" in stack.run("parked", "list")


LOG = """at,lead_id,type,phase,actor,amount
2025-03-01T09:00:00.000Z,1,lead.created,COMPLETE,system,100.0
2025-03-01T09:00:01.000Z,2,lead.created,COMPLETE,system,900.0
2025-03-01T09:02:00.000Z,1,task.first_call,SCHEDULE,system,100.0
2025-03-01T09:04:00.000Z,1,task.first_call,START,7,100.0
2025-03-01T09:04:00.000Z,1,task.first_call,START,7,100.0
2025-03-01T09:20:01.000Z,2,task.first_call,START,,900.0
2025-03-02T10:00:00.000Z,1,lead.qualified,COMPLETE,7,100.0
2025-03-02T11:00:00.000Z,2,lead.rejected,COMPLETE,7,900.0
2025-04-02T10:00:00.000Z,1,deal.won,COMPLETE,7,100.0
"""


def test_a_desks_log_is_replayed_twice_without_a_double(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "desk.csv"
    file.write_text(LOG)
    for more in ([], ["--shuffle", "10m", "--twice", "0.5"]):
        said = stack.run("replay", str(file), *more)
        assert "leads 2, touched 2, never 0" in said
        assert "within 5 min 1, within 30 min 2" in said
        assert "won in 2025-04: 1 deals, 100.00" in said
    file.write_text("at,lead_id\nyesterday,1\n")
    assert "lacks the columns" in stack.run("replay", str(file), fails=True)


async def test_a_part_that_dies_comes_back_with_its_reason_told(stack: Stack) -> None:
    first = _part(stack, "routing")["pid"]
    os.kill(first, signal.SIGKILL)

    async def is_noticed() -> None:
        assert "ended with -9" in str(_part(stack, "routing").get("reason"))

    await eventually(is_noticed, patience_s=PATIENCE_S)

    async def is_back() -> None:
        part = _part(stack, "routing")
        assert part["state"] == "ready"
        assert part["pid"] != first

    await eventually(is_back, patience_s=PATIENCE_S)


def _part(stack: Stack, name: str) -> dict[str, Any]:
    state = Home(stack.home).state()
    assert state is not None
    return next(part for part in state["parts"] if part["name"] == name)


async def test_a_killed_supervisor_leaves_nothing_and_the_next_start_goes_on(stack: Stack) -> None:
    said = stack.run("connection", "add", "generic", "--name", "before the kill")
    connection = said.split()[1]
    supervisor = Home(stack.home).supervisor()
    assert supervisor is not None
    theirs = Home(stack.home).children()
    assert len(theirs) == len(SERVICES) + 2
    supervisor.kill()

    async def nothing_is_left() -> None:
        assert not any(one.alive() for one in theirs)

    await eventually(nothing_is_left, patience_s=PATIENCE_S)
    assert "stopped" in stack.run("status", fails=True)
    stack.up()
    assert stack.ask(stack.port + 1, f"/v1/connections/{connection}")["name"] == "before the kill"
    after = Home(stack.home).children()
    stack.run("down")
    assert not any(one.alive() for one in after)
