"""An opportunity is the fold of its moves; sums are of its leaves: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

UNQUALIFIED: Final = "unqualified"
QUALIFIED: Final = "qualified"
WON: Final = "won"
LOST: Final = "lost"
HANDED_BACK: Final = "handed_back"
ENDS: Final = frozenset({WON, LOST, HANDED_BACK})
STAGES: Final = (UNQUALIFIED, QUALIFIED, WON, LOST, HANDED_BACK)
OPEN: Final = tuple(stage for stage in STAGES if stage not in ENDS)


class Category(StrEnum):
    """Of a forecast."""

    PIPELINE = "pipeline"
    UPSIDE = "upside"
    COMMIT = "commit"
    CLOSED = "closed"
    OMITTED = "omitted"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A deal as it stands."""

    stage: str
    category: str
    owner_id: str
    amount: Decimal | None
    currency: str
    close_date: date | None
    ended_at: datetime | None = None
    qualified_at: datetime | None = None
    """When it first stood at `qualified` or beyond; what was lost before never did."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What changed, and when it happened."""

    move_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    changes: Mapping[str, Any]
    reason: str = ""
    """A code."""
    words: str = ""
    """What somebody typed instead of one."""


def order(move: Move) -> tuple[datetime, datetime, UUID]:
    """Return the order in which moves count, whatever the order in which they came."""
    return (move.occurred_at, move.recorded_at, move.move_id)


def fold(opening: State, opened_at: datetime, moves: Sequence[Move]) -> State:
    """Return the state after the opening and all moves."""
    state = _arrive(opening, opening.stage, opening.category, opened_at)
    for move in sorted(moves, key=order):
        state = _apply(state, move)
    return state


def _apply(state: State, move: Move) -> State:
    said = move.changes
    stage = said.get("stage", state.stage)
    arrived = _arrive(state, stage, said.get("category", state.category), move.occurred_at)
    return replace(
        arrived,
        owner_id=said.get("owner_id", state.owner_id),
        amount=Decimal(said["amount"]) if "amount" in said else state.amount,
        currency=said.get("currency", state.currency),
        close_date=date.fromisoformat(said["close_date"]) if "close_date" in said else state.close_date,
        reason=(move.reason if "stage" in said else state.reason) if stage in ENDS else "",
    )


def _arrive(state: State, stage: str, category: str, at: datetime) -> State:
    """Return the state at a stage: won is closed, what ended otherwise is omitted, and nothing else is closed."""
    if stage == WON:
        category = Category.CLOSED
    elif stage in ENDS:
        category = Category.OMITTED
    elif category == Category.CLOSED or (state.stage in ENDS and category == state.category):
        category = Category.PIPELINE
    ended_at = (state.ended_at if stage == state.stage and state.ended_at else at) if stage in ENDS else None
    return replace(
        state,
        stage=stage,
        category=str(category),
        ended_at=ended_at,
        qualified_at=state.qualified_at or (at if stage in (QUALIFIED, WON) else None),
    )


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """Where a deal's amount is counted."""

    rep_id: str
    month: str
    category: str
    currency: str


def leaf(state: State, zone: tzinfo) -> Leaf | None:
    """Return where the deal counts, None while it has no amount or no date (it is listed as undated then).

    A deal that was won counts in the month in which it was won, in the zone of reports.
    """
    won = state.stage == WON and state.ended_at is not None
    when = state.ended_at.astimezone(zone).date() if won and state.ended_at is not None else state.close_date
    if state.amount is None or when is None or state.category == Category.OMITTED:
        return None
    return Leaf(state.owner_id, f"{when:%Y-%m}", state.category, state.currency)


def recounted(before: State | None, after: State, zone: tzinfo) -> list[tuple[Leaf, int, Decimal]]:
    """Return what a deal's step does to the leaves: (leaf, deals, amount), in the order in which they are locked."""
    changes: dict[Leaf, tuple[int, Decimal]] = {}
    for state, sign in ((before, -1), (after, 1)):
        place = leaf(state, zone) if state is not None else None
        if place is not None and state is not None and state.amount is not None:
            deals, amount = changes.get(place, (0, Decimal(0)))
            changes[place] = (deals + sign, amount + sign * state.amount)
    return [(place, *change) for place, change in sorted(changes.items()) if change != (0, Decimal(0))]


def months_of(period: str) -> list[str]:
    """Return the months of `2026-Q4`, `2026-11` or `2026`. ValueError for anything else."""
    year, dash, part = period.partition("-")
    if not (year.isascii() and year.isdigit() and len(year) == 4 and 1900 <= int(year) <= 2200):
        raise ValueError("not a period")
    if not dash:
        return [f"{year}-{month:02}" for month in range(1, 13)]
    if part in ("Q1", "Q2", "Q3", "Q4"):
        first = 3 * int(part[1]) - 2
        return [f"{year}-{month:02}" for month in range(first, first + 3)]
    if len(part) == 2 and part.isascii() and part.isdigit() and 1 <= int(part) <= 12:
        return [f"{year}-{part}"]
    raise ValueError("not a period")


def cumulative(sums: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return categories that hold those above them: a view, which changes nothing."""
    closed = sums[Category.CLOSED]
    commit = closed + sums[Category.COMMIT]
    upside = commit + sums[Category.UPSIDE]
    return {
        Category.CLOSED: closed,
        Category.COMMIT: commit,
        Category.UPSIDE: upside,
        Category.PIPELINE: upside + sums[Category.PIPELINE],
        Category.OMITTED: sums[Category.OMITTED],
    }
