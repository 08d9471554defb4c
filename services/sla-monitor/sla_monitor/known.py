"""What the facts known at an instant said of clocks: a verdict as of then, whatever was learned since."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor import keeping, rounds, starting, staying, store_clocks, verdicts
from sla_monitor.agreement import Spec
from sla_monitor.domain import OF_ASSIGNMENTS, QUEUED, Facts, Marked, State, Terms
from sla_monitor.judging import ERASED
from sla_monitor.keeping import After
from sla_monitor.starting import MARKED
from sla_monitor.staying import Over
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


def decided_at(terms: Terms, about: Facts, cycle: int) -> datetime:
    """Return when a clock was met or fell due: whoever had the lead then stands for it."""
    met_at = verdicts.verdict(terms, about, cycle).met_at
    return min(met_at or terms.due_at, terms.due_at)


def decide_moving(terms: Terms, about: Facts, cycle: int, as_of: datetime, after: After) -> Decided | None:
    """Return the same of a clock that begins anew with each touch, missed once for all; None: it had not begun."""
    kept = keeping.kept(terms, about, cycle, after)
    if kept is None:
        return None
    if kept.broken or (not kept.is_over and kept.due_at <= as_of):
        return Decided.MISSED
    return Decided.MET if kept.is_over else Decided.RUNNING


def goes_on(terms: Terms, at_merge: Facts, cycle: int) -> bool:
    """Say whether a merged lead's promise goes on with the survivor: what was open; others have one of their own."""
    is_brought = terms.source in MARKED.values() and terms.source != QUEUED
    return is_brought and not verdicts.is_over(terms, at_merge, cycle)


async def begun(conn: Connection, clocks: Sequence[Clock], about: Mapping[UUID, Facts]) -> set[Key]:
    """Return the clocks that had begun by what was known then; the lead's own one after the other, as they did then."""
    found = {clock.key for clock in clocks if clock.terms.source not in MARKED.values() and _had_begun(clock, about)}
    marked = {clock.lead_id for clock in clocks if clock.terms.source in MARKED.values()}
    for of_lead in (await store_clocks.clocks(conn, marked)).values() if marked else ():
        made: dict[str, Clock] = {}
        for clock in sorted(of_lead, key=lambda one: one.terms.started_at):
            if clock.terms.source not in MARKED.values() or not _had_begun(clock, about):
                continue
            before = made.get(clock.clock)
            facts, at = about[clock.lead_id], clock.terms.started_at
            if before is None or not verdicts.ran_at(before.terms, facts, before.cycle, at):
                made[clock.clock] = clock
                found.add(clock.key)
    return found


def _had_begun(clock: Clock, about: Mapping[UUID, Facts]) -> bool:
    """Say whether what began a clock was the lead's own by what was known then: a merge brings others' along."""
    terms, facts = clock.terms, about[clock.lead_id]
    if terms.source in MARKED.values():
        marks = [mark for mark in facts.marks if MARKED.get(Marked(mark.kind)) == terms.source]
        return any(mark.at == terms.started_at and not facts.stayed(mark, clock.clock) for mark in marks)
    if terms.source not in OF_ASSIGNMENTS:
        return True
    assignment = facts.assignments.get(clock.cycle)
    if assignment is None:
        return False
    spec = Spec(
        clock=clock.clock,
        kind=terms.kind,
        within_seconds=terms.within_seconds,
        source=terms.source,
        hours=clock.hours,
    )
    if not spec.has_rounds:
        return True
    began_at = starting.begins(spec, assignment, facts)
    if began_at is None:
        return False
    first = replace(terms, started_at=began_at)
    return (terms.started_at, terms.within_seconds) in rounds.begun(spec, first, assignment, facts)


async def ended_by_merge(conn: Connection, clocks: Sequence[Clock], over: Over, as_of: datetime) -> set[Key]:
    """Return the clocks that ran when their lead was merged into another: from then on the survivor's count."""
    own = [clock for clock in clocks if clock.terms.source not in OF_ASSIGNMENTS]
    found: set[Key] = set()
    at_merge = await staying.at_merge(conn, {clock.lead_id for clock in own}, over, as_of)
    for clock in (one for one in own if one.lead_id in at_merge):
        at, facts = at_merge[clock.lead_id]
        is_open = decide(clock.terms, facts, clock.cycle, at) is Decided.RUNNING
        if is_open or goes_on(clock.terms, facts, clock.cycle):
            found.add(clock.key)
    return found


def erased(clocks: Sequence[Clock]) -> set[Key]:
    """Return the clocks that an erasure ended: of these is no verdict."""
    return {
        clock.key for clock in clocks if clock.state is State.CANCELLED and clock.is_final and clock.reason == ERASED
    }
