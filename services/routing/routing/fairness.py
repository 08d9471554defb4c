"""Who should have got how many leads of a pool by weight and presence, who did, and why not exactly that."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from routing import assigning, turns
from routing.domain import Outcome, WhyNot
from routing.history import Past
from routing.inputs import lead_of

COLUMNS: Final = ("rep_id", "expected", "actual", "deviation", "reasons", "in_place_of")
"""Of the report as a table: a row a rep."""
_TURNS: Final = (WhyNot.CHOSEN, WhyNot.NOT_THEIR_TURN, WhyNot.MORE_LOAD)
"""What is thought of those who could have had the lead."""


@dataclass(slots=True)
class _Tally:
    expected: float = 0.0
    actual: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    in_place_of: Counter[str] = field(default_factory=Counter)


async def report(conn: Connection, pool: str, since: datetime, until: datetime) -> dict[str, Any]:
    """Go through the pool's decisions of [since, until).

    Each lead is expected to be shared by all of the pool who were at work and whom its rule takes, by weight. `reasons`
    says why a rep did not get those that went to others: turns alone leave less than a lead's deviation for each rule
    that narrows the pool, and one for all others; every other reason explains more. `in_place_of` says what kept
    others, who had a share in them, from those that the rep got: a rep who is full leaves their leads to the rest.
    """
    past = Past(conn)
    tallies: dict[str, _Tally] = {}
    decisions = 0
    async for row in past.decisions(since, until):
        if row["pool"] == pool and row["outcome"] == str(Outcome.ASSIGNED):
            decisions += 1
            _count(tallies, past, row)
    return {
        "pool": pool,
        "decisions": decisions,
        "reps": [
            {
                "rep_id": rep_id,
                "expected": round(tally.expected, 3),
                "actual": tally.actual,
                "deviation": round(tally.actual - tally.expected, 3),
                "reasons": dict(sorted(tally.reasons.items())),
                "in_place_of": dict(sorted(tally.in_place_of.items())),
            }
            for rep_id, tally in sorted(tallies.items())
        ],
    }


def _count(tallies: dict[str, _Tally], past: Past, row: Any) -> None:
    group = past.group
    assert group is not None
    assert group.policy is not None
    pool = assigning.pool_of(group.policy, row["pool"])
    if pool is None:  # a named rep: nobody's turn
        return
    lead = lead_of(row)
    rule = assigning.rule_named(lead, group.policy, row["rule"])
    chosen = group.index.reps[row["rep_id"]]
    narrows = rule.narrowing(lead.values)
    if narrows is not None and not narrows.holds(chosen.values):
        narrows = None  # What it narrows the pool to was waited for long enough.
    standing = group.index.standing(pool, narrows, touched=lead.touched)
    thoughts = standing.thoughts(lead.declined, None)
    for rep_id, why in thoughts.items():
        tally = tallies.setdefault(rep_id, _Tally())
        if rep_id == row["rep_id"]:
            tally.actual += 1
        else:
            tally.reasons[str(why)] += 1
    at_work = [rep for rep_id in pool.members if (rep := group.index.reps.get(rep_id)) and rep.away is None]
    shares = at_work if narrows is None else [rep for rep in at_work if narrows.holds(rep.values)]
    weights = {rep.rep_id: turns.weight(pool, rep) for rep in shares}
    total = sum(weights.values())
    for rep_id, weight in weights.items():
        tallies[rep_id].expected += weight / total
        if (why := thoughts[rep_id]) not in _TURNS:
            tallies[row["rep_id"]].in_place_of[str(why)] += 1
