"""Follows the logs of a stack: what the services and the demo say from now on, one short line each."""

import json
import threading
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

POLL_S: Final = 0.3
MOST_BYTES_AT_ONCE: Final = 65_536
_COLOURS: Final = {"warning": "yellow", "error": "red", "critical": "red"}
_SAID_ELSEWHERE: Final = {"event", "timestamp", "level", "service", "logger"}


def follow(folder: Path, console: Console) -> None:
    """Print what is added to the folder's logs, in a thread that ends with the process."""
    places = {log: log.stat().st_size for log in _logs(folder)}
    threading.Thread(target=_follow, args=(folder, places, console), daemon=True).start()


def _logs(folder: Path) -> list[Path]:
    return [log for log in sorted(folder.glob("*.log")) if log.stem != "supervisor"]


def _follow(folder: Path, places: dict[Path, int], console: Console) -> None:
    pause = threading.Event()
    while not pause.wait(POLL_S):
        for log in _logs(folder):
            try:
                for line in _added(log, places):
                    console.print(shown(log.stem, line), soft_wrap=True, highlight=False)
            except OSError:
                continue


def _added(log: Path, places: dict[Path, int]) -> list[str]:
    with log.open("rb") as file:
        file.seek(places.get(log, 0))
        chunk = file.read(MOST_BYTES_AT_ONCE)
    # Whole lines alone; the rest of a line comes with the next look.
    whole = chunk[: chunk.rfind(b"\n") + 1]
    places[log] = places.get(log, 0) + len(whole)
    return whole.decode("utf-8", errors="replace").splitlines()


def shown(part: str, line: str) -> Text:
    """Return a log line as a person reads it: when, who, what."""
    try:
        said: dict[str, Any] = json.loads(line)
        time, level = str(said["timestamp"])[11:19], str(said.get("level", ""))
        more = " ".join(f"{key}={_short(value)}" for key, value in said.items() if key not in _SAID_ELSEWHERE)
        text = f"{said['event']} {more}".rstrip()
    except (ValueError, TypeError, KeyError):
        time, level, text = " " * 8, "", line
    return Text.assemble((f"{time} ", "dim"), (f"{part:<14}", "cyan"), (text, _COLOURS.get(level, "")))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
