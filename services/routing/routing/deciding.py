"""Who is decided over, and when: arrivals and the queue in one ordering, as long as there is room."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import lead_values, subjects
from backbone.database import Connection
from backbone.reasons import Why
from routing import assigning, parting, queueing, store, store_queue
from routing import desk as desks
from routing.desk import Desk
from routing.domain import ACTIVE_REP, GRADES, WORST_RANK, Decision, Lead, Outcome, role_at, who_may_have
from routing.store import Row

DRAINED_AT_ONCE: Final = 500


async def settle(desk: Desk, conn: Connection) -> None:
    """Decide over arrivals and those who wait in one ordering: best, then oldest; nobody waits beside room.

    At most 500 leads of the queue in one transaction, as long as any of them was let in.
    """
    seen: set[UUID] = set()
    while True:
        page, is_full, is_due = await _next_of_queue(desk, conn, seen)
        desk.to_route |= dict.fromkeys(page)
        seen |= desk.to_route.keys()
        await desk.look_up_companies(conn)
        let_in = _decide_all(desk)
        # Who got a lead works its company from now on, which others of it may have waited for.
        is_full = await _decide_colleagues_anew(desk, conn) or bool(desk.to_route) or is_full
        if not is_full:
            return
        # Who was due waits for another instant by now; who waited for room may wait for other room by now.
        if len(seen) >= DRAINED_AT_ONCE and (let_in or is_due) and not desk.to_route:
            desk.more_wait = True
            return


async def _decide_colleagues_anew(desk: Desk, conn: Connection) -> bool:
    """Say of who waits that others work their company now, where the policy asks for that; says whether any may."""
    if ACTIVE_REP not in desk.group.reads:
        return False
    domains, names = desk.companies.take_changed()
    if not domains:
        return False
    for waits in desk.waiting.values():
        # What this transaction made wait, or looked at before, the database does not have as it is.
        if (waits.domain in domains or waits.company in names) and desks.is_routable(desk.rows[waits.lead_id]):
            desk.to_route[waits.lead_id] = None
    if desk.nobody_waited:
        return False
    return await store_queue.decide_company_anew(conn, domains, names)


async def _next_of_queue(desk: Desk, conn: Connection, seen: set[UUID]) -> tuple[list[UUID], bool, bool]:
    """Return who is next for the room there is, whether more may wait for it, and whether all of them were due."""
    if desk.nobody_waited:
        return [], False, False
    policy, index = desk.group.policy, desk.group.index
    queues = await store_queue.queues(conn)
    desk.nobody_waited = not queues
    if not queues:
        return [], False, False
    free = {
        key: room
        for key, wanted in queues.items()
        if policy is not None and (room := queueing.room(wanted, index, policy))
    }
    found = await store_queue.due(conn, desk.now, limit=DRAINED_AT_ONCE, but=seen)
    is_full = is_due = len(found) == DRAINED_AT_ONCE
    limit = min(DRAINED_AT_ONCE - len(found), sum(free.values()))
    if free and limit:
        others = await store_queue.next_for(conn, list(free), limit=limit, but=[*seen, *found])
        is_full = is_full or len(others) == limit
        found += others
    strangers = [lead_id for lead_id in found if lead_id not in desk.rows]
    # Who holds one of these leads waits for this group, and settles when its turn comes; if it does not, the timer.
    free_leads = await subjects.try_lock(conn, strangers) if strangers else set()
    desk.more_wait = desk.more_wait or len(free_leads) < len(strangers)
    seen |= set(found)
    if free_leads:
        desk.rows |= await store.load(conn, free_leads)
        desk.assignments |= await store.assignments(conn, free_leads)
        desk.waiting |= await store_queue.of(conn, free_leads)
    gone = desk.no_longer_waiting | desk.assignments.keys() - desk.waiting.keys()
    page = [one for one in found if one in desk.rows and one in desk.waiting and one not in gone]
    return page, is_full, is_due


def _decide_all(desk: Desk) -> bool:
    """Decide over every lead noted in `to_route`, best first, then oldest. Says whether any was let in."""
    rows = sorted((desk.rows[lead_id] for lead_id in desk.to_route), key=lambda row: order_of(desk, row))
    desk.to_route.clear()
    let_in = False
    for row in rows:
        # Only now: who was given a lead before is a colleague's rep for the next one.
        let_in = _decide(desk, row, lead_of(desk, row)) or let_in
    return let_in


def _decide(desk: Desk, row: Row, lead: Lead) -> bool:
    index = desk.group.index
    reasons, held = desk.reasons(row.lead_id), desk.assignments.get(row.lead_id)
    if held is not None and not reasons:
        desk.stop_waiting(row)
        return False
    if held is not None:
        index.take(held.rep_id, held.pool, untouched=held.is_untouched)
    ordinal = len(index.log)
    decision = assigning.decide(lead, index, desk.group.policy, desk.now)
    if decision.outcome is not Outcome.ASSIGNED or decision.rep_id is None:
        if held is not None:
            index.keep(held.rep_id, held.pool, untouched=held.is_untouched)
        kept = reasons if held is not None else parting.NONE
        desk.wait(row, lead, decision, reasons=kept, ordinal=ordinal)
        return False
    by_hand = decision.rule == assigning.HANDED_OVER
    if held is not None:
        index.keep(held.rep_id, held.pool, untouched=held.is_untouched)
        is_for_sales = not by_hand or desk.group.roles[decision.rep_id] == role_at(row.stage)
        end = parting.ending(reasons, is_for_sales=is_for_sales)
        why = desk.group.why(end.reason) if end.by == "manager" else Why(end.reason)
        desk.release(row, outcome=end.outcome, why=why, by=end.by)
        # Whoever waits for the room that this leaves was not looked at in this page.
        desk.more_wait = True
    desk.give(row, decision.rep_id, decision, starts_clocks=not lead.touched, lead=lead, ordinal=ordinal)
    if by_hand:
        desk.waits_for_sales(row, decision.rep_id, reasons)
    return True


def imagine(desk: Desk, row: Row) -> Decision:
    """Return what would be decided over a lead if it were to be routed now, and of everybody what is thought of them.

    The index counts it; whoever asks has to forget the index.
    """
    held = desk.assignments.get(row.lead_id)
    if held is not None:
        desk.group.index.take(held.rep_id, held.pool, untouched=held.is_untouched)
    return assigning.decide(lead_of(desk, row), desk.group.index, desk.group.policy, desk.now, most=None)


def why_not_routed(row: Row) -> str | None:
    """Return why a lead is nobody's work as it stands, None for one that is routed."""
    if desks.is_routable(row):
        return None
    if row.closed:
        return "It was merged into another lead."
    if row.stage not in desks.ROUTABLE:
        return "Only a qualified lead is routed."
    return "It is history, which is not routed until it does something."


def order_of(desk: Desk, row: Row) -> tuple[int, datetime, UUID]:
    """Return the one ordering of arrivals and of those who wait: best, then oldest."""
    grade = row.qualification.grade if row.qualification is not None else ""
    return (GRADES.get(grade, WORST_RANK), row.created_at or desk.now, row.lead_id)


def lead_of(desk: Desk, row: Row) -> Lead:
    """Return what a decision reads of a lead, whose company was looked up."""
    assert row.fields is not None
    role = role_at(row.stage)
    roles = desk.group.roles
    values = lead_values.of(row.fields, row.qualification, live=row.live)
    # What sales confirmed and gave back is sales' work still, under the rules of what is ready for sales.
    values["lead.stage"] = "srl" if row.stage == "sql" else row.stage
    values |= desk.companies.values(row.fields.account_domain, row.fields.company, roles, but=row.lead_id, role=role)
    rank, created_at, _ = order_of(desk, row)
    waits, only_pool = desk.waiting.get(row.lead_id), desk.named_pool(row.lead_id)
    held, reasons = desk.assignments.get(row.lead_id), desk.reasons(row.lead_id)
    # From whom a person takes it, that one does not get it; to whoever has it after that, it may come back.
    leaves = {held.rep_id} if held is not None and parting.is_handed_over(reasons) else frozenset[str]()
    previous_rep, previous_at = _previous(row, role, roles)
    return Lead(
        lead_id=row.lead_id,
        values=values,
        rank=rank,
        created_at=created_at,
        waiting_since=waits.since if waits is not None else None,
        owner_rep=who_may_have(values["account.rep_id"], roles, role=role),
        previous_rep=previous_rep,
        previous_at=previous_at,
        sdr_id=row.sdr_id,
        account_rep=who_may_have(values[ACTIVE_REP], roles, role=role),
        host_rep=who_may_have(desk.group.by_email.get(row.host_email or ""), roles, role=role),
        only_pool=only_pool,
        by_rules_too=only_pool is not None and parting.CONVERTED in reasons,
        declined=row.refused_by | leaves,
        touched=row.touched and parting.is_by_person(reasons),
    )


def _previous(row: Row, role: str, roles: Mapping[str, str]) -> tuple[str | None, datetime | None]:
    """Return the last rep of the role that the lead is for now, and until when they had it."""
    if role in row.previous:
        rep_id, at = row.previous[role]
        return rep_id, datetime.fromisoformat(at)
    same = row.previous_rep is not None and roles.get(row.previous_rep) == role
    return (row.previous_rep, row.previous_at) if same else (None, None)
