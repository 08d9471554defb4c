"""The queue by what its leads wait for, and how much room there is for each: pure."""

import json
from collections.abc import Iterable
from typing import Any

from routing import assigning
from routing.domain import Lead, Policy, Target
from routing.index import Index


def wants(lead: Lead, targets: Iterable[Target]) -> list[Any]:
    """Return what a lead waits for, and without whom, as JSON: leads with the same are let in by the same room."""
    return [lead.touched, sorted(lead.declined), *([*one] for one in targets)]


def text(wanted: list[Any]) -> str:
    """Return the same as text, which names the queue."""
    return json.dumps(wanted)


def room(wanted: list[Any], index: Index, policy: Policy) -> int:
    """Return how many such leads could be let in now at most."""
    touched, declined, *targets = wanted
    free = 0
    for said in targets:
        rule_name, pool_name, named, is_wide = Target(*said)
        pool = assigning.named(pool_name, named) if named else assigning.pool_of(policy, pool_name)
        if pool is None:
            continue
        narrowings = {rule.narrows for rule in policy.rules if rule.rule == rule_name}
        if is_wide or rule_name == assigning.HANDED_OVER:
            narrowings = {None}
        free += sum(index.standing(pool, one, touched=touched).room_but(declined) for one in narrowings)
    return free
