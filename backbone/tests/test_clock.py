"""What time it is: by the database, as far as its answers prove ours wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from backbone import clock

A_MOMENT = timedelta(minutes=1)
"""Longer than any machine stalls here, and shorter than what the clocks are apart."""


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_zero", None)


def answers(ahead: timedelta):
    async def ask() -> datetime:
        return datetime.now(UTC) + ahead

    return ask


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_it_is_when_the_database_says_and_again_when_that_says_otherwise(minutes: int) -> None:
    ahead = timedelta(minutes=minutes)
    await clock.measure(answers(ahead))
    assert abs(clock.now() - datetime.now(UTC) - ahead) < A_MOMENT
    await clock.measure(answers(-ahead))
    assert abs(clock.now() - datetime.now(UTC) + ahead) < A_MOMENT


async def test_an_answer_that_may_agree_with_ours_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> datetime:
        return datetime.fromtimestamp(20_015, UTC)

    # It was 20,015 at some instant between 1,000 and 1,030: when it was 0 here, it was 18,985 to 19,015 there.
    for ours, then in ((18_990.0, 18_990.0), (18_900.0, 18_985.0), (19_100.0, 19_015.0)):
        ticks = iter([1_000.0, 1_030.0])
        monkeypatch.setattr(clock, "_ticks", ticks.__next__)
        monkeypatch.setattr(clock, "_zero", ours)
        await clock.measure(ask)
        assert clock._zero == then


def test_who_never_measured_goes_by_the_machine() -> None:
    assert abs(clock.now() - datetime.now(UTC)) < A_MOMENT
