"""What a policy would have done with the leads of the past: reps, caps and hours as they were, loads as they would be.

A lead is held by whom it would have been given for as long as it really was. What a person gave, or an import, no
policy would have given otherwise: the rep has it, over the cap if need be, until it really ended. It is touched as long
after it is given as it really was; of what was touched before that was noted, it counts as touched from the beginning,
and the answer says of how many. Who worked a company and which deals were open there is known where the policy of the
time asked for it; where only the other one does, the answer says so.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Final
from uuid import UUID

from backbone import times
from backbone.database import Connection
from routing import assigning, history, policies, store_group
from routing.domain import Lead, Outcome, Pool
from routing.history import Past, policy_of
from routing.inputs import lead_of
from routing.narrowing import Narrowing
from routing.simulated_queue import Case, SimulatedQueue
from routing.store_group import Group

LISTED: Final = 500
"""Leads with another rep that are listed; all are counted."""

Change = tuple[datetime, bool, str, str, Case]
"""When a rep's assignment from a pool is first touched, or (True) ends."""

UNTOUCHED: Final = "untouched_cap"


@dataclass(slots=True)
class _Really:
    """What became of assignments."""

    held_for: dict[Case, timedelta] = field(default_factory=dict)
    touched_after: dict[Case, timedelta] = field(default_factory=dict)
    untimed: set[Case] = field(default_factory=set)
    """Touched, nobody knows when."""
    untouched: set[Case] = field(default_factory=set)
    """Of those of before the span, when it began."""
    changes: list[Change] = field(default_factory=list)
    """Of the same; a heap."""
    handed_over: set[Case] = field(default_factory=set)
    """To a pool, by a person, and given to a rep of it in the end."""


@dataclass(slots=True)
class _Run:
    past: Past
    really: _Really
    asks_untouched: bool
    """Whether the policy has a cap of untouched leads."""
    unknown: Mapping[int, Collection[str]]
    """By the policy in force: what the other one reads, and decisions under this one did not look up."""
    not_recorded: Counter[str] = field(default_factory=Counter)
    """How many leads were decided over as if there were nothing of it."""
    waiting: SimulatedQueue = field(default_factory=SimulatedQueue)
    actual: dict[Case, str] = field(default_factory=dict)
    simulated: dict[Case, tuple[str, str]] = field(default_factory=dict)
    """Rep and rule."""
    arrived: dict[Case, datetime] = field(default_factory=dict)
    untouched: set[Case] = field(default_factory=set)
    waited: int = 0
    peaks: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By day (UTC), then rep: the most open at once."""

    def begin(self, at: datetime) -> None:
        """Forget what happened before the first decision: that one found it done."""
        self.untouched |= self.really.untouched
        while self.really.changes and self.really.changes[0][0] < at:
            self.untouched.discard(heappop(self.really.changes)[-1])

    def go_to(self, at: datetime) -> None:
        """End what ended by then, and touch what was touched; whoever waits gets the room."""
        group, changes = self.past.group, self.really.changes
        assert group is not None
        while changes and changes[0][0] <= at:
            changed_at, is_end, rep_id, pool, case = heappop(changes)
            store_group.set_availability(group, changed_at)
            if is_end:
                group.index.take(rep_id, pool, untouched=case in self.untouched)
            elif case in self.untouched:
                group.index.touch(rep_id)
            self.untouched.discard(case)
            self.waiting.room_may_have_come()
            self._drain(changed_at)
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
        if not lead.touched:
            self.untouched.add(case)
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
        is_touched = row["outcome"] == str(Outcome.TAKEN_OVER) or case in self.really.untimed
        if not is_touched:
            self.untouched.add(case)
        group.index.give(rep_id, pool, row["at"], touched=is_touched, narrows=narrows, counted_in=row["pool"])
        self._hold(case, rep_id, row["pool"], row["at"])

    def _hold(self, case: Case, rep_id: str, pool: str, at: datetime) -> None:
        """Note until when a rep has a lead, when they touch it, and how many they have by now."""
        group, really = self.past.group, self.really
        assert group is not None
        if case in really.held_for:
            heappush(really.changes, (at + really.held_for[case], True, rep_id, pool, case))
        if case in really.touched_after and case in self.untouched:
            heappush(really.changes, (at + really.touched_after[case], False, rep_id, pool, case))
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
            asks = any(UNTOUCHED in pool for pool in document["pools"])
            simulation = _Run(past, await _really(conn, since, asks_untouched=asks), asks, unknown)
            simulation.begin(row["at"])
            for waits in sorted(await history.waited(conn, since), key=_place):
                await _look_up(conn, waits["policy_version"], document, unknown)
                _go_through(simulation, waits, row["at"])
        await _look_up(conn, row["policy_version"], document, unknown)
        _go_through(simulation, row)
    if simulation is not None:
        simulation.go_to(until)
    return _told(simulation or _Run(past, _Really(), asks_untouched=False, unknown={}))


def _place(row: Any) -> tuple[int, datetime, UUID]:
    lead = lead_of(row)
    return lead.rank, lead.created_at, lead.lead_id


def _go_through(run: _Run, row: Any, now: datetime | None = None) -> None:
    """Take in one decision of the past; with `now` one of before, by which a lead waited until then."""
    case, was_given, at = (row["lead_id"], row["cycle"]), row["outcome"] != str(Outcome.WAITING), now or row["at"]
    run.go_to(at)
    if was_given:
        run.actual[case] = row["rep_id"]
    lead = lead_of(row) if row["inputs"] is not None else None
    since = (lead.waiting_since or row["at"]) if lead is not None and now is not None else None
    if lead is None or (lead.only_pool is not None and was_given):
        if was_given:
            run.force(row)
    elif lead.only_pool is not None:
        # A person chose the pool, no policy the rep: it takes the room there that it would have taken.
        if case in run.really.handed_over and case not in run.simulated:
            run.decide(case, replace(lead, waiting_since=since), at)
    elif case not in run.arrived:
        run.arrived[case] = at
        run.not_recorded.update(run.unknown[row["policy_version"]])
        is_touched = lead.touched or case in run.really.untimed
        if run.asks_untouched and case in run.really.untimed and not lead.touched:
            run.not_recorded[UNTOUCHED] += 1
        if not run.decide(case, replace(lead, waiting_since=since, touched=is_touched), at):
            run.waited += 1


async def _look_up(
    conn: Connection, version: int, document: Mapping[str, Any], unknown: dict[int, Collection[str]]
) -> None:
    """Note what a document asks of companies that the policy of this version did not look up."""
    if version not in unknown:
        found = await policy_of(conn, version)
        unknown[version] = policies.looked_up(document) - (policies.looked_up(found[1]) if found is not None else set())


async def _really(conn: Connection, since: datetime, *, asks_untouched: bool) -> _Really:
    """Return what became of the assignments of a span, and of those of before it that it found open.

    Of what is open still nothing but its touch is of interest. An import says itself since when its rep has it, so that
    only the decision tells when it came.
    """
    rows = await conn.fetch(
        "WITH a AS (SELECT lead_id, cycle, rep_id, pool, touched, touched_at, ended_at FROM ended_assignment"
        " WHERE ended_at >= $1"
        " UNION ALL SELECT lead_id, cycle, rep_id, pool, touched, touched_at, NULL FROM assignment WHERE $2)"
        " SELECT a.*, d.at FROM a JOIN decision d"
        " ON d.lead_id = a.lead_id AND d.cycle = a.cycle AND d.outcome <> 'waiting'",
        since,
        asks_untouched,
    )
    found = _Really()
    for row in rows:
        case, came_at, told_at, ended_at = (row["lead_id"], row["cycle"]), row["at"], row["touched_at"], row["ended_at"]
        if row["touched"] and told_at is None:
            found.untimed.add(case)
        if came_at >= since:
            found.held_for |= {case: ended_at - came_at} if ended_at is not None else {}
            found.touched_after |= {case: told_at - came_at} if told_at is not None else {}
            continue
        if not row["touched"] or (told_at is not None and told_at >= since):
            found.untouched.add(case)
        if told_at is not None and told_at >= since:
            found.changes.append((told_at, False, row["rep_id"], row["pool"], case))
        if ended_at is not None:
            found.changes.append((ended_at, True, row["rep_id"], row["pool"], case))
    heapify(found.changes)
    given = "SELECT lead_id, cycle FROM decision WHERE rule = $1 AND outcome <> 'waiting' AND at >= $2"
    found.handed_over = {
        (row["lead_id"], row["cycle"]) for row in await conn.fetch(given, assigning.HANDED_OVER, since)
    }
    return found


def _told(run: _Run) -> dict[str, Any]:
    was = Counter(rep_id for case, rep_id in run.actual.items() if case in run.arrived)
    would_be = Counter(rep_id for case, (rep_id, _) in run.simulated.items() if case in run.arrived)
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
