"""Who may hold a key, who may sign in, and how a rep's list is put in order: pure decisions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from console.views import GROUPS, Clock, Filters, InboxRow, Point

ACTIVE_KEYS_OF_A_NAME: Final = 2
"""One in use and one to rotate to."""

FAILURES_ALLOWED: Final = 5
"""Wrong passwords for one account, or four times as many from one address, within the window; then a pause."""
FAILURES_FROM_ADDRESS: Final = 20
FAILURE_WINDOW_S: Final = 900

HOT_FOR: Final = timedelta(days=1)
TICK_SHOWN: Final = timedelta(seconds=5)
BEFORE_START: Final = timedelta(seconds=10)
"""A touch that began just before the assignment is one of it."""

FIRST: Final = "first_response_5m"
SECOND: Final = "first_response_30m"
TOUCHES: Final = "minimum_touches"
_LABELS: Final = {
    "handoff": "Handoff",
    "stale": "Next touch",
    "no_show_rebook": "New date after the no-show",
    "status_update": "Status update",
    "next_step": "Next step",
    "acceptance": "Acceptance",
    "review": "Review",
}
_TOUCH_WORDS: Final = {"call": "call", "email": "e-mail", "meeting": "meeting", "message": "message"}
_TITLES: Final = {
    "missed": "Missed",
    "first": "First follow-up",
    "thirty": "30-minute window",
    "other": "Other promises",
    "touches": "Minimum touches",
    "open": "No clock runs",
    "done": "Met",
}
_PAGES: Final[Mapping[str, frozenset[str]]] = {
    "rep": frozenset({"inbox", "leads", "settings"}),
    "sdr": frozenset({"inbox", "review", "leads", "settings"}),
    "manager": frozenset({"inbox", "leads", "board", "pipeline", "forecast", "definition", "routing", "settings"}),
    "marketing": frozenset({"leads", "pipeline", "definition", "connections", "settings"}),
}


def may_issue(active_of_the_name: int) -> bool:
    """Say whether a name may get another key."""
    return active_of_the_name < ACTIVE_KEYS_OF_A_NAME


def pages_of(role: str) -> frozenset[str]:
    """Return the entries of the sidebar for a role."""
    if role == "admin":
        return frozenset({"review", "operations"}).union(*_PAGES.values())
    return _PAGES.get(role, frozenset())


def label(kind: str, needed: Mapping[str, int]) -> str:
    """Return what a clock is called."""
    if kind.startswith("first_response"):
        return "First follow-up"
    if kind == TOUCHES:
        return touches_text(needed) or "Minimum touches"
    return _LABELS.get(kind, kind.replace("_", " ").capitalize())


def touches_text(needed: Mapping[str, int]) -> str:
    """Return `3 calls, 3 e-mails`."""
    words = [(count, _TOUCH_WORDS.get(kind, kind)) for kind, count in sorted(needed.items())]
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in words)


def duration(seconds: float) -> str:
    """Return the two largest units: `7s`, `4m 12s`, `1h 06m`, `3d 4h`; milliseconds below a second."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def place(clocks: Iterable[Clock], now: datetime) -> tuple[str, Clock | None]:
    """Return a lead's group, and the clock that decides it: the one with the nearest deadline of that group."""
    found: dict[str, Clock] = {}
    for clock in clocks:
        group = _group(clock, now)
        if group not in found or clock.due_at < found[group].due_at:
            found[group] = clock
    for group in GROUPS:
        if group in found:
            return group, found[group]
    return "open", None


def _group(clock: Clock, now: datetime) -> str:
    if clock.state == "missed" and clock.met_at is None:
        return "missed"
    if clock.state in ("met", "missed"):
        # A tick is shown for a moment, then it is history.
        return "done" if clock.met_at is not None and clock.met_at > now - TICK_SHOWN else "history"
    if clock.state == "cancelled":
        return "history"
    if clock.kind == FIRST:
        return "first"
    if clock.kind == SECOND:
        return "thirty"
    return "touches" if clock.kind == TOUCHES else "other"


def order(row: InboxRow) -> tuple[int, bool, datetime, str]:
    """Return the sort key: group, then deadline; time passing never changes it."""
    return GROUPS.index(row.group), row.due_at is None, row.due_at or row.assigned_at, str(row.lead_id)


def is_due(row: InboxRow) -> bool:
    """Say whether a clock of it runs or was missed, or was met a moment ago."""
    return row.group != "open"


def matches(row: InboxRow, filters: Filters) -> bool:
    """Say whether the filters let a row through."""
    shown = {"due": is_due(row), "all": True, "new": row.new, "hot": row.hot}[filters.show]
    if not shown or (filters.grade and row.grade != filters.grade) or (filters.source and row.source != filters.source):
        return False
    if filters.clock and not any(one.kind == filters.clock and runs(one) for one in row.clocks):
        return False
    wanted = filters.q.casefold()
    return not wanted or wanted in (row.name or "").casefold() or wanted in row.company.casefold()


def runs(clock: Clock) -> bool:
    """Say whether a clock waits for somebody still."""
    return clock.state in ("running", "paused") or (clock.state == "missed" and clock.met_at is None)


def title(group: str) -> str:
    """Return a group's title."""
    return _TITLES[group]


def group_note(group: str, rows: Sequence[InboxRow]) -> tuple[str, datetime | None]:
    """Return what stands beside a group's title: the window, or when the next window of the missed ends."""
    if group == "missed":
        later = [one.due_at for row in rows for one in row.clocks if one.state in ("running", "paused")]
        return ("next window ends" if later else ""), min(later, default=None)
    if group in ("first", "thirty"):
        windows = {one.clock.within_seconds for one in rows if one.clock is not None}
        return (f"within {window(windows.pop())} of assignment" if len(windows) == 1 else ""), None
    if group == "touches":
        needs = {one.clock.label for one in rows if one.clock is not None}
        return (needs.pop() if len(needs) == 1 else ""), None
    return ("no-shows, status, handoffs" if group == "other" else ""), None


def window(seconds: float) -> str:
    """Return a window in words: `5 minutes`, `1 day`."""
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {word}{'' if count == 1 else 's'}"
    return duration(seconds)


def cut(points: Sequence[Point]) -> float:
    """Return what ceilings took from a part of the score."""
    return round(max(0.0, sum(one.points - one.counted for one in points)), 6)
