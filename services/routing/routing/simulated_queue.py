"""Those who wait in a simulation, by what they wait for, as the router keeps them: nobody is in another pool's way."""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any, Final, NamedTuple
from uuid import UUID

from routing import queueing
from routing.domain import Decision, Lead
from routing.index import Index
from routing.store_group import Group

REFUSED_IN_A_ROW: Final = 16
"""So many of one queue, best first, are looked at in vain: room is counted as the most that there may be."""

Case = tuple[UUID, int]
"""A lead in one cycle."""
Place = tuple[int, datetime, Case]
"""Of somebody who waits: the best, then the oldest come first."""


class _Waits(NamedTuple):
    lead: Lead
    place: Place
    key: str
    retry_at: datetime | None


@dataclass(slots=True)
class _Queue:
    """Leads that the same room lets in."""

    wanted: list[Any]
    places: list[Place] = field(default_factory=list)


class SimulatedQueue:
    """Who waits. What it costs goes by the queues that have room, not by how many wait."""

    def __init__(self) -> None:
        self._waits: dict[Case, _Waits] = {}
        self._queues: dict[str, _Queue] = {}
        self._due: list[tuple[datetime, Place]] = []
        """A heap of when somebody is decided over whatever the room; who waits for something else since is left in."""
        self._seen: tuple[Index, Any] | None = None
        """The reps, and who of them comes or goes next, when all the room that there was had been filled."""

    def __len__(self) -> int:
        return len(self._waits)

    def put(self, case: Case, lead: Lead, decision: Decision) -> None:
        """Let a lead wait for what a decision says; one that waits already may wait for something else now."""
        self.drop(case)
        wanted = queueing.wants(lead, decision.targets)
        waits = _Waits(lead, (lead.rank, lead.created_at, case), queueing.text(wanted), decision.retry_at)
        self._waits[case] = waits
        insort(self._queues.setdefault(waits.key, _Queue(wanted)).places, waits.place)
        if waits.retry_at is not None:
            heappush(self._due, (waits.retry_at, waits.place))

    def drop(self, case: Case) -> None:
        """Take a lead out, if it waits."""
        waits = self._waits.pop(case, None)
        if waits is None:
            return
        places = self._queues[waits.key].places
        del places[bisect_right(places, waits.place) - 1]
        if not places:
            del self._queues[waits.key]

    def room_may_have_come(self) -> None:
        """Note that a rep has one lead less."""
        self._seen = None

    def next(self, group: Group, at: datetime) -> Iterator[tuple[Case, Lead]]:
        """Yield who is due or may find room, best, then oldest. Whoever asks decides, and drops or puts them."""
        heads = [(place, "") for place in self._take_due(at)]
        seen = (group.index, group.changes[0] if group.changes else None)
        # Arrivals only fill room: while nobody ended one, came or went, whoever found none finds none.
        if seen != self._seen:
            heads += [(one.places[0], key) for key, one in self._queues.items() if _has_room(one, group)]
        self._seen = seen
        heapify(heads)
        refused = Counter[str]()
        while heads:
            place, key = heappop(heads)
            case = place[2]
            if (waits := self._waits.get(case)) is not None:
                yield case, waits.lead
                refused[key] = refused[key] + 1 if case in self._waits else 0
            # Each queue counts by itself, so that who finds no room in one pool costs no other pool its turn.
            queue = self._queues.get(key)
            if queue is None or refused[key] >= REFUSED_IN_A_ROW or not _has_room(queue, group):
                continue
            if (after := bisect_right(queue.places, place)) < len(queue.places):
                heappush(heads, (queue.places[after], key))

    def _take_due(self, at: datetime) -> Iterator[Place]:
        while self._due and self._due[0][0] <= at:
            retry_at, place = heappop(self._due)
            waits = self._waits.get(place[2])
            if waits is not None and waits.retry_at == retry_at:
                yield place


def _has_room(queue: _Queue, group: Group) -> bool:
    assert group.policy is not None
    return queueing.room(queue.wanted, group.index, group.policy) > 0
