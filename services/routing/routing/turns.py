"""Whose turn it is: weighted round robin that is smooth and fair over any stretch, without debt or credit for absence.

Each pool has a clock. A lead moves it on by 1 / (the weights of all at work with room), and takes 1 / weight of a rep's
own time. Of those whose next turn has begun by the clock, the one whose turn ends first gets the lead (worst-case fair
queueing): nobody is ever more than one lead away from their share. Who was away, or is new, starts at most one turn
behind the clock: there is nothing to catch up with, so nobody is flooded on return.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from routing.domain import Pool, Rep, Turn

DIGITS: Final = 6
"""Two instants of a pool's clock are the same when they agree in so many: sums of fractions are never exact."""


def clock(pool: Pool, reps: Mapping[str, Rep]) -> float:
    """Return what the pool's clock shows: it goes on with whoever served last, whoever left since."""
    shown = 0.0
    for rep_id in pool.members:
        rep = reps.get(rep_id)
        turn = rep.turns.get(pool.pool) if rep is not None else None
        if turn is not None and turn.clock > shown:
            shown = turn.clock
    return shown


def choose(pool: Pool, able: Sequence[Rep], shown: float) -> Rep:
    """Return whose turn it is among those who can take the lead, as the pool's clock shows `shown`."""
    now = _at(pool, able, shown)
    begins = [(_begins(pool, rep, now), rep) for rep in able]
    begun = [
        (round(at + 1 / rep.weight, DIGITS), waited(rep), rep) for at, rep in begins if round(at - now, DIGITS) <= 0
    ]
    return min(begun, key=lambda one: one[:2])[2]


def take(pool: Pool, rep: Rep, reps: Mapping[str, Rep], shown: float) -> Turn:
    """Return the rep's place after a turn."""
    now = _at(pool, [rep], shown)
    at_work = sum(
        one.weight
        for rep_id in pool.members
        if (one := reps.get(rep_id)) is not None and one.away is None and (one.open < one.cap or one is rep)
    )
    return Turn(next=_begins(pool, rep, now) + 1 / rep.weight, clock=now + 1 / (at_work or rep.weight))


def waited(rep: Rep) -> tuple[float, str]:
    """Return what decides between equals: the longest wait; never age in the firm."""
    return (rep.last_assigned_at.timestamp() if rep.last_assigned_at is not None else 0.0, rep.rep_id)


def _at(pool: Pool, able: Sequence[Rep], shown: float) -> float:
    """Return the clock, moved on where nobody's turn has begun yet."""
    return max(shown, min(_begins(pool, rep, shown) for rep in able))


def _begins(pool: Pool, rep: Rep, now: float) -> float:
    """Return when the rep's next turn begins: nobody who takes part all the time is ever more than one turn behind."""
    turn = rep.turns.get(pool.pool)
    due, earliest = (turn.next if turn is not None else 0.0), now - 1 / rep.weight
    return due if due > earliest else earliest
