"""Every rep of the group with their counts, kept so that a decision costs the same however many there are."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from routing.domain import NAMED, Pool, Rep, Strategy, Turn, WhyNot
from routing.levelling import LoadOrder, Pace, load, pace_of
from routing.narrowing import Narrowing
from routing.standings import Standing
from routing.turns import Round, TurnOrder, round_of

Opens = Callable[[Pool, datetime, float], datetime | None]


class Count(NamedTuple):
    """What a rep's counts were after a change."""

    rep_id: str
    open: int
    untouched: int
    by_pool: Mapping[str, int]
    turns: Mapping[str, Turn]
    last_assigned_at: datetime | None


class Index:
    """Every rep of the group with their counts, as decisions go on, and the log of how they went.

    What a decision asks for is kept as counts change, so that it costs the same however many reps there are.
    """

    def __init__(self, reps: dict[str, Rep], opens: Opens | None = None) -> None:
        self.reps = reps
        self.opens: Opens = opens or (lambda _, since, seconds: since + timedelta(seconds=seconds))
        """By when a pool has worked so many seconds since an instant; None: never."""
        self.log: list[Count] = []
        self.before: dict[str, Count] = {}
        """The counts of those that changed since `begin`, as they were then."""
        self._rounds: dict[str, Round] = {}
        self._standings: dict[tuple[str, str, Narrowing | None, bool], Standing] = {}
        self._paces: dict[str, Pace] = {}
        self._of: defaultdict[str, list[Pace | Round | Standing]] = defaultdict(list)

    def begin(self) -> None:
        """Begin a transaction: nothing has changed yet."""
        self.log.clear()
        self.before.clear()

    def standing(self, pool: Pool, narrows: Narrowing | None, *, touched: bool) -> Standing:
        """Return how the reps of a pool stand to such leads."""
        one = pool.members[0] if pool.pool in NAMED else ""
        key = (pool.pool, one, narrows, touched and pool.untouched_cap is not None)
        found = self._standings.get(key)
        if found is None:
            by_load = pool.strategy is Strategy.LEAST_LOADED
            order = LoadOrder(self._pace(pool, narrows)) if by_load else TurnOrder(self._round(pool, narrows))
            found = Standing(pool, narrows, order, self.reps, touched=touched)
            self._standings[key] = found
            self._join(pool, found, narrows)
        return found

    def give(
        self,
        rep_id: str,
        pool: Pool | None,
        now: datetime,
        *,
        touched: bool,
        narrows: Narrowing | None = None,
        counted_in: str = "",
    ) -> None:
        """Count an assignment; `counted_in` names the pool of one that nobody's turn gave."""
        rep = self._changing(rep_id)
        assert rep is not None
        rep.open += 1
        rep.untouched += not touched
        # A microsecond apart, so that the order within a batch is kept.
        rep.last_assigned_at = now + timedelta(microseconds=len(self.log))
        name = pool.pool if pool is not None else counted_in
        rep.by_pool[name] = rep.by_pool.get(name, 0) + 1
        if pool is not None and pool.strategy is not Strategy.LEAST_LOADED:
            rep.turns[round_of(pool, narrows)] = self._round(pool, narrows).take(rep)
        elif pool is not None and (pace := self._pace(pool, narrows)) is not None:
            standing = self.standing(pool, narrows, touched=touched)
            is_level = not pace.catches_up(rep) or self._is_level(rep, standing)
            rep.turns[pace_of(pool, narrows)] = pace.take(is_level=is_level, among=standing.able)
        self._changed(rep)

    def take(self, rep_id: str, pool: str, *, untouched: bool) -> None:
        """Count the end of an assignment."""
        rep = self._changing(rep_id)
        if rep is None:
            return
        rep.open = max(0, rep.open - 1)
        rep.untouched = max(0, rep.untouched - untouched)
        rep.by_pool[pool] = max(0, rep.by_pool.get(pool, 0) - 1)
        self._changed(rep)

    def keep(self, rep_id: str, pool: str, *, untouched: bool) -> None:
        """Undo `take`: the assignment goes on."""
        rep = self._changing(rep_id)
        if rep is None:
            return
        rep.open += 1
        rep.untouched += untouched
        rep.by_pool[pool] = rep.by_pool.get(pool, 0) + 1
        self._changed(rep)

    def touch(self, rep_id: str) -> None:
        """Count a first touch."""
        rep = self._changing(rep_id)
        if rep is not None:
            rep.untouched = max(0, rep.untouched - 1)
            self._changed(rep)

    def come_or_go(self, rep_id: str, away: WhyNot | None, back_at: datetime | None = None, share: float = 1.0) -> None:
        """Take in whether a rep is at work, and with what share of the weight."""
        rep = self.reps[rep_id]
        if (rep.away, rep.back_at, rep.share) != (away, back_at, share):
            rep.away, rep.back_at, rep.share = away, back_at, share
            if self._move(rep, self._rounds_of(rep)):
                self.log.append(counts(rep))
            self.refresh(rep)

    def refresh(self, rep: Rep) -> None:
        """Take in what was changed of a rep from outside."""
        for one in self._of.get(rep.rep_id, ()):
            one.refresh(rep)

    def _round(self, pool: Pool, narrows: Narrowing | None) -> Round:
        name = round_of(pool, narrows)
        found = self._rounds.get(name)
        if found is None:
            found = self._rounds[name] = Round(pool, narrows, self.reps)
            self._join(pool, found, narrows)
            self.log += [counts(rep) for rep in found.concerned if self._move(rep, [found])]
        return found

    def _rounds_of(self, rep: Rep) -> list[Round]:
        return [one for one in self._of.get(rep.rep_id, ()) if isinstance(one, Round)]

    def _move(self, rep: Rep, rounds: Sequence[Round]) -> bool:
        """Let the rep's time in rounds stand still, go on or be counted anew; says whether anything changed.

        What is read of other instances has been moved by them: it is taken in by `refresh` alone.
        """
        moved = {one.name: turn for one in rounds if (turn := one.moved(rep)) is not None}
        if moved:
            self._changing(rep.rep_id)
            rep.turns |= moved
        return bool(moved)

    def _pace(self, pool: Pool, narrows: Narrowing | None) -> Pace | None:
        """Return the pace of a round, None for a pool of one rep of the lead's: nobody else could have the lead."""
        if pool.pool in NAMED:
            return None
        name = pace_of(pool, narrows)
        found = self._paces.get(name)
        if found is None:
            found = self._paces[name] = Pace(pool, narrows, self.reps)
            self._join(pool, found, narrows)
        return found

    def _is_level(self, rep: Rep, standing: Standing) -> bool:
        """Say whether a rep who got a lead is as loaded by now as who would be next after them."""
        other = standing.first({rep.rep_id})
        return other is not None and load(rep) >= load(self.reps[other])

    def _join(self, pool: Pool, one: Pace | Round | Standing, narrows: Narrowing | None) -> None:
        """Have the reps told of who count in it. Whom a rule leaves out that goes by the lead are none of its many."""
        for rep_id in pool.members:
            if narrows is None or not narrows.of or narrows.holds(self.reps[rep_id].values):
                self._of[rep_id].append(one)

    def _changing(self, rep_id: str) -> Rep | None:
        rep = self.reps.get(rep_id)
        if rep is not None and rep_id not in self.before:
            self.before[rep_id] = counts(rep)
        return rep

    def _changed(self, rep: Rep) -> None:
        self._move(rep, self._rounds_of(rep))
        self.log.append(counts(rep))
        self.refresh(rep)


def counts(rep: Rep) -> Count:
    """Return a rep's counts as they are now."""
    return Count(rep.rep_id, rep.open, rep.untouched, dict(rep.by_pool), dict(rep.turns), rep.last_assigned_at)
