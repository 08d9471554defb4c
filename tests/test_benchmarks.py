"""What the benchmark says of its figures is what it computes."""

import pytest

from benchmarks.client import since
from benchmarks.measuring import percentile


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100)])
def test_a_percentile_is_the_smallest_value_that_this_share_is_not_above(share: float, expected: int) -> None:
    assert percentile(reversed(range(1, 101)), share) == expected


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([4.0, 2.0, 3.0], 0.5) == 3.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.99) == 0.0


def test_a_lead_counts_from_when_it_was_due_until_its_clock_and_others_clocks_do_not_count() -> None:
    assert since(armed={"a": 10.5, "warm": 3.0}, due={"a": 10.0}) == [0.5]
