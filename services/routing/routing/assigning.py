"""The pure choice: the first rule that matches, the rep of its pool whose turn it is, and why nobody else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from routing import turns
from routing.domain import (
    Considered,
    Decision,
    Lead,
    Outcome,
    Policy,
    Pool,
    Rep,
    Rule,
    Strategy,
    Target,
    Turn,
    Why,
    WhyNot,
)

NAMED: Final = ("owner", "account_rep", "previous")
_LEAD_ALONE: Final = frozenset({WhyNot.NO_MATCH, WhyNot.DECLINED_BEFORE})


class Count(NamedTuple):
    """What a rep's counts were after a change."""

    rep_id: str
    open: int
    untouched: int
    by_pool: Mapping[str, int]
    turns: Mapping[str, Turn]
    last_assigned_at: datetime | None


@dataclass(slots=True)
class Index:
    """Every rep of the group with their counts, as decisions go on, and the log of how they went."""

    reps: dict[str, Rep]
    log: list[Count] = field(default_factory=list)
    _clocks: dict[str, float] = field(default_factory=dict)

    def clock(self, pool: Pool) -> float:
        """Return what the pool's clock shows, which only `give` moves on: looked up once, not for each lead."""
        if pool.pool not in self._clocks:
            self._clocks[pool.pool] = turns.clock(pool, self.reps)
        return self._clocks[pool.pool]

    def give(self, rep_id: str, pool: Pool | None, now: datetime, *, touched: bool, counted_in: str = "") -> None:
        """Count an assignment; `counted_in` names the pool of one that nobody's turn gave."""
        rep = self.reps[rep_id]
        rep.open += 1
        rep.untouched += not touched
        # A microsecond apart, so that the order within a batch is kept.
        rep.last_assigned_at = now + timedelta(microseconds=len(self.log))
        name = pool.pool if pool is not None else counted_in
        rep.by_pool[name] = rep.by_pool.get(name, 0) + 1
        if pool is not None and pool.strategy is Strategy.WEIGHTED_ROUND_ROBIN:
            turn = turns.take(pool, rep, self.reps, self.clock(pool))
            rep.turns[name] = turn
            self._clocks[name] = max(turn.clock, self._clocks[name])
        self._note(rep)

    def take(self, rep_id: str, pool: str, *, untouched: bool) -> None:
        """Count the end of an assignment."""
        rep = self.reps.get(rep_id)
        if rep is None:
            return
        rep.open = max(0, rep.open - 1)
        rep.untouched = max(0, rep.untouched - untouched)
        rep.by_pool[pool] = max(0, rep.by_pool.get(pool, 0) - 1)
        self._note(rep)

    def keep(self, rep_id: str, pool: str, *, untouched: bool) -> None:
        """Undo `take`: the assignment goes on."""
        rep = self.reps.get(rep_id)
        if rep is None:
            return
        rep.open += 1
        rep.untouched += untouched
        rep.by_pool[pool] = rep.by_pool.get(pool, 0) + 1
        self._note(rep)

    def touch(self, rep_id: str) -> None:
        """Count a first touch."""
        rep = self.reps.get(rep_id)
        if rep is not None:
            rep.untouched = max(0, rep.untouched - 1)
            self._note(rep)

    def _note(self, rep: Rep) -> None:
        self.log.append(
            Count(rep.rep_id, rep.open, rep.untouched, dict(rep.by_pool), dict(rep.turns), rep.last_assigned_at)
        )


class _Try(NamedTuple):
    """A pool that a rule leads to; `later` is when it may be tried, None at once."""

    pool: Pool
    target: Target
    later: datetime | None = None


def decide(lead: Lead, index: Index, policy: Policy | None, now: datetime) -> Decision:
    """Choose for one lead, and count it."""
    reasons: dict[str, WhyNot] = {}
    targets: list[Target] = []
    again: list[datetime] = []
    for rule in policy.rules if policy is not None else ():
        if not rule.holds(lead.values):
            continue
        waits: Decision | None = None
        for one in _tries(lead, rule, policy, now):  # type: ignore[arg-type]  # there is one where there are rules
            if one.later is not None and one.later > now:
                again.append(one.later)
                continue
            chosen, why = _from_pool(lead, rule, one.pool, index, now)
            reasons = {**why, **reasons}
            if chosen is not None:
                reasons[chosen] = WhyNot.CHOSEN
                return _assigned(rule, one.pool, chosen, _considered(reasons, chosen))
            targets.append(one.target)
            again += _back(why, index, now)
            waits = waits or replace(_waits(_why(why), rule.rule, one.pool.pool), strategy=str(one.pool.strategy))
        if waits is not None and (rule.to not in NAMED or rule.wait):
            return replace(
                waits,
                considered=_considered(reasons, None),
                retry_at=min(again, default=None),
                targets=tuple(dict.fromkeys(targets)),
            )
    # A named rep without room was passed by, and no rule after: room there would still let the lead in.
    return replace(_waits(Why.NO_RULE, "", ""), retry_at=min(again, default=None), targets=tuple(targets))


def _tries(lead: Lead, rule: Rule, policy: Policy, now: datetime) -> Iterator[_Try]:
    """Yield the pools of a rule in order: its target, then the fallbacks; none where there is no such rep."""
    if rule.to in NAMED:
        rep_id = lead.previous_rep if rule.to == "previous" else lead.owner_rep
        if rep_id and not (rule.to == "previous" and _is_long_ago(lead, rule, now)):
            pool = Pool(pool=rule.to, strategy=Strategy.LEAST_LOADED, members=(rep_id,))
            yield _Try(pool, Target(rule.rule, rule.to, rep_id))
        return
    first: str | None = rule.to
    if rule.to == "paired":
        pair = pool_of(policy, f"paired:{lead.sdr_id or ''}")
        if pair is not None:
            yield _Try(pair, Target(rule.rule, pair.pool))
        first = rule.otherwise
    if first is None:
        return
    yield _Try(policy.pools[first], Target(rule.rule, first))
    if rule.fallback is not None and rule.fallback != first:
        since = lead.waiting_since or now
        later = since + timedelta(seconds=rule.after_seconds)
        yield _Try(policy.pools[rule.fallback], Target(rule.rule, rule.fallback), later)
    seen = {first}
    after = policy.pools[first].fallback
    while after is not None and after not in seen:
        seen.add(after)
        yield _Try(policy.pools[after], Target(rule.rule, after))
        after = policy.pools[after].fallback


def pool_of(policy: Policy, name: str) -> Pool | None:
    """Return the pool of this name, or the pair `paired:<sdr>` as one."""
    if name.startswith("paired:"):
        partners = policy.pairs.get(name.removeprefix("paired:"), ())
        return Pool(pool=name, strategy=Strategy.WEIGHTED_ROUND_ROBIN, members=partners) if partners else None
    return policy.pools.get(name)


def _is_long_ago(lead: Lead, rule: Rule, now: datetime) -> bool:
    if rule.within_seconds is None or lead.previous_at is None:
        return False
    return now - lead.previous_at > timedelta(seconds=rule.within_seconds)


def _from_pool(lead: Lead, rule: Rule, pool: Pool, index: Index, now: datetime) -> tuple[str | None, dict[str, WhyNot]]:
    """Choose one of the pool and count it; return who it is, if anybody, and what was thought of each."""
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
        return None, reasons
    if pool.strategy is Strategy.LEAST_LOADED:
        chosen = min(able, key=lambda rep: (rep.open / rep.cap, turns.waited(rep)))
        other = WhyNot.MORE_LOAD
    else:
        chosen = turns.choose(pool, able, index.clock(pool))
        other = WhyNot.NOT_THEIR_TURN
    reasons |= {rep.rep_id: other for rep in able}
    reasons[chosen.rep_id] = WhyNot.CHOSEN
    index.give(chosen.rep_id, pool, now, touched=lead.touched)
    return chosen.rep_id, reasons


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


def _why_not(lead: Lead, rule: Rule, pool: Pool, rep: Rep) -> WhyNot | None:
    """Return what keeps the lead from the rep, None when nothing does."""
    if rep.away is WhyNot.INACTIVE:
        return rep.away
    if rep.rep_id in lead.declined:
        return WhyNot.DECLINED_BEFORE
    return without_room(rule, pool, rep, touched=lead.touched)


def without_room(rule: Rule, pool: Pool, rep: Rep, *, touched: bool) -> WhyNot | None:
    """Return what keeps every such lead from the rep."""
    if rep.away is WhyNot.INACTIVE:
        return rep.away
    if rule.narrows is not None and not rule.narrows(rep.values):
        return WhyNot.NO_MATCH
    if rep.away is not None:
        return rep.away
    if rep.open >= rep.cap or (pool.cap is not None and rep.by_pool.get(pool.pool, 0) >= pool.cap):
        return WhyNot.AT_CAP
    if pool.untouched_cap is not None and rep.untouched >= pool.untouched_cap and not touched:
        return WhyNot.UNTOUCHED_CAP
    return None


def _why(reasons: Mapping[str, WhyNot]) -> Why:
    said = set(reasons.values()) - _LEAD_ALONE
    if not said:
        return Why.NO_MATCH
    if said & {WhyNot.AT_CAP, WhyNot.UNTOUCHED_CAP}:
        return Why.NO_CAPACITY
    if said <= {WhyNot.PAUSED, WhyNot.INACTIVE} and WhyNot.PAUSED in said:
        return Why.PAUSED
    return Why.NOBODY_WORKING


def _back(reasons: Mapping[str, WhyNot], index: Index, now: datetime) -> list[datetime]:
    """Return when those who are away for a time are back."""
    away = (index.reps[rep_id].back_at for rep_id, why in reasons.items() if why in (WhyNot.OFF_HOURS, WhyNot.ON_LEAVE))
    return [at for at in away if at is not None and at > now]


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


def _considered(reasons: Mapping[str, WhyNot], chosen: str | None) -> Sequence[Considered]:
    ordered = sorted(reasons)
    if chosen is not None:
        ordered.remove(chosen)
        ordered.insert(0, chosen)
    return [Considered(rep_id, rep_id == chosen, str(reasons[rep_id])) for rep_id in ordered]


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
