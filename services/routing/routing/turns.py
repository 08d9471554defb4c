"""Whose turn it is: weighted round robin that is smooth and fair over any stretch, without debt or credit for absence.

Each round has a clock: that of a pool, and one for each rule that narrows it, since whom the rule leaves out is owed
nothing of what goes by it. A lead moves the clock on by 1 / (the weights of all who can take leads), and takes 1 /
weight of a rep's own time. Of those whose next turn has begun by the clock, the one whose turn ends first gets the lead
(worst-case fair queueing, Bennett and Zhang 1996): nobody is ever more than one lead away from their share. Whoever is
away, full, or of the pool no more has their own time stand still. They come back as far ahead or behind as they went,
without debt or credit, so that comings and goings do not add up; when nobody's turn has begun, since others went with a
part of theirs to come, the one whose turn begins first gets the lead. Whoever is new begins at the clock. Whoever
weighs more or less from now on is as many leads ahead or behind as before, not as much time. See docs/decisions/0014.

Heaps keep the order, so that a turn costs the same among ten reps and among ten thousand. What changed of a rep is put
in anew; the old entry stays where it is and is passed over when it comes up.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, Final

from routing.domain import Pool, Rep, Strategy, Turn, WhyNot
from routing.narrowing import Narrowing
from routing.room import without_room

DIGITS: Final = 6
"""Two instants of a pool's clock are the same when they agree in so many: sums of fractions are never exact."""
UNIT: Final = 1_000_000
"""Weights are counted in millionths, as whole numbers: their sum does not depend on the order of the additions."""
_STALE: Final = 4
"""Entries a rep that a heap may hold, most of them no longer true, before it is put in order."""
_ROOMY: Final = 64


def weight(pool: Pool, rep: Rep) -> int:
    """Return the rep's weight in the pool, in millionths."""
    counted = rep.weight * rep.share
    if pool.strategy is Strategy.PERFORMANCE_WEIGHTED:
        counted *= rep.performance
    return max(1, round(counted * UNIT))


def waited(rep: Rep) -> tuple[float, str]:
    """Return what decides between equals: the longest wait; never age in the firm."""
    return (rep.last_assigned_at.timestamp() if rep.last_assigned_at is not None else 0.0, rep.rep_id)


def round_of(pool: Pool, narrows: Narrowing | None) -> str:
    """Return under which name a round's turns are kept."""
    if narrows is None:
        return pool.pool
    return f"{pool.pool} by {narrows.rule}{narrows.of and f' {narrows.of}'}"


class Round:
    """The clock of a pool, or of those of it whom a rule takes, and the weights of all who are at work with room."""

    def __init__(self, pool: Pool, narrows: Narrowing | None, reps: Mapping[str, Rep]) -> None:
        self.pool = pool
        self._narrows = narrows
        self.name = round_of(pool, narrows)
        self._members = frozenset(pool.members)
        self.clock = 0.0
        self._at_work = 0
        self._counted: dict[str, int] = {}
        self.concerned = [rep for rep in reps.values() if rep.rep_id in self._members or self.name in rep.turns]
        """Who takes turns in it, and who did while they were of the pool: their time stands still from then on."""
        for rep in self.concerned:
            self.refresh(rep)

    def refresh(self, rep: Rep) -> None:
        """Count a rep as they are now. The clock goes on with whoever served last, whoever left since."""
        self._go_on_with(rep.turns.get(self.name))
        counts = weight(self.pool, rep) if self._has(rep) else 0
        self._at_work += counts - self._counted.get(rep.rep_id, 0)
        self._counted[rep.rep_id] = counts

    def moved(self, rep: Rep) -> Turn | None:
        """Return the place of a rep who came, went or weighs otherwise since it was noted; None where none of these."""
        turn, own = rep.turns.get(self.name), weight(self.pool, rep)
        self._go_on_with(turn)
        if not self._has(rep):
            return turn._replace(left=self.clock) if turn is not None and turn.left is None else None
        if turn is None:
            return Turn(next=self.clock, clock=self.clock, weight=own)
        if turn.left is None and turn.weight in (0, own):
            return None
        behind = (self._stood(turn) - turn.next) * (turn.weight or own) / own
        return Turn(next=self.clock - behind, clock=self.clock, weight=own)

    def take(self, rep: Rep) -> Turn:
        """Return the rep's place after a turn."""
        own, turn = weight(self.pool, rep), rep.turns.get(self.name)
        everybody = self._at_work - self._counted.get(rep.rep_id, 0) + own
        began = self.due(rep) + (self.clock - self._stood(turn) if turn is not None else 0.0)
        return Turn(next=began + UNIT / own, clock=self.clock + UNIT / everybody, weight=own)

    def due(self, rep: Rep) -> float:
        """Return when the rep's next turn begins; while their time stands still, as of when it stopped."""
        turn = rep.turns.get(self.name)
        return self.clock if turn is None else turn.next

    def _stood(self, turn: Turn) -> float:
        return self.clock if turn.left is None else turn.left

    def _go_on_with(self, turn: Turn | None) -> None:
        if turn is not None and turn.clock > self.clock:
            self.clock = turn.clock

    def _has(self, rep: Rep) -> bool:
        return rep.rep_id in self._members and without_room(self.pool, self._narrows, rep, touched=False) is None


class Heap:
    """Entries that end with a rep's id and the mark under which they are still true."""

    def __init__(self, marks: Mapping[str, int]) -> None:
        self._marks = marks
        self._entries: list[tuple[Any, ...]] = []

    def put(self, *key: Any) -> None:
        heappush(self._entries, key)
        if len(self._entries) > _ROOMY + _STALE * len(self._marks):
            self._entries = [entry for entry in self._entries if self._marks.get(entry[-2]) == entry[-1]]
            heapify(self._entries)

    def first(self) -> tuple[Any, ...] | None:
        """Return the first that is still true, and leave it."""
        while self._entries:
            entry = self._entries[0]
            if self._marks.get(entry[-2]) == entry[-1]:
                return entry
            heappop(self._entries)
        return None

    def first_but(self, skipped: Collection[str]) -> tuple[Any, ...] | None:
        """Return the first that is still true and of nobody who is skipped, and leave it."""
        aside: list[tuple[Any, ...]] = []
        while (found := self.first()) is not None and found[-2] in skipped:
            aside.append(heappop(self._entries))
        for entry in aside:
            heappush(self._entries, entry)
        return found

    def pop(self) -> tuple[Any, ...]:
        return heappop(self._entries)


class Order(ABC):
    """Who of those who can take a lead is next."""

    def __init__(self) -> None:
        self._marks: dict[str, int] = {}
        self._marked = 0

    def put(self, rep: Rep) -> None:
        """Place a rep who can take leads as they are now."""
        self._marked += 1
        self._marks[rep.rep_id] = self._marked
        self._place(rep, self._marked)

    def drop(self, rep_id: str) -> None:
        """Forget a rep who cannot."""
        self._marks.pop(rep_id, None)

    @abstractmethod
    def first(self, skipped: Collection[str]) -> str | None:
        """Return who is next, None when nobody can."""

    @abstractmethod
    def why_not(self, rep_id: str) -> WhyNot:
        """Return why a rep who can take the lead is not next, when another is."""

    @abstractmethod
    def _place(self, rep: Rep, mark: int) -> None: ...


class TurnOrder(Order):
    """Whose turn it is by the round's clock."""

    def __init__(self, of: Round) -> None:
        super().__init__()
        self._round = of
        self._later = Heap(self._marks)
        """Whose turn has not begun: when it begins and ends, the wait."""
        self._begun = Heap(self._marks)
        """Whose turn has begun: when it ends, the wait."""

    def first(self, skipped: Collection[str]) -> str | None:
        """Return whose turn it is, None when nobody can."""
        while (entry := self._later.first()) is not None and round(entry[0] - self._round.clock, DIGITS) <= 0:
            self._begun.put(*self._later.pop()[1:])
        found = self._begun.first_but(skipped) or self._later.first_but(skipped)
        return str(found[-2]) if found is not None else None

    def why_not(self, rep_id: str) -> WhyNot:
        """Return why a rep who can take the lead is not next, when another is."""
        return WhyNot.NOT_THEIR_TURN

    def _place(self, rep: Rep, mark: int) -> None:
        due = round(self._round.due(rep), DIGITS)
        since, rep_id = waited(rep)
        self._later.put(due, round(due + UNIT / weight(self._round.pool, rep), DIGITS), since, rep_id, mark)
