"""Deals as folds of their moves, and the leaves that sums are made of: pure."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast import domain
from forecast.domain import Leaf, Move, State

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
OPENING = State(stage="unqualified", category="pipeline", owner_id="ben", amount=None, currency="USD", close_date=None)

changes = st.fixed_dictionaries(
    {},
    optional={
        "stage": st.sampled_from(domain.STAGES),
        "amount": st.integers(min_value=0, max_value=10**6).map(str),
        "close_date": st.dates(date(2026, 1, 1), date(2027, 12, 31)).map(str),
        "category": st.sampled_from([str(one) for one in domain.Category]),
        "owner_id": st.sampled_from(["ben", "cem"]),
        "currency": st.sampled_from(["USD", "EUR"]),
    },
)


def move(number: int, hours: int, said: dict[str, Any], learned: int = 0) -> Move:
    at = AT + timedelta(hours=hours)
    return Move(move_id=UUID(int=number), occurred_at=at, recorded_at=at + timedelta(hours=learned), changes=said)


histories = st.lists(st.tuples(st.integers(0, 5), changes, st.integers(0, 2)), max_size=8).map(
    lambda rows: [move(number, *row) for number, row in enumerate(rows)]
)


def fold(moves: list[Move], opening: State = OPENING) -> State:
    return domain.fold(opening, AT, moves)


@given(histories, st.randoms(use_true_random=False))
def test_the_order_in_which_moves_came_changes_nothing(moves: list[Move], chance: Any) -> None:
    assert fold(chance.sample(moves, len(moves))) == fold(moves)


@given(histories, st.sampled_from(domain.STAGES), st.sampled_from([str(one) for one in domain.Category]))
def test_closed_is_what_is_won_and_nothing_else_and_what_ended_otherwise_is_in_no_sum(
    moves: list[Move], stage: str, category: str
) -> None:
    opening = State(
        stage=stage, category=category, owner_id="ben", amount=Decimal(5), currency="USD", close_date=AT.date()
    )
    state = fold(moves, opening)
    assert (state.category == "closed") == (state.stage == "won")
    assert (state.ended_at is not None) == (state.stage in domain.ENDS)
    if state.stage in ("lost", "handed_back"):
        assert domain.leaf(state, UTC) is None
    if state.stage in ("qualified", "won"):
        assert state.qualified_at is not None


@given(histories)
def test_leaves_moved_step_by_step_equal_those_of_the_last_state(moves: list[Move]) -> None:
    deals: Counter[Leaf] = Counter()
    amounts: Counter[Leaf] = Counter()
    before = None
    for number in range(len(moves) + 1):
        state = fold(moves[:number])
        for leaf, count, amount in domain.recounted(before, state, UTC):
            deals[leaf] += count
            amounts[leaf] += amount  # type: ignore[assignment]
        before = state
    last = domain.leaf(fold(moves), UTC)
    assert {leaf: count for leaf, count in deals.items() if count} == ({last: 1} if last else {})
    assert {leaf for leaf, amount in amounts.items() if amount} <= {last}


def test_a_deal_that_is_reopened_is_of_the_pipeline_again() -> None:
    lost = fold([move(1, 1, {"stage": "lost"})])
    again = fold([move(1, 1, {"stage": "lost"}), move(2, 2, {"stage": "qualified"})])
    assert (lost.category, again.category, again.ended_at) == ("omitted", "pipeline", None)


def test_a_deal_is_won_when_it_was_won_first() -> None:
    twice = fold([move(1, 1, {"stage": "won"}), move(2, 9, {"stage": "won", "amount": "7"})])
    assert (twice.ended_at, twice.amount) == (AT + timedelta(hours=1), 7)


def test_a_month_begins_in_the_zone_of_reports() -> None:
    opening = State(
        stage="won", category="pipeline", owner_id="ben", amount=Decimal(1), currency="USD", close_date=None
    )
    won = domain.fold(opening, datetime(2026, 12, 1, 2, tzinfo=UTC), [])
    months = [leaf.month for zone in ("UTC", "America/New_York") if (leaf := domain.leaf(won, ZoneInfo(zone)))]
    assert months == ["2026-12", "2026-11"]


@pytest.mark.parametrize(
    ("period", "months"),
    [
        ("2026-Q4", ["2026-10", "2026-11", "2026-12"]),
        ("2026-02", ["2026-02"]),
        ("2026", [f"2026-{n:02}" for n in range(1, 13)]),
    ],
)
def test_a_period_is_a_year_a_quarter_or_a_month(period: str, months: list[str]) -> None:
    assert domain.months_of(period) == months


@pytest.mark.parametrize(
    "period", ["", "2026-", "2026-Q5", "2026-13", "2026-1", "26-Q1", "²⁰²⁶", "0000", "2026-Q4-1", "9999"]
)
def test_what_is_no_period_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match="not a period"):
        domain.months_of(period)


def test_cumulative_categories_are_a_view() -> None:
    sums = {
        "closed": Decimal(1),
        "commit": Decimal(2),
        "upside": Decimal(4),
        "pipeline": Decimal(8),
        "omitted": Decimal(16),
    }
    assert domain.cumulative(sums) == {"closed": 1, "commit": 3, "upside": 7, "pipeline": 15, "omitted": 16}
