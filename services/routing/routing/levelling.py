"""Who is least loaded, and that nobody is flooded on return or on joining.

The least loaded by open / cap is next, then the longest wait. Whoever had none of the last two rounds of leads has been
away, or is new, and may be far below the others: until they are level with who is next after them they catch up at no
more than twice their share of what goes by a rule, so that the others go on getting leads and nobody gets a run of
them. See docs/decisions/0013.
"""

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

from routing.domain import Pool, Rep, Turn, WhyNot
from routing.narrowing import Narrowing
from routing.turns import Heap, Order, round_of, waited

ROUNDS: Final = 2
"""Who had none of so many leads for each rep at work comes from away: fewer may go by between reps of unlike caps."""
TIMES_THEIR_SHARE: Final = 2
LEAST_APART: Final = 2
"""Not two leads in a row, however few there are at work."""


def load(rep: Rep) -> float:
    """Return how loaded a rep is: 1 at the cap, or at a newcomer's share of it."""
    return rep.open / (rep.cap * rep.share) if rep.cap else inf


def pace_of(pool: Pool, narrows: Narrowing | None) -> str:
    """Return under which name a round's pace is kept: another than its turns have, since its time is another."""
    return f"{round_of(pool, narrows)} by load"


class Pace:
    """How many leads a round gave, a pool's or that of those whom a rule takes, and how soon who catches up is due."""

    def __init__(self, pool: Pool, narrows: Narrowing | None, reps: Mapping[str, Rep]) -> None:
        self._name = pace_of(pool, narrows)
        self._narrows = narrows
        self.given = 0.0
        self._members = frozenset(pool.members)
        self._at_work: set[str] = set()
        self._due: dict[str, float] = {}
        for rep in reps.values():
            # Those too who are of the pool no more: what they had has gone by.
            self.refresh(rep)

    def refresh(self, rep: Rep) -> None:
        """Take in what changed of a rep."""
        if (turn := rep.turns.get(self._name)) is not None:
            self.given = max(self.given, turn.clock)
            self._due[rep.rep_id] = turn.next
        is_of_them = rep.rep_id in self._members and (self._narrows is None or self._narrows.holds(rep.values))
        if is_of_them and rep.away is None:
            self._at_work.add(rep.rep_id)
        else:
            self._at_work.discard(rep.rep_id)

    def due(self, rep_id: str) -> float:
        """Return after how many leads the rep may have another."""
        return self._due.get(rep_id, 0.0)

    def catches_up(self, rep: Rep) -> bool:
        """Say whether the rep comes from away, or goes on catching up since they did."""
        turn = rep.turns.get(self._name, Turn(0.0, 0.0))
        return turn.next > turn.clock or self.given - turn.clock >= ROUNDS * len(self._at_work)

    def take(self, *, is_level: bool, among: int) -> Turn:
        """Return a rep's place after a lead; `among` how many can take such leads."""
        given = self.given + 1
        if is_level:
            return Turn(next=given, clock=given)
        apart = max(LEAST_APART, among / TIMES_THEIR_SHARE)
        return Turn(next=self.given + apart, clock=given)


class LoadOrder(Order):
    """The least loaded by open / cap, then the longest wait; who catches up once they are due."""

    def __init__(self, pace: Pace | None) -> None:
        super().__init__()
        self._pace = pace
        """None: a pool of one, such as a lead's owner."""
        self._ready = Heap(self._marks)
        self._later = Heap(self._marks)
        """Who catches up and had a lead just now: when they are due comes first."""

    def first(self, skipped: Collection[str]) -> str | None:
        """Return who is next, None when nobody can."""
        given = self._given
        while (entry := self._later.first()) is not None and entry[0] <= given:
            self._ready.put(*self._later.pop()[1:])
        # Better somebody who is not due yet than nobody.
        found = self._ready.first_but(skipped) or self._later.first_but(skipped)
        return str(found[-2]) if found is not None else None

    def why_not(self, rep_id: str) -> WhyNot:
        """Return why a rep who can take the lead is not next, when another is."""
        return WhyNot.NOT_THEIR_TURN if self._due(rep_id) > self._given else WhyNot.MORE_LOAD

    def _place(self, rep: Rep, mark: int) -> None:
        key = (load(rep), *waited(rep), mark)
        if (due := self._due(rep.rep_id)) > self._given:
            self._later.put(due, *key)
        else:
            self._ready.put(*key)

    @property
    def _given(self) -> float:
        return self._pace.given if self._pace is not None else 0.0

    def _due(self, rep_id: str) -> float:
        return self._pace.due(rep_id) if self._pace is not None else 0.0
