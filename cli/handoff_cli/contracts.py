"""`handoff definition` and `handoff policy`: the documents that marketing and sales agree on."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from handoff_cli.calling import Caller
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out

definition = typer.Typer(help="Qualified-lead definitions.", no_args_is_help=True)
policy = typer.Typer(help="The routing policy and SLA policies.", no_args_is_help=True)

SIGNERS: Final = {"marketing": "marketing", "sales": "manager"}
"""Party -> the role that signs for it."""
_HAS_CLOCKS: Final = re.compile(rb"""^[{ "']*clocks["']?\s*:""", re.MULTILINE)
"""What an SLA policy has, and a routing policy does not."""
DocumentArgument = Annotated[Path, typer.Argument(help="The document (YAML).")]
NameArgument = Annotated[str, typer.Argument(help="The definition's name, or name@version.")]
VersionArgument = Annotated[int | None, typer.Argument(help="Its version.")]


def _call(home: Path, method: str, service: str, path: str, role: str = "admin", **more: Any) -> Any:
    async def run() -> Any:
        async with Caller(home, role) as caller:
            return await caller.ask(method, service, path, **more)

    return asyncio.run(run())


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.") from None


def _path(name: str, version: int | None) -> str:
    """Return the path of a version that was named as `saas 3` or as `saas@3`."""
    name, _, behind = name.partition("@")
    if version is None and behind.isdigit():
        version = int(behind)
    if version is None:
        raise fail(f"Which version? Write {name}@1, or {name} 1.")
    return f"/v1/definitions/{name}/{version}"


def _print(answer: Any) -> None:
    out.print_json(json.dumps(answer))


@definition.command("validate")
def validate_definition(file: DocumentArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """Say what is wrong with a definition, with line and column, and what it warns of. Nothing is saved."""
    answer = _call(home, "POST", "qualification", "/v1/definitions/draft?dry_run=true", content=_text(file))
    _warn(answer)
    out.print("The definition is valid.")


def _warn(answer: Any) -> None:
    """Print what a document permits but hardly means."""
    for one in answer["warnings"]:
        place = f"line {one['line']}, column {one['column']}: " if one.get("line") else ""
        out.print(f"warning: {place}{one['detail']}", style="yellow", highlight=False, markup=False, soft_wrap=True)


@definition.command("save")
def save_definition(
    name: Annotated[str, typer.Argument(help="Its name.")], file: DocumentArgument, home: HomeOption = DEFAULT_HOME
) -> None:
    """Save a draft as the next version of its name."""
    _print(_call(home, "POST", "qualification", f"/v1/definitions/{name}", "marketing", content=_text(file)))


@definition.command("simulate")
def simulate_definition(
    name: NameArgument,
    version: VersionArgument = None,
    start: Annotated[str, typer.Option("--from", help="Leads made from then on; default 90 days ago.")] = "",
    end: Annotated[str, typer.Option("--to", help="Leads made before; default now.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say what this version would have changed, over the leads of a time."""
    now = datetime.now(UTC)
    span = {"from": start or (now - timedelta(days=90)).isoformat(), "to": end or now.isoformat()}
    _print(_call(home, "POST", "qualification", f"{_path(name, version)}/simulate", json=span))


@definition.command("sign")
def sign_definition(
    name: NameArgument,
    version: VersionArgument = None,
    party: Annotated[str, typer.Option(help="marketing or sales.")] = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse instead of signing.")] = False,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Sign for a party; the two signatures come from two different people."""
    if party not in SIGNERS:
        raise fail(f"For whom? --party {' or '.join(SIGNERS)}.")
    body = {"party": party, "decision": "refuse" if refuse else "sign", **({"comment": comment} if comment else {})}
    _print(_call(home, "POST", "qualification", f"{_path(name, version)}/sign", SIGNERS[party], json=body))


@definition.command("activate")
def activate_definition(
    name: NameArgument,
    version: VersionArgument = None,
    at: Annotated[str, typer.Option(help="From when on; default now.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Put a version in force that both parties have signed."""
    body = {"at": at} if at else {}
    _print(_call(home, "POST", "qualification", f"{_path(name, version)}/activate", "manager", json=body))


@policy.command("validate")
def validate_policy(file: DocumentArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """Say what is wrong with a routing policy or an SLA policy, with line and column. Nothing is put in force.

    An SLA policy goes by the name of its file.
    """
    text = _text(file)
    is_sla = _HAS_CLOCKS.search(text) is not None
    service, path = (
        ("sla-monitor", f"/v1/policies/{quote(file.stem, safe='')}") if is_sla else ("routing", "/v1/policy")
    )
    _warn(_call(home, "PUT", service, f"{path}?dry_run=true", content=text))
    out.print("The policy is valid.")


@policy.command("explain")
def explain_policy(
    lead: Annotated[
        list[str], typer.Argument(help="A file with a lead (JSON), or its fields: country=DE employees=400 stage=mql.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say what the policy would do with a lead now, and why not each of the others. Nothing is written."""
    answer = _call(home, "POST", "routing", "/v1/policy/explain", json={"lead": _lead(lead)})
    if as_json:
        _print(answer)
        return
    to = f"to {answer['rep_id']}" if answer["rep_id"] else f"waits, {answer['reason_code']}"
    out.print(f"{to}: rule {answer['rule'] or '–'}, pool {answer['pool'] or '–'}", highlight=False, markup=False)
    if answer["not_routed"]:
        out.print(f"As it stands it is not routed. {answer['not_routed']}", highlight=False)
    table = Table("rep", "", "reason")
    for one in answer["considered"]:
        table.add_row(Text(one["rep_id"]), "chosen" if one["chosen"] else "", Text(one["reason"] or ""))
    out.print(table)


@policy.command("simulate")
def simulate_policy(
    file: DocumentArgument,
    start: Annotated[str, typer.Option("--from", help="Leads decided over from then on; default 30 days ago.")] = "",
    end: Annotated[str, typer.Option("--to", help="Leads decided over before; default now.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say what a policy would have done with the leads of a time, caps and hours as they were."""
    span = {name: at for name, at in (("from", start), ("to", end)) if at}
    body = {"policy": _text(file).decode(errors="replace"), **span}
    answer = _call(home, "POST", "routing", "/v1/policy/simulate", json=body)
    if as_json:
        _print(answer)
        return
    said = "{leads} leads: {same} with the same rep, {other} not; {waited} waited at first, {still_waiting} at the end"
    out.print(said.format(**answer), highlight=False)
    for name, leads in answer["not_recorded"].items():
        out.print(f"{name} was not recorded of {leads} leads, and is taken as nothing", highlight=False)
    table = Table("rep", "had", "would have had", "most open at once")
    for one in answer["reps"]:
        table.add_row(Text(one["rep_id"]), *(str(one[name]) for name in ("actual", "simulated", "most_open")))
    out.print(table)


def _lead(words: list[str]) -> Any:
    if len(words) == 1 and "=" not in words[0]:
        try:
            said = json.loads(_text(Path(words[0])))
        except ValueError:
            raise fail(f"{words[0]} holds no JSON.") from None
        return said.get("lead", said) if isinstance(said, dict) else said
    if wrong := [word for word in words if "=" not in word]:
        raise fail(f"{wrong[0]}: write field=value, such as country=DE.")
    return {name: int(value) if value.isdigit() else value for name, value in (one.split("=", 1) for one in words)}
