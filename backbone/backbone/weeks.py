"""Days, weeks and longer spans as a company counts them, in its zone. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Zone:
    """Where days and weeks are counted."""

    name: str
    week_starts: str = "mon"

    def day(self, at: datetime) -> date:
        """Return the day of an instant."""
        return at.astimezone(ZoneInfo(self.name)).date()

    def week(self, day: date) -> date:
        """Return the first day of a day's week."""
        return day - timedelta(days=(day.weekday() + (self.week_starts == "sun")) % 7)

    def weeks(self, start: datetime, end: datetime) -> list[date]:
        """Return the weeks that [start, end) touches, by their first days."""
        first, last = self.week(self.day(start)), self.day(end - timedelta(microseconds=1))
        return [first + timedelta(days=7 * number) for number in range((last - first).days // 7 + 1)]

    def span(self, period: str, at: datetime) -> tuple[str, datetime, datetime]:
        """Return the name of the calendar's week, month or quarter around an instant, when it begins and ends."""
        day = self.day(at)
        if period == "week":
            first = self.week(day)
            return first.isoformat(), self._midnight(first), self._midnight(first + timedelta(days=7))
        months = 1 if period == "month" else 3
        month = (day.month - 1) // months * months + 1
        after = date(day.year, month + months, 1) if month + months <= 12 else date(day.year + 1, 1, 1)
        name = f"{day.year}-{month:02}" if period == "month" else f"{day.year}-Q{month // 3 + 1}"
        return name, self._midnight(date(day.year, month, 1)), self._midnight(after)

    def last_of(self, week: date, at_most: datetime) -> datetime:
        """Return the last instant of a week, but none after `at_most`."""
        if week >= self.week(self.day(at_most)):
            return at_most
        return self._midnight(week + timedelta(days=7)) - timedelta(microseconds=1)

    def _midnight(self, day: date) -> datetime:
        # In UTC: the difference of two times in one zone would pass over the hour that a change of clocks takes.
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.name)).astimezone(UTC)
