"""How numbers, times and states are put into words: values in, text out; the same rules as the browser's clock.js."""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from console import domain, views

Look = Literal["running", "short", "missed", "late", "met", "long", "paused", "checking", "none"]
DAY_S: Final = 86_400
CHECKING_AFTER_S: Final = 3
NARROW: Final = "\u202f"
_UNITS: Final = (("d", DAY_S), ("h", 3600), ("m", 60), ("s", 1))
_WORDS: Final = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
_CURRENCIES: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}


def parts(seconds: float) -> list[tuple[int, str]]:
    """Return the two largest units of a duration, whole seconds."""
    found: list[tuple[int, str]] = []
    rest = max(0, int(seconds))
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or found or unit == "s":
            found.append((number, unit))
        if len(found) == 2:
            break
    return found


def duration(seconds: float) -> str:
    """Say a duration in whole seconds: 7s, 4m 12s, 1h 06m, 3d 4h."""
    return domain.duration(seconds) if seconds >= 1 else "0s"


def spoken(seconds: float) -> str:
    """Say a duration for listeners: 3 minutes 54 seconds."""
    said = [(number, _WORDS[unit]) for number, unit in parts(seconds)]
    shown = [one for one in said if one[0]] or said[-1:]
    return " ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in shown)


def gap(seconds: float) -> str:
    """Say the time between two entries of a journey: 27 ms, 2.85 s, 2m 30s."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.2f} s" if seconds < 10 else duration(seconds)


def clock_time(at: datetime, zone: str, precision: Literal["m", "s", "ms"] = "m") -> str:
    """Say a time of day: 14:33, 14:33:31, 14:33:31.020."""
    local = at.astimezone(ZoneInfo(zone))
    return {"m": f"{local:%H:%M}", "s": f"{local:%H:%M:%S}", "ms": f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"}[
        precision
    ]


def date(at: datetime, now: datetime, zone: str) -> str:
    """Say a date: Tue 10 Nov within a week, 10 Nov this year, 10 Nov 2025 else."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    text = f"{local.day} {local:%b}"
    if abs((local.date() - today.date()).days) < 7:
        return f"{local:%a} {text}"
    return text if local.year == today.year else f"{text} {local.year}"


def moment(at: datetime, now: datetime, zone: str, precision: Literal["m", "s", "ms"] = "s") -> str:
    """Say when: the time alone today, the weekday with the time within a week, else the date."""
    local, today = at.astimezone(ZoneInfo(zone)).date(), now.astimezone(ZoneInfo(zone)).date()
    if local == today:
        return clock_time(at, zone, precision)
    if abs((local - today).days) < 7:
        return f"{at.astimezone(ZoneInfo(zone)):%a} {clock_time(at, zone)}"
    return date(at, now, zone)


def ago(at: datetime, now: datetime, zone: str) -> str:
    """Say how long ago: 7s ago up to a day, then the date."""
    passed = (now - at).total_seconds()
    return f"{duration(passed)} ago" if passed < DAY_S else date(at, now, zone)


def exactly(at: datetime, zone: str) -> str:
    """Say an instant in full, in the reader's zone and in UTC."""
    local = at.astimezone(ZoneInfo(zone))
    utc = at.astimezone(ZoneInfo("UTC"))
    return (
        f"{local:%a} {local.day} {local:%b %Y}, {clock_time(at, zone, 'ms')} {zone}"
        f" ({utc:%H:%M:%S}.{utc.microsecond // 1000:03} UTC)"
    )


def look(clock: views.Clock | None, now: datetime) -> Look:
    """Say which shape a clock has. Only the server's breach makes it missed: at zero it waits, then it is checked."""
    if clock is None:
        return "none"
    if clock.state == "missed":
        return "late" if clock.met_at is not None else "missed"
    if clock.state != "running":
        return {"met": "met", "paused": "paused", "cancelled": "none"}[clock.state]  # type: ignore[return-value]
    if clock.paused_until is not None and clock.paused_until > now:
        return "paused"
    left = (clock.due_at - now).total_seconds()
    if left <= -CHECKING_AFTER_S:
        return "checking"
    if left > DAY_S:
        return "long"
    return "short" if left < clock.short_seconds else "running"


def clock_text(clock: views.Clock | None, now: datetime, zone: str) -> str:
    """Say what is left, by how much it was missed, or how long it took."""
    if clock is None:
        return "–"
    shape = look(clock, now)
    if shape == "met":
        return duration(clock.took_seconds or 0)
    if shape == "late":
        return f"late {duration(clock.late_seconds or 0)}"
    if shape == "missed":
        return f"+{duration((now - clock.due_at).total_seconds())}"
    if shape == "paused":
        return f"paused, {clock_time(clock.paused_until, zone)}" if clock.paused_until else "paused"
    return {"checking": "checking", "none": "–"}.get(shape) or duration((clock.due_at - now).total_seconds())


def clock_spoken(clock: views.Clock | None, now: datetime, zone: str) -> str:
    """Say a clock for listeners."""
    if clock is None:
        return "no clock runs"
    shape = look(clock, now)
    left = spoken((clock.due_at - now).total_seconds())
    if shape == "met":
        return f"met in {spoken(clock.took_seconds or 0)}"
    if shape == "late":
        return f"missed, touched {spoken(clock.late_seconds or 0)} late"
    if shape == "missed":
        return f"missed by {spoken((now - clock.due_at).total_seconds())}"
    if shape == "paused":
        return f"paused until {clock_time(clock.paused_until, zone)}" if clock.paused_until else "paused"
    return {"checking": "checking", "none": "no clock runs", "short": f"running out, {left} left"}.get(
        shape, f"{left} left"
    )


def arc(clock: views.Clock | None, now: datetime) -> float:
    """Return how much of the ring is empty, from 0 to 1."""
    if clock is None or clock.within_seconds <= 0:
        return 0.0
    left = (clock.due_at - now).total_seconds() / clock.within_seconds
    return round(1 - min(1.0, max(0.0, left)), 3)


def money(amount: Decimal | None, currency: str) -> str:
    """Say an amount: € 48,000; € 4.71 M; – where there is none."""
    if amount is None:
        return "–"
    sign = _CURRENCIES.get(currency, currency)
    if abs(amount) >= 1_000_000:
        return f"{sign}{NARROW}{amount / 1_000_000:.2f}{NARROW}M"
    whole = amount == amount.to_integral_value()
    return f"{sign}{NARROW}{amount:,.0f}" if whole else f"{sign}{NARROW}{amount:,.2f}"


def count(number: float) -> str:
    """Say a count with thousands separators, without a fraction that is nought."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def initials(name: str) -> str:
    """Return one or two letters for a name."""
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "–"


def grade_class(grade: str) -> str:
    """Return how strongly a grade is coloured."""
    return {"A1": "g1", "A2": "g2", "B1": "g2", "A3": "g3", "B2": "g3"}.get(grade, "")


@lru_cache(maxsize=512)
def city(zone: str) -> str:
    """Return the place that a zone is named after."""
    return zone.rpartition("/")[2].replace("_", " ")
