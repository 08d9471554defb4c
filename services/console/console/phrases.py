"""Sentences of the pages: why it is yours, why a list is empty, until when you are available; values in, text out."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from console import domain, shown, views, words

SHOWN_POINTS: Final = 4
"""Rules that the panel names; the rest is one line, so that the points still add up."""
_STRATEGIES: Final = {
    "least_loaded": "{who} had the fewest open leads",
    "weighted_round_robin": "It was {whose} turn",
}
_MINUTE_S: Final = 60


def window(seconds: float) -> str:
    """Say how long a promise is: 5 min, 1 day, 2 weeks."""
    for size, word in ((7 * shown.DAY_S, "week"), (shown.DAY_S, "day"), (3600, "hour"), (_MINUTE_S, "min")):
        if seconds >= size and round(seconds) % size == 0:
            number = round(seconds) // size
            return f"{number} {word}{'s' if number > 1 and word != 'min' else ''}"
    return shown.duration(seconds)


def availability(person: views.Person, now: datetime) -> str:
    """Say whether somebody gets new leads now, and until when."""
    value = person.availability
    if value is None:
        return words.ROLES[person.role]
    if value.available:
        return f"Available until {shown.clock_time(value.until, person.zone)}" if value.until else "Available"
    text = words.UNAVAILABLE.get(value.reason, "Not available")
    return f"{text} until {shown.moment(value.until, now, person.zone, 'm')}" if value.until else text


def missed_note(row: views.InboxRow, person: views.Person, now: datetime) -> str:
    """Say when the next window of a missed lead ends."""
    later = [one for one in row.clocks if one.state in ("running", "paused") and one.kind != domain.TOUCHES]
    if row.group != "missed" or not later:
        return ""
    next_one = min(later, key=lambda one: one.due_at)
    number, _, word = window(next_one.within_seconds).partition(" ")
    length = f"{number}-{'minute' if word == 'min' else word.rstrip('s')}" if word else number
    return f"{length} window ends {shown.moment(next_one.due_at, now, person.zone)}"


def row_note(row: views.InboxRow, person: views.Person, now: datetime) -> str:
    """Say what stands beside the title of the row's group when the row is its first."""
    return missed_note(row, person, now) if row.group == "missed" else domain.group_note(row.group, [row])[0]


def points(score: views.Score | None) -> tuple[list[tuple[views.Point, str]], int, float]:
    """Return the weightiest rules with a note each, and how many more there are with their sum."""
    if score is None:
        return [], 0, 0.0
    noted = [(point, _note(part, point)) for part in score.parts for point in part.points if point.counted]
    noted.sort(key=lambda one: -abs(one[0].counted))
    rest = noted[SHOWN_POINTS:]
    return noted[:SHOWN_POINTS], len(rest), sum(point.counted for point, _ in rest)


def _note(part: views.Part, point: views.Point) -> str:
    if part.cut and part.ceiling is not None:
        return f"ceiling {shown.count(part.ceiling)}"
    return part.part


def why_you(decision: views.Decision | None, person: views.Person) -> str:
    """Say why the lead came to its rep, in a sentence or two."""
    if decision is None:
        return "It was given by a person, or before decisions were kept."
    whom = "you" if decision.rep_id == person.rep_id else decision.rep_name or "nobody"
    if decision.outcome == "taken_over":
        return f"Taken over with its owner, {whom}, as it stood elsewhere."
    if decision.outcome == "waiting":
        return f"It waits: {words.ROUTING_REASONS.get(decision.reason_code, decision.reason_code)}."
    others = sum(not one.chosen for one in decision.considered)
    said = f"Rule “{decision.rule}” gave {f'pool {decision.pool}' if decision.pool else 'its owner'}."
    if decision.strategy in _STRATEGIES and others:
        have = "You" if whom == "you" else whom
        said += f" {_STRATEGIES[decision.strategy].format(who=have, whose='your' if whom == 'you' else whom + '’s')}"
        said += f" among {others + 1} reps."
    elif whom != "you":
        said += f" It went to {whom}."
    return f"{said} This went over the cap." if decision.over_cap else said


def decision(value: views.Decision | None, person: views.Person) -> str:
    """Say what was decided, with how long the lead waited for it."""
    said = why_you(value, person)
    if value is not None and value.waited_seconds:
        said += f" It had waited {shown.gap(value.waited_seconds)}."
    return said


def clock_said(clock: views.Clock, person: views.Person, now: datetime) -> str:
    """Say in the list of clocks when one is due, or how it ended."""
    shape = shown.look(clock, now)
    if shape in ("met", "late"):
        text = shown.clock_text(clock, now, person.zone)
        return f"met in {text}" if shape == "met" else text
    if shape == "none":
        return "ended"
    text = shown.moment(clock.due_at, now, person.zone)
    return f"missed, {text}" if shape == "missed" else text


def calendars(clocks: Iterable[views.Clock]) -> str:
    """Say which hours the clocks run on."""
    named = sorted({one.calendar for one in clocks if one.calendar and one.calendar != "wall"})
    hours = f"Working hours, {', '.join(named)}" if named else "By the wall clock"
    return f"{hours}. One logged touch stops the follow-up clocks."


def empty(page: views.InboxPage, person: views.Person) -> dict[str, str]:
    """Say why a list is empty, and what to do next."""
    why = page.empty.why if page.empty is not None else "no_clock"
    if why == "no_rep":
        text = "You have no leads of your own. Search all leads, or ask a manager to add you as a rep."
        return {"title": "You are not a rep", "text": text, "link": "/leads", "does": "Show all leads"}
    if why == "no_leads":
        text = "It comes when a qualified lead is routed to you. Nothing has to be done."
        return {"title": "Your first lead will appear here by itself", "text": text, "link": "", "does": ""}
    if why == "filtered" or page.filters.show != "due" or page.filters.q:
        text = f"{shown.count(page.counts.get('all', 0))} open leads are outside this filter."
        return {"title": "Nothing matches", "text": text, "link": "/inbox", "does": "Show what is due"}
    number = page.counts.get("all", 0)
    text = (
        f"{shown.count(number)} open lead{' is' if number == 1 else 's are all'} on time."
        if number
        else "Nothing is open."
    )
    if page.empty is not None and page.empty.next_due_at is not None:
        text += f" The next deadline is {shown.moment(page.empty.next_due_at, page.now, person.zone, 'm')}."
    return {"title": "No clock is running", "text": text, "link": "/inbox?due=all", "does": "Show all open"}


def steps(journey: Sequence[views.Entry]) -> list[tuple[views.Entry, datetime | None, float | None]]:
    """Return each line with the instant that its time may be shortened by, and the gap to the milestone before.

    Milestones are shown alone or among all lines; within the second of the milestone before is within it either way.
    """
    made: list[tuple[views.Entry, datetime | None, float | None]] = []
    last: datetime | None = None
    stone: datetime | None = None
    for entry in journey:
        gap = (entry.at - stone).total_seconds() if stone is not None else None
        made.append((entry, stone if entry.milestone else last, gap))
        last, stone = entry.at, entry.at if entry.milestone else stone
    return made


def purpose(code: str) -> str:
    """Return what a consent is for, in words."""
    return {"call": "calls", "calls": "calls", "phone": "calls", "email": "e-mail"}.get(code, code.replace("_", " "))


Grouped = list[dict[str, object]]


def grouped(page: views.InboxPage, person: views.Person) -> Grouped:
    """Return every group in its fixed order, the empty ones too: the browser fills them as leads come."""
    found = {group.key: group for group in page.groups}
    made: Grouped = []
    for key in views.GROUPS:
        group = found.get(key)
        rows: Sequence[views.InboxRow] = group.rows if group is not None else ()
        noted = [(row, row_note(row, person, page.now)) for row in rows]
        about = next((note for _, note in noted if note), "")
        made.append({"key": key, "rows": noted, "title": domain.title(key), "about": about})
    return made
