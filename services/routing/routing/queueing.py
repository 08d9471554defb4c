"""The queue by what its leads wait for, and how much room there is for each: pure."""

import json
from collections.abc import Iterable
from typing import Any

from routing import assigning
from routing.assigning import Index
from routing.domain import Lead, Policy, Pool, Rep, Rule, Strategy, Target


def wants(lead: Lead, targets: Iterable[Target]) -> list[Any]:
    """Return what a lead waits for as JSON: leads with the same are let in by the same room."""
    return [lead.touched, *([one.rule, one.pool, one.rep_id] for one in targets)]


def text(wanted: list[Any]) -> str:
    """Return the same as text, which names the queue."""
    return json.dumps(wanted)


def room(wanted: list[Any], index: Index, policy: Policy) -> int:
    """Return how many such leads could be let in now, whoever of them declined whom."""
    touched, *targets = wanted
    free: dict[str, int] = {}
    for rule_name, pool_name, named in targets:
        pool = (
            Pool(pool=pool_name, strategy=Strategy.LEAST_LOADED, members=(named,))
            if named
            else assigning.pool_of(policy, pool_name)
        )
        rules = [rule for rule in policy.rules if rule.rule == rule_name]
        for rep_id in pool.members if pool is not None else ():
            rep = index.reps.get(rep_id)
            if rep is not None and any(_has_room(rule, pool, rep, touched=touched) for rule in rules):
                free[rep_id] = rep.cap - rep.open
    return sum(free.values())


def _has_room(rule: Rule, pool: Pool | None, rep: Rep, *, touched: bool) -> bool:
    return pool is not None and assigning.without_room(rule, pool, rep, touched=touched) is None
