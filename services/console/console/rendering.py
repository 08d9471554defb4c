"""The templates' environment: filters that know the reader's zone, and one function that renders."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from console import assets, phrases, shown, views, words

TEMPLATES: Final = Path(__file__).parent / "templates"
SCRIPTS: Final = (
    "vendor/htmx.js",
    "vendor/hx-sse.js",
    "clock.js",
    "rows.js",
    "live.js",
    "acts.js",
    "keys.js",
    "palette.js",
)
STYLES: Final = ("vendor/basecoat.css", "tokens.css", "controls.css", "frame.css", "lists.css", "lead.css")
FOLLOWS: Final = "name follows"
"""Shown until the sealed name was opened."""

Precision = Literal["m", "s", "ms"]


def render(template: str, person: views.Person | None, now: datetime, **values: Any) -> str:
    """Render a template for a reader, whose zone all times are shown in."""
    zone = person.zone if person is not None else "UTC"
    return _environment().get_template(template).render(person=person, now=now, zone=zone, **values)


def millis(at: datetime) -> int:
    """Return an instant as scripts count it."""
    return int(at.timestamp() * 1000)


def time_element(at: datetime, zone: str, text: str) -> Markup:
    """Return `<time>` with the instant in UTC, and in full as its title."""
    utc = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc, shown.exactly(at, zone), text)


@pass_context
def _moment(context: Context, at: datetime, precision: Precision = "s") -> Markup:
    return time_element(at, context["zone"], shown.moment(at, context["now"], context["zone"], precision))


@pass_context
def _clock_time(context: Context, at: datetime, precision: Precision = "m") -> Markup:
    return time_element(at, context["zone"], shown.clock_time(at, context["zone"], precision))


@pass_context
def _ago(context: Context, at: datetime) -> Markup:
    return time_element(at, context["zone"], shown.ago(at, context["now"], context["zone"]))


@pass_context
def _date(context: Context, at: datetime) -> Markup:
    return time_element(at, context["zone"], shown.date(at, context["now"], context["zone"]))


@pass_context
def _plain_date(context: Context, day: str) -> str:
    """Say a day that has no time: 15 Dec."""
    return shown.date(
        datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=ZoneInfo(context["zone"])),
        context["now"],
        context["zone"],
    )


@pass_context
def _since(context: Context, at: datetime) -> str:
    return shown.duration((context["now"] - at).total_seconds())


@pass_context
def _clock(context: Context, clock: views.Clock | None) -> dict[str, Any]:
    """Return what the clock's macro needs: the browser goes on from the same values."""
    now, zone = context["now"], context["zone"]
    data: dict[str, Any] = {}
    if clock is not None:
        data = {"state": clock.state, "due": millis(clock.due_at), "within": int(clock.within_seconds * 1000)}
        if clock.met_at is not None:
            data["took"] = int(((clock.late_seconds or clock.took_seconds) or 0) * 1000)
        if clock.paused_until is not None:
            data |= {"until": millis(clock.paused_until), "until-text": shown.clock_time(clock.paused_until, zone)}
    return {
        "data": data,
        "look": shown.look(clock, now),
        "arc": shown.arc(clock, now),
        "text": shown.clock_text(clock, now, zone),
        "spoken": shown.clock_spoken(clock, now, zone),
    }


@pass_context
def _entry_time(context: Context, at: datetime, before: datetime | None = None) -> Markup:
    """Return a journey's time: within the second of the entry before, its milliseconds alone."""
    zone, now = context["zone"], context["now"]
    text = shown.moment(at, now, zone, "ms")
    if before is not None and before.replace(microsecond=0) == at.replace(microsecond=0):
        text = f".{at.microsecond // 1000:03}"
    return time_element(at, zone, text)


def icon(name: str) -> Markup:
    """Return a lucide icon, drawn in place; it says nothing to listeners, the word beside it does."""
    drawn = assets.icons()[name]
    return Markup(f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{drawn}</svg>')  # noqa: S704 - our own file


def kbd(keys: str) -> Markup:
    """Return keys as they are drawn: `G I` are two."""
    return Markup("").join(Markup('<kbd class="kbd" aria-hidden="true">{}</kbd>').format(key) for key in keys.split())


def dots(done: int, needed: int) -> list[bool]:
    """Return the dots of touches done of needed; more than six would not be counted by eye."""
    return [number < done for number in range(min(6, max(done, needed)))]


def query(filters: views.Filters, **changed: str) -> str:
    """Return the address's query for these filters with some changed; what is default is left out."""
    kept: Mapping[str, str] = {
        "due": filters.show if filters.show != "due" else "",
        "grade": filters.grade,
        "source": filters.source,
        "clock": filters.clock,
        "q": filters.q,
    }
    merged = {**kept, **changed}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in merged.items() if value and value != "due")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "moment": _moment,
        "clock_time": _clock_time,
        "ago": _ago,
        "date": _date,
        "since": _since,
        "clock": _clock,
        "duration": shown.duration,
        "gap": shown.gap,
        "money": shown.money,
        "count": shown.count,
        "initials": shown.initials,
        "grade_class": shown.grade_class,
        "city": shown.city,
        "clock_time_in": shown.clock_time,
        "entry_time": _entry_time,
        "window": phrases.window,
        "purpose": phrases.purpose,
        "source": words.source,
        "plain_date": _plain_date,
        "millis": millis,
        "country": words.country,
        "field": words.field,
    }
    made.globals |= {
        "icon": icon,
        "kbd": kbd,
        "dots": dots,
        "query": query,
        "asset": assets.url,
        "words": words,
        "scripts": SCRIPTS,
        "styles": STYLES,
        "follows": FOLLOWS,
    }
    return made
