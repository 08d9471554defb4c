"""Steps of something long, each named with how far it is: a live line on a terminal, plain lines elsewhere."""

import time
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

DONE: Final = "done"
PLAIN_LINES_APART_S: Final = 2.0


class Steps:
    """`say(step, how_far)`; `done` closes a step. Leave the block before printing anything else for long."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[str, float] = {}
        self._said: dict[str, tuple[str, float]] = {}
        self._closed: set[str] = set()
        self._spinners: dict[str, Spinner] = {}
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> "Steps":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, step: str, how_far: str) -> None:
        """Show how far a step is."""
        if step in self._closed:
            return
        now = time.monotonic()
        began = self._began.setdefault(step, now)
        if how_far == DONE:
            self._closed.add(step)
            self._spinners.pop(step, None)
            self._print(f"[green]✓[/] {step} [dim]{now - began:.1f} s[/]")
        elif self._live is not None:
            self._spinners.setdefault(step, Spinner("dots")).update(text=f"{step}: {how_far}")
        else:
            before, at = self._said.get(step, ("", 0.0))
            # A count that runs is told now and then, not at every one.
            if how_far != before and (not before or now - at >= PLAIN_LINES_APART_S):
                self._said[step] = (how_far, now)
                self._print(f"  {step}: {how_far}")
        self._refresh()

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        if self._live is not None:
            table = Table.grid()
            for spinner in self._spinners.values():
                table.add_row(spinner)
            self._live.update(table)
