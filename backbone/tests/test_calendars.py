"""Working time against a slow oracle, and the days that others get wrong."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbone import calendars, public_holidays
from backbone.calendars import Calendar
from backbone.wall_time import Window

OFFICE = Calendar(
    zone="Europe/Berlin", windows=calendars.windows([(("mon", "tue", "wed", "thu", "fri"), "09:00", "18:00")])
)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("created", ["2026-11-14 15:00", "2026-11-14 23:00"])
def test_a_weekend_lead_is_due_on_monday_at_half_past_nine(created: str) -> None:
    assert calendars.add(OFFICE, berlin(created), 1800) == berlin("2026-11-16 09:30")


def test_a_holiday_and_a_leave_are_no_work() -> None:
    closed = Calendar(
        zone=OFFICE.zone,
        windows=OFFICE.windows,
        closed=frozenset({date(2026, 11, 16)}),
        off=((berlin("2026-11-17 09:00"), berlin("2026-11-17 12:00")),),
    )
    assert calendars.next_opening(closed, berlin("2026-11-14 15:00")) == berlin("2026-11-17 12:00")


def test_who_left_in_the_middle_of_the_day_is_away_until_the_leave_ends() -> None:
    leave = (berlin("2026-11-17 10:00"), berlin("2026-11-17 12:00"))
    away = Calendar(zone=OFFICE.zone, windows=OFFICE.windows, off=(leave,))
    assert calendars.open_until(away, berlin("2026-11-17 09:30")) == leave[0]
    assert calendars.open_until(away, berlin("2026-11-17 11:00")) is None
    assert calendars.next_opening(away, berlin("2026-11-17 11:00")) == leave[1]
    assert calendars.open_until(away, leave[1]) == berlin("2026-11-17 18:00")


def test_any_of_several_calendars_counts_once_where_they_overlap() -> None:
    early, late = (
        Calendar(zone="UTC", windows=calendars.windows([(("mon",), *hours)]))
        for hours in (("09:00", "12:00"), ("11:00", "14:00"))
    )
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    assert calendars.add_any([early, late], monday, 4 * 3600) == monday + timedelta(hours=13)
    assert calendars.add_any([early, late], monday, 6 * 3600) == monday + timedelta(days=7, hours=10)
    assert calendars.add_any([], monday, 1) is None


def test_both_changes_of_the_clock_keep_the_hours_of_the_wall() -> None:
    night = Calendar(zone="Europe/Berlin", windows=calendars.windows([(("sat",), "22:00", "06:00")]))
    spring, autumn = berlin("2026-03-28 22:00"), berlin("2026-10-24 22:00")
    assert calendars.elapsed(night, spring, spring + timedelta(days=1)) == 7 * 3600
    assert calendars.elapsed(night, autumn, autumn + timedelta(days=1)) == 9 * 3600


def test_a_window_ends_at_midnight_and_another_goes_on() -> None:
    around = Calendar(zone="UTC", windows=calendars.windows([(calendars.DAYS, "00:00", "24:00")]))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert calendars.add(around, start, 30 * 86_400) == start + timedelta(days=30)


def test_two_months_of_a_part_timer_are_more_than_a_year() -> None:
    mornings = Calendar(zone="Europe/Berlin", windows=calendars.windows([(calendars.DAYS[:5], "09:00", "13:00")]))
    started = berlin("2026-11-28 09:00")
    assert calendars.add(mornings, started, 60 * 86_400) == berlin("2028-04-14 13:00")  # 360 mornings


def test_who_never_works_never_opens() -> None:
    assert calendars.next_opening(Calendar(zone="UTC", windows=()), datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_holidays_by_country_and_part() -> None:
    assert date(2026, 7, 4) in public_holidays.of("US", 2026)
    assert date(2026, 3, 31) in public_holidays.of("US-CA", 2026)
    with pytest.raises(ValueError, match="country"):
        public_holidays.of("XX", 2026)


@pytest.mark.parametrize(
    ("start", "end", "spring", "autumn"),
    [("02:15", "02:45", 0, 60), ("02:30", "03:00", 0, 60), ("01:00", "02:30", 60, 120), ("01:00", "04:00", 120, 240)],
)
def test_what_a_change_of_the_clocks_leaves_out_or_brings_twice(start: str, end: str, spring: int, autumn: int) -> None:
    daily = Calendar(zone="Europe/Berlin", windows=calendars.windows([(calendars.DAYS, start, end)]))
    for day, minutes in ("2026-03-29", spring), ("2026-10-25", autumn):
        midnight = berlin(day).astimezone(UTC)
        assert calendars.elapsed(daily, midnight, midnight + timedelta(hours=20)) == 60 * minutes


def test_an_hour_that_comes_twice_over_midnight_is_worked_twice() -> None:
    # In Lebanon 2026-10-25 begins at 23:00 of the day before, which comes a second time.
    late = Calendar(zone="Asia/Beirut", windows=calendars.windows([(("sat",), "23:30", "00:15")]))
    evening = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert calendars.elapsed(late, evening, evening + timedelta(days=1)) == 75 * 60


ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"),
    *("Asia/Beirut", "America/Santiago", "Africa/Casablanca"),
]
"""Some change at midnight, one by half an hour, one back before Ramadan and forward after it."""
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def changes(zone: str) -> list[datetime]:
    """Return the days of the year on which the clocks change."""
    offsets = [(FIRST + timedelta(days=day)).astimezone(ZoneInfo(zone)).utcoffset() for day in range(365)]
    return [FIRST + timedelta(days=day) for day in range(364) if offsets[day] != offsets[day + 1]]


CHANGES = {zone: changes(zone) for zone in ZONES}
minutes = st.integers(0, 95).map(lambda quarter: quarter * 15)
small_hours = st.integers(0, 16).map(lambda quarter: quarter * 15)
window = st.one_of(
    st.builds(Window, st.integers(0, 6), minutes, minutes), st.builds(Window, st.just(6), small_hours, small_hours)
)
"""Many of a Sunday's first hours, in which clocks change."""
instant = st.integers(0, 364 * 96).map(lambda quarter: FIRST + timedelta(minutes=15 * quarter))
years = st.sampled_from([0, 0, 0, -1, 1, 2]).map(lambda number: timedelta(days=365 * number))
leave = st.tuples(instant, years, st.integers(1, 20 * 96)).map(
    lambda one: (one[0] + one[1], one[0] + one[1] + timedelta(minutes=15 * one[2]))
)
"""Mostly in the year that is asked for, some long past or planned long ahead."""
calendar = st.builds(
    lambda zone, windows, off: Calendar(zone=zone, windows=tuple(windows), off=tuple(off)),
    st.sampled_from(ZONES),
    st.lists(window, min_size=1, max_size=8),
    st.lists(leave, max_size=3),
)


@st.composite
def calendar_and_instant(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    """Draw a calendar, and an instant on one of the days on which its clocks change, or on any."""
    of = draw(calendar)
    days = CHANGES[of.zone]
    if not days or draw(st.booleans()):
        return of, draw(instant)
    return of, draw(st.sampled_from(days)) + timedelta(minutes=15 * draw(st.integers(-48, 96)))


def is_open(of: Calendar, at: datetime) -> bool:
    """Decide from the clock on the wall alone, as a person would."""
    if any(start <= at < end for start, end in of.off):
        return False
    wall = at.astimezone(ZoneInfo(of.zone)).replace(tzinfo=None)
    for days_ago in (0, 1):
        midnight = datetime.combine(wall.date(), datetime.min.time()) - timedelta(days=days_ago)
        for one in of.windows:
            end = one.end if one.end > one.start else one.end + 24 * 60
            since_midnight = (wall - midnight) / timedelta(minutes=1)
            if one.weekday == midnight.weekday() and one.start <= since_midnight < end:
                return True
    return False


@settings(max_examples=300)
@given(calendar_and_instant(), st.integers(1, 3 * 96))
def test_elapsed_equals_counting_quarters_of_an_hour(drawn: tuple[Calendar, datetime], quarters: int) -> None:
    of, start = drawn
    end = start + timedelta(minutes=15 * quarters)
    counted = sum(is_open(of, start + timedelta(minutes=15 * n)) for n in range(quarters)) * 900
    assert calendars.elapsed(of, start, end) == counted


@settings(max_examples=150)
@given(calendar_and_instant())
def test_the_next_opening_is_the_first_open_quarter_and_the_present_one_ends_with_the_last(
    drawn: tuple[Calendar, datetime],
) -> None:
    of, at = drawn
    later = [at + timedelta(minutes=15 * n) for n in range(70 * 96)]
    assert calendars.next_opening(of, at) == next(one for one in later if is_open(of, one))
    closed = next((one for one in later if not is_open(of, one)), None)
    if closed is not None:
        assert calendars.open_until(of, at) == (closed if closed > at else None)


@settings(max_examples=150)
@given(calendar_and_instant(), st.integers(1, 200_000))
def test_adding_time_and_measuring_it_agree(drawn: tuple[Calendar, datetime], seconds: int) -> None:
    of, start = drawn
    end = calendars.add(of, start, seconds)
    if end is not None:
        assert calendars.elapsed(of, start, end) == seconds


@settings(max_examples=80)
@given(calendar, instant, st.integers(1, 390))
def test_a_long_time_is_the_sum_of_its_openings_also_over_the_turn_of_a_year(
    of: Calendar, start: datetime, days: int
) -> None:
    end = start + timedelta(days=days)
    pieces = ((max(begins, start), min(ends, end)) for begins, ends in calendars.openings(of, start))
    counted = sum((max(timedelta(), ends - begins) for begins, ends in pieces), timedelta())
    assert calendars.elapsed(of, start, end) == counted.total_seconds()


def test_nothing_to_wait_for_is_the_next_opening() -> None:
    assert calendars.add(OFFICE, berlin("2026-11-14 15:00"), 0) == berlin("2026-11-16 09:00")
    assert calendars.add(Calendar(zone="UTC", windows=()), berlin("2026-11-14 15:00"), 1) is None
