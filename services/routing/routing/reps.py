"""Reps as the database has them, and whether they take leads at an instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from backbone import calendars, public_holidays
from backbone.calendars import Calendar
from handoff.events.v1 import common_pb2
from routing import policies
from routing.domain import Policy, Pool, Rep, Turn, WhyNot
from routing.index import Index, Opens


@dataclass(slots=True)
class Known:
    """A rep as the database has it."""

    document: Mapping[str, Any]
    version: int
    paused: bool
    calendar: Calendar
    time_off: Sequence[tuple[datetime, datetime]]
    performance: float = 1.0
    joined_at: datetime | None = None
    """When they were made a rep; None for those who were there before that was noted."""
    paused_by: frozenset[UUID] = frozenset()
    """The alerts of missed promises that paused them; none where a person did."""
    message: common_pb2.Rep | None = None
    """As events tell of the rep, once one was told."""


def hours_of(calendar_of: Mapping[str, Calendar]) -> Opens:
    """Return by when a pool has worked so many seconds: whenever anybody of it does."""

    def opens(pool: Pool, since: datetime, seconds: float) -> datetime | None:
        distinct = {calendar_of[rep_id] for rep_id in pool.members if rep_id in calendar_of}
        return calendars.add_any(distinct, since, seconds)

    return opens


def turns_of(row: Any) -> dict[str, Turn]:
    """Return a rep's turns as a row has them."""
    return {pool: Turn(*turn) for pool, turn in row["turns"].items()}


def known_of(row: Any, off: Sequence[tuple[datetime, datetime]], year: int) -> Known:
    """Return what does not change in a batch of a rep, of a row with their document, version and pause.

    `year`: around which their holidays are known.
    """
    document = row["document"]
    hours = tuple((tuple(one["days"]), one["start"], one["end"]) for one in document["working_hours"])
    closed = public_holidays.of(document["holidays"], year) if document.get("holidays") else frozenset()
    calendar = Calendar(zone=document["time_zone"], windows=_windows(hours), closed=closed, off=tuple(off))
    return Known(
        document=document,
        version=row["version"],
        paused=row["paused"],
        calendar=calendar,
        time_off=off,
        joined_at=row["joined_at"],
        performance=row["performance"],
    )


def rep_of(row: Any) -> Rep:
    """Return a rep of a row with their document, cap and counts."""
    document = row["document"]
    values: dict[str, Any] = {f"rep.{name}": document.get(name) or "" for name in policies.REP_TEXTS}
    values |= {f"rep.{name}": document.get(name) or [] for name in policies.REP_LISTS}
    values |= {
        "rep.rep_id": row["rep_id"],
        "rep.working_hours": document["working_hours"],
        "rep.cap": row["cap"],
        "rep.weight": float(document["weight"]),
        "rep.active": document["active"],
    }
    return Rep(
        rep_id=row["rep_id"],
        role=document["role"],
        cap=row["cap"],
        weight=float(document["weight"]),
        values=values,
        away=None,
        back_at=None,
        open=row["open"],
        untouched=row["untouched"],
        turns=turns_of(row),
        last_assigned_at=row["last_assigned_at"],
        performance=row["performance"],
    )


class Presence(NamedTuple):
    """Whether a rep takes leads."""

    away: WhyNot | None
    """Why nothing goes to them now; None while they are at work."""
    back_at: datetime | None
    share: float
    """Of the weight, while they are new."""
    until: datetime
    """Until when this holds."""


_windows: Final = lru_cache(maxsize=1024)(calendars.windows)
# Many reps keep the same hours, and are looked at in the same instant.
_open_until: Final = lru_cache(maxsize=1024)(calendars.open_until)
_next_opening: Final = lru_cache(maxsize=1024)(calendars.next_opening)


def availability(known: Known, now: datetime, policy: Policy | None) -> Presence:
    """Return whether a rep takes leads at an instant."""
    if not known.document["active"]:
        return Presence(WhyNot.INACTIVE, None, 1.0, FOR_EVER)
    if known.paused:
        return Presence(WhyNot.PAUSED, None, 1.0, FOR_EVER)
    share, grows_at = _share(known, now, policy)
    margin = timedelta(seconds=policy.margin_seconds if policy is not None else 0)
    closes = _open_until(known.calendar, now)
    if closes is not None and closes - margin > now:
        return Presence(None, None, share, min(closes - margin, grows_at))
    back = _next_opening(known.calendar, closes or now)
    leave = next((end for start, end in known.time_off if start <= now < end), None)
    changes = min((at for at in (back, leave) if at is not None), default=now + _LOOK_AGAIN)
    why = WhyNot.ON_LEAVE if leave is not None else WhyNot.OFF_HOURS
    return Presence(why, back, share, min(changes, grows_at))


def _share(known: Known, now: datetime, policy: Policy | None) -> tuple[float, datetime]:
    """Return a newcomer's share of the weight, by whole days since they joined, and when it grows."""
    if policy is None or not policy.ramp_days or known.joined_at is None:
        return 1.0, FOR_EVER
    days = max(0, (now - known.joined_at).days)
    if days >= policy.ramp_days:
        return 1.0, FOR_EVER
    share = policy.ramp_start + (1 - policy.ramp_start) * days / policy.ramp_days
    return share, known.joined_at + timedelta(days=days + 1)


FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_LOOK_AGAIN: Final = timedelta(days=1)


def count(index: Index, row: Any) -> None:
    """Take in a rep's counts as the log has them."""
    rep = index.reps.get(row["rep_id"])
    if rep is None:
        return
    rep.open, rep.untouched, rep.last_assigned_at = row["open"], row["untouched"], row["last_assigned_at"]
    rep.by_pool, rep.turns = dict(row["by_pool"]), turns_of(row)
    index.refresh(rep)
