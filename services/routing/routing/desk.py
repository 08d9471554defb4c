"""What happens to leads under the group's lock, gathered until it is written at the end."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import calendars, ids
from backbone.database import Connection
from backbone.outbox import Event
from backbone.reasons import NO_REASON, Why
from routing import domain, events, inputs, parting, queueing, store, store_accounts
from routing.domain import Decision, Lead, Outcome, role_at
from routing.parting import Reasons
from routing.store import Assignment, Row
from routing.store_accounts import Colleague, Companies
from routing.store_group import Group
from routing.store_queue import Waiting

ROUTABLE: Final = frozenset({"mql", "srl", "sql"})


@dataclass(slots=True)
class Desk:
    """The group, the leads at hand, and what happens to them."""

    group: Group
    now: datetime
    rows: dict[UUID, Row]
    assignments: dict[UUID, Assignment]
    waiting: dict[UUID, Waiting]
    to_route: dict[UUID, None] = field(default_factory=dict)
    leaving: dict[UUID, Reasons] = field(default_factory=dict)
    """Leads whose reasons to change hands, once somebody else has room, are others now than the queue has."""
    only_pool: dict[UUID, str | None] = field(default_factory=dict)
    """Leads that go to a pool by a person's word, None: to no certain one any more."""
    companies: Companies = field(default_factory=Companies)
    forced: set[str] = field(default_factory=set)
    dirty: set[UUID] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)
    ended: set[UUID] = field(default_factory=set)
    now_waiting: dict[UUID, Waiting] = field(default_factory=dict)
    no_longer_waiting: set[UUID] = field(default_factory=set)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    past: list[dict[str, Any]] = field(default_factory=list)
    """Assignments that ended."""
    paused_by: dict[str, frozenset[UUID]] = field(default_factory=dict)
    """By rep, the alerts that keep them offline from now on; none of one who comes back."""
    outgoing: list[Event] = field(default_factory=list)
    nobody_waited: bool = False
    """When this transaction began, as far as it is known."""
    more_wait: bool = False
    """Leads wait that were not looked at in this transaction; the timer goes on with them."""

    def release(
        self,
        row: Row,
        *,
        outcome: str,
        by: str,
        why: Why = NO_REASON,
        until: datetime | None = None,
        without_outcome: bool = False,
        by_score: bool = False,
    ) -> Assignment | None:
        """End the lead's assignment, when it has one."""
        assignment = self.assignments.pop(row.lead_id, None)
        if assignment is None:
            return None
        self.group.index.take(assignment.rep_id, assignment.pool, untouched=assignment.is_untouched)
        rep = self.group.index.reps.get(assignment.rep_id)
        self.ended.add(row.lead_id)
        self.dirty.add(row.lead_id)
        self.changed.discard(row.lead_id)
        row.previous_rep, row.previous_at = assignment.rep_id, self.now
        if rep is not None:
            row.previous[rep.role] = [assignment.rep_id, self.now.isoformat()]
        self.companies.note(row.domain, row.company, row.lead_id, None)
        self.past.append(store.as_ended(assignment, outcome, why, self.now))
        self.outgoing.append(
            events.released(
                row,
                assignment,
                outcome=outcome,
                reason=why.code,
                by=by,
                at=self.now,
                until=until,
                open_now=rep.open if rep is not None else 0,
                without_outcome=without_outcome,
                by_score=by_score,
            )
        )
        return assignment

    def reasons(self, lead_id: UUID) -> Reasons:
        """Return why the lead is to leave the rep who has it."""
        waits = self.waiting.get(lead_id)
        return self.leaving.get(lead_id, waits.reasons if waits is not None else parting.NONE)

    def look_for_another(self, row: Row, why: str) -> None:
        """Look for another rep; until there is one the lead stays where it is: better late than with nobody."""
        self.leaving[row.lead_id] = parting.joined(self.reasons(row.lead_id), why)
        self.to_route[row.lead_id] = None

    def named_pool(self, lead_id: UUID) -> str | None:
        """Return which pool the lead goes to by a person's word."""
        waits = self.waiting.get(lead_id)
        return self.only_pool.get(lead_id, waits.only_pool if waits is not None else None)

    def stop_waiting(self, row: Row) -> None:
        """Take the lead out of the queue."""
        self.to_route.pop(row.lead_id, None)
        self.leaving.pop(row.lead_id, None)
        self.only_pool.pop(row.lead_id, None)
        waited = self.waiting.pop(row.lead_id, None)
        if self.now_waiting.pop(row.lead_id, None) is not None or waited is not None:
            self.no_longer_waiting.add(row.lead_id)

    def answered(self, row: Row, *, touched: bool = False) -> None:
        """Note that the rep took the lead on: nobody else is looked for on that account any more."""
        assignment, before = self.assignments.get(row.lead_id), self.reasons(row.lead_id)
        if assignment is not None and assignment.accept_by is not None:
            assignment.accept_by = None
            self.changed.add(row.lead_id)
        self.withdraw(row, *(before - parting.answered(before, touched=touched)))

    def withdraw(self, row: Row, *why: str) -> None:
        """Say that the lead leaves its rep for these reasons no more."""
        before = self.reasons(row.lead_id)
        if left := before.intersection(why):
            self.leaving[row.lead_id] = before - left
            self.to_route[row.lead_id] = None

    def force(
        self,
        row: Row,
        rep_id: str,
        *,
        outcome: Outcome,
        rule: str,
        starts_clocks: bool,
        of: Assignment | None = None,
        at: datetime | None = None,
    ) -> None:
        """Give a lead by a person's word; it may go over the cap, and is recorded then. `of` is what it goes on."""
        pool = of.pool if of is not None else ""
        reasons = self.reasons(row.lead_id)
        self.group.index.give(rep_id, None, self.now, touched=not starts_clocks, counted_in=pool)
        self.forced.add(rep_id)
        rep = self.group.index.reps[rep_id]
        decision = domain.by_name(rep_id, outcome=outcome, rule=rule, pool=pool, over_cap=rep.open > rep.cap)
        self.give(row, rep_id, decision, starts_clocks=starts_clocks, assigned_at=of.assigned_at if of else at)
        if of is not None:
            held = self.assignments[row.lead_id]
            for name in ("accepted_at", "accept_by", "status", "next_step", "next_at"):
                setattr(held, name, getattr(of, name))
        self.waits_for_sales(row, rep_id, reasons)

    def waits_for_sales(self, row: Row, rep_id: str, reasons: Reasons) -> None:
        """Let a lead that waited for sales do so still, with whoever got it by a person's word meanwhile."""
        if parting.CONVERTED in reasons and self.group.roles[rep_id] != role_at(row.stage):
            self.look_for_another(row, parting.CONVERTED)

    def give(
        self,
        row: Row,
        rep_id: str,
        decision: Decision,
        *,
        starts_clocks: bool,
        assigned_at: datetime | None = None,
        lead: Lead | None = None,
        ordinal: int = 0,
    ) -> None:
        """Record an assignment that the index has counted already; `lead` is what it was computed from."""
        decision_id = ids.new()
        row.cycle, row.in_work = row.cycle + 1, True
        assignment = Assignment(
            lead_id=row.lead_id,
            rep_id=rep_id,
            cycle=row.cycle,
            pool=decision.pool,
            decision_id=decision_id,
            assigned_at=assigned_at or self.now,
            touched=row.touched and not starts_clocks,
            starts_clocks=starts_clocks,
            over_cap=decision.over_cap,
        )
        rep = self.group.index.reps[rep_id]
        assignment.accept_by = self._accept_by(row, rep_id) if lead is not None else None
        self.assignments[row.lead_id] = assignment
        colleague = Colleague(assignment.assigned_at, row.lead_id, rep_id)
        self.companies.note(row.domain, row.company, row.lead_id, colleague)
        self.dirty.add(row.lead_id)
        self.changed.add(row.lead_id)
        self.ended.discard(row.lead_id)
        self.stop_waiting(row)
        self._note(row, decision, decision_id, row.cycle, lead, ordinal)
        self.outgoing.append(
            events.routed(
                row,
                assignment,
                decision,
                self.group.known[rep_id],
                policy_version=self._policy_version,
                open_now=rep.open,
                starts_clocks=starts_clocks,
                previous=row.previous_rep,
            )
        )

    def _accept_by(self, row: Row, rep_id: str) -> datetime | None:
        """Return until when the rep has to accept, counted in their own hours; a lead in work needs no answer."""
        policy = self.group.policy
        if policy is None or policy.accept_within_seconds is None or row.touched:
            return None
        return calendars.add(self.group.known[rep_id].calendar, self.now, policy.accept_within_seconds)

    def wait(self, row: Row, lead: Lead, decision: Decision, *, reasons: Reasons, ordinal: int) -> None:
        before = self.waiting.get(row.lead_id)
        known = before is not None and (before.reason_code, before.pool) == (decision.reason_code, decision.pool)
        wanted = queueing.wants(lead, decision.targets)
        waits = Waiting(
            lead_id=row.lead_id,
            pool=decision.pool,
            rule=decision.rule,
            reason_code=decision.reason_code,
            rank=lead.rank,
            created_at=lead.created_at,
            since=before.since if before is not None else self.now,
            decision_id=before.decision_id if before is not None and known else ids.new(),
            retry_at=decision.retry_at,
            key=ids.derived("queue", queueing.text(wanted)),
            targets=wanted,
            reasons=reasons,
            domain=row.domain,
            company=row.company,
            only_pool=lead.only_pool,
        )
        self.leaving.pop(row.lead_id, None)
        if waits == before:
            return
        self.now_waiting[row.lead_id] = waits
        self.waiting[row.lead_id] = waits
        if known:
            return
        self._note(row, decision, waits.decision_id, row.cycle + 1, lead, ordinal)
        self.outgoing.append(
            events.waits(
                row,
                decision,
                waits.decision_id,
                since=waits.since,
                policy_version=self._policy_version,
                at=self.now,
            )
        )

    def _note(
        self, row: Row, decision: Decision, decision_id: UUID, cycle: int, lead: Lead | None, ordinal: int
    ) -> None:
        self.decisions.append(
            store.as_decided(
                decision,
                decision_id=decision_id,
                lead_id=row.lead_id,
                at=self.now,
                sequence=self.group.sequence + 1,
                cycle=cycle,
                policy_version=self._policy_version,
                ordinal=ordinal,
                inputs=inputs.encode(lead) if lead is not None else None,
            )
        )

    async def look_up_companies(self, conn: Connection, *, also: Collection[str] = ()) -> None:
        """Look up, for the policy and what `also` is read, the companies of `to_route`; what changed stays known."""
        rows = [self.rows[lead_id] for lead_id in self.to_route]
        wanted = [(row.fields.account_domain, row.fields.company) for row in rows if row.fields is not None]
        if not wanted and not self.companies.changes:
            return
        self.companies = await store_accounts.companies(
            conn, wanted, {*self.group.reads, *also}, has_accounts=self.group.has_accounts, before=self.companies
        )

    @property
    def _policy_version(self) -> int:
        return self.group.policy.version if self.group.policy is not None else 0


def is_routable(row: Row) -> bool:
    """Say whether the lead is somebody's work: news or in work already, qualified, not merged away."""
    return (row.live or row.in_work) and row.stage in ROUTABLE and row.fields is not None and not row.closed
