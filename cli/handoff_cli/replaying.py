"""`handoff replay`: a log of events of a real desk, through HTTP into a running stack, as history."""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from handoff_cli import desk_log
from handoff_cli.calling import Caller, refusal
from handoff_cli.desk_log import Step
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out

BATCH: Final = 1000
DEALS_AT_ONCE: Final = 8
LOOK_AGAIN_S: Final = 0.5
STILL_LOOKS: Final = 4
"""So many looks in a row have to find nothing under way and the same numbers."""
STUCK_AFTER_S: Final = 120.0
_SPAN: Final = re.compile(r"^(\d+)(s|m|h)$")


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV with at, lead_id, type, phase, actor, amount; may be gzipped.")],
    shuffle: Annotated[str, typer.Option(help="Disorder events within so much time, such as 10m.")] = "",
    twice: Annotated[float, typer.Option(min=0, max=1, help="Send this share of events twice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the disorder and the doubles.")] = 1,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Post a desk's log through the front door and show what the reports say of it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    try:
        calls = list(desk_log.steps(desk_log.read(file)))
    except desk_log.Unreadable as fault:
        raise fail(str(fault)) from None
    if shuffle:
        calls = desk_log.disordered(calls, _seconds(shuffle), chance)
    calls = desk_log.doubled(calls, twice, chance)
    asyncio.run(_run(home, calls, in_order=not shuffle))


def _seconds(text: str) -> float:
    match = _SPAN.match(text)
    if match is None:
        raise fail("--shuffle takes a time such as 90s, 10m or 1h.")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


async def _run(home: Path, calls: Sequence[Step], *, in_order: bool) -> None:
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    async with Caller(home) as caller:
        with Progress(*columns, console=out) as progress:
            posted = progress.add_task("posted", total=len(calls))
            limit = asyncio.Semaphore(DEALS_AT_ONCE)
            for start in range(0, len(calls), BATCH):
                some = calls[start : start + BATCH]
                await _post(caller, some, limit, in_order=in_order)
                progress.advance(posted, len(some))
        await _settle(caller)
        await _show(caller, calls)
    out.print(f"[dim]{len(calls)} calls in {time.monotonic() - began:.1f} s[/]", highlight=False)


async def _post(caller: Caller, calls: Sequence[Step], limit: asyncio.Semaphore, *, in_order: bool) -> None:
    """Post some calls at once; in order means that what is new comes before what happened to it."""

    async def batch(plural: str, bodies: list[dict[str, Any]]) -> None:
        answer = await caller.ask("POST", "lead-intake", f"/v1/{plural}/batch", json={plural: bodies})
        faults = [one["error"]["title"] for one in answer["results"] if "error" in one]
        if faults:
            raise fail(f"{len(faults)} {plural} were refused, the first because: {faults[0]}.")

    async def deal(step: Step) -> None:
        async with limit:
            path = quote(step.path, safe="/:")
            answer = await caller.call("POST", "forecast", path, json=step.body)
            if answer.is_error:
                raise fail(refusal(answer))

    kinds = (("lead", "leads"), ("touch", "touches"), ("engagement", "engagements"))
    bodies = {plural: [step.body for step in calls if step.kind == kind] for kind, plural in kinds}
    if in_order and bodies["leads"]:
        await batch("leads", bodies.pop("leads"))
    await asyncio.gather(
        *(batch(plural, some) for plural, some in bodies.items() if some),
        *(deal(step) for step in calls if step.kind == "deal"),
    )


async def _settle(caller: Caller) -> None:
    """Wait until nothing is under way between the services and the reports no longer change."""
    before: Any = None
    still, least, moved_at = 0, None, time.monotonic()
    with out.status("Events under way") as line:
        while still < STILL_LOOKS:
            await asyncio.sleep(LOOK_AGAIN_S)
            under_way = await caller.under_way()
            line.update(f"Events under way: {under_way}")
            now = [await caller.ask("GET", *report, params=_ALWAYS) for report in _REPORTS]
            seen = [now[0]["groups"], now[1]["won_by_month"]]
            still = still + 1 if seen == before and under_way == 0 else 0
            if seen != before or least is None or under_way < least:
                least, moved_at = under_way, time.monotonic()
            before = seen
            if time.monotonic() - moved_at > STUCK_AFTER_S:
                raise fail(f"{under_way} events do not move on. See `handoff status` and `handoff parked list`.")


_ALWAYS: Final = {"from": "1970-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
_REPORTS: Final = (("sla-monitor", "/v1/reports/speed"), ("forecast", "/v1/velocity"))


async def _show(caller: Caller, calls: Sequence[Step]) -> None:
    first, last = min(step.at for step in calls), max(step.at for step in calls)
    span = {"from": first.isoformat(), "to": (last + timedelta(seconds=1)).isoformat()}
    speed = await caller.ask("GET", "sla-monitor", "/v1/reports/speed", params=span)
    for group in speed["groups"]:
        said = group["from_arrival"]
        out.print(f"leads {said['leads']}, touched {said['touched']}, never {said['never_touched']}", highlight=False)
        out.print(
            f"within 5 min {said['within_300_seconds']}, within 30 min {said['within_1800_seconds']},"
            f" p50 {_minutes(said['p50_seconds'])}, p90 {_minutes(said['p90_seconds'])}",
            highlight=False,
            soft_wrap=True,
        )
    velocity = await caller.ask("GET", "forecast", "/v1/velocity", params=_ALWAYS)
    for month in velocity["won_by_month"]:
        out.print(f"won in {month['month']}: {month['count']} deals, {month['amount']}", highlight=False)


def _minutes(seconds: float | None) -> str:
    return f"{seconds / 60:.4f} min" if seconds is not None else "–"
