"""What a policy would have done with the leads of the past: reps, caps and hours as they were, loads as they would be.

A lead is held by whom it would have been given for as long as it really was. When leads were touched is not known to
routing, so caps of untouched leads are not looked at.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Final
from uuid import UUID

from backbone import times
from backbone.database import Connection
from routing import assigning
from routing.domain import Lead, Outcome
from routing.history import Past, lead_of

LISTED: Final = 500
"""Leads with another rep that are listed; all are counted."""
REFUSED_IN_A_ROW: Final = 16

Case = tuple[UUID, int]
"""A lead in one cycle."""


@dataclass(slots=True)
class _Run:
    past: Past
    held_for: Mapping[Case, timedelta]
    ends: list[tuple[datetime, str, str]]
    """A heap of when a rep's assignment from a pool ends."""
    waiting: dict[Case, Lead] = field(default_factory=dict)
    queue: list[tuple[int, datetime, Case]] = field(default_factory=list)
    """Those who wait, best, then oldest."""
    actual: dict[Case, str] = field(default_factory=dict)
    simulated: dict[Case, tuple[str, str]] = field(default_factory=dict)
    """Rep and rule."""
    arrived: dict[Case, datetime] = field(default_factory=dict)
    waited: int = 0
    peaks: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By day (UTC), then rep: the most open at once."""

    def go_to(self, at: datetime) -> None:
        """End what ended by then; whoever waits gets the room."""
        group = self.past.group
        assert group is not None
        while self.ends and self.ends[0][0] <= at:
            ended_at, rep_id, pool = heappop(self.ends)
            group.index.take(rep_id, pool, untouched=False)
            self._drain(ended_at)
        self._drain(at)

    def decide(self, case: Case, lead: Lead, at: datetime) -> bool:
        """Decide over a lead; says whether it found a rep."""
        group = self.past.group
        assert group is not None
        decision = assigning.decide(lead, group.index, group.policy, at)
        if decision.outcome is not Outcome.ASSIGNED or decision.rep_id is None:
            if case not in self.waiting:
                self.waiting[case] = replace(lead, waiting_since=at)
                insort(self.queue, (lead.rank, lead.created_at, case))
            return False
        self.waiting.pop(case, None)
        self.simulated[case] = (decision.rep_id, decision.rule)
        if case in self.held_for:
            heappush(self.ends, (at + self.held_for[case], decision.rep_id, decision.pool))
        day = self.peaks[f"{at:%Y-%m-%d}"]
        day[decision.rep_id] = max(day[decision.rep_id], group.index.reps[decision.rep_id].open)
        return True

    def _drain(self, at: datetime) -> None:
        """Let in who waits, best, then oldest, until so many in a row find no room."""
        refused = 0
        for place in list(self.queue):
            if refused == REFUSED_IN_A_ROW:
                return
            case = place[2]
            if self.decide(case, self.waiting[case], at):
                self.queue.remove(place)
                refused = 0
            else:
                refused += 1


async def run(
    conn: Connection, version: int, document: Mapping[str, Any], since: datetime, until: datetime
) -> dict[str, Any]:
    """Go through the leads that were decided over in [since, until) under another policy. Nothing is written."""
    past = Past(conn, policy=(version, document))
    simulation = _Run(past, await _held_for(conn, since, until), await _open_then(conn, since))
    async for row in past.decisions(since, until):
        case = (row["lead_id"], row["cycle"])
        if row["outcome"] == str(Outcome.ASSIGNED):
            simulation.actual[case] = row["rep_id"]
        lead = lead_of(row)
        if case in simulation.arrived or lead.only_pool is not None:
            continue
        simulation.arrived[case] = row["at"]
        simulation.go_to(row["at"])
        if not simulation.decide(case, replace(lead, waiting_since=None, touched=True), row["at"]):
            simulation.waited += 1
    return _told(simulation)


async def _held_for(conn: Connection, since: datetime, until: datetime) -> dict[Case, timedelta]:
    rows = await conn.fetch(
        "SELECT lead_id, cycle, ended_at - assigned_at AS held FROM ended_assignment"
        " WHERE assigned_at >= $1 AND assigned_at < $2",
        since,
        until,
    )
    return {(row["lead_id"], row["cycle"]): row["held"] for row in rows}


async def _open_then(conn: Connection, since: datetime) -> list[tuple[datetime, str, str]]:
    rows = await conn.fetch(
        "SELECT ended_at, rep_id, pool FROM ended_assignment WHERE assigned_at < $1 AND ended_at >= $1", since
    )
    found = [(row["ended_at"], row["rep_id"], row["pool"]) for row in rows]
    heapify(found)
    return found


def _told(run: _Run) -> dict[str, Any]:
    was = Counter(rep_id for case, rep_id in run.actual.items() if case in run.arrived)
    would_be = Counter(rep_id for rep_id, _ in run.simulated.values())
    peak = {rep_id: max(day.get(rep_id, 0) for day in run.peaks.values()) for rep_id in would_be}
    others = [case for case in run.arrived if run.actual.get(case) != run.simulated.get(case, (None,))[0]]
    return {
        "leads": len(run.arrived),
        "same": len(run.arrived) - len(others),
        "other": len(others),
        "waited": run.waited,
        "still_waiting": len(run.waiting),
        "reps": [
            {"rep_id": rep_id, "actual": was[rep_id], "simulated": would_be[rep_id], "most_open": peak.get(rep_id, 0)}
            for rep_id in sorted(was | would_be)
        ],
        "load": [{"day": day, "most_open": dict(sorted(run.peaks[day].items()))} for day in sorted(run.peaks)],
        "others": [
            {
                "lead_id": str(case[0]),
                "at": times.text(run.arrived[case]),
                "was": run.actual.get(case),
                "would_be": run.simulated[case][0] if case in run.simulated else None,
                "rule": run.simulated[case][1] if case in run.simulated else None,
            }
            for case in others[:LISTED]
        ],
    }
