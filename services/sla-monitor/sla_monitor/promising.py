"""Which clocks start one after the other: of what happened to the lead, and the rounds of an assignment.

All facts decide that anew: an end that comes late makes room for a promise after it, a start that comes late covers the
one that was taken for the first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor import agreement, clocks, rounds, verdicts
from sla_monitor.agreement import Policy, Spec
from sla_monitor.domain import Assignment, Facts, Mark, Marked
from sla_monitor.rounds import Round
from sla_monitor.starting import MARKED, NOBODY, Starting, begins, holder_of
from sla_monitor.store_clocks import Clock
from sla_monitor.store_policies import Policies

Start = TypeVar("Start", datetime, Round)
"""What tells one from the next."""


@dataclass(slots=True)
class Promised:
    """What becomes of a lead's clocks."""

    fresh: list[Clock] = field(default_factory=list)
    covered: list[Clock] = field(default_factory=list)
    """There, though an earlier promise of the name still ran, or what started it does not count."""
    again: list[Clock] = field(default_factory=list)
    """There, and rightly so."""

    def sort(self, there: Mapping[Start, Clock], wanted: Collection[Start]) -> list[Start]:
        """Note what becomes of the clocks that are there; returns when others are to start, in order."""
        self.covered += [one for at, one in there.items() if at not in wanted]
        self.again += [one for at, one in there.items() if at in wanted]
        return sorted(set(wanted) - there.keys())


def of_rounds(by: Starting, lead_id: UUID, facts: Facts, known: Sequence[Clock], found: Promised) -> None:
    """Say which rounds the lead's assignments have."""
    for assignment in facts.assignments.values():
        policy = by.policies.get(assignment.policy or "")
        for spec in policy.clocks if policy is not None else ():
            if policy is not None and spec.has_rounds:
                named = [one for one in known if (one.clock, one.cycle) == (spec.clock, assignment.cycle)]
                if rounds.are_told(spec, facts) or len(named) != rounds.UNTOLD[spec.source]:
                    there = {(one.terms.started_at, one.terms.within_seconds): one for one in named}
                    _of_line(by, lead_id, (policy, spec, assignment), facts, there, found)


def _of_line(
    by: Starting,
    lead_id: UUID,
    line: tuple[Policy, Spec, Assignment],
    facts: Facts,
    there: Mapping[Round, Clock],
    found: Promised,
) -> None:
    policy, spec, assignment = line
    began_at, rep = begins(spec, assignment, facts), by.reps.get(assignment.rep_id, NOBODY)
    plan = clocks.plan(policy, spec, rep, by.named)
    if plan is None or began_at is None:
        return
    first = clocks.start(lead_id, plan, cycle=assignment.cycle, started_at=began_at, rep=rep)
    begun = rounds.begun(spec, first.terms, assignment, facts)
    number = max((one.round for one in there.values()), default=-1)
    for at, seconds in found.sort(there, begun):
        clock = clocks.start(lead_id, plan.lasting(seconds), cycle=assignment.cycle, started_at=at, rep=rep)
        clock.round = number = number + 1
        found.fresh.append(clock)


def of_marks(by: Starting, lead_id: UUID, facts: Facts, known: Sequence[Clock], found: Promised) -> None:
    """Say which clocks start of what happened to the lead; a promise that still runs is not made twice."""
    marks = [mark for mark in facts.marks if mark.policy is not None]
    names = {spec.clock for mark in marks for spec in _specs(by.policies[mark.policy or ""], mark)}
    names |= {one.clock for one in known if one.terms.source in MARKED.values()}
    for name in sorted(names):
        there = {one.terms.started_at: one for one in known if one.clock == name}
        wanted = {one.terms.started_at: one for one in _promised(by, lead_id, name, marks, facts)}
        cycle = max((one.cycle for one in there.values()), default=0)
        for number, at in enumerate(found.sort(there, wanted), cycle + 1):
            wanted[at].cycle = number
            found.fresh.append(wanted[at])


def _promised(by: Starting, lead_id: UUID, name: str, marks: Sequence[Mark], facts: Facts) -> list[Clock]:
    """Return the clocks of a name that the facts so far make, one after the other."""
    made: list[Clock] = []
    for mark in marks:
        policy = by.policies[mark.policy or ""]
        for spec in _specs(policy, mark):
            if spec.clock != name or facts.stayed(mark, name):
                continue
            if any(verdicts.ran_at(one.terms, facts, one.cycle, mark.at) for one in made[-1:]):
                continue
            rep = by.reps.get(holder_of(mark, facts), NOBODY)
            plan = clocks.plan(policy, spec, rep, by.named)
            if plan is not None:
                made.append(clocks.start(lead_id, plan, cycle=0, started_at=mark.at, rep=rep))
    return made


def _specs(policy: Policy, mark: Mark) -> list[Spec]:
    return [spec for spec in policy.clocks if spec.source == MARKED[Marked(mark.kind)]]


async def over(conn: Connection, policies: Policies, facts: Facts) -> dict[UUID, set[str]]:
    """Return which clocks were kept or had ended by these facts, each for itself, by the marks that begin them."""
    found: dict[UUID, set[str]] = {}
    for mark in facts.marks:
        if mark.policy is None:
            continue
        policy, rep = await policies.of(conn, mark.policy), common_pb2.Rep(rep_id=holder_of(mark, facts))
        for spec in _specs(policy, mark):
            if verdicts.is_over(agreement.terms(policy, spec, rep, mark.at, mark.at), facts, 0):
                found.setdefault(mark.mark_id, set()).add(spec.clock)
    return found
