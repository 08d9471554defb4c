"""An opportunity is the fold of its moves; sums are of its leaves: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
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
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What changed, and when it happened."""

    move_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    changes: Mapping[str, Any]
    reason: str = ""


def order(move: Move) -> tuple[datetime, datetime, UUID]:
    """Return the order in which moves count, whatever the order in which they came."""
    return (move.occurred_at, move.recorded_at, move.move_id)


def fold(opening: State, moves: Sequence[Move]) -> State:
    """Return the state after all moves."""
    state = opening
    for move in sorted(moves, key=order):
        state = _apply(state, move)
    return state


def _apply(state: State, move: Move) -> State:
    said = move.changes
    stage = said.get("stage", state.stage)
    category = said.get("category", state.category)
    if stage == WON:
        category = Category.CLOSED
    elif stage in (LOST, HANDED_BACK):
        category = Category.OMITTED
    elif state.stage in ENDS and "category" not in said:
        category = Category.PIPELINE
    return replace(
        state,
        stage=stage,
        category=str(category),
        owner_id=said.get("owner_id", state.owner_id),
        amount=Decimal(said["amount"]) if "amount" in said else state.amount,
        currency=said.get("currency", state.currency),
        close_date=date.fromisoformat(said["close_date"]) if "close_date" in said else state.close_date,
        ended_at=(move.occurred_at if stage in ENDS and stage != state.stage else state.ended_at)
        if stage in ENDS
        else None,
        reason=move.reason if stage in ENDS else "",
    )


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a deal's amount is counted."""

    rep_id: str
    month: str
    category: str
    currency: str


def leaf(state: State) -> Leaf | None:
    """Return where the deal counts, None while it has no amount or no date (it is listed as undated then).

    A deal that was won counts in the month in which it was won.
    """
    when = state.ended_at.date() if state.stage == WON and state.ended_at is not None else state.close_date
    if state.amount is None or when is None or state.category == Category.OMITTED:
        return None
    return Leaf(state.owner_id, f"{when:%Y-%m}", state.category, state.currency)


def months_of(period: str) -> list[str]:
    """Return the months of `2026-Q4`, `2026-11` or `2026`. ValueError for anything else."""
    year, _, part = period.partition("-")
    if len(year) != 4 or not year.isdigit():
        raise ValueError("not a period")
    if not part:
        return [f"{year}-{month:02}" for month in range(1, 13)]
    if part.startswith("Q") and part[1:] in ("1", "2", "3", "4"):
        first = 3 * int(part[1]) - 2
        return [f"{year}-{month:02}" for month in range(first, first + 3)]
    if part.isdigit() and 1 <= int(part) <= 12:
        return [f"{year}-{int(part):02}"]
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
