"""`handoff replay`: a log of events of a real desk, through HTTP into a running stack, as history."""

import asyncio
import csv
import gzip
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handoff_cli.calling import Caller, refusal
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out

BATCH: Final = 500
DEALS_AT_ONCE: Final = 16
COLUMNS: Final = {"at", "lead_id", "type", "phase", "actor", "amount"}
SYSTEM: Final = "system"
NOBODY: Final = "unknown"
"""A person whose name the log does not say."""
_SPAN: Final = re.compile(r"^(\d+)(s|m|h)$")


@dataclass(frozen=True, slots=True)
class Step:
    """One call that the log stands for. `at` is when it happened."""

    at: datetime
    kind: str
    """lead, touch, engagement or deal."""
    body: dict[str, Any]
    path: str = ""


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV with at, lead_id, type, phase, actor, amount; may be gzipped.")],
    shuffle: Annotated[str, typer.Option(help="Disorder events within so much time, such as 10m.")] = "",
    twice: Annotated[float, typer.Option(help="Send this share of events twice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the disorder and the doubles.")] = 1,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Post a desk's log through the front door and show what the reports say of it."""
    rows = _read(file)
    chance = random.Random(seed)  # noqa: S311 - no secret
    steps = list(_steps(rows))
    if shuffle:
        span = _seconds(shuffle)
        steps.sort(key=lambda step: step.at.timestamp() + chance.uniform(0, span))
    steps = [step for step in steps for _ in range(2 if chance.random() < twice else 1)]
    asyncio.run(_run(home, steps))


def _read(file: Path) -> list[dict[str, str]]:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            if absent := sorted(COLUMNS - set(reader.fieldnames or ())):
                raise fail(f"{file} lacks the columns {', '.join(absent)}.")
            return list(reader)
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.") from None


def _seconds(text: str) -> float:
    match = _SPAN.match(text)
    if match is None:
        raise fail("--shuffle takes a time such as 90s, 10m or 1h.")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _steps(rows: Sequence[dict[str, str]]) -> Iterator[Step]:
    """Yield the calls: a lead, touches by people, engagements, and the deal that opens at the first qualification."""
    qualified = {
        row["lead_id"]: number for number, row in reversed(list(enumerate(rows))) if row["type"] == "lead.qualified"
    }
    for number, row in enumerate(rows):
        at, lead, kind = datetime.fromisoformat(row["at"]), row["lead_id"], row["type"]
        base = {"occurred_at": row["at"], "lead_external_id": lead}
        if kind == "lead.created":
            yield Step(at, "lead", {"external_id": lead, "occurred_at": row["at"], "source": "replay"})
        elif kind.startswith("task.") and row["phase"] == "START" and row["actor"] != SYSTEM:
            said = {"rep_id": row["actor"] or NOBODY, "kind": "call", "outcome": "attempted"}
            yield Step(at, "touch", {**base, **said, "external_id": f"row-{number}"})
        else:
            properties = {"phase": row["phase"], "actor": row["actor"]}
            yield Step(
                at, "engagement", {**base, "kind": kind, "external_id": f"row-{number}", "properties": properties}
            )
        if lead in qualified:
            yield from _deal(row, number, opens=qualified[lead] == number, at=at)


def _deal(row: dict[str, str], number: int, *, opens: bool, at: datetime) -> Iterator[Step]:
    lead, said = row["lead_id"], {"occurred_at": row["at"]}
    if opens:
        body = {**said, "external_id": lead, "lead_external_id": lead, "account": "", "name": lead}
        yield Step(at, "deal", body, "/v1/opportunities")
    moves = f"/v1/opportunities/external:{lead}/moves"
    if row["type"] == "deal.won":
        body = {**said, "stage": "won", "amount": row["amount"], "external_id": f"row-{number}"}
        yield Step(at, "deal", body, moves)
    elif row["type"] in ("deal.lost_cancelled", "lead.rejected"):
        yield Step(at, "deal", {**said, "stage": "lost", "external_id": f"row-{number}"}, moves)


_PLURALS: Final = {"lead": "leads", "touch": "touches", "engagement": "engagements"}


async def _run(home: Path, steps: Sequence[Step]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with Caller(home) as caller:
        with Progress(*columns, console=out) as progress:
            task = progress.add_task("events", total=len(steps))
            limit = asyncio.Semaphore(DEALS_AT_ONCE)
            for start in range(0, len(steps), BATCH):
                some = steps[start : start + BATCH]
                await _post(caller, some, limit)
                progress.advance(task, len(some))
        await _settle(caller)
        await _show(caller, steps)


async def _post(caller: Caller, steps: Sequence[Step], limit: asyncio.Semaphore) -> None:
    for kind, plural in _PLURALS.items():
        bodies = [step.body for step in steps if step.kind == kind]
        if bodies:
            answer = await caller.ask("POST", "lead-intake", f"/v1/{plural}/batch", json={plural: bodies})
            faults = [one["error"]["title"] for one in answer["results"] if "error" in one]
            if faults:
                raise fail(f"{len(faults)} {plural} were refused, the first because: {faults[0]}.")

    async def deal(step: Step) -> None:
        async with limit:
            answer = await caller.call("POST", "forecast", step.path, json=step.body)
            if answer.is_error:
                raise fail(refusal(answer))

    await asyncio.gather(*(deal(step) for step in steps if step.kind == "deal"))


_SPAN_OF_ALL: Final = {"from": "1970-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


async def _settle(caller: Caller) -> None:
    """Wait until the monitor's numbers no longer change: everything that was posted has been read."""
    before, same = None, 0
    while same < 4:
        await asyncio.sleep(0.5)
        now = await caller.ask("GET", "sla-monitor", "/v1/reports/speed", params=_SPAN_OF_ALL)
        same = same + 1 if now["groups"] == before else 0
        before = now["groups"]


async def _show(caller: Caller, steps: Sequence[Step]) -> None:
    first, last = min(step.at for step in steps), max(step.at for step in steps)
    span = {"from": first.isoformat(), "to": last.isoformat()}
    speed = await caller.ask("GET", "sla-monitor", "/v1/reports/speed", params=span)
    for group in speed["groups"]:
        said = group["from_arrival"]
        out.print(f"leads {said['leads']}, touched {said['touched']}, never {said['never_touched']}", highlight=False)
        out.print(
            f"within 5 min {said['within_300_seconds']}, within 30 min {said['within_1800_seconds']},"
            f" p50 {_minutes(said['p50_seconds'])}, p90 {_minutes(said['p90_seconds'])}",
            highlight=False,
        )
    velocity = await caller.ask("GET", "forecast", "/v1/velocity", params=_SPAN_OF_ALL)
    for month in velocity["won_by_month"]:
        out.print(f"won in {month['month']}: {month['count']} deals, {month['amount']}", highlight=False)


def _minutes(seconds: float | None) -> str:
    return f"{seconds / 60:.4f} min" if seconds is not None else "–"
