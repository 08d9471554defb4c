"""The queue by what its leads wait for, and how much room there is for each: pure."""

import json
from collections.abc import Iterable
from typing import Any, Final

from routing import assigning
from routing.domain import Lead, Policy
from routing.index import Index
from routing.narrowing import Target

_OF: Final = Target._fields.index("of")


def wants(lead: Lead, targets: Iterable[Target]) -> list[Any]:
    """Return what a lead waits for, and without whom, as JSON: leads with the same are let in by the same room."""
    said = [[*one] if one.of else [*one[:_OF]] for one in targets]
    return [lead.touched, sorted(lead.declined), *said]


def text(wanted: list[Any]) -> str:
    """Return the same as text, which names the queue: whom a rule takes, and not what of the lead it goes by."""
    touched, declined, *targets = wanted
    return json.dumps([touched, declined, *(one[: _OF + 1] for one in targets)])


def room(wanted: list[Any], index: Index, policy: Policy) -> int:
    """Return how many such leads could be let in now at most."""
    touched, declined, *targets = wanted
    free = 0
    for one in (Target(*said) for said in targets):
        pool = assigning.named(one.pool, one.rep_id) if one.rep_id else assigning.pool_of(policy, one.pool)
        if pool is None:
            continue
        narrowings = {rule.narrowing_of(one) for rule in policy.rules if rule.rule == one.rule}
        if one.is_wide or one.rule == assigning.HANDED_OVER:
            narrowings = {None}
        free += sum(index.standing(pool, some, touched=touched).room_but(declined) for some in narrowings)
    return free
