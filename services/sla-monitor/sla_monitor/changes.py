"""What a transaction changes of clocks, and what it tells of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from backbone.database import Connection
from backbone.outbox import Event
from sla_monitor import (
    clocks,
    events,
    judging,
    standing,
    store_alerts,
    store_changes,
    store_clocks,
    store_links,
)
from sla_monitor.domain import Level, State, Terms
from sla_monitor.events import Named
from sla_monitor.judging import Said
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock


@dataclass(slots=True)
class Changes:
    """What a transaction changes of clocks, and what it tells of it."""

    now: datetime
    fresh: list[Clock] = field(default_factory=list)
    changed: dict[int, Clock] = field(default_factory=dict)
    """By identity: clocks that were there before."""
    moved: list[tuple[Clock, str, Terms]] = field(default_factory=list)
    """Those of them that a merge, or its undoing, let run from another arrival: (clock, calendar, terms before)."""
    doubted: set[UUID] = field(default_factory=set)
    """The leads of which alerts may be wrong, or right again."""
    because: dict[UUID, UUID | None] = field(default_factory=dict)
    """By alert: the touch that it was taken back for."""
    outgoing: list[Event] = field(default_factory=list)

    def start(self, clock: Clock, known: dict[UUID, list[Clock]]) -> None:
        """Let a clock begin."""
        clocks.tell_without_hours(clock)
        self.fresh.append(clock)
        known.setdefault(clock.lead_id, []).append(clock)

    def tell(self, row: Row, clock: Clock, said: Said) -> None:
        """Say what became of a clock."""
        self.changed[id(clock)] = clock
        if said.taken_back or said.restored:
            self.doubted.add(clock.lead_id)
        for level, step in said.taken_back:
            self.because[clocks.alert_id(clock, level, step)] = said.verdict.touch_id
        if clock.state is State.CANCELLED:
            self.outgoing.append(events.cancelled(row, clock, clock.reason, self.now))
        elif clock.met_at is not None:
            self.outgoing.append(events.met(row, clock, said.verdict.touch_id, self.now))
        else:
            self.outgoing.append(events.started(row, clock, self.now))

    def cancel(self, row: Row, clock: Clock, reason: str) -> None:
        """End a clock without a verdict, if it has not ended."""
        if judging.cancel(clock, reason):
            self.changed[id(clock)] = clock
            self.outgoing.append(events.cancelled(row, clock, reason, self.now))

    async def write(self, conn: Connection) -> None:
        """Write clocks and what is taken back of alerts."""
        await store_clocks.add(conn, self.fresh)
        for clock in self.fresh:
            self.changed.pop(id(clock), None)
        await store_clocks.change(conn, list(self.changed.values()))
        fresh = {id(clock) for clock in self.fresh}
        await store_changes.note_changes(conn, [one for one in self.moved if id(one[0]) not in fresh])

    async def settle(self, conn: Connection, rows: Mapping[UUID, Row], known: Mapping[UUID, Sequence[Clock]]) -> None:
        """Say of the alerts of clocks that were written which stand, and tell of those of which that is new."""
        doubted = {lead_id for lead_id in self.doubted if known.get(lead_id)}
        if not doubted:
            return
        some = await _of_one(conn, doubted, known)
        theirs = standing.stand(some, await store_links.ever(conn, {clock.lead_id for clock in some}))
        held = {
            alert: (clock, step)
            for clock in some
            if clock.lead_id in doubted
            for alert, step in standing.told(clock).items()
        }
        new = await store_alerts.settle(conn, theirs, self.now)
        for alert in theirs:
            if alert not in new or alert not in held:
                continue
            clock, step = held[alert]
            row, because, to = rows[clock.lead_id], self.because.get(alert), Named(step["to"], new[alert])
            if theirs[alert]:
                self.outgoing.append(events.restored(row, clock, alert, step["level"], to, self.now))
                continue
            escalated_to = None if step["level"] == Level.BREACH else to
            self.outgoing.append(events.retracted(row, clock, alert, because, self.now, to=escalated_to))


async def _of_one(conn: Connection, leads: Collection[UUID], known: Mapping[UUID, Sequence[Clock]]) -> Sequence[Clock]:
    """Return the clocks of leads, and of all that are one with any of them, or were."""
    found = {clock.key: clock for lead_id in leads for clock in known[lead_id]}
    asked, left = set(leads), set(leads)
    while left:
        others = [clock for some in (await store_clocks.of_others(conn, left)).values() for clock in some]
        left = {clock.lead_id for clock in others} - asked
        asked |= left
        found |= {clock.key: clock for clock in others if clock.key not in found}
    return list(found.values())
