"""Who is least loaded, and that nobody is flooded on return or on joining.

The least loaded by open / cap is next, then the longest wait. Whoever had none of the pool's last two rounds of leads
has been away, or is new, and may be far below the others: until they are level with who is next after them they catch
up at no more than twice their share, so that the others go on getting leads and nobody gets a run of them. See
docs/decisions/0013.
"""

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

from routing.domain import Pool, Rep, Turn, WhyNot
from routing.turns import Heap, Order, waited

ROUNDS: Final = 2
"""Who had none of so many leads for each rep at work comes from away: fewer may go by between reps of unlike caps."""
TIMES_THEIR_SHARE: Final = 2
LEAST_APART: Final = 2
"""Not two leads in a row, however few there are at work."""


def load(rep: Rep) -> float:
    """Return how loaded a rep is: 1 at the cap, or at a newcomer's share of it."""
    return rep.open / (rep.cap * rep.share) if rep.cap else inf


def pace_of(pool: Pool) -> str:
    """Return under which name a pool's pace is kept: a round's under another, since its time is another."""
    return f"{pool.pool} by load"


class Pace:
    """How many leads a pool gave, and how soon those who catch up get their next."""

    def __init__(self, pool: Pool, reps: Mapping[str, Rep]) -> None:
        self._name = pace_of(pool)
        self.given = 0.0
        self._at_work: set[str] = set()
        self._with_room: set[str] = set()
        self._due: dict[str, float] = {}
        for rep_id in pool.members:
            if (rep := reps.get(rep_id)) is not None:
                self.refresh(rep)

    def refresh(self, rep: Rep) -> None:
        """Take in what changed of a rep."""
        if (turn := rep.turns.get(self._name)) is not None:
            self.given = max(self.given, turn.clock)
            self._due[rep.rep_id] = turn.next
        _put(rep.rep_id, self._at_work, rep.away is None)
        _put(rep.rep_id, self._with_room, rep.away is None and rep.open < rep.cap)

    def due(self, rep_id: str) -> float:
        """Return after how many leads of the pool the rep may have another."""
        return self._due.get(rep_id, 0.0)

    def catches_up(self, rep: Rep) -> bool:
        """Say whether the rep comes from away, or goes on catching up since they did."""
        turn = rep.turns.get(self._name, Turn(0.0, 0.0))
        return turn.next > turn.clock or self.given - turn.clock >= ROUNDS * len(self._at_work)

    def take(self, rep: Rep, *, is_level: bool) -> Turn:
        """Return the rep's place after a lead."""
        given = self.given + 1
        if is_level:
            return Turn(next=given, clock=given)
        apart = max(LEAST_APART, len(self._with_room) / TIMES_THEIR_SHARE)
        return Turn(next=self.given + apart, clock=given)


def _put(rep_id: str, into: set[str], is_in: bool) -> None:
    if is_in:
        into.add(rep_id)
    else:
        into.discard(rep_id)


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
