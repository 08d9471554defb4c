"""The pure choice: turns, load, caps."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import assigning
from routing.domain import Rule, Strategy, WhyNot
from routing.index import Index
from routing.narrowing import Narrowing
from services.routing.tests.core import EVERYONE, NOW, ROUND, index, lead, policy, rep, turns


@given(weights=st.lists(st.integers(1, 7), min_size=1, max_size=6), count=st.integers(1, 120))
def test_nobody_is_ever_more_than_one_lead_away_from_their_share(weights: list[int], count: int) -> None:
    names = [f"rep{number}" for number in range(len(weights))]
    pool = index(*(rep(name, weight=float(weight)) for name, weight in zip(names, weights, strict=True)))
    given_so_far: Counter[str] = Counter()
    for number, name in enumerate(turns(pool, policy(ROUND, names), count), start=1):
        given_so_far[name] += 1
        for other, weight in zip(names, weights, strict=True):
            assert abs(given_so_far[other] - number * weight / sum(weights)) <= 1 + 1e-6


@given(germans=st.lists(st.booleans(), min_size=1, max_size=120))
def test_whom_a_rule_takes_besides_is_owed_no_less_and_the_others_no_more_of_the_rest(germans: list[bool]) -> None:
    weights = {"ana": 1.0, "ben": 3.0, "cem": 1.0, "dee": 2.0}
    pool = index(*(rep(name, weight=weight, values={"de": name in "ana dee"}) for name, weight in weights.items()))
    german = Rule(
        rule="german",
        to="sdr",
        holds=lambda values: bool(values),
        narrows=Narrowing("german", lambda values: bool(values["de"])),
    )
    rules = policy(ROUND, list(weights), german, EVERYONE)
    got: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for is_german in germans:
        values = {"german": True} if is_german else {}
        got[is_german][assigning.decide(lead(values=values), pool, rules, NOW).rep_id or ""] += 1
        for kind, able in ((True, ["ana", "dee"]), (False, list(weights))):
            total = sum(weights[name] for name in able)
            for name in able:
                assert abs(got[kind][name] - got[kind].total() * weights[name] / total) <= 1 + 1e-6


@given(before=st.sampled_from([0.01, 0.25, 1.0, 8.0]), after=st.sampled_from([0.01, 0.25, 1.0, 8.0]))
def test_whoever_weighs_more_or_less_from_now_on_takes_no_debt_or_credit_along(before: float, after: float) -> None:
    pool, names = index(rep("ana", weight=before), rep("ben"), rep("cem")), ["ana", "ben", "cem"]
    rules = policy(ROUND, names)
    turns(pool, rules, 7)
    pool.reps["ana"].weight = after
    pool = Index(pool.reps)  # as whoever changes a rep loads all of them anew
    got: Counter[str] = Counter()
    for number, name in enumerate(turns(pool, rules, 60), start=1):
        got[name] += 1
        assert abs(got["ana"] - number * after / (after + 2)) <= 2


def test_turns_are_smooth_not_in_runs() -> None:
    pool = index(rep("ana", weight=5.0), rep("ben"), rep("cem"))
    assert "ana" * 4 not in "".join(turns(pool, policy(ROUND, ["ana", "ben", "cem"]), 70))


def test_who_comes_back_and_who_is_new_take_turns_like_everybody() -> None:
    pool, rules = index(rep("ana"), rep("ben", away=WhyNot.ON_LEAVE)), policy(ROUND, ["ana", "ben", "new"])
    turns(pool, rules, 50)
    pool.come_or_go("ben", None)
    pool.reps["new"] = rep("new")
    pool.refresh(pool.reps["new"])
    after = turns(pool, rules, 12)
    assert all(count in (3, 4, 5) for count in Counter(after).values())
    assert set(after[:3]) >= {"ben", "new"}
    assert not any(len(set(run)) == 1 for run in zip(after, after[1:], after[2:], strict=False))


def test_who_was_away_for_long_gets_no_run_on_return_and_their_share_from_then_on() -> None:
    names = ["ana", "ben", "cem"]
    pool, rules = index(rep("ana"), rep("ben", away=WhyNot.ON_LEAVE), rep("cem")), policy(ROUND, names)
    turns(pool, rules, 100)
    pool.come_or_go("ben", None)
    after = turns(pool, rules, 30)
    assert set(after[:3]) == set(names)
    assert Counter(after) == dict.fromkeys(names, 10)


def test_a_repeated_away_and_back_gives_neither_debt_nor_credit() -> None:
    names = ["ana", "ben", "cem", "dee"]
    pool, rules = index(*map(rep, names)), policy(ROUND, names)
    got: Counter[str] = Counter()
    for _ in range(40):
        pool.come_or_go("dee", WhyNot.PAUSED)
        turns(pool, rules, 3)
        pool.come_or_go("dee", None)
        got.update(turns(pool, rules, 1))
    assert got["dee"] in (9, 10, 11)


def test_who_was_of_another_pool_meanwhile_comes_back_like_who_was_away() -> None:
    names = ["ana", "ben", "cem"]
    pool = index(*map(rep, names))
    turns(pool, policy(ROUND, names), 30)
    pool = Index(pool.reps)
    assert Counter(turns(pool, policy(ROUND, names[1:]), 60)) == {"ben": 30, "cem": 30}
    pool = Index(pool.reps)
    assert Counter(turns(pool, policy(ROUND, names), 30)) == dict.fromkeys(names, 10)


@pytest.mark.parametrize("strategy", [ROUND, Strategy.PERFORMANCE_WEIGHTED])
def test_those_who_were_replaced_and_those_who_replaced_them_have_the_same_from_then_on(strategy: Strategy) -> None:
    names = ["ana", "ben", "cem", "dee"]
    pool = index(*map(rep, names))
    for members, count in ((names[:2], 40), (names[2:], 12)):
        turns(pool, policy(strategy, members), count)
        pool = Index(pool.reps)
    assert Counter(turns(pool, policy(strategy, names), 40)) == dict.fromkeys(names, 10)


def toggle(pool: Index, members: list[str], name: str, how: str) -> Index:
    """Let a rep go away, be full, or leave the pool; or let them come back from it."""
    one = pool.reps[name]
    if how == "away":
        pool.come_or_go(name, WhyNot.OFF_HOURS if one.away is None else None)
        return pool
    if how == "full":
        one.cap = one.open if one.cap > one.open else 10_000
    elif name in members:
        members.remove(name)
    else:
        members.append(name)
    return Index(pool.reps)  # as whoever changes a rep or the policy loads all of them anew


@settings(max_examples=60)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=6),
    moves=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["away", "full", "pool"]), st.integers(1, 6)),
        min_size=20,
        max_size=80,
    ),
)
def test_comings_and_goings_do_not_add_up(weights: list[float], moves: list[tuple[int, str, int]]) -> None:
    of = {f"rep{number}": weight for number, weight in enumerate(weights)}
    names, members = list(of), list(of)
    pool = index(*(rep(name, weight=weight) for name, weight in of.items()))
    ahead = dict.fromkeys(names, 0.0)
    for place, how, leads in moves:
        # Somebody is always there.
        pool = toggle(pool, members, names[1 + place % (len(names) - 1)], how)
        for _ in range(leads):
            there = {name: of[name] for name in members if (it := pool.reps[name]).away is None and it.open < it.cap}
            (chosen,) = turns(pool, policy(ROUND, members), 1)
            for name, weight in there.items():
                ahead[name] -= weight / sum(there.values())
            ahead[chosen] += 1
            assert max(map(abs, ahead.values())) <= 2


def test_least_loaded_goes_by_the_share_of_the_cap_and_then_by_the_longest_wait() -> None:
    full = rep("full", cap=10, open=5)
    small, large = rep("small", cap=10), rep("large", cap=100, open=9)
    rules = policy(Strategy.LEAST_LOADED, ["full", "large", "small"])
    assert turns(index(full, small, large), rules, 3) == ["small", "large", "small"]
    idle = index(rep("ana"), rep("zoe"))
    assert turns(idle, policy(Strategy.LEAST_LOADED, ["ana", "zoe"]), 4) == ["ana", "zoe", "ana", "zoe"]


@given(caps=st.lists(st.integers(1, 40), min_size=1, max_size=6), count=st.integers(1, 80))
def test_least_loaded_fills_everybody_alike(caps: list[int], count: int) -> None:
    reps = {f"rep{number}": rep(f"rep{number}", cap=cap) for number, cap in enumerate(caps)}
    given_so_far: Counter[str] = Counter()
    for name in turns(index(*reps.values()), policy(Strategy.LEAST_LOADED, list(reps)), min(count, sum(caps))):
        loads = {other: given_so_far[other] / one.cap for other, one in reps.items() if given_so_far[other] < one.cap}
        assert loads[name] == min(loads.values())
        given_so_far[name] += 1


def gaps(names: list[str], name: str) -> list[int]:
    """Return how many leads after the last one each next of a rep comes."""
    places = [place for place, one in enumerate(names) if one == name]
    return [after - before for before, after in pairwise(places)]


def test_whoever_comes_back_to_the_least_load_catches_up_without_a_run_of_leads() -> None:
    names = [f"rep{number}" for number in range(8)]
    pool, rules = index(*map(rep, names)), policy(Strategy.LEAST_LOADED, names)
    pool.come_or_go("rep3", WhyNot.ON_LEAVE)
    turns(pool, rules, 70)
    pool.come_or_go("rep3", None)
    after = turns(pool, rules, 160)
    # Twice their share, every fourth lead, until all eight have the same; a share of the leads from then on.
    assert set(gaps(after[:60], "rep3")) == {4}
    assert {one.open for one in pool.reps.values()} <= {28, 29}
    assert set(gaps(turns(pool, rules, 40), "rep3")) == {8}


def test_whoever_comes_back_catches_up_by_how_many_can_take_the_lead_not_by_how_many_there_are() -> None:
    names = [f"rep{number}" for number in range(20)]
    german = Narrowing("german", lambda values: bool(values["de"]))
    rule = Rule(rule="german", to="sdr", holds=lambda _: True, narrows=german)
    rules = policy(Strategy.LEAST_LOADED, names, rule)
    pool = index(*(rep(name, values={"de": name in ("rep0", "rep1")}) for name in names))
    pool.come_or_go("rep1", WhyNot.ON_LEAVE)
    turns(pool, rules, 60)
    pool.come_or_go("rep1", None)
    assert turns(pool, rules, 6) == ["rep1", "rep0"] * 3
    busy = index(*(rep(name) for name in names))
    rules = policy(Strategy.LEAST_LOADED, names, untouched_cap=1000)
    busy.come_or_go("rep1", WhyNot.ON_LEAVE)
    turns(busy, rules, 190)
    busy.come_or_go("rep1", None)
    for name in names[2:]:
        busy.reps[name].untouched = 1000
        busy.refresh(busy.reps[name])
    assert turns(busy, rules, 6) == ["rep1", "rep0"] * 3


def test_whoever_joins_the_least_loaded_gets_every_second_lead_of_two_at_most() -> None:
    pool, rules = index(rep("ana")), policy(Strategy.LEAST_LOADED, ["ana", "new", "off"])
    turns(pool, rules, 20)
    pool.reps["new"] = rep("new")
    pool.refresh(pool.reps["new"])
    assert turns(pool, rules, 6) == ["new", "ana", "new", "ana", "new", "ana"]
    passed_over = assigning.decide(lead(), pool, rules, NOW).considered
    assert {one.rep_id: one.reason for one in passed_over} == {"new": "chosen", "ana": "more_load"}
    passed_over = assigning.decide(lead(), pool, rules, NOW).considered
    assert {one.rep_id: one.reason for one in passed_over} == {"ana": "chosen", "new": "not_their_turn"}
    pool.come_or_go("ana", WhyNot.OFF_HOURS)
    # Nobody waits beside room for somebody else's sake.
    assert turns(pool, rules, 3) == ["new"] * 3


def test_whoever_was_there_all_the_time_and_closes_much_is_least_loaded_at_once() -> None:
    pool, rules = index(rep("ana"), rep("ben"), rep("cem")), policy(Strategy.LEAST_LOADED, ["ana", "ben", "cem"])
    turns(pool, rules, 30)
    for _ in range(5):
        pool.take("ben", "sdr", untouched=True)
    assert turns(pool, rules, 5) == ["ben"] * 5


def test_a_cap_of_one_is_one_and_a_pools_cap_bounds_the_pool_alone() -> None:
    pool = index(rep("ana", cap=1), rep("ben", cap=5))
    rules = policy(ROUND, ["ana", "ben"], cap=2)
    assert sorted(turns(pool, rules, 4)) == ["", "ana", "ben", "ben"]
