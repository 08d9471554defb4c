"""Work that changes hands by one call: a leaver's, or a territory's. What finds no room stays, and waits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from backbone import conditions, subjects
from backbone.conditions import FLAG, Condition, Language
from backbone.database import Connection
from backbone.lead_values import LEAD
from backbone.outbox import Outbox
from backbone.problem import Pointer, Problem
from backbone.subjects import Subject
from routing import (
    assigning,
    checking,
    deciding,
    handing_along,
    parting,
    policies,
    store,
    store_accounts,
    store_queue,
    transaction,
)
from routing.domain import Outcome, WhyNot
from routing.handing_along import HandOver, Reach, Work
from routing.store import Row
from routing.store_group import Cache

KINDS: Final = ("assignments", "named_accounts", "opportunities")
PATIENCE_MS: Final = 60_000
_ANYTHING: Final = Language.of({**LEAD, **policies.ACCOUNT, **policies.REP, "lead.touched": FLAG})


def compile_condition(text: str) -> Condition:
    """Compile a condition over the lead, its account and the rep who has it. Problem 422 with its place."""
    try:
        return _ANYTHING.check(text)
    except conditions.Wrong as wrong:
        fault = Pointer("/when", f"{wrong.detail} (column {wrong.column})", line=wrong.line, column=wrong.column)
        raise Problem(422, "A wrong condition", "Mend the condition.", errors=[fault]) from None


async def check(conn: Connection, order: HandOver, cache: Cache) -> None:
    """Refuse an order that could not be carried out now. Problem 422."""
    condition = compile_condition(order.when) if order.when is not None else None
    _check(Work(order, await transaction.open_desk(conn, cache, []), condition))


async def make(conn: Connection, order: HandOver, outbox: Outbox, cache: Cache) -> dict[str, Any]:
    """Hand work over in the caller's transaction, and return what came of it."""
    condition = compile_condition(order.when) if order.when is not None else None
    # A territory may be tens of thousands of leads, which take longer to think over than a stopped process may idle.
    await conn.execute(f"SET LOCAL idle_in_transaction_session_timeout = {PATIENCE_MS}")
    reach = await _reach(conn, order, condition)
    locked = await subjects.lock(conn, reach.subjects())
    desk = await transaction.open_desk(conn, cache, {locked[lead_id].subject_id for lead_id in reach.leads})
    work = Work(order, desk, condition)
    _check(work)
    reach = await _as_it_is_now(conn, work, locked)
    await _look_up(conn, work, reach)
    work.before = {lead_id: desk.assignments[lead_id].rep_id for lead_id in reach.leads if _is_meant(work, lead_id)}
    deals = await handing_along.meant_deals(conn, work, reach)
    if "assignments" in order.what:
        await _assignments(conn, work)
    await handing_along.accounts(conn, work, reach.owned)
    if work.accounts:
        # Who waits for an owner waits for another one now.
        await store_queue.decide_anew(conn, everybody=True)
    handing_along.deals(work, deals)
    waiting = sum(lead_id in desk.waiting for lead_id in work.before)
    await transaction.finish(desk, conn, outbox, cache)
    return {
        "moved": {"assignments": len(work.moved), "named_accounts": work.accounts, "opportunities": work.deals},
        "stays": work.stays,
        "waiting": waiting,
        "over_cap": work.over_cap,
        "per_rep": dict(sorted(work.given.items())),
    }


async def _reach(conn: Connection, order: HandOver, condition: Condition | None) -> Reach:
    """Return what the order may be about."""
    by_leads = condition is not None and handing_along.speaks_of_leads(condition)
    leads = "assignments" in order.what or ("named_accounts" in order.what and by_leads)
    return Reach(
        leads=await _leads(conn, order) if leads else [],
        owned=await store_accounts.owned(conn, order.from_rep) if "named_accounts" in order.what else {},
        deals=await store_accounts.open_deals(conn, order.from_rep) if "opportunities" in order.what else [],
    )


async def _as_it_is_now(conn: Connection, work: Work, locked: Mapping[UUID, Subject]) -> Reach:
    """Return what the order is about as of now, under the survivors' names.

    It may have changed, and more may have come, while the locks were waited for. What came and is held by another
    transaction stays: to wait for it now could be to wait in a circle.
    """
    late = await _reach(conn, work.order, work.condition)
    free = await subjects.try_lock(conn, late.subjects() - locked.keys())
    ours = {one: one for one in free} | {one: subject.subject_id for one, subject in locked.items()}
    reach = late.of(ours)
    strangers = reach.concerned() - work.desk.rows.keys()
    if strangers:
        work.desk.rows |= await store.load(conn, strangers)
        work.desk.assignments |= await store.assignments(conn, strangers)
        work.desk.waiting |= await store_queue.of(conn, strangers)
    return reach


async def _look_up(conn: Connection, work: Work, reach: Reach) -> None:
    """Look up the companies of all leads that the order concerns, as far as the rules or its condition read them."""
    work.desk.to_route = dict.fromkeys(sorted(reach.concerned()))
    await work.desk.look_up_companies(conn, also=work.condition.reads if work.condition is not None else ())
    work.desk.to_route.clear()


async def _assignments(conn: Connection, work: Work) -> None:
    """Hand over the leads that are meant."""
    desk = work.desk
    for lead_id in work.before:
        _hand_over(work, desk.rows[lead_id])
    await deciding.settle(desk, conn)
    work.moved = {lead_id for lead_id, rep_id in work.before.items() if desk.assignments[lead_id].rep_id != rep_id}
    work.given.update(desk.assignments[lead_id].rep_id for lead_id in work.moved)


async def _leads(conn: Connection, order: HandOver) -> list[UUID]:
    rows = await conn.fetch(
        "SELECT lead_id FROM assignment WHERE $1::text IS NULL OR rep_id = $1 ORDER BY lead_id", order.from_rep
    )
    return [row[0] for row in rows]


def _check(work: Work) -> None:
    """Refuse a rep or a pool that there is not."""
    reps, order = work.desk.group.index.reps, work.order
    if order.from_rep is not None and order.from_rep not in reps:
        raise Problem(422, "No such rep", "GET /v1/reps lists them.", errors=[Pointer("/from", "no such rep")])
    if work.to_rep is not None and work.desk.group.policy is not None and order.to in work.desk.group.policy.pools:
        fault = Pointer("/to", "the name of a rep and of a pool")
        raise Problem(422, "Which of the two?", "Put a policy whose pool has another name.", errors=[fault])
    is_active = work.to_rep is not None and reps[work.to_rep].away is not WhyNot.INACTIVE
    if not (is_active or work.to_pool is not None or order.to == checking.BY_POLICY):
        fault = Pointer("/to", "neither an active rep, nor a pool of the policy, nor the word policy")
        raise Problem(422, "Nobody to hand over to", "Name an active rep, a pool, or policy.", errors=[fault])


def _is_meant(work: Work, lead_id: UUID) -> bool:
    """Say whether the lead is with the rep still, and what the condition says."""
    held = work.desk.assignments.get(lead_id)
    if held is None or held.rep_id == work.to_rep or work.desk.rows[lead_id].fields is None:
        return False
    if work.order.from_rep is not None and held.rep_id != work.order.from_rep:
        return False
    row = work.desk.rows[lead_id]
    return work.condition is None or (work.holds(row, held.rep_id) and not _is_right(work, row, held.rep_id))


def _is_right(work: Work, row: Row, rep_id: str) -> bool:
    """Say whether a lead of a territory is with one of those whom it is to go to.

    A condition that reads the rep says from whom leads are taken, whoever they might go to.
    """
    condition, is_named = work.condition, work.to_rep is not None or work.order.from_rep is not None
    if not work.moves_leads or is_named or condition is None or handing_along.speaks_of_reps(condition):
        return False
    desk, lead = work.desk, deciding.lead_of(work.desk, row)
    lead = replace(lead, only_pool=work.to_pool, by_rules_too=False)
    return assigning.suits(rep_id, lead, desk.group.index, desk.group.policy, desk.now)


def _hand_over(work: Work, row: Row) -> None:
    desk, order = work.desk, work.order
    if work.to_rep is not None:
        # A person names the rep, who may go over the cap for it, and it is recorded.
        desk.release(row, outcome="reassigned", why=desk.group.why(order.reason), by="manager")
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
    desk.look_for_another(row, parting.handed_over(order.reason))
    desk.only_pool[row.lead_id] = work.to_pool
