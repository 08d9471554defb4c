"""What marketing and sales ask about the definition: pure counting over rows."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from backbone.weeks import Zone

WEEKS_OF: Final = {"per_week": 1.0, "per_month": 52 / 12, "per_quarter": 13.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A lead that became an MQL, and what came of it."""

    at: datetime
    source: str
    campaign: str
    definition: str
    grade: str
    rep: str
    complete: bool
    handed_at: datetime | None
    rating: str | None
    reasons: Sequence[str]
    declined: bool
    disqualified: bool


COLUMNS: Final = {
    "groups": ("key", "passed", "rated", "poor", "share_poor", "declined", "disqualified", "reasons"),
    "weeks": ("week", "mqls", "promised", "complete_fields", "minutes_to_handoff_p50"),
}
"""Of feedback and supply as tables, by what their rows are."""


def feedback(leads: Iterable[Passed], *, by: str) -> list[dict[str, Any]]:
    """Group what reps said of the leads that were passed to them."""
    groups: dict[str, list[Passed]] = {}
    for lead in leads:
        groups.setdefault(getattr(lead, by), []).append(lead)
    return [_feedback(key, group) for key, group in sorted(groups.items())]


def _feedback(key: str, group: Sequence[Passed]) -> dict[str, Any]:
    rated = sum(lead.rating is not None for lead in group)
    poor = sum(lead.rating == "poor" for lead in group)
    return {
        "key": key,
        "passed": len(group),
        "rated": rated,
        "poor": poor,
        "share_poor": poor / rated if rated else None,
        "declined": sum(lead.declined for lead in group),
        "disqualified": sum(lead.disqualified for lead in group),
        "reasons": dict(Counter(reason for lead in group for reason in lead.reasons)),
    }


def supply(
    leads: Iterable[Passed], *, promise: Mapping[str, Any], start: datetime, end: datetime, zone: Zone
) -> list[dict[str, Any]]:
    """Say week by week how many MQLs came, how many were promised, and how fast they were handed over."""
    weeks: dict[date, list[Passed]] = {week: [] for week in zone.weeks(start, end)}
    for lead in leads:
        weeks[zone.week(zone.day(lead.at))].append(lead)
    promised = next((promise[key] / per for key, per in WEEKS_OF.items() if key in promise), None)
    return [_week(week, group, promised) for week, group in sorted(weeks.items())]


def _week(week: date, group: Sequence[Passed], promised: float | None) -> dict[str, Any]:
    minutes = [(lead.handed_at - lead.at).total_seconds() / 60 for lead in group if lead.handed_at is not None]
    return {
        "week": week.isoformat(),
        "mqls": len(group),
        "promised": promised,
        "complete_fields": sum(lead.complete for lead in group) / len(group) if group else None,
        "minutes_to_handoff_p50": statistics.median(minutes) if minutes else None,
    }
