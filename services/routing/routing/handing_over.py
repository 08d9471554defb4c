"""Work that changes hands by one call: a leaver's, or a territory's. What finds no room stays, and waits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final
from uuid import UUID

from backbone import conditions, subjects
from backbone.conditions import FLAG, LEAD, Condition, Language
from backbone.database import Connection
from backbone.outbox import Outbox
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2
from routing import assigning, deciding, events, parting, policies, store, store_accounts, store_queue, transaction
from routing.desk import Desk
from routing.domain import Outcome, WhyNot
from routing.store import Row
from routing.store_group import Cache

KINDS: Final = ("assignments", "named_accounts", "opportunities")
PATIENCE_MS: Final = 60_000
BY_POLICY: Final = "policy"
_ANYTHING: Final = Language.of({**LEAD, **policies.ACCOUNT, **policies.REP, "lead.touched": FLAG})


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOver:
    """What goes from whom to whom. `from_rep` or `when` says whose; `to` is a rep, a pool, or the policy."""

    from_rep: str | None
    when: str | None
    to: str
    what: Sequence[str]
    reason: str


@dataclass(slots=True)
class _Work:
    """A hand-over while it is made."""

    order: HandOver
    desk: Desk
    condition: Condition | None
    before: dict[UUID, str] = field(default_factory=dict)
    """Who had the leads that are meant."""
    given: Counter[str] = field(default_factory=Counter)
    over_cap: int = 0
    accounts: int = 0
    deals: int = 0

    @property
    def to_rep(self) -> str | None:
        return self.order.to if self.order.to in self.desk.group.index.reps else None

    @property
    def to_pool(self) -> str | None:
        policy = self.desk.group.policy
        known = policy is not None and self.order.to in policy.pools
        return self.order.to if known and self.to_rep is None else None


def compile_condition(text: str) -> Condition:
    """Compile a condition over the lead, its account and the rep who has it. Problem 422 with its place."""
    try:
        return _ANYTHING.compile(text)
    except conditions.Wrong as wrong:
        fault = Pointer("/when", f"{wrong.detail} (column {wrong.column})", line=wrong.line, column=wrong.column)
        raise Problem(422, "A wrong condition", "Mend the condition.", errors=[fault]) from None


async def make(conn: Connection, order: HandOver, outbox: Outbox, cache: Cache) -> dict[str, Any]:
    """Hand work over in the caller's transaction, and return what came of it."""
    condition = compile_condition(order.when) if order.when is not None else None
    # A territory may be tens of thousands of leads, which take longer to think over than a stopped process may idle.
    await conn.execute(f"SET LOCAL idle_in_transaction_session_timeout = {PATIENCE_MS}")
    lead_ids = await _leads(conn, order) if "assignments" in order.what else []
    owned = await store_accounts.owned(conn, order.from_rep) if "named_accounts" in order.what else {}
    is_of_rep = "opportunities" in order.what and order.from_rep is not None
    deals = await store_accounts.deals_of(conn, order.from_rep or "") if is_of_rep else []
    about_deals = {lead_id or opportunity_id for opportunity_id, lead_id in deals}
    locked = await subjects.lock(conn, {*lead_ids, *about_deals, *map(events.account_subject, owned)})
    survivors = {locked[lead_id].subject_id for lead_id in lead_ids}
    work = _Work(order, await transaction.open_desk(conn, cache, survivors), condition)
    _check(work)
    if "assignments" in order.what:
        survivors |= await _late(conn, work, survivors)
    moved = await _assignments(conn, work, survivors)
    if "opportunities" in order.what and order.when is not None:
        deals = await store_accounts.deals_of_leads(conn, moved)
    await _accounts(conn, work, owned, moved)
    if work.accounts:
        # Who waits for an owner waits for another one now.
        await store_queue.decide_anew(conn, everybody=True)
    followed = {one: locked[one].subject_id for _, one in deals if one is not None and one in locked}
    await _deals(conn, work, deals, {one: followed.get(one, one) for _, one in deals if one is not None})
    waiting = sum(lead_id in work.desk.now_waiting for lead_id in survivors)
    await transaction.finish(work.desk, conn, outbox, cache)
    return {
        "moved": {"assignments": len(moved), "named_accounts": work.accounts, "opportunities": work.deals},
        "waiting": waiting,
        "over_cap": work.over_cap,
        "per_rep": dict(sorted(work.given.items())),
    }


async def _assignments(conn: Connection, work: _Work, lead_ids: set[UUID]) -> set[UUID]:
    """Hand over who is meant of these leads, and return who is with somebody else now."""
    desk = work.desk
    desk.to_route = dict.fromkeys(sorted(lead_ids))
    await desk.look_up_companies(conn)
    wanted = [row for lead_id in desk.to_route if _is_meant(work, row := desk.rows[lead_id])]
    desk.to_route.clear()
    work.before = {row.lead_id: desk.assignments[row.lead_id].rep_id for row in wanted}
    for row in wanted:
        _hand_over(work, row)
    await deciding.settle(desk, conn)
    moved = {lead_id for lead_id, rep_id in work.before.items() if desk.assignments[lead_id].rep_id != rep_id}
    work.given.update(desk.assignments[lead_id].rep_id for lead_id in moved)
    return moved


async def _leads(conn: Connection, order: HandOver) -> list[UUID]:
    rows = await conn.fetch(
        "SELECT lead_id FROM assignment WHERE $1::text IS NULL OR rep_id = $1 ORDER BY lead_id", order.from_rep
    )
    return [row[0] for row in rows]


async def _late(conn: Connection, work: _Work, known: set[UUID]) -> set[UUID]:
    """Take in who was assigned while the locks were waited for; who is held by another transaction stays."""
    strangers = await subjects.try_lock(conn, set(await _leads(conn, work.order)) - known)
    if strangers:
        work.desk.rows |= await store.load(conn, strangers)
        work.desk.assignments |= await store.assignments(conn, strangers)
        work.desk.waiting |= await store_queue.of(conn, strangers)
    return strangers


def _check(work: _Work) -> None:
    """Refuse a rep or a pool that there is not."""
    reps, order = work.desk.group.index.reps, work.order
    if order.from_rep is not None and order.from_rep not in reps:
        raise Problem(422, "No such rep", "GET /v1/reps lists them.", errors=[Pointer("/from", "no such rep")])
    is_active = work.to_rep is not None and reps[work.to_rep].away is not WhyNot.INACTIVE
    if not (is_active or work.to_pool is not None or order.to == BY_POLICY):
        fault = Pointer("/to", "neither an active rep, nor a pool of the policy, nor the word policy")
        raise Problem(422, "Nobody to hand over to", "Name an active rep, a pool, or policy.", errors=[fault])


def _is_meant(work: _Work, row: Row) -> bool:
    """Say whether the lead is with the rep still, and what the condition says."""
    held = work.desk.assignments.get(row.lead_id)
    if held is None or row.fields is None or held.rep_id == work.to_rep:
        return False
    if work.order.from_rep is not None and held.rep_id != work.order.from_rep:
        return False
    if work.condition is None:
        return True
    rep = work.desk.group.index.reps.get(held.rep_id)
    values = {**deciding.lead_of(work.desk, row).values, "lead.touched": held.touched}
    return work.condition.holds({**values, **(rep.values if rep is not None else {})})


def _hand_over(work: _Work, row: Row) -> None:
    desk, order = work.desk, work.order
    if work.to_rep is not None:
        # A person names the rep, who may go over the cap for it, and it is recorded.
        desk.release(row, outcome="reassigned", reason=order.reason, by="manager")
        desk.force(
            row,
            work.to_rep,
            outcome=Outcome.ASSIGNED,
            rule=assigning.HANDED_OVER,
            starts_clocks=not row.touched,
        )
        rep = desk.group.index.reps[work.to_rep]
        work.over_cap += rep.open > rep.cap
        return
    row.declined = row.declined | {desk.assignments[row.lead_id].rep_id}
    desk.look_for_another(row, parting.handed_over(order.reason))
    desk.only_pool[row.lead_id] = work.to_pool


def _in_turn(work: _Work) -> Iterator[str]:
    """Yield who gets what is no assignment: the rep, or the pool's active reps in turn; nobody by the policy."""
    policy, reps = work.desk.group.policy, work.desk.group.index.reps
    if work.to_rep is not None:
        return cycle([work.to_rep])
    members = policy.pools[work.to_pool].members if policy is not None and work.to_pool is not None else ()
    able = [one for one in members if one in reps and reps[one].away is not WhyNot.INACTIVE]
    return cycle([one for one in able if one != work.order.from_rep])


async def _accounts(conn: Connection, work: _Work, owned: Mapping[str, Any], moved: set[UUID]) -> None:
    """Give named accounts to whoever got most of their leads, else in turn."""
    desk, others = work.desk, _in_turn(work)
    got: dict[str, Counter[str]] = {}
    for lead_id in moved:
        fields = desk.rows[lead_id].fields
        owner = owned.get(fields.account_domain, {}).get("rep_id") if fields is not None else None
        if fields is not None and owner == work.before[lead_id]:
            got.setdefault(fields.account_domain, Counter())[desk.assignments[lead_id].rep_id] += 1
    for domain, document in owned.items():
        if work.condition is not None and domain not in got and not _is_account_meant(work, domain, document):
            continue
        most = got.get(domain, Counter[str]()).most_common(1)
        to = work.to_rep or (most[0][0] if most else next(others, None))
        if to is None or to == document["rep_id"]:
            continue
        changed = {**document, "rep_id": to}
        await store_accounts.save_account(conn, domain, changed)
        desk.outgoing.append(events.account_changed(domain, changed, desk.now))
        work.accounts += 1


def _is_account_meant(work: _Work, domain: str, document: Mapping[str, Any]) -> bool:
    assert work.condition is not None
    if any(name.startswith("lead.") for name in work.condition.reads):
        return False  # It speaks of leads: an account goes with its leads, and not without.
    rep = work.desk.group.index.reps.get(document["rep_id"])
    account = {name: document.get(name.removeprefix("account.")) or "" for name in policies.ACCOUNT}
    values = {
        **conditions.lead_values(common_pb2.LeadFields()),
        **account,
        "account.domain": domain,
        "account.open_opportunities": 0,
    }
    values["lead.touched"] = False
    return work.condition.holds({**values, **(rep.values if rep is not None else {})})


async def _deals(
    conn: Connection, work: _Work, deals: Sequence[tuple[UUID, UUID | None]], survivors: Mapping[UUID, UUID]
) -> None:
    """Tell forecast who owns the rep's deals now: who got the lead, else in turn."""
    desk, others = work.desk, _in_turn(work)
    unknown = [lead_id for lead_id in survivors.values() if lead_id not in desk.assignments]
    held = {**desk.assignments, **(await store.assignments(conn, unknown) if unknown else {})}
    for opportunity_id, lead_id in deals:
        now_with = held.get(survivors[lead_id]) if lead_id is not None else None
        to = work.to_rep or (now_with.rep_id if now_with is not None else next(others, None))
        if to is None or to == work.order.from_rep:
            continue
        subject = survivors[lead_id] if lead_id is not None else opportunity_id
        desk.outgoing.append(
            events.deal_handed_over(
                subject,
                opportunity_id,
                lead_id=survivors[lead_id] if lead_id is not None else None,
                from_rep=work.order.from_rep or "",
                to_rep=to,
                reason=work.order.reason,
                at=desk.now,
            )
        )
        work.deals += 1
