"""Who of a pool can take a lead, who cannot and why: kept as counts change, never gone through for a decision."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from routing.domain import Pool, Rep, WhyNot
from routing.narrowing import Narrowing
from routing.room import without_room
from routing.turns import Order

_BACK: Final = (WhyNot.OFF_HOURS, WhyNot.ON_LEAVE)


class Standing:
    """The reps of a pool as one kind of lead finds them: those that a rule narrows it to, touched already or not."""

    def __init__(
        self, pool: Pool, narrows: Narrowing | None, order: Order, reps: Mapping[str, Rep], *, touched: bool
    ) -> None:
        self.pool = pool
        self._narrows = narrows
        self._touched = touched
        self._order = order
        self._why: dict[str, WhyNot] = {}
        self._counts: Counter[WhyNot] = Counter()
        self._room: dict[str, int] = {}
        self._all_room = 0
        self._back: list[tuple[datetime, str]] = []
        self._expected: dict[str, datetime] = {}
        for rep_id in pool.members:
            if (rep := reps.get(rep_id)) is not None:
                self.refresh(rep)

    def refresh(self, rep: Rep) -> None:
        """Take in what changed of a rep."""
        why = without_room(self.pool, self._narrows, rep, touched=self._touched)
        before = self._why.pop(rep.rep_id, None)
        if before is not None:
            self._counts[before] -= 1
        room = 0
        if why is None:
            room = self._room_of(rep)
            self._order.put(rep)
        else:
            self._why[rep.rep_id] = why
            self._counts[why] += 1
            self._order.drop(rep.rep_id)
            if why in _BACK and rep.back_at is not None and self._expected.get(rep.rep_id) != rep.back_at:
                self._expected[rep.rep_id] = rep.back_at
                heappush(self._back, (rep.back_at, rep.rep_id))
        self._all_room += room - self._room.get(rep.rep_id, 0)
        self._room[rep.rep_id] = room

    @property
    def able(self) -> int:
        """How many reps can take such a lead."""
        return len(self._room) - len(self._why)

    def room_but(self, declined: Collection[str]) -> int:
        """Return how many such leads could be let in now by others than those whom they declined."""
        return self._all_room - sum(self._room.get(rep_id, 0) for rep_id in declined)

    def suits(self, rep_id: str) -> bool:
        """Say whether the rep is one of those for such leads, whether or not there is room now."""
        return rep_id in self._room and self._why.get(rep_id) not in (WhyNot.NO_MATCH, WhyNot.INACTIVE)

    def first(self, declined: Collection[str]) -> str | None:
        """Return who gets the next such lead, None when nobody can take it."""
        return self._order.first(declined)

    def reasons(self, declined: Collection[str]) -> set[WhyNot]:
        """Return why the others cannot, those left out who declined it."""
        counts = self._counts
        if declined:
            counts = counts.copy()
            for rep_id in declined:
                if (why := self._why.get(rep_id)) is not None and why is not WhyNot.INACTIVE:
                    counts[why] -= 1
        return {why for why, count in counts.items() if count > 0}

    def thoughts(self, declined: Collection[str], most: int | None) -> dict[str, WhyNot]:
        """Return what is thought of the first `most` of the pool, whoever of them is chosen; None: of all."""
        known, why_not = filter(self._room.__contains__, self.pool.members), self._order.why_not
        said = {rep_id: self._why.get(rep_id) or why_not(rep_id) for rep_id in islice(known, most)}
        for rep_id in declined:
            if rep_id in said and said[rep_id] is not WhyNot.INACTIVE:
                said[rep_id] = WhyNot.DECLINED_BEFORE
        return said

    def back_at(self, now: datetime) -> datetime | None:
        """Return when the first of those who are away for a time is back."""
        while self._back:
            at, rep_id = self._back[0]
            if at > now and self._why.get(rep_id) in _BACK:
                return at
            heappop(self._back)
            if self._expected.get(rep_id) == at:
                del self._expected[rep_id]
        return None

    def _room_of(self, rep: Rep) -> int:
        room = rep.cap - rep.open
        if self.pool.cap is not None:
            room = min(room, self.pool.cap - rep.by_pool.get(self.pool.pool, 0))
        if self.pool.untouched_cap is not None and not self._touched:
            room = min(room, self.pool.untouched_cap - rep.untouched)
        return room
