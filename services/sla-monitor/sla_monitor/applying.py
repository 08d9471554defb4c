"""The one way in which facts change clocks, whether topics brought them or people said them by HTTP."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from backbone import times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import intake_pb2
from sla_monitor import (
    clocks,
    events,
    judging,
    merging,
    promising,
    reports,
    sharing,
    starting,
    staying,
    store,
    store_changes,
    store_clocks,
    store_links,
    store_marks,
    store_reps,
)
from sla_monitor.changes import Changes
from sla_monitor.domain import ARRIVAL, Facts, Verdict
from sla_monitor.judging import Said
from sla_monitor.promising import Promised
from sla_monitor.starting import Assigned, Reps, Starting
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock
from sla_monitor.store_policies import Policies
from sla_monitor.taking_in import Batch


class Applying:
    """Writes facts, and what follows from them."""

    def __init__(self, outbox: Outbox, policies: Policies) -> None:
        self.outbox = outbox
        self.policies = policies

    async def apply(self, conn: Connection, batch: Batch, rows: dict[UUID, Row]) -> None:
        """Write what a batch says of leads whose subjects are locked, and tell what follows."""
        now = await times.now(conn)
        policies, named = await self.policies.in_force(conn, now)
        assigned = starting.pin(batch, rows, policies, now)
        reps = await _keep_facts(conn, batch, assigned)
        changes = Changes(now)
        live = [lead_id for lead_id, row in rows.items() if row.live]
        known = await store_clocks.clocks(conn, live) if live else {}
        for clock in await starting.arrivals(conn, rows.values(), policies, named, known):
            changes.start(clock, known)
        await store.save(conn, list(rows.values()))
        facts = await store_marks.facts(conn, (known.keys() | batch.news).intersection(live))
        if facts:
            over = partial(promising.over, conn, self.policies)
            facts = await staying.note(conn, facts, over)
            at_merge = await staying.at_merge(conn, [one for one in facts if rows[one].closed], over)
            by = await starting.prepare(conn, self.policies, named, facts, known, reps)
            merging.revive(batch, rows, known, changes)
            _start(facts, at_merge, known, by, rows, changes)
            others = await _go_on(conn, batch, facts, known, changes)
            changes.outgoing += [events.started(rows[clock.lead_id], clock, now) for clock in changes.fresh]
            merging.end(rows, known, facts, at_merge, by, changes)
            _judge(rows, known, facts, by, others, changes)
            await merging.end_untold(conn, rows, known, facts, changes)
            changes.doubted |= {*batch.unmerged, *(clock.lead_id for clock, _, _ in changes.moved)}
        await changes.write(conn)
        if batch.unmerged:
            await store_changes.look_again(conn, batch.unmerged)
        await changes.settle(conn, rows, known)
        for event in batch.erased:
            changes.outgoing += await _erase(conn, rows, event, now)
        await self.outbox.add(conn, changes.outgoing)


async def _keep_facts(conn: Connection, batch: Batch, assigned: Sequence[Assigned]) -> Reps:
    """Write what the batch says, and return the reps that it names as they are known now."""
    for message in batch.settings:
        await reports.count_in(conn, message.zone, message.week_starts)
    for message in batch.promises:
        await store_marks.note_promise(conn, message)
    reps: Reps = {}
    if batch.reps:
        reps = await store_reps.note_reps(conn, [seen for seen in batch.reps if seen.rep.rep_id])
    if batch.linked:
        await store_links.link(conn, batch.linked)
    if batch.unlinked:
        await store_links.unlink(conn, batch.unlinked)
    if batch.touches:
        await store.add_touches(conn, batch.touches)
    if batch.marks:
        await store_marks.add(conn, batch.marks)
    if batch.hosts or batch.reps:
        await store_marks.note_hosts(conn, batch.hosts, {rep.email.lower() for rep in reps.values()} - {""})
    if assigned:
        await store.add_assignments(conn, assigned)
    if batch.accepted:
        await store.note_accepted(conn, batch.accepted)
    if batch.released:
        await store.note_released(conn, batch.released)
    return reps


def _start(
    facts: Mapping[UUID, Facts],
    at_merge: Mapping[UUID, tuple[datetime, Facts]],
    known: dict[UUID, list[Clock]],
    by: Starting,
    rows: Mapping[UUID, Row],
    changes: Changes,
) -> None:
    for lead_id, said in facts.items():
        fresh = by.of_assignments(lead_id, said)
        promised = Promised()
        promising.of_rounds(by, lead_id, said, known.get(lead_id, ()), promised)
        its_own = merging.until_merged(said, at_merge[lead_id][1]) if lead_id in at_merge else said
        promising.of_marks(by, lead_id, its_own, known.get(lead_id, ()), promised)
        for clock in promised.covered:
            if (covered := judging.cover(clock)) is not None:
                changes.tell(rows[lead_id], clock, covered)
        for clock in promised.again:
            if judging.revive(clock, judging.COVERED):
                changes.tell(rows[lead_id], clock, Said(Verdict(), restored=clocks.told_rightly(clock)))
        for clock in (*fresh, *promised.fresh):
            changes.start(clock, known)


async def _go_on(
    conn: Connection,
    batch: Batch,
    facts: Mapping[UUID, Facts],
    known: Mapping[UUID, Sequence[Clock]],
    changes: Changes,
) -> Mapping[UUID, Sequence[Clock]]:
    """What a merge, or its undoing, moves to another lead takes along what was told of it.

    Returns the clocks of the others.
    """
    fresh = {id(clock) for clock in changes.fresh}
    concerned = {clock.lead_id for clock in changes.fresh if facts[clock.lead_id].is_survivor} | {*batch.unmerged}
    moved = {one.lead_id for some in known.values() for one in some if starting.is_moved(one, facts.get(one.lead_id))}
    others = await store_clocks.of_others(conn, concerned | moved) if concerned or moved else {}
    arrived = {lead_id: said.arrived_at for lead_id, said in facts.items()}
    unread = {other.lead_id for some in others.values() for other in some} - arrived.keys()
    arrived |= await store.arrivals(conn, {lead_id: [lead_id] for lead_id in unread}) if unread else {}
    for lead_id, some in others.items():
        for clock in known.get(lead_id, ()):
            takes = not clock.is_final and (id(clock) in fresh or lead_id in batch.unmerged)
            if takes and any(_goes_on(clock, other, arrived) for other in some):
                changes.changed[id(clock)] = clock
    return others


def _goes_on(clock: Clock, other: Clock, arrived: Mapping[UUID, datetime | None]) -> bool:
    """Let a clock go on from another's, unless that is of a lead which came at the same instant, told of its own."""
    is_its_own = clock.terms.source == ARRIVAL and arrived.get(other.lead_id) == clock.terms.started_at
    return not is_its_own and sharing.go_on_from(clock, other)


def _judge(
    rows: Mapping[UUID, Row],
    known: Mapping[UUID, Sequence[Clock]],
    facts: Mapping[UUID, Facts],
    by: Starting,
    others: Mapping[UUID, Sequence[Clock]],
    changes: Changes,
) -> None:
    for lead_id, of_lead in known.items():
        row, said_of = rows[lead_id], facts.get(lead_id, Facts())
        for clock in of_lead:
            if merging.is_over(row, clock):
                continue
            if row.closed:
                merging.let_go_on(clock, by, said_of, others.get(lead_id, ()))
            before = (clock.calendar, clock.terms)
            if (said := by.judge(clock, said_of, others.get(lead_id, ()))) is not None:
                changes.tell(row, clock, said)
                if clock.terms.source == ARRIVAL and clock.terms != before[1]:
                    changes.moved.append((clock, *before))


async def _erase(conn: Connection, rows: dict[UUID, Row], event: Incoming, now: datetime) -> list[Event]:
    message = event.message
    assert isinstance(message, intake_pb2.PersonalDataErased)
    gone = [UUID(lead_id) for lead_id in (message.stamp.lead_id, *message.merged_lead_ids)]
    changes = Changes(now)
    for of_lead in (await store_clocks.clocks(conn, gone)).values():
        for clock in of_lead:
            if clock.lead_id in rows:
                changes.cancel(rows[clock.lead_id], clock, judging.ERASED)
            elif judging.cancel(clock, judging.ERASED):
                changes.changed[id(clock)] = clock
    await store_clocks.change(conn, list(changes.changed.values()))
    await store.forget(conn, gone)
    return [*changes.outgoing, events.deleted(message.stamp, message.erasure_id, event.subject)]
