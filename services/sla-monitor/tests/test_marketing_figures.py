"""Figures of marketing's side: periods, percentiles, promises and rejections, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from backbone import ids
from backbone.weeks import Zone
from sla_monitor import marketing
from sla_monitor.domain import Marked
from sla_monitor.figures import percentile
from sla_monitor.marketing import Event, Held, Promise, Qualified

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("counts", "period", "key", "leads"),
    [
        ({"month": 52}, "week", "all", 12),
        ({"month": 52}, "quarter", "all", 156),
        ({"week": 10, "month": 50}, "month", "all", 50),
        ({"week": 10, "month": 50}, "quarter", "all", 130),
        ({"week": 10, "month": 50}, "month", "fair", 13),
        ({"quarter": 130}, "week", "fair", 3 / 13),
        ({"month": 52}, "week", "web", None),
        ({}, "week", "all", None),
    ],
)
def test_a_promise_for_one_period_is_one_for_the_others(
    counts: dict[str, float], period: str, key: str, leads: float | None
) -> None:
    one = Promise(definition="saas", since=START, counts=counts, by_source={"fair": 3})
    assert marketing.promised([one], period, key) == (pytest.approx(leads) if leads is not None else None)


@pytest.mark.parametrize("period", ["week", "month", "quarter"])
def test_what_a_source_promises_is_shown_as_it_was_said(period: str) -> None:
    one = Promise(definition="saas", since=START, counts={period: 120}, by_source={"fair": 60})
    assert marketing.promised([one], period, "fair") == 60


def test_a_rejection_that_two_topics_tell_of_is_one() -> None:
    at = [START + number * MINUTE for number in range(6)]
    lead = Qualified(
        lead_id=ids.new(),
        source="web",
        live=True,
        since=START,
        at=START,
        definition="saas",
        complete=True,
        held=[
            Held(start=at[0], end=at[1], outcome="recycled", reason="timing"),
            Held(start=at[2], end=at[3], outcome="handed_back", reason="no_need"),
        ],
        events=[
            Event(kind=Marked.OUT, at=START - MINUTE, ref="recycled", word="spam"),
            Event(kind=Marked.OUT, at=at[1], ref="recycled", word="timing"),
            Event(kind=Marked.HANDED_BACK, at=at[3], word="no_need"),
            Event(kind=Marked.OUT, at=at[4], ref="recycled", word="no_budget"),
        ],
    )
    assert sorted(marketing.rejections(lead)) == ["no_budget", "no_need", "timing"]


def test_periods_are_those_of_the_companys_zone_and_as_long_as_they_are() -> None:
    berlin = Zone("Europe/Berlin")
    name, start, end = berlin.span("quarter", datetime(2026, 3, 31, 21, 59, tzinfo=UTC))
    assert (name, start) == ("2026-Q1", datetime(2025, 12, 31, 23, tzinfo=UTC))
    # The clocks went forward.
    assert end - start == 90 * DAY - timedelta(hours=1)
    assert berlin.span("month", datetime(2026, 12, 31, 23, tzinfo=UTC))[0] == "2027-01"
    assert berlin.span("quarter", datetime(2026, 12, 1, tzinfo=UTC))[0] == "2026-Q4"
    name, start, end = berlin.span("week", datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert (name, end - start) == ("2026-03-23", 7 * DAY - timedelta(hours=1))
    assert Zone("UTC", "sun").span("week", datetime(2026, 3, 29, tzinfo=UTC))[0] == "2026-03-29"
    assert len(berlin.weeks(START, START + 7 * DAY)) == 2
    # A span that ends with a week does not touch the next one.
    midnight = datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert len(berlin.weeks(midnight - 7 * DAY, midnight)) == 1


def test_percentiles_are_interpolated() -> None:
    assert percentile([], 0.5) is None
    assert percentile([5.0], 0.9) == 5
    assert percentile([0.0, 10.0, 20.0, 40.0], 0.5) == 15
    assert percentile([0.0, 10.0, 20.0, 40.0], 0.9) == pytest.approx(34)
