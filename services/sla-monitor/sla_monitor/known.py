"""What the facts known at an instant said of clocks: a verdict as of then, whatever was learned since."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from backbone.database import Connection
from sla_monitor import keeping, store_links, store_marks, verdicts
from sla_monitor.domain import LAST_TOUCH, OF_ASSIGNMENTS, Facts, State, Terms
from sla_monitor.judging import COVERED, MERGED
from sla_monitor.keeping import After
from sla_monitor.starting import MARKED
from sla_monitor.store_clocks import Clock, Key

AT_ONCE: Final = 100
"""How many clocks are decided in one go: memory stays bounded, and alerts that fall due meanwhile wait milliseconds."""


class Decided(StrEnum):
    """What became of a promise."""

    MET = "met"
    MISSED = "missed"
    RUNNING = "running"


def decide(terms: Terms, about: Facts, cycle: int, as_of: datetime) -> Decided | None:
    """Return what had become of a clock by then; None of one that was over before anything was due."""
    said = verdicts.verdict(terms, about, cycle)
    if said.in_time(terms.due_at):
        return Decided.MET
    if said.is_void(terms.due_at):
        return None
    return Decided.MISSED if terms.due_at <= as_of else Decided.RUNNING


def decide_moving(terms: Terms, about: Facts, cycle: int, as_of: datetime, after: After) -> Decided | None:
    """Return the same of a clock that begins anew with each touch, missed once for all; None: it had not begun."""
    kept = keeping.kept(terms, about, cycle, after)
    if kept is None:
        return None
    if kept.broken or (not kept.is_over and kept.due_at <= as_of):
        return Decided.MISSED
    return Decided.MET if kept.is_over else Decided.RUNNING


def had_begun(clock: Clock, about: Facts) -> bool:
    """Say whether what began a clock was the lead's own by what was known then: a merge brings others' along."""
    if clock.terms.source in MARKED.values():
        return any(mark.at == clock.terms.started_at for mark in about.marks)
    return clock.terms.source not in OF_ASSIGNMENTS or clock.cycle in about.assignments


async def ended_otherwise(conn: Connection, clocks: Sequence[Clock], as_of: datetime) -> set[Key]:
    """Return the cancelled clocks that no fact ended, but an erasure, or a merge by then: of these is no verdict."""
    cancelled = [clock for clock in clocks if clock.state is State.CANCELLED]
    later = await store_links.later(conn, {clock.lead_id for clock in cancelled}, as_of)
    cancelled = [clock for clock in cancelled if clock.reason not in (MERGED, COVERED) or clock.lead_id not in later]
    if not cancelled:
        return set()
    by_now = await store_marks.facts(conn, {clock.lead_id for clock in cancelled})
    return {
        clock.key
        for clock in cancelled
        if clock.terms.source == LAST_TOUCH
        or not verdicts.verdict(clock.terms, by_now[clock.lead_id], clock.cycle).is_void(clock.terms.due_at)
    }
