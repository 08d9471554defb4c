"""The pure choice: the first rule that matches, the rep of its pool whose turn it is, and why nobody else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from routing.domain import (
    MOST_CONSIDERED,
    NAMED,
    Considered,
    Decision,
    Lead,
    Outcome,
    Policy,
    Pool,
    Rule,
    Strategy,
    Why,
    WhyNot,
)
from routing.index import Index
from routing.narrowing import Narrowing, Target

HANDED_OVER: Final = "handed over"
"""The rule of a decision in which a person named the pool."""
PAIRED: Final = "paired"
PAIR: Final = f"{PAIRED}:"
"""Before an SDR's name: the pool of their partners in sales."""
NEVER: Final = datetime.max.replace(tzinfo=UTC)


class _Try(NamedTuple):
    """A pool that a rule leads to; `later` is when it may be tried: None at once, NEVER not before reps change."""

    pool: Pool
    target: Target
    narrows: Narrowing | None
    later: datetime | None = None


def decide(
    lead: Lead, index: Index, policy: Policy | None, now: datetime, *, most: int | None = MOST_CONSIDERED
) -> Decision:
    """Choose for one lead, and count it; `most` bounds of how many reps it says what was thought, None: of all."""
    reasons: dict[str, WhyNot] = {}
    targets: list[Target] = []
    again: list[datetime] = []
    for rule in _rules(lead, policy):
        if not rule.holds(lead.values):
            continue
        waits: Decision | None = None
        left: set[WhyNot] = set()
        for one in _tries(lead, rule, index, policy, now):  # type: ignore[arg-type]  # there is one where there are rules
            if one.later is not None and one.later > now:
                again += [one.later] if one.later < NEVER else []
                continue
            standing = index.standing(one.pool, one.narrows, touched=lead.touched)
            chosen = standing.first(lead.declined)
            thoughts = standing.thoughts(lead.declined, most)
            if chosen is not None:
                index.give(chosen, one.pool, now, touched=lead.touched, narrows=one.narrows)
                # Why not another of these, who may not have been asked the same before: by another pool, or rule.
                reasons |= thoughts | {chosen: WhyNot.CHOSEN}
                return _assigned(rule, one.pool, chosen, _considered(reasons, chosen, most))
            reasons = thoughts | reasons
            targets.append(one.target)
            if (back := standing.back_at(now)) is not None:
                again.append(back)
            others = standing.reasons(lead.declined)
            left |= others
            why = _why(others, is_refused=bool(lead.declined))
            waits = waits or replace(_waits(why, rule.rule, one.pool.pool), strategy=str(one.pool.strategy))
        if waits is not None and not rule.is_passed_by(left):
            return replace(
                waits,
                considered=_considered(reasons, None, most),
                retry_at=min(again, default=None),
                targets=tuple(dict.fromkeys(targets)),
            )
    # A named rep without room was passed by, and no rule after: room there would still let the lead in.
    return replace(_waits(Why.NO_RULE, "", ""), retry_at=min(again, default=None), targets=tuple(targets))


def suits(rep_id: str, lead: Lead, index: Index, policy: Policy | None, now: datetime) -> bool:
    """Say whether the rep is one of those whom the policy names for a lead, before any fallback."""
    for rule in _rules(lead, policy):
        if not rule.holds(lead.values):
            continue
        for one in _own_tries(lead, rule, policy, now):  # type: ignore[arg-type]  # there is one where there are rules
            standing = index.standing(one.pool, one.narrows, touched=lead.touched)
            if standing.suits(rep_id):
                return True
            if rule.to not in NAMED or standing.first(lead.declined) is not None:
                return False
    return False


def _rules(lead: Lead, policy: Policy | None) -> Sequence[Rule]:
    if policy is None:
        return ()
    if lead.only_pool is not None and lead.only_pool in policy.pools:
        by_hand = Rule(rule=HANDED_OVER, to=lead.only_pool, holds=_always, is_one_of_two=lead.by_rules_too)
        return (by_hand, *policy.rules) if lead.by_rules_too else (by_hand,)
    return policy.rules


def rule_named(lead: Lead, policy: Policy, name: str) -> Rule:
    """Return the rule under which a decision was made."""
    such = (rule for rule in _rules(lead, policy) if rule.rule == name and rule.holds(lead.values))
    return next(such, Rule(rule=name, to="", holds=_always))


def _always(_: Mapping[str, Any]) -> bool:
    return True


def _tries(lead: Lead, rule: Rule, index: Index, policy: Policy, now: datetime) -> Iterator[_Try]:
    """Yield the pools of a rule in order: its target, then the fallbacks; none where there is no such rep."""
    last: _Try | None = None
    for last in _own_tries(lead, rule, policy, now):
        yield last
    if last is None:
        return
    own = last.pool
    if rule.fallback is not None and (rule.fallback != own.pool or rule.narrows is not None):
        later = _falls_back(lead, rule, own, index, now)
        for name in (rule.fallback, *_fallbacks(policy, rule.fallback)):
            yield _Try(policy.pools[name], Target(rule.rule, name, is_wide=True), None, later)
    for name in _fallbacks(policy, own.pool):
        yield _try(policy.pools[name], rule, rule.target(name, lead.values))


def _own_tries(lead: Lead, rule: Rule, policy: Policy, now: datetime) -> Iterator[_Try]:
    """Yield whom the rule names, before any fallback."""
    if rule.to in NAMED:
        rep_id = _rep_named(lead, rule.to)
        if rep_id and not (rule.to == "previous" and _is_long_ago(lead, rule, now)):
            yield _try(named(rule.to, rep_id), rule, rule.target(rule.to, lead.values, rep_id))
        return
    first: str | None = rule.to
    if rule.to == PAIRED:
        pair = pool_of(policy, f"{PAIR}{lead.sdr_id or ''}")
        if pair is not None:
            yield _try(pair, rule, rule.target(pair.pool, lead.values))
        first = rule.otherwise
    if first is not None:
        yield _try(policy.pools[first], rule, rule.target(first, lead.values))


def _try(pool: Pool, rule: Rule, target: Target) -> _Try:
    return _Try(pool, target, rule.narrowing_of(target))


def _fallbacks(policy: Policy, name: str) -> Iterator[str]:
    """Yield the pools that a pool falls back on, one after the other."""
    seen = {name}
    while (pool := policy.pools.get(name)) is not None and pool.fallback is not None and pool.fallback not in seen:
        name = pool.fallback
        seen.add(name)
        yield name


def _rep_named(lead: Lead, to: str) -> str | None:
    if to == "previous":
        return lead.previous_rep
    if to == "host":
        return lead.host_rep
    return lead.account_rep if to == "account_rep" else lead.owner_rep


def _falls_back(lead: Lead, rule: Rule, pool: Pool, index: Index, now: datetime) -> datetime:
    """Return when the fallback may be tried; in a pool's hours only what somebody of it works is counted."""
    since = lead.waiting_since or now
    if not rule.in_pool_hours:
        return since + timedelta(seconds=rule.after_seconds)
    return index.opens(pool, since, rule.after_seconds) or NEVER


def named(to: str, rep_id: str) -> Pool:
    """Return a rep who is somebody's owner, host and the like as a pool of one."""
    return Pool(pool=to, strategy=Strategy.LEAST_LOADED, members=(rep_id,))


def pool_of(policy: Policy, name: str) -> Pool | None:
    """Return the pool of this name, or the pair `paired:<sdr>` as one."""
    if name.startswith(PAIR):
        partners = policy.pairs.get(name.removeprefix(PAIR), ())
        return Pool(pool=name, strategy=Strategy.WEIGHTED_ROUND_ROBIN, members=partners) if partners else None
    return policy.pools.get(name)


def _is_long_ago(lead: Lead, rule: Rule, now: datetime) -> bool:
    if rule.within_seconds is None or lead.previous_at is None:
        return False
    return now - lead.previous_at > timedelta(seconds=rule.within_seconds)


def _assigned(rule: Rule, pool: Pool, rep_id: str, considered: Sequence[Considered]) -> Decision:
    return Decision(
        outcome=Outcome.ASSIGNED,
        rule=rule.rule,
        pool=pool.pool,
        strategy=str(pool.strategy),
        rep_id=rep_id,
        reason_code="",
        considered=considered,
    )


def _why(said: set[WhyNot], *, is_refused: bool) -> Why:
    """Return why nobody of a pool takes the lead, of what keeps those from it who did not refuse it."""
    said = said - {WhyNot.NO_MATCH}
    # Whoever is left has gone: that nobody works would not be true of those who refused it.
    if not said or (is_refused and said == {WhyNot.INACTIVE}):
        return Why.NO_MATCH
    if said & {WhyNot.AT_CAP, WhyNot.UNTOUCHED_CAP}:
        return Why.NO_CAPACITY
    if said <= {WhyNot.PAUSED, WhyNot.INACTIVE} and WhyNot.PAUSED in said:
        return Why.PAUSED
    return Why.NOBODY_WORKING


def _waits(why: Why, rule: str, pool: str) -> Decision:
    return Decision(
        outcome=Outcome.WAITING,
        rule=rule,
        pool=pool,
        strategy="",
        rep_id=None,
        reason_code=str(why),
        considered=(),
    )


def _considered(reasons: Mapping[str, WhyNot], chosen: str | None, most: int | None) -> Sequence[Considered]:
    ordered = sorted(reasons)
    if chosen is not None:
        ordered.remove(chosen)
        ordered.insert(0, chosen)
    return [_one_considered(rep_id, rep_id == chosen, reasons[rep_id]) for rep_id in ordered[:most]]


# One lead after the other is thought of in the same words.
@lru_cache(maxsize=8192)
def _one_considered(rep_id: str, chosen: bool, why: WhyNot) -> Considered:
    return Considered(rep_id, chosen, str(why))


def everybody(decision: Decision, index: Index) -> Sequence[Considered]:
    """Return what was thought of each rep of the company: of whom no pool was asked, that they do not match."""
    thought = {one.rep_id for one in decision.considered}
    others = [
        Considered(
            rep_id=rep.rep_id, chosen=False, reason=str(rep.away if rep.away is WhyNot.INACTIVE else WhyNot.NO_MATCH)
        )
        for rep in index.reps.values()
        if rep.rep_id not in thought
    ]
    return [*decision.considered, *others]
