"""Which clocks start: by the policy that applied when the fact came that starts them, whatever is put later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import lead_values, times
from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor import agreement, clocks, domain, judging, rounds, store_reps
from sla_monitor.agreement import Policy, Spec
from sla_monitor.clocks import Plan
from sla_monitor.domain import FOR_EVER, Assignment, Facts, Mark, Marked
from sla_monitor.hours import REP, WALL, Calendars
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock
from sla_monitor.store_policies import Policies
from sla_monitor.taking_in import Batch, Beginning

ARRIVAL_CYCLE: Final = 0
MERGED: Final = "merged"
"""The rule by which routing gives the survivor whoever had the merged lead."""
NOBODY: Final = common_pb2.Rep()
Key = tuple[UUID, str, int]
Reps = dict[str, common_pb2.Rep]
MARKED: Final = {
    Marked.QUALIFIED: domain.QUALIFICATION,
    Marked.QUEUED: domain.QUEUED,
    Marked.MEETING_MISSED: domain.MEETING_MISSED,
}
"""Marks that start clocks of the lead's own."""


def applicable(
    policies: Sequence[Policy], lead: common_pb2.LeadFields, qualification: common_pb2.Qualification | None = None
) -> Policy | None:
    """Return the policy for a lead that is news: no clock of another starts."""
    if len(policies) == 1 and policies[0].for_all:
        return policies[0]
    return agreement.applicable(policies, lead_values.of(lead, qualification, live=True))


Assigned = tuple[UUID, Assignment, str, datetime]
"""(Lead, assignment, team, when we learned of it)."""


def pin(batch: Batch, rows: Mapping[UUID, Row], policies: Sequence[Policy], now: datetime) -> list[Assigned]:
    """Say of each fact that starts clocks by which policy they run; returns the assignments, with teams."""
    batch.marks = [
        (of, _pinned(mark, begin, policies) if (begin := batch.beginnings.get(mark.mark_id)) else mark, at)
        for of, mark, at in batch.marks
    ]
    given = []
    for lead_id, message in batch.routed:
        policy = None
        if rows[lead_id].live:
            policy = applicable(policies, message.lead, message.qualification) or agreement.NO_POLICY
        touched, assigned_at = not message.starts_clocks, times.at(message.assigned_at)
        # What is taken over was so before anybody said it here. That it is, nobody knew before it was.
        known_at = max(assigned_at, times.at(message.stamp.recorded_at))
        assignment = Assignment(
            cycle=message.cycle,
            rep_id=message.rep_id,
            assigned_at=assigned_at,
            policy=policy.reference if policy is not None else None,
            touched=touched,
            moved_at=known_at if message.rule == MERGED else None,
            begins_at=max(assigned_at, now) if touched else None,
        )
        given.append((lead_id, assignment, message.rep.team, known_at))
    return given


def _pinned(mark: Mark, begin: Beginning, policies: Sequence[Policy]) -> Mark:
    source = MARKED[Marked(mark.kind)]
    policy = applicable(policies, begin.lead, begin.qualification)
    if policy is None or all(spec.source != source for spec in policy.clocks):
        return mark
    return replace(mark, policy=policy.reference)


@dataclass(slots=True)
class Starting:
    """Starts the clocks of a batch's leads that are not there yet."""

    policies: Mapping[str, Policy]
    """By reference."""
    reps: Reps
    named: Calendars
    present: set[Key]

    def judge(self, clock: Clock, facts: Facts, others: Sequence[Clock] = ()) -> judging.Said | None:
        """Bring a clock to what the facts say; of `others` that are one lead with its own, it goes on where they were.

        Merges move the arrival of a lead, and their undoing moves it back: what runs from it moves along.
        """
        moves = clock.terms.source == domain.LAST_TOUCH
        at = facts.arrived_at if is_moved(clock, facts) else None
        by = self.plan_of(clock) if moves or at is not None else None
        if not moves:
            return judging.judge(clock, facts, judging.Elsewhere(at, by, others) if at and by else None)
        return judging.keep(clock, facts, by) if by is not None else None

    def of_arrival(self, lead_id: UUID, at: datetime, policy: Policy, *, is_owned: bool) -> list[Clock]:
        """Start the clocks of a lead that came; whoever brings it with an owner has responded to it already."""
        specs = [
            spec
            for spec in policy.clocks
            if spec.source == domain.ARRIVAL and not (is_owned and spec.kind in domain.FIRST_RESPONSE)
        ]
        return [one for spec in specs for one in self._start(lead_id, policy, spec, ARRIVAL_CYCLE, at, NOBODY)]

    def of_assignments(self, lead_id: UUID, facts: Facts) -> list[Clock]:
        """Start the clocks of each assignment that its facts so far start."""
        made: list[Clock] = []
        for cycle, assignment in facts.assignments.items():
            policy = self.policies.get(assignment.policy or "")
            for spec in policy.clocks if policy is not None else ():
                if spec.has_rounds or spec.source not in domain.OF_ASSIGNMENTS:
                    continue
                if (lead_id, spec.clock, cycle) not in self.present:
                    at = begins(spec, assignment, facts)
                    rep = self.reps.get(assignment.rep_id, NOBODY)
                    if at is not None and policy is not None:
                        made += self._start(lead_id, policy, spec, cycle, at, rep)
        return [clock for clock in made if self._has_begun(clock, facts)]

    def _has_begun(self, clock: Clock, facts: Facts) -> bool:
        """Bring a clock that moves to its last touch; what does not count has not started it."""
        by = self.plan_of(clock) if clock.terms.source == domain.LAST_TOUCH else None
        return by is None or clocks.settle(clock, facts, by)

    def plan_of(self, clock: Clock) -> Plan | None:
        """Return how a clock that is there goes on."""
        policy = self.policies.get(clock.policy)
        spec = policy.spec(clock.clock) if policy is not None else None
        if policy is None or spec is None:
            return None
        return clocks.plan(policy, spec, self.reps.get(clock.terms.rep_id, NOBODY), self.named)

    def _start(
        self, lead_id: UUID, policy: Policy, spec: Spec, cycle: int, at: datetime, rep: common_pb2.Rep
    ) -> list[Clock]:
        key = (lead_id, spec.clock, cycle)
        by = clocks.plan(policy, spec, rep, self.named) if key not in self.present else None
        if by is None:
            return []
        self.present.add(key)
        return [clocks.start(lead_id, by, cycle=cycle, started_at=at, rep=rep)]


async def arrivals(
    conn: Connection,
    rows: Iterable[Row],
    in_force: Sequence[Policy],
    named: Calendars,
    known: Mapping[UUID, Sequence[Clock]],
) -> list[Clock]:
    """Start the clocks of leads that came just now, or turned from history into news."""
    starting = Starting({}, {}, named, {(one.lead_id, one.clock, one.cycle) for some in known.values() for one in some})
    came = [
        (row, row.arrived_at, common_pb2.LeadFields.FromString(row.came))
        for row in rows
        if row.came is not None and row.arrived_at is not None
    ]
    owners = {lead.owner_id for _, _, lead in came} - {""}
    reps = await store_reps.reps_as_known(conn, owners) if owners else {}
    made: list[Clock] = []
    for row, at, lead in came:
        row.arrival = row.changed = True
        policy = applicable(in_force, lead)
        if policy is not None:
            is_owned = lead.owner_id in reps and reps[lead.owner_id].active
            made += starting.of_arrival(row.lead_id, at, policy, is_owned=is_owned)
    return made


def holder_at(facts: Facts, at: datetime) -> str:
    """Return who had the lead at an instant, by what is known; "" for nobody."""
    had = [
        one
        for one in facts.assignments.values()
        if one.assigned_at <= at and (one.released_at is None or one.released_at > at)
    ]
    return max(had, key=lambda one: one.cycle).rep_id if had else ""


def holder_of(mark: Mark, facts: Facts) -> str:
    """Return who had the lead that missed a meeting, which may be a merged one; "" for other marks, and nobody.

    Of a merged one that nobody had: who had the survivor.
    """
    if mark.kind != Marked.MEETING_MISSED:
        return ""
    brought = facts.brought.get(mark.mark_id)
    return (brought.holder if brought is not None else "") or holder_at(facts, mark.at)


def begins(spec: Spec, assignment: Assignment, facts: Facts) -> datetime | None:
    """Return when a clock of an assignment begins, None while nothing has started it."""
    if assignment.touched and spec.kind in domain.FIRST_RESPONSE:
        return None
    if assignment.moved and not facts.is_survivor:
        return None  # What was told of the merged lead's clocks is known with the link.
    if spec.source == domain.ACCEPTANCE:
        return assignment.accepted_at
    if spec.source == domain.LAST_TOUCH and spec.kind == domain.NEXT_STEP:
        return assignment.begins if facts.touches or facts.plans_ahead else None
    return assignment.begins


def is_moved(clock: Clock, facts: Facts | None) -> bool:
    """Say whether a clock of the lead's arrival runs from another than the facts give now."""
    arrived_at = facts.arrived_at if facts is not None else None
    return clock.terms.source == domain.ARRIVAL and arrived_at not in (None, clock.terms.started_at)


async def prepare(
    conn: Connection,
    policies: Policies,
    named: Calendars,
    facts: Mapping[UUID, Facts],
    known: Mapping[UUID, Sequence[Clock]],
    reps: Reps,
) -> Starting:
    """Load what clocks are started and moved with: the policies that facts and clocks name, and reps on own hours."""
    present = {(one.lead_id, one.clock, one.cycle) for some in known.values() for one in some}
    assigned = [
        (lead_id, one) for lead_id, said in facts.items() for one in said.assignments.values() if one.policy is not None
    ]
    moving = [
        one
        for lead_id, some in known.items()
        for one in some
        if one.terms.source == domain.LAST_TOUCH or one.round > 0 or is_moved(one, facts.get(lead_id))
    ]
    references = {one.policy or "" for _, one in assigned} | {one.policy for one in moving}
    references |= {mark.policy for said in facts.values() for mark in said.marks if mark.policy is not None}
    compiled = {reference: await policies.of(conn, reference) for reference in references}
    wanted = {one.rep_id for lead_id, one in assigned if _lacks(lead_id, one, compiled, present, facts[lead_id])}
    wanted |= {holder_of(mark, said) for said in facts.values() for mark in said.marks if mark.policy is not None}
    wanted |= {one.terms.rep_id for one in moving if one.hours != WALL or compiled[one.policy].quiet is not None}
    wanted.discard("")
    if wanted:
        follow = any(map(_follows_reps, compiled.values()))
        read = store_reps.reps if follow else store_reps.reps_as_known
        reps = {**reps, **await read(conn, wanted)}
    if wanted and any(spec.hours == REP for policy in compiled.values() for spec in policy.clocks):
        named = named.knowing(await store_reps.versions(conn, wanted, FOR_EVER))
    return Starting(compiled, reps, named, present)


def _follows_reps(policy: Policy) -> bool:
    """Say whether clocks run on reps' own hours, or are quiet in reps' zones."""
    is_quiet_there = policy.quiet is not None and not policy.quiet.zone
    return is_quiet_there or any(spec.hours == REP for spec in policy.clocks)


def _lacks(lead_id: UUID, one: Assignment, compiled: Mapping[str, Policy], present: set[Key], facts: Facts) -> bool:
    return any(
        spec.source in domain.OF_ASSIGNMENTS
        and (
            rounds.are_told(spec, facts)
            or (spec.source != domain.NEXT_AT and (lead_id, spec.clock, one.cycle) not in present)
        )
        and begins(spec, one, facts) is not None
        for spec in compiled[one.policy or ""].clocks
    )
