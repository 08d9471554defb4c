"""What a stream says, as server-sent events: pure."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any
from uuid import UUID

import msgspec

from backbone import times
from console import domain
from console.views import Clock, InboxRow, Load


def message(event: str, data: Any, seq: int | None = None) -> str:
    """Return one server-sent event; data that is no text goes as JSON."""
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    place = f"id: {seq}\n" if seq is not None else ""
    return f"{place}event: {event}\n{lines}\n"


def numbered(made: Sequence[tuple[int, str]]) -> list[str]:
    """Return messages with their positions: of several at one position only the last, after which nothing is missed."""
    return [
        text if after is not None and after[0] == seq else f"id: {seq}\n{text}"
        for (seq, text), after in zip_longest(made, made[1:])
    ]


def clocks(rows: Sequence[Any], found: Mapping[UUID, Sequence[Clock]]) -> list[tuple[int, str]]:
    """Return the last state of each clock that changed."""
    changed = {
        (row["lead_id"], name): row["seq"]
        for row in rows
        if row["kind"] == "lead"
        for name in row["data"].get("clocks", ())
    }
    return [
        (changed[lead_id, one.clock], _clock(lead_id, one))
        for lead_id, clocks in found.items()
        for one in clocks
        if (lead_id, one.clock) in changed
    ]


def _clock(lead_id: UUID, clock: Clock) -> str:
    said = {
        "lead_id": str(lead_id),
        "clock": clock.clock,
        "kind": clock.kind,
        "cycle": clock.cycle,
        "state": clock.state,
        "due_at": times.text(clock.due_at),
        "met_at": times.text(clock.met_at) if clock.met_at is not None else None,
        "retracted": clock.retracted,
    }
    return message("clock", said)


def notice(row: Any, lead: InboxRow | None) -> str:
    """Return a notice that a lead is hot, or that a clock of it was missed."""
    who = (lead.name or lead.company if lead is not None else "") or "A lead"
    if row["data"]["what"] == "hot":
        level, text = "hot", f"{who} is hot"
    else:
        level, text = "breach", f"{domain.label(row['data']['clock'], {})} missed: {who}"
    return message("notice", {"lead_id": str(row["lead_id"]), "level": level, "text": text})


def load(said: Load) -> dict[str, Any]:
    """Return a load as the stream tells it."""
    until = said.availability.until
    return {
        "open": said.open,
        "cap": said.cap,
        "at_cap": said.at_cap,
        "over_cap": said.over_cap,
        "available": said.availability.available,
        "reason": said.availability.reason,
        "until": times.text(until) if until is not None else None,
    }
