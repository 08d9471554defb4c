"""`make bench`: this system beside the naive design, in turns, on the same two cores."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import alerts, clocks, handoff, measuring, routing, tables
from benchmarks.clocks import OPEN, Size
from benchmarks.measuring import Advance, Full, Paced, Side
from benchmarks.naive import stack as naive
from handoff_local import ports

CORES = 2
WARM_UP = 500
ROUTED = 5_000
"""Decisions in each round of the router alone."""
PACED_S = 10.0
NAIVE_SHARE = 20
"""The naive design gets one lead for so many of ours: enough for as long a run."""
CARRIES = 0.6
"""The share of what it does at saturation that the naive design is offered as its fixed load."""

out = Console()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Only(StrEnum):
    """A part of the benchmark."""

    HANDOFF = "handoff"
    NAIVE = "naive"
    ALERTS = "alerts"
    ROUTING = "routing"
    CLOCKS = "clocks"


@app.command()
def bench(
    leads: Annotated[int, typer.Option(min=200, help="Leads in each round of this system.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, the two designs in turns.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Leads a second for the latencies.")] = 300,
    clocks: Annotated[int, typer.Option(min=0, help="Open clocks while alerts are measured.")] = 100_000,
    waiting: Annotated[int, typer.Option(min=2000, help="Leads in the queue that is drained.")] = 100_000,
    open_clocks: Annotated[
        list[int] | None, typer.Option(min=3, help="Open clocks while sla-monitor is measured alone, once for each.")
    ] = None,
    due_rate: Annotated[int, typer.Option(min=1, help="Clocks that fall due per second then.")] = 1_000,
    due_seconds: Annotated[float, typer.Option(min=1, help="For how many seconds they do.")] = 10,
    only: Annotated[Only | None, typer.Option(help="Measure one part alone.")] = None,
) -> None:
    """Measure this system beside the naive design; prints tables with ratios."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    monitored = Size(tuple(sorted(open_clocks or OPEN)), due_rate, due_seconds, rounds)
    out.print(tables.machine(_pin()), style="dim", highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="handoff-bench-"))
    folder.chmod(0o755)
    sides: dict[str, Side] = {}
    try:
        with ExitStack() as opened, _progress() as step:
            port = opened.enter_context(ports.block())
            if only in (None, Only.ROUTING):
                _routing(folder / "routing", rounds, waiting, step)
            if only in (None, Only.CLOCKS):
                _clocks(folder / "clocks", monitored, step)
            if only not in (Only.NAIVE, Only.ROUTING, Only.CLOCKS):
                with step("Handoff: starting"):
                    side = opened.enter_context(handoff.running(folder / "handoff", port))
                sides[side.name] = side
            if only in (None, Only.NAIVE):
                with step("naive design: starting"):
                    side = opened.enter_context(naive.running(folder / "naive"))
                sides[side.name] = side
            if only in (None, Only.HANDOFF, Only.NAIVE):
                _speed(sides, leads, rounds, rate, step)
            if only in (None, Only.ALERTS):
                _alerts(sides["Handoff"], folder / "handoff", port, clocks, rate / 3, step)
        if sides:
            tables.notes(out, list(sides))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


Step = Callable[[str], AbstractContextManager[Advance]]


def _speed(sides: dict[str, Side], leads: int, rounds: int, rate: float, step: Step) -> None:
    """Load the sides in turns, then each at a fixed load, and print."""
    full: dict[str, list[Full]] = {name: [] for name in sides}
    paced: dict[str, Paced] = {}
    shares = {name: leads if name == "Handoff" else max(100, leads // NAIVE_SHARE) for name in sides}
    for name, side in sides.items():
        with step(f"{name}: warming up") as advance:
            asyncio.run(measuring.saturate(side, min(WARM_UP, shares[name]), "warm", advance))
    for number in range(1, rounds + 1):
        for name, side in sides.items():
            with step(f"{name}: round {number} of {rounds}, {shares[name]:,} leads") as advance:
                full[name].append(asyncio.run(measuring.saturate(side, shares[name], f"full{number}", advance)))
    for name, side in sides.items():
        offered = rate if name == "Handoff" else min(rate, CARRIES * min(run.rate for run in full[name]))
        with step(f"{name}: {offered:,.0f} leads/s for {PACED_S:.0f} s") as advance:
            paced[name] = asyncio.run(measuring.pace(side, offered, PACED_S, "paced", advance))
    memory = {name: measuring.memory_bytes(side.pids()) for name, side in sides.items()}
    tables.speed(out, full, paced, memory)


def _alerts(side: Side, home: Path, port: int, clocks: int, rate: float, step: Step) -> None:
    """Open clocks, let alerts fall due, and print how late they were."""
    with step(f"alerts with {clocks:,} open clocks") as advance:
        made = alerts.measure(side, home, port, clocks=clocks, rate=rate, seconds=2 * PACED_S, advance=advance)
        late = asyncio.run(made)
    tables.lateness(out, late)


def _routing(folder: Path, rounds: int, waiting: int, step: Step) -> None:
    """Measure the router alone, beside one that counts for each lead, and print."""
    with step("routing: 10, 1,000 and 10,000 reps, then a long queue") as advance:
        found = routing.measure(folder, rounds=rounds, leads=ROUTED, waiting=waiting, advance=advance)
    tables.routing(out, found)


def _clocks(folder: Path, size: Size, step: Step) -> None:
    """Measure sla-monitor's firing alone, beside a monitor that polls, and print."""
    most = " and ".join(f"{one:,}" for one in size.open_clocks)
    with step(f"clocks: {most} open, {size.due_per_second:,} due per second, then a kill") as advance:
        found = clocks.measure(folder, size, advance)
    tables.firing(out, found)


def _pin() -> list[int]:
    """Keep this process and all that it starts on two cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return cores


@contextmanager
def _progress() -> Iterator[Step]:
    """Show each step with how far it is; where nobody watches, a line a step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:

        @contextmanager
        def step(text: str) -> Iterator[Advance]:
            if not out.is_terminal:
                out.print(text, style="dim", highlight=False)
            task = progress.add_task(text, total=1.0)
            yield lambda share: progress.update(task, completed=share)
            progress.update(task, completed=1.0)

        yield step


if __name__ == "__main__":
    app()
