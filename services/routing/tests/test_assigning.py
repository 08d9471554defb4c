"""The choice over any history: held against a rule that goes through everybody, and against an index made afresh."""

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from routing import assigning
from routing.domain import Lead, Policy, Pool, Rep, Rule, Strategy, Turn, WhyNot
from routing.index import Index
from routing.narrowing import Narrowing

NOW: Final = datetime(2026, 11, 10, 12, tzinfo=UTC)
UNIT: Final = 1_000_000
NEVER_HAD: Final = Turn(0.0, 0.0)
NAMES: Final = ("ana", "ben", "cem", "dee", "eli")
MOST_FROM_SHARE: Final = 2.0
"""In leads."""
AWAY: Final = (WhyNot.OFF_HOURS, WhyNot.ON_LEAVE, WhyNot.PAUSED, WhyNot.INACTIVE)


def speaks_german(values: Any) -> bool:
    return bool(values["german"])


EVERYONE: Final = Rule(rule="everyone", to="main", holds=lambda values: not values["german"])
GERMAN: Final = Rule(
    rule="german",
    to="main",
    holds=lambda values: bool(values["german"]),
    narrows=Narrowing("german", speaks_german),
)


PLAIN: Final = Rule(rule="plain", to="main", holds=lambda _: True)


def expected(lead: Lead, narrows: Any, pool: Pool, reps: dict[str, Rep]) -> str | None:
    """Choose by going through everybody: what the pool's rule says, written down plainly."""

    def weight(rep: Rep) -> int:
        shared = rep.weight * rep.share * (rep.performance if pool.strategy is Strategy.PERFORMANCE_WEIGHTED else 1)
        return max(1, round(shared * UNIT))

    def has_room(rep: Rep) -> bool:
        in_pool = pool.cap is None or rep.by_pool.get(pool.pool, 0) < pool.cap
        untouched = pool.untouched_cap is None or lead.touched or rep.untouched < pool.untouched_cap
        return rep.open < rep.cap and in_pool and untouched

    def wait(rep: Rep) -> tuple[float, str]:
        return (rep.last_assigned_at.timestamp() if rep.last_assigned_at else 0.0, rep.rep_id)

    able = [
        rep
        for rep in reps.values()
        if rep.away is None
        and rep.rep_id not in lead.declined
        and has_room(rep)
        and (narrows is None or narrows(rep.values))
    ]
    if not able:
        return None
    if pool.strategy is Strategy.LEAST_LOADED:
        name = "main by load" if narrows is None else "main by german by load"
        had = {rep.rep_id: rep.turns.get(name, NEVER_HAD) for rep in reps.values()}
        given = max(turn.clock for turn in had.values())
        due = [rep for rep in able if had[rep.rep_id].next <= given]
        first = min(had[rep.rep_id].next for rep in able)
        soonest = [rep for rep in able if had[rep.rep_id].next == first]
        return min(due or soonest, key=lambda rep: (rep.open / (rep.cap * rep.share), wait(rep))).rep_id
    name = "main" if narrows is None else "main by german"
    clock = max((rep.turns[name].clock for rep in reps.values() if name in rep.turns), default=0.0)
    begins = {rep.rep_id: round(rep.turns[name].next if name in rep.turns else clock, 6) for rep in able}
    begun = [rep for rep in able if round(begins[rep.rep_id] - clock, 6) <= 0]
    ends = {rep.rep_id: round(begins[rep.rep_id] + UNIT / weight(rep), 6) for rep in able}
    if begun:
        return min(begun, key=lambda rep: (ends[rep.rep_id], wait(rep))).rep_id
    return min(able, key=lambda rep: (begins[rep.rep_id], ends[rep.rep_id], wait(rep))).rep_id


class Histories(RuleBasedStateMachine):
    """Leads come, are declined, touched, closed; reps come and go: whatever the order, the choice is the rule's."""

    @initialize(
        strategy=st.sampled_from(list(Strategy)),
        weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=5, max_size=5),
        caps=st.lists(st.integers(0, 6), min_size=5, max_size=5),
        cap=st.sampled_from([None, 3]),
        untouched_cap=st.sampled_from([None, 2]),
    )
    def found(
        self, strategy: Strategy, weights: list[float], caps: list[int], cap: int | None, untouched_cap: int | None
    ) -> None:
        reps = {
            name: Rep(
                rep_id=name,
                role="sdr",
                cap=caps[place],
                weight=weights[place],
                values={"german": place % 2 == 0},
                away=None,
                back_at=None,
                open=0,
                untouched=0,
                turns={},
                last_assigned_at=None,
                performance=1 + place / 4,
            )
            for place, name in enumerate(NAMES)
        }
        self.index = Index(reps)
        self.pool = Pool(pool="main", strategy=strategy, members=NAMES, cap=cap, untouched_cap=untouched_cap)
        self.policy = Policy(version=1, pools={"main": self.pool}, rules=(GERMAN, EVERYONE), pairs={})
        self.held: list[tuple[str, bool]] = []
        self.now = NOW

    @rule(german=st.booleans(), touched=st.booleans(), declined=st.frozensets(st.sampled_from(NAMES), max_size=2))
    def a_lead_comes(self, german: bool, touched: bool, declined: frozenset[str]) -> None:
        self.now += timedelta(seconds=1)
        self.index.begin()
        lead = Lead(
            lead_id=UUID(int=0),
            values={"german": german},
            rank=1,
            created_at=NOW,
            touched=touched,
            declined=declined,
        )
        wanted = expected(lead, speaks_german if german else None, self.pool, self.index.reps)
        afresh = assigning.decide(lead, Index(deepcopy(self.index.reps)), self.policy, self.now, most=None)
        decision = assigning.decide(lead, self.index, self.policy, self.now, most=None)
        assert decision.rep_id == wanted
        assert (afresh.rep_id, afresh.reason_code, afresh.considered) == (
            decision.rep_id,
            decision.reason_code,
            decision.considered,
        )
        assert {one.rep_id for one in decision.considered} == set(NAMES)
        assert [one.rep_id for one in decision.considered if one.chosen] == ([wanted] if wanted else [])
        if wanted is not None:
            self.held.append((wanted, touched))

    @precondition(lambda self: self.held)
    @rule(place=st.integers(0, 30))
    def a_lead_ends(self, place: int) -> None:
        rep_id, touched = self.held.pop(place % len(self.held))
        self.index.take(rep_id, "main", untouched=not touched)

    @precondition(lambda self: self.held)
    @rule(place=st.integers(0, 30))
    def a_lead_is_touched(self, place: int) -> None:
        rep_id, touched = self.held[place % len(self.held)]
        self.held[place % len(self.held)] = (rep_id, True)
        if not touched:
            self.index.touch(rep_id)

    @rule(name=st.sampled_from(NAMES), away=st.sampled_from([None, None, *AWAY]), share=st.sampled_from([1.0, 0.25]))
    def a_rep_comes_or_goes(self, name: str, away: WhyNot | None, share: float) -> None:
        self.index.come_or_go(name, away, None, share)

    @invariant()
    def nobody_is_over_the_cap(self) -> None:
        counted = Counter(rep_id for rep_id, _ in self.held)
        untouched = Counter(rep_id for rep_id, touched in self.held if not touched)
        for rep in self.index.reps.values():
            assert rep.open == counted[rep.rep_id] <= rep.cap
            assert rep.untouched == untouched[rep.rep_id]
            assert self.pool.cap is None or rep.by_pool.get("main", 0) <= self.pool.cap
            assert self.pool.untouched_cap is None or rep.untouched <= self.pool.untouched_cap


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=60)


@settings(max_examples=100)
@given(
    strategy=st.sampled_from([Strategy.WEIGHTED_ROUND_ROBIN, Strategy.PERFORMANCE_WEIGHTED]),
    weights=st.lists(st.integers(1, 7), min_size=5, max_size=5),
    others=st.lists(st.tuples(st.sampled_from(NAMES[1:]), st.sampled_from([None, *AWAY])), min_size=1, max_size=120),
)
def test_no_starvation(strategy: Strategy, weights: list[int], others: list[tuple[str, WhyNot | None]]) -> None:
    """Who is at work with room gets their share of the leads, whoever else comes and goes in whatever rhythm."""
    said: dict[str, Any] = {"role": "sdr", "cap": 1000, "values": {}, "away": None, "back_at": None}
    said |= {"open": 0, "untouched": 0, "last_assigned_at": None}
    reps = {
        # Turns are each rep's own: a dictionary that all had would let them take turns in one another's place.
        name: Rep(rep_id=name, weight=weight, turns={}, **said)
        for name, weight in zip(NAMES, map(float, weights), strict=True)
    }
    index = Index(reps)
    pool = Pool(pool="main", strategy=strategy, members=NAMES)
    policy = Policy(version=1, pools={"main": pool}, rules=(PLAIN,), pairs={})
    owed = dict.fromkeys(NAMES, 0.0)
    for number, (name, away) in enumerate(others * 3):
        index.come_or_go(name, away)
        lead = Lead(lead_id=UUID(int=number), values={}, rank=1, created_at=NOW)
        chosen = assigning.decide(lead, index, policy, NOW + timedelta(seconds=number)).rep_id
        assert chosen is not None
        there = [rep for rep in reps.values() if rep.away is None]
        for rep in there:
            owed[rep.rep_id] += rep.weight / sum(one.weight for one in there)
        owed[chosen] -= 1
        # Of each lead that came while they were there, their share: see decision 14.
        assert all(abs(left) <= MOST_FROM_SHARE for left in owed.values()), owed
