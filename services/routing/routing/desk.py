"""One transaction under the group's lock: give, take back, and let those who wait into the room that appears."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import conditions, ids, subjects
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from routing import assigning, events, store, store_group
from routing.domain import GRADES, WORST_RANK, Decision, Lead, Outcome, order
from routing.store import Assignment, Row, Waiting
from routing.store_group import Cache, Group

DRAINED_AT_ONCE: Final = 500
ROUTABLE: Final = frozenset({"mql", "srl"})


@dataclass(slots=True)
class Desk:
    """The group, the leads at hand, and what happens to them."""

    group: Group
    now: datetime
    rows: dict[UUID, Row]
    assignments: dict[UUID, Assignment]
    waiting: dict[UUID, Waiting]
    to_route: dict[UUID, None] = field(default_factory=dict)
    forced: set[str] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)
    ended: set[UUID] = field(default_factory=set)
    now_waiting: dict[UUID, Waiting] = field(default_factory=dict)
    no_longer_waiting: set[UUID] = field(default_factory=set)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    outgoing: list[Event] = field(default_factory=list)
    room_appeared: bool = False

    def release(
        self,
        row: Row,
        *,
        outcome: str,
        reason: str = "",
        by: str,
        until: datetime | None = None,
        without_outcome: bool = False,
    ) -> Assignment | None:
        """End the lead's assignment, when it has one."""
        assignment = self.assignments.pop(row.lead_id, None)
        if assignment is None:
            return None
        self.group.index.take(assignment.rep_id, assignment.pool, untouched=not assignment.touched)
        self.ended.add(row.lead_id)
        self.changed.discard(row.lead_id)
        self.room_appeared = True
        row.previous_rep, row.previous_at = assignment.rep_id, self.now
        rep = self.group.index.reps.get(assignment.rep_id)
        self.outgoing.append(
            events.released(
                row,
                assignment,
                outcome=outcome,
                reason=reason,
                by=by,
                at=self.now,
                until=until,
                open_now=rep.open if rep is not None else 0,
                without_outcome=without_outcome,
            )
        )
        return assignment

    def stop_waiting(self, row: Row) -> None:
        """Take the lead out of the queue."""
        if self.now_waiting.pop(row.lead_id, None) is not None or row.lead_id in self.waiting:
            self.no_longer_waiting.add(row.lead_id)

    def give(
        self, row: Row, rep_id: str, decision: Decision, *, starts_clocks: bool, assigned_at: datetime | None = None
    ) -> None:
        """Record an assignment that the index has counted already."""
        decision_id = ids.new()
        row.cycle += 1
        assignment = Assignment(
            lead_id=row.lead_id,
            rep_id=rep_id,
            cycle=row.cycle,
            pool=decision.pool,
            decision_id=decision_id,
            assigned_at=assigned_at or self.now,
            touched=row.touched,
        )
        rep = self.group.index.reps[rep_id]
        previous = row.previous_rep
        self.assignments[row.lead_id] = assignment
        self.changed.add(row.lead_id)
        self.ended.discard(row.lead_id)
        self.stop_waiting(row)
        self._note(row, decision, decision_id, row.cycle)
        self.outgoing.append(
            events.routed(
                row,
                assignment,
                decision,
                self.group.known[rep_id],
                policy_version=self._policy_version,
                open_now=rep.open,
                over_cap=rep.open > rep.cap,
                starts_clocks=starts_clocks,
                previous=previous,
            )
        )

    def force(
        self, row: Row, rep_id: str, *, outcome: Outcome, rule: str, starts_clocks: bool, at: datetime | None = None
    ) -> None:
        """Give a lead by a person's word; it may go over the cap, and is recorded then."""
        self.group.index.give(rep_id, None, self.now, touched=row.touched)
        self.forced.add(rep_id)
        decision = Decision(
            outcome=outcome, rule=rule, pool="", strategy="", rep_id=rep_id, reason_code="", considered=()
        )
        self.give(row, rep_id, decision, starts_clocks=starts_clocks, assigned_at=at)

    def route(self) -> None:
        """Decide over every lead noted in `to_route`, best first, then oldest."""
        leads = sorted((self._lead(self.rows[lead_id]) for lead_id in self.to_route), key=order)
        self.to_route.clear()
        for lead in leads:
            row = self.rows[lead.lead_id]
            decision = assigning.decide(lead, self.group.index, self.group.policy, self.now)
            if decision.outcome is Outcome.ASSIGNED and decision.rep_id is not None:
                self.give(row, decision.rep_id, decision, starts_clocks=True)
            else:
                self._wait(row, lead, decision)

    def _wait(self, row: Row, lead: Lead, decision: Decision) -> None:
        before = self.waiting.get(row.lead_id)
        known = before is not None and (before.reason_code, before.pool) == (decision.reason_code, decision.pool)
        decision_id = before.decision_id if before is not None and known else ids.new()
        since = before.since if before is not None else self.now
        self.no_longer_waiting.discard(row.lead_id)
        self.now_waiting[row.lead_id] = Waiting(
            lead_id=row.lead_id,
            pool=decision.pool,
            rule=decision.rule,
            reason_code=decision.reason_code,
            rank=lead.rank,
            created_at=lead.created_at,
            since=since,
            decision_id=decision_id,
            retry_at=decision.retry_at,
        )
        if known:
            return
        self._note(row, decision, decision_id, row.cycle + 1)
        self.outgoing.append(
            events.waits(row, decision, decision_id, since=since, policy_version=self._policy_version, at=self.now)
        )

    def _note(self, row: Row, decision: Decision, decision_id: UUID, cycle: int) -> None:
        considered = [{"rep_id": one.rep_id, "chosen": one.chosen, "reason": one.reason} for one in decision.considered]
        self.decisions.append(
            {
                "decision_id": decision_id,
                "lead_id": row.lead_id,
                "at": self.now,
                "sequence": self.group.sequence + 1,
                "cycle": cycle,
                "outcome": str(decision.outcome),
                "reason_code": decision.reason_code,
                "rule": decision.rule,
                "pool": decision.pool,
                "strategy": decision.strategy,
                "rep_id": decision.rep_id,
                "policy_version": self._policy_version,
                "considered": {"reps": considered},
            }
        )

    @property
    def _policy_version(self) -> int:
        return self.group.policy.version if self.group.policy is not None else 0

    def lead_of(self, row: Row) -> Lead:
        """Return what a decision reads of a lead."""
        return self._lead(row)

    def _lead(self, row: Row) -> Lead:
        assert row.fields is not None
        values = conditions.lead_values(row.fields, row.qualification)
        values["lead.stage"] = row.stage
        account = self.group.accounts.get(row.fields.account_domain, {})
        owner = account.get("rep_id") or ""
        values |= {
            "account.status": account.get("status", ""),
            "account.rep_id": owner,
            "account.active_rep": "",
            "account.segment": account.get("segment") or "",
        }
        grade = row.qualification.grade if row.qualification is not None else ""
        waits = self.waiting.get(row.lead_id)
        return Lead(
            lead_id=row.lead_id,
            values=values,
            rank=GRADES.get(grade, WORST_RANK),
            created_at=row.created_at or self.now,
            waiting_since=waits.since if waits is not None else None,
            owner_rep=owner or None,
            previous_rep=row.previous_rep,
            previous_at=row.previous_at,
            sdr_id=row.sdr_id,
            declined=row.declined,
            touched=row.touched,
        )

    async def drain(self, conn: Connection) -> None:
        """Let those who wait into the room there is: best first, then oldest; nobody waits beside a free place."""
        pools = [pool.pool for pool in self._pools_with_room()]
        found = await store.next_waiting(conn, pools, limit=DRAINED_AT_ONCE, but=self.rows)
        if not found:
            return
        # Who holds one of these leads waits for this group, and drains when its turn comes.
        free = await subjects.try_lock(conn, found)
        self.rows |= await store.load(conn, free)
        self.waiting |= await store.waiting(conn, free)
        self.to_route |= dict.fromkeys(lead_id for lead_id in found if lead_id in free)
        self.route()

    def _pools_with_room(self) -> list[Any]:
        policy, reps = self.group.policy, self.group.index.reps
        if policy is None:
            return []
        named = ["owner", "previous", "account_rep", *(f"paired:{sdr}" for sdr in policy.pairs)]
        fakes = [replace(next(iter(policy.pools.values())), pool=name) for name in named] if policy.pools else []
        return fakes + [
            pool
            for pool in policy.pools.values()
            if any(
                reps[rep_id].away is None and reps[rep_id].open < reps[rep_id].cap
                for rep_id in pool.members
                if rep_id in reps
            )
        ]

    async def finish(self, conn: Connection, outbox: Outbox, cache: Cache) -> None:
        """Write everything under the lock and announce it."""
        if self.rows:
            await store.save(conn, list(self.rows.values()))
        await store_group.save_reps(conn, self.group, forced=frozenset(self.forced))
        if self.ended:
            await store.delete_assignments(conn, self.ended)
        if self.changed:
            await store.save_assignments(conn, [self.assignments[lead_id] for lead_id in self.changed])
        if self.no_longer_waiting:
            await store.delete_waiting(conn, self.no_longer_waiting)
        if self.now_waiting:
            await store.save_waiting(conn, list(self.now_waiting.values()))
        if self.decisions:
            await store.add_decisions(conn, self.decisions)
        await outbox.add(conn, self.outgoing)
        cache.keep(self.group)


async def open_desk(conn: Connection, cache: Cache, lead_ids: Iterable[UUID]) -> Desk:
    """Lock the group and load leads whose subjects are locked already."""
    wanted = list(lead_ids)
    group, now = await cache.lock(conn)
    return Desk(
        group=group,
        now=now,
        rows=await store.load(conn, wanted),
        assignments=await store.assignments(conn, wanted),
        waiting=await store.waiting(conn, wanted),
    )


def is_routable(row: Row) -> bool:
    """Say whether the lead is somebody's work: news, qualified, not merged away."""
    return row.live and row.stage in ROUTABLE and row.fields is not None and not row.closed
