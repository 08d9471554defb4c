"""The event log of a real desk, and the calls that it stands for."""

import csv
import gzip
import hashlib
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

COLUMNS: Final = {"at", "lead_id", "type", "phase", "actor", "amount"}
SYSTEM: Final = "system"
NOBODY: Final = "unknown"
"""A person whose name the log does not say."""
LOST: Final = ("deal.lost_cancelled", "lead.rejected")

Row = dict[str, str]


class Unreadable(Exception):
    """The file is no such log; the text says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call that the log stands for. `at` is when it happened."""

    at: datetime
    kind: str
    """lead, touch, engagement or deal."""
    body: dict[str, Any]
    path: str = ""


def read(file: Path) -> list[Row]:
    """Return the rows of a CSV, which may be gzipped."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            if absent := sorted(COLUMNS - set(reader.fieldnames or ())):
                raise Unreadable(f"{file} lacks the columns {', '.join(absent)}.")
            rows = [{name: value or "" for name, value in row.items() if name in COLUMNS} for row in reader]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}."
        ) from error
    for number, row in enumerate(rows, start=2):
        _check(file, number, row)
    if not rows:
        raise Unreadable(f"{file} holds no events.")
    return rows


def _check(file: Path, number: int, row: Row) -> None:
    try:
        at = datetime.fromisoformat(row["at"])
    except (KeyError, ValueError):
        raise Unreadable(f"{file}, line {number}: `at` is no time such as 2011-10-01T06:08:58.256Z.") from None
    if at.tzinfo is None:
        raise Unreadable(f"{file}, line {number}: `at` has no time zone.")
    if not row.get("lead_id") or not row.get("type"):
        raise Unreadable(f"{file}, line {number}: `lead_id` or `type` is missing.")


def steps(rows: Sequence[Row]) -> Iterator[Step]:
    """Yield the calls: a lead, touches by people, engagements, and the deal that opens at the first qualification.

    Each has an external id made of what the row says, so that a row sent again is known, in whichever file it comes.
    """
    opening = _openings(rows)
    seen: Counter[bytes] = Counter()
    for number, row in enumerate(rows):
        at, lead = datetime.fromisoformat(row["at"]), row["lead_id"]
        name = _name(row, seen)
        yield _fact(row, at, name)
        if lead in opening:
            yield from _deal(row, at, name, opens=opening[lead] == number)


def _openings(rows: Sequence[Row]) -> dict[str, int]:
    """Return for each lead the row of its first qualification."""
    found: dict[str, tuple[datetime, int]] = {}
    for number, row in enumerate(rows):
        if row["type"] == "lead.qualified":
            place = (datetime.fromisoformat(row["at"]), number)
            found[row["lead_id"]] = min(found.get(row["lead_id"], place), place)
    return {lead: number for lead, (_, number) in found.items()}


def _name(row: Row, seen: Counter[bytes]) -> str:
    said = "\n".join(row.get(column, "") for column in sorted(COLUMNS)).encode()
    seen[said] += 1
    return hashlib.sha256(said + str(seen[said]).encode()).hexdigest()[:32]


def _fact(row: Row, at: datetime, name: str) -> Step:
    lead, kind = row["lead_id"], row["type"]
    if kind == "lead.created":
        return Step(at, "lead", {"external_id": lead, "occurred_at": row["at"], "source": "replay"})
    base = {"occurred_at": row["at"], "lead_external_id": lead, "external_id": name}
    if kind.startswith("task.") and row["phase"] == "START" and row["actor"] != SYSTEM:
        return Step(at, "touch", {**base, "rep_id": row["actor"] or NOBODY, "kind": "call", "outcome": "attempted"})
    properties = {"phase": row["phase"], "actor": row["actor"]}
    return Step(at, "engagement", {**base, "kind": kind, "properties": properties})


def _deal(row: Row, at: datetime, name: str, *, opens: bool) -> Iterator[Step]:
    lead, said = row["lead_id"], {"occurred_at": row["at"]}
    if opens:
        body = {**said, "external_id": lead, "lead_external_id": lead, "account": "", "name": lead}
        yield Step(at, "deal", body, "/v1/opportunities")
    moves = f"/v1/opportunities/external:{lead}/moves"
    if row["type"] == "deal.won":
        amount = {"amount": row["amount"]} if row["amount"] else {}
        yield Step(at, "deal", {**said, "stage": "won", **amount, "external_id": name}, moves)
    elif row["type"] in LOST:
        yield Step(at, "deal", {**said, "stage": "lost", "external_id": name}, moves)


def disordered(calls: Sequence[Step], span_s: float, chance: random.Random) -> list[Step]:
    """Return the calls as they may arrive when each is late by up to so many seconds."""
    late = [(step.at.timestamp() + chance.uniform(0, span_s), number) for number, step in enumerate(calls)]
    return [calls[number] for _, number in sorted(late)]


def doubled(calls: Sequence[Step], share: float, chance: random.Random) -> list[Step]:
    """Return the calls with a share of them twice, the second some way behind the first."""
    placed = [(float(number), step) for number, step in enumerate(calls)]
    again = [(number + chance.uniform(0.5, 200.0), step) for number, step in placed if chance.random() < share]
    return [step for _, step in sorted([*placed, *again], key=lambda one: one[0])]
