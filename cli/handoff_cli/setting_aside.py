"""`handoff parked`: records that a service set aside because it could not apply them, until somebody acts."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from handoff_cli.calling import Caller
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out
from handoff_local.home import SERVICES

parked = typer.Typer(help="Records set aside, and dead letters.", no_args_is_help=True)
PAGE: Final = 500

RecordArgument = Annotated[str, typer.Argument(help="SERVICE:NUMBER, as `handoff parked list` shows it.")]


def _call(home: Path, method: str, service: str, path: str, **more: Any) -> Any:
    async def run() -> Any:
        async with Caller(home) as caller:
            return await caller.ask(method, service, path, **more)

    return asyncio.run(run())


def _place(record: str) -> tuple[str, str]:
    service, _, number = record.rpartition(":")
    if service not in SERVICES or not number.isdigit():
        raise fail(f"{record}: write a service and a number, such as routing:12. `handoff parked list` shows them.")
    return service, f"/v1/parked/{number}"


@parked.command("list")
def list_parked(
    service: Annotated[str, typer.Option(help="Of this service alone.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """List what is set aside: the records that failed, and those that wait behind them."""
    if service and service not in SERVICES:
        raise fail(f"There is no service {service}. Services are {', '.join(SERVICES)}.")

    async def run() -> dict[str, Any]:
        async with Caller(home) as caller:
            return {one: await _all(caller, one) for one in ([service] if service else SERVICES)}

    found = asyncio.run(run())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("record", "lead", "topic", "since", "reason")
    for one, answer in found.items():
        for row in answer["items"]:
            cells = (f"{one}:{row['parked_id']}", row["lead_id"] or "", row["topic"], row["parked_at"], row["reason"])
            table.add_row(*(Text(cell) for cell in cells))
        for halt in answer["halted"]:
            out.print(
                f"{one} halted: {halt['reason']}. Then: handoff parked resume {one}", style="red", highlight=False
            )
    out.print(table if table.row_count else "Nothing is set aside.")


async def _all(caller: Caller, service: str) -> dict[str, Any]:
    items: list[Any] = []
    asked: dict[str, Any] = {"limit": PAGE}
    while True:
        answer = await caller.ask("GET", service, "/v1/parked", params=asked)
        items += answer["items"]
        if answer["next_cursor"] is None:
            return {"items": items, "halted": answer["halted"]}
        asked["cursor"] = answer["next_cursor"]


@parked.command("show")
def show_parked(record: RecordArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """Show one record: where it was, its headers and its size."""
    out.print_json(json.dumps(_call(home, "GET", *_place(record))))


@parked.command("replay")
def replay_parked(record: RecordArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """Apply a record, and everything that waits behind it, in order."""
    service, path = _place(record)
    answer = _call(home, "POST", service, f"{path}/replay")
    out.print(f"{answer['applied']} records were applied.", highlight=False)


@parked.command("discard")
def discard_parked(
    record: RecordArgument,
    reason: Annotated[str, typer.Option(help="Why it is not needed.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Drop one record; what waits behind it is applied by a replay of the next."""
    service, path = _place(record)
    _call(home, "POST", service, f"{path}/discard", json={"reason": reason})
    out.print(f"{record} was discarded.", highlight=False)


@parked.command("resume")
def resume(
    service: Annotated[str, typer.Argument(help="The service that halted.")], home: HomeOption = DEFAULT_HOME
) -> None:
    """Let a service go on that halted because too much was set aside."""
    if service not in SERVICES:
        raise fail(f"There is no service {service}. Services are {', '.join(SERVICES)}.")
    _call(home, "POST", service, "/v1/parked/resume")
    out.print(f"{service} goes on.", highlight=False)
