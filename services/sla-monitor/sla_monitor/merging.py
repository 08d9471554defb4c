"""What becomes of the clocks of leads that are another's by now: they end, kept, missed or handed on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone.database import Connection
from sla_monitor import judging, raising, store_links
from sla_monitor import known as when_known
from sla_monitor.changes import Changes
from sla_monitor.domain import FOR_EVER, OF_ASSIGNMENTS, Facts, State, Verdict
from sla_monitor.judging import Said
from sla_monitor.known import Decided
from sla_monitor.starting import Starting
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock
from sla_monitor.taking_in import Batch

_READ_LATE: Final = {
    (Decided.MET, State.CANCELLED),
    (Decided.MET, State.BREACHED),
    (Decided.MISSED, State.CANCELLED),
}
"""What became of a merged lead's clock, and what it ended as by what was read first."""
_NOT_MISSED: Final = (State.MET, State.CANCELLED)


def revive(batch: Batch, rows: Mapping[UUID, Row], known: Mapping[UUID, Sequence[Clock]], changes: Changes) -> None:
    """Whoever is a lead of its own again has its promises again."""
    for lead_id in batch.unmerged:
        for clock in known.get(lead_id, ()):
            if judging.revive(clock, judging.MERGED):
                changes.tell(rows[lead_id], clock, Said(Verdict()))


def until_merged(said: Facts, then: Facts) -> Facts:
    """Return what was known of a lead when it was merged, without what others brought that are with it no more."""
    left = {mark.mark_id for mark in said.marks}
    return replace(then, marks=[mark for mark in then.marks if mark.mark_id in left])


def is_over(row: Row, clock: Clock) -> bool:
    """Say whether a clock is a merged lead's own: the survivor's count from then on."""
    return row.closed and clock.terms.source not in OF_ASSIGNMENTS


def end(
    rows: Mapping[UUID, Row],
    known: Mapping[UUID, Sequence[Clock]],
    facts: Mapping[UUID, Facts],
    at_merge: Mapping[UUID, tuple[datetime, Facts]],
    by: Starting,
    changes: Changes,
) -> None:
    """End merged leads' own clocks: without a verdict where they ran, whether or not what was due before is told yet.

    Nobody is told of what was missed by then and not told: the survivor's clocks are, and this one if it is undone.
    That one was kept may come late, as of any.
    """
    survivors = [clock for lead_id, some in known.items() if at_merge and not rows[lead_id].closed for clock in some]
    for lead_id, (at, then) in at_merge.items():
        row, now = rows[lead_id], facts[lead_id]
        for clock in (one for one in known.get(lead_id, ()) if is_over(row, one)):
            decided = when_known.decide(clock.terms, then, clock.cycle, at)
            if decided is None or decided is Decided.RUNNING or when_known.goes_on(clock.terms, then, clock.cycle):
                if (said := judging.hand_on(clock, survivors)) is not None:
                    changes.tell(row, clock, said)
            elif decided is Decided.MISSED and when_known.decide(clock.terms, now, clock.cycle, at) is Decided.MET:
                _end_with(Decided.MET, row, clock, now, by, changes)
            else:
                _end_with(decided, row, clock, then, by, changes)


def _end_with(decided: Decided, row: Row, clock: Clock, facts: Facts, by: Starting, changes: Changes) -> None:
    is_read_late = (decided, clock.state) in _READ_LATE
    if is_read_late and judging.revive(clock, judging.MERGED):
        changes.tell(row, clock, Said(Verdict()))
    if clock.is_final:
        return
    if decided is Decided.MET and (said := by.judge(clock, facts)) is not None:
        changes.tell(row, clock, said)
    elif decided is Decided.MISSED and clock.state is State.RUNNING:
        clock.state, clock.breached_at = State.BREACHED, clock.terms.due_at
    changes.cancel(row, clock, judging.MERGED)


def let_go_on(clock: Clock, by: Starting, facts: Facts, others: Sequence[Clock]) -> None:
    """Let a merged lead's clock go on that ended untold, if facts that came late say that nothing was missed."""
    again = replace(clock)
    if (
        judging.revive(again, judging.MERGED)
        and by.judge(again, facts, others) is not None
        and again.state in _NOT_MISSED
    ):
        judging.revive(clock, judging.MERGED)


async def end_untold(
    conn: Connection,
    rows: Mapping[UUID, Row],
    known: Mapping[UUID, Sequence[Clock]],
    facts: Mapping[UUID, Facts],
    changes: Changes,
) -> None:
    """End what is left of a merged lead's assignments that are over, and what was due by then and is not told.

    Nobody fires that: it would be due for ever.
    """
    left = [
        clock
        for some in known.values()
        for clock in some
        if rows[clock.lead_id].closed and clock.next_at is not None and clock.terms.source in OF_ASSIGNMENTS
    ]
    merged_at = await store_links.merged_at(conn, {clock.lead_id for clock in left}, FOR_EVER) if left else {}
    for clock in left:
        assignment = facts.get(clock.lead_id, Facts()).assignments.get(clock.cycle)
        is_released = assignment is not None and assignment.released_at is not None
        until = changes.now if is_released else min(changes.now, merged_at.get(clock.lead_id, changes.now))
        is_missed = clock.terms.due_at < until  # What ends in the very instant of its deadline is void.
        if is_released or (is_missed and raising.due_at(clock) <= until):
            if clock.state is State.RUNNING and is_missed:
                clock.state, clock.breached_at = State.BREACHED, clock.terms.due_at
            changes.cancel(rows[clock.lead_id], clock, judging.MERGED)
