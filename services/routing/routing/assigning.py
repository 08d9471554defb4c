"""The pure choice: the first rule that matches, the rep of its pool whose turn it is, and why nobody else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from routing.domain import (
    MOST_CONSIDERED,
    Considered,
    Decision,
    Lead,
    Outcome,
    Policy,
    Pool,
    Rep,
    Rule,
    Strategy,
    Why,
    WhyNot,
)


@dataclass(slots=True)
class Index:
    """Every rep of the group with their counts, as decisions go on."""

    reps: dict[str, Rep]

    def give(self, rep_id: str, pool: Pool | None, now: datetime, *, touched: bool) -> None:
        """Count an assignment."""
        rep = self.reps[rep_id]
        rep.open += 1
        rep.untouched += not touched
        rep.last_assigned_at = now
        if pool is not None:
            rep.by_pool[pool.pool] = rep.by_pool.get(pool.pool, 0) + 1
            if pool.strategy is Strategy.WEIGHTED_ROUND_ROBIN:
                rep.turns[pool.pool] = max(rep.turns.get(pool.pool, 0.0), _clock(self, pool)) + 1 / rep.weight

    def take(self, rep_id: str, pool: str, *, untouched: bool) -> None:
        """Count the end of an assignment."""
        rep = self.reps.get(rep_id)
        if rep is None:
            return
        rep.open = max(0, rep.open - 1)
        rep.untouched = max(0, rep.untouched - untouched)
        rep.by_pool[pool] = max(0, rep.by_pool.get(pool, 0) - 1)


def decide(lead: Lead, index: Index, policy: Policy | None, now: datetime) -> Decision:
    """Choose for one lead, and count it."""
    if policy is None:
        return _waits(Why.NO_RULE, "", "")
    for rule in policy.rules:
        if not rule.holds(lead.values):
            continue
        decision = _by_rule(lead, rule, index, policy, now)
        if decision is not None:
            return decision
    return _waits(Why.NO_RULE, "", "")


def _by_rule(lead: Lead, rule: Rule, index: Index, policy: Policy, now: datetime) -> Decision | None:
    """Return what the rule comes to, None when it falls through to the next."""
    if rule.to in ("owner", "account_rep", "previous"):
        return _named(lead, rule, index, now)
    if rule.to == "paired":
        partners = policy.pairs.get(lead.sdr_id or "", ())
        if partners:
            name = f"paired:{lead.sdr_id}"
            pair = Pool(pool=name, strategy=Strategy.WEIGHTED_ROUND_ROBIN, members=partners)
            decision = _from_pool(lead, rule, pair, index, now)
            if decision.outcome is Outcome.ASSIGNED or rule.otherwise is None:
                return decision
        return _from_pools(lead, rule, rule.otherwise, index, policy, now) if rule.otherwise else None
    return _from_pools(lead, rule, rule.to, index, policy, now)


def _named(lead: Lead, rule: Rule, index: Index, now: datetime) -> Decision | None:
    """Give the lead to one named rep, or fall through."""
    rep_id = lead.previous_rep if rule.to == "previous" else lead.owner_rep
    rep = index.reps.get(rep_id or "")
    if rep is None:
        return None
    if rule.to == "previous" and _is_long_ago(lead, rule, now):
        return None
    pool = Pool(pool=rule.to, strategy=Strategy.LEAST_LOADED, members=(rep.rep_id,))
    decision = _from_pool(lead, rule, pool, index, now)
    return decision if decision.outcome is Outcome.ASSIGNED or rule.wait else None


def _is_long_ago(lead: Lead, rule: Rule, now: datetime) -> bool:
    if rule.within_seconds is None or lead.previous_at is None:
        return False
    return now - lead.previous_at > timedelta(seconds=rule.within_seconds)


def _from_pools(lead: Lead, rule: Rule, first: str, index: Index, policy: Policy, now: datetime) -> Decision:
    """Try a pool, then its fallbacks: the rule's own after its time, the pool's at once."""
    pool = policy.pools[first]
    decision = _from_pool(lead, rule, pool, index, now)
    if decision.outcome is Outcome.ASSIGNED:
        return decision
    fallback_at: datetime | None = None
    since = lead.waiting_since or now
    if rule.fallback is not None:
        fallback_at = since + timedelta(seconds=rule.after_seconds)
        if fallback_at <= now and rule.fallback != first:
            other = _from_pool(lead, rule, policy.pools[rule.fallback], index, now)
            if other.outcome is Outcome.ASSIGNED:
                return other
            fallback_at = None
    seen = {first}
    while pool.fallback is not None and pool.fallback not in seen:
        seen.add(pool.fallback)
        pool = policy.pools[pool.fallback]
        other = _from_pool(lead, rule, pool, index, now)
        if other.outcome is Outcome.ASSIGNED:
            return other
    again = [at for at in (decision.retry_at, fallback_at) if at is not None and at > now]
    return Decision(
        outcome=decision.outcome,
        rule=decision.rule,
        pool=decision.pool,
        strategy=decision.strategy,
        rep_id=None,
        reason_code=decision.reason_code,
        considered=decision.considered,
        retry_at=min(again, default=None),
    )


def _from_pool(lead: Lead, rule: Rule, pool: Pool, index: Index, now: datetime) -> Decision:
    reasons: dict[str, WhyNot] = {}
    able: list[Rep] = []
    for rep_id in pool.members:
        rep = index.reps.get(rep_id)
        if rep is None:
            continue
        why_not = _why_not(lead, rule, pool, rep)
        if why_not is None:
            able.append(rep)
        else:
            reasons[rep_id] = why_not
    if not able:
        return _nobody(rule, pool, index, reasons, now)
    clock = _clock(index, pool)
    chosen = min(able, key=lambda rep: _turn(pool, rep, clock))
    other = WhyNot.MORE_LOAD if pool.strategy is Strategy.LEAST_LOADED else WhyNot.NOT_THEIR_TURN
    reasons |= {rep.rep_id: other for rep in able}
    reasons[chosen.rep_id] = WhyNot.CHOSEN
    index.give(chosen.rep_id, pool, now, touched=lead.touched)
    return Decision(
        outcome=Outcome.ASSIGNED,
        rule=rule.rule,
        pool=pool.pool,
        strategy=str(pool.strategy),
        rep_id=chosen.rep_id,
        reason_code="",
        considered=_considered(reasons, chosen.rep_id),
    )


def _why_not(lead: Lead, rule: Rule, pool: Pool, rep: Rep) -> WhyNot | None:
    """Return what keeps the lead from the rep, None when nothing does."""
    if rep.away is WhyNot.INACTIVE:
        return rep.away
    if rule.narrows is not None and not rule.narrows(rep.values):
        return WhyNot.NO_MATCH
    if rep.rep_id in lead.declined:
        return WhyNot.DECLINED_BEFORE
    if rep.away is not None:
        return rep.away
    if rep.open >= rep.cap or (pool.cap is not None and rep.by_pool.get(pool.pool, 0) >= pool.cap):
        return WhyNot.AT_CAP
    if pool.untouched_cap is not None and rep.untouched >= pool.untouched_cap and not lead.touched:
        return WhyNot.UNTOUCHED_CAP
    return None


def _turn(pool: Pool, rep: Rep, clock: float) -> tuple[float, float, str]:
    """Return what the smallest of wins: the turn or the load, then the longest wait; never age in the firm."""
    waited = rep.last_assigned_at.timestamp() if rep.last_assigned_at is not None else 0.0
    if pool.strategy is Strategy.LEAST_LOADED:
        return (rep.open / rep.cap if rep.cap else 1.0, waited, rep.rep_id)
    return (max(rep.turns.get(pool.pool, 0.0), clock) + 1 / rep.weight, waited, rep.rep_id)


def _clock(index: Index, pool: Pool) -> float:
    """Return the pool's virtual time: the earliest next turn of those at work, so that who was away gets no credit."""
    turns = [
        rep.turns.get(pool.pool, 0.0)
        for rep_id in pool.members
        if (rep := index.reps.get(rep_id)) is not None and rep.away is None and rep.open < rep.cap
    ]
    return min(turns, default=0.0)


def _nobody(rule: Rule, pool: Pool, index: Index, reasons: Mapping[str, WhyNot], now: datetime) -> Decision:
    said = set(reasons.values()) - {WhyNot.NO_MATCH, WhyNot.INACTIVE, WhyNot.DECLINED_BEFORE}
    if not said:
        why = Why.NO_MATCH
    elif said & {WhyNot.AT_CAP, WhyNot.UNTOUCHED_CAP}:
        why = Why.NO_CAPACITY
    elif said == {WhyNot.PAUSED}:
        why = Why.PAUSED
    else:
        why = Why.NOBODY_WORKING
    back = [
        index.reps[rep_id].back_at
        for rep_id, reason in reasons.items()
        if reason in (WhyNot.OFF_HOURS, WhyNot.ON_LEAVE)
    ]
    decision = _waits(why, rule.rule, pool.pool, considered=_considered(reasons, None))
    return Decision(
        outcome=decision.outcome,
        rule=decision.rule,
        pool=decision.pool,
        strategy=str(pool.strategy),
        rep_id=None,
        reason_code=decision.reason_code,
        considered=decision.considered,
        retry_at=min((at for at in back if at is not None and at > now), default=None),
    )


def _waits(why: Why, rule: str, pool: str, considered: Sequence[Considered] = ()) -> Decision:
    return Decision(
        outcome=Outcome.WAITING,
        rule=rule,
        pool=pool,
        strategy="",
        rep_id=None,
        reason_code=str(why),
        considered=considered,
    )


def _considered(reasons: Mapping[str, WhyNot], chosen: str | None) -> list[Considered]:
    ordered = sorted(reasons, key=lambda rep_id: (rep_id != chosen, rep_id))[:MOST_CONSIDERED]
    return [Considered(rep_id=rep_id, chosen=rep_id == chosen, reason=str(reasons[rep_id])) for rep_id in ordered]
