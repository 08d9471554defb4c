"""The queue by what its leads wait for, and how much room there is for each: pure."""

import json
from collections.abc import Iterable
from typing import Any, Final

from routing import assigning
from routing.assigning import Index
from routing.domain import Lead, Policy, Pool, Rule, Strategy, Target

_ALWAYS: Final = Rule(rule="", to="", holds=lambda _: True)


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
    rules = {rule.rule: rule for rule in policy.rules}
    for rule_name, pool_name, named in targets:
        rule = rules.get(rule_name, _ALWAYS)
        pool: Pool | None = (
            Pool(pool=pool_name, strategy=Strategy.LEAST_LOADED, members=(named,))
            if named
            else assigning.pool_of(policy, pool_name)
        )
        for rep_id in pool.members if pool is not None else ():
            rep = index.reps.get(rep_id)
            if rep is None or assigning.without_room(rule, pool, rep, touched=touched) is not None:  # type: ignore[arg-type]
                continue
            free[rep_id] = rep.cap - rep.open
    return sum(free.values())
