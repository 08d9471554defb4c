"""What a policy would have done with the leads of the past: reps, caps and hours as they were, loads as they would be.

A lead is held by whom it would have been given for as long as it really was. What a person gave, or an import, no
policy would have given otherwise: the rep has it, over the cap if need be, until it really ended. When leads were
touched is not known to routing, so caps of untouched leads are not looked at. Who worked a company and which deals were
open there is known where the policy of the time asked for it; where only the other one does, the answer says so.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Final

from backbone import times
from backbone.database import Connection
from routing import assigning, policies, store_group
from routing.domain import Lead, Outcome, Pool
from routing.history import Past, lead_of, policy_of
from routing.narrowing import Narrowing
from routing.simulated_queue import Case, SimulatedQueue
from routing.store_group import Group

LISTED: Final = 500
"""Leads with another rep that are listed; all are counted."""

End = tuple[datetime, str, str]
"""When a rep's assignment from a pool ends."""

UNTOUCHED: Final = "untouched_cap"


@dataclass(slots=True)
class _Run:
    past: Past
    held_for: Mapping[Case, timedelta]
    ends: list[End]
    """A heap."""
    unknown: Mapping[int, Collection[str]]
    """By the policy in force: what the other one reads, and decisions under this one did not look up."""
    not_recorded: Counter[str] = field(default_factory=Counter)
    """How many leads were decided over as if there were nothing of it."""
    waiting: SimulatedQueue = field(default_factory=SimulatedQueue)
    actual: dict[Case, str] = field(default_factory=dict)
    simulated: dict[Case, tuple[str, str]] = field(default_factory=dict)
    """Rep and rule."""
    arrived: dict[Case, datetime] = field(default_factory=dict)
    waited: int = 0
    peaks: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By day (UTC), then rep: the most open at once."""

    def begin(self, at: datetime) -> None:
        """Forget what ended before the first decision: that one found it gone."""
        while self.ends and self.ends[0][0] < at:
            heappop(self.ends)

    def go_to(self, at: datetime) -> None:
        """End what ended by then; whoever waits gets the room."""
        group = self.past.group
        assert group is not None
        while self.ends and self.ends[0][0] <= at:
            ended_at, rep_id, pool = heappop(self.ends)
            store_group.set_availability(group, ended_at)
            group.index.take(rep_id, pool, untouched=False)
            self.waiting.room_may_have_come()
            self._drain(ended_at)
        store_group.set_availability(group, at)
        self._drain(at)

    def decide(self, case: Case, lead: Lead, at: datetime) -> bool:
        """Decide over a lead; says whether it found a rep."""
        group = self.past.group
        assert group is not None
        decision = assigning.decide(lead, group.index, group.policy, at)
        if decision.outcome is not Outcome.ASSIGNED or decision.rep_id is None:
            since = lead.waiting_since or at
            self.waiting.put(case, replace(lead, waiting_since=since), decision)
            return False
        self.waiting.drop(case)
        self.simulated[case] = (decision.rep_id, decision.rule)
        self._hold(case, decision.rep_id, decision.pool, at)
        return True

    def force(self, row: Any) -> None:
        """Give a lead as it really was given, whatever the policy says."""
        case, group, rep_id = (row["lead_id"], row["cycle"]), self.past.group, row["rep_id"]
        assert group is not None
        if case in self.simulated:
            return  # The policy would have spared the person that.
        if case in self.arrived:
            self.simulated[case] = (rep_id, row["rule"])
        self.waiting.drop(case)
        pool, narrows = _turn_of(group, row)
        group.index.give(rep_id, pool, row["at"], touched=True, narrows=narrows, counted_in=row["pool"])
        self._hold(case, rep_id, row["pool"], row["at"])

    def _hold(self, case: Case, rep_id: str, pool: str, at: datetime) -> None:
        """Note until when a rep has a lead, and how many they have by now."""
        group = self.past.group
        assert group is not None
        if case in self.held_for:
            heappush(self.ends, (at + self.held_for[case], rep_id, pool))
        day = self.peaks[f"{at:%Y-%m-%d}"]
        day[rep_id] = max(day[rep_id], group.index.reps[rep_id].open)

    def _drain(self, at: datetime) -> None:
        """Let in who waits, where there is room for them or they are due."""
        group = self.past.group
        assert group is not None
        for case, lead in self.waiting.next(group, at):
            self.decide(case, lead, at)


def _turn_of(group: Group, row: Any) -> tuple[Pool | None, Narrowing | None]:
    """Return in whose round a rep was given a lead, None where it was nobody's turn."""
    policy, rep_id = group.policy, row["rep_id"]
    pool = assigning.pool_of(policy, row["pool"]) if policy is not None and row["strategy"] else None
    if policy is None or pool is None or rep_id not in pool.members:
        return None, None
    values = lead_of(row).values if row["inputs"] is not None else {}
    narrows = next((rule.narrowing(values) for rule in policy.rules if rule.rule == row["rule"]), None)
    is_taken = narrows is not None and narrows.holds(group.index.reps[rep_id].values)
    return pool, narrows if is_taken else None


async def run(
    conn: Connection, version: int, document: Mapping[str, Any], since: datetime, until: datetime
) -> dict[str, Any]:
    """Go through the leads that were decided over in [since, until) under another policy. Nothing is written."""
    past = Past(conn, policy=(version, document))
    unknown = dict[int, Collection[str]]()
    simulation: _Run | None = None
    async for row in past.decisions(since, until):
        if simulation is None:
            simulation = _Run(past, *await _endings(conn, since), unknown)
            simulation.begin(row["at"])
        if row["policy_version"] not in unknown:
            unknown[row["policy_version"]] = await _unknown(conn, row["policy_version"], document)
        _go_through(simulation, row)
    if simulation is not None:
        simulation.go_to(until)
    return _told(simulation or _Run(past, {}, [], {}))


def _go_through(run: _Run, row: Any) -> None:
    """Take in one decision of the past."""
    case, was_given = (row["lead_id"], row["cycle"]), row["outcome"] != str(Outcome.WAITING)
    run.go_to(row["at"])
    if was_given:
        run.actual[case] = row["rep_id"]
    lead = lead_of(row) if row["inputs"] is not None else None
    if lead is None or lead.only_pool is not None:
        if was_given:
            run.force(row)
    elif case not in run.arrived:
        run.arrived[case] = row["at"]
        run.not_recorded.update(run.unknown[row["policy_version"]])
        if not run.decide(case, replace(lead, waiting_since=None, touched=True), row["at"]):
            run.waited += 1


async def _unknown(conn: Connection, version: int, document: Mapping[str, Any]) -> Collection[str]:
    """Return what a document asks that is not recorded: of companies, what the policy of this version did not look up.

    And when leads were touched.
    """
    found = await policy_of(conn, version)
    names = policies.looked_up(document) - (policies.looked_up(found[1]) if found is not None else set())
    return names | ({UNTOUCHED} if any(UNTOUCHED in pool for pool in document["pools"]) else set())


async def _endings(conn: Connection, since: datetime) -> tuple[dict[Case, timedelta], list[End]]:
    """Return how long what was given since then was held, and as a heap when what was given before ended.

    An import says itself since when its rep has it, so that only the decision tells when it came.
    """
    rows = await conn.fetch(
        "SELECT e.lead_id, e.cycle, e.ended_at, e.rep_id, e.pool, d.at FROM ended_assignment e"
        " JOIN decision d ON d.lead_id = e.lead_id AND d.cycle = e.cycle AND d.outcome <> 'waiting'"
        " WHERE e.ended_at >= $1",
        since,
    )
    held = {(row["lead_id"], row["cycle"]): row["ended_at"] - row["at"] for row in rows if row["at"] >= since}
    before = [(row["ended_at"], row["rep_id"], row["pool"]) for row in rows if row["at"] < since]
    heapify(before)
    return held, before


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
        "not_recorded": dict(sorted(run.not_recorded.items())),
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
