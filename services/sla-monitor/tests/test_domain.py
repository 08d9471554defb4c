"""Verdicts from facts, in any order; deadlines that follow changed hours."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handoff.events.v1 import common_pb2
from sla_monitor import agreement, clocks, judging, policies, verdicts
from sla_monitor.domain import Assignment, Counts, Facts, State, Terms, Touch, Verdict
from sla_monitor.hours import Calendars
from sla_monitor.store_clocks import Clock

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
DUE = START + timedelta(minutes=5)
LEAD = UUID(int=7)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def touch(seconds: float, **fields: Any) -> Touch:
    given_fields: dict[str, Any] = {"rep_id": "ana", "kind": "call", "outcome": "attempted", "automated": False}
    return Touch(touch_id=UUID(int=int(seconds * 1000) + 10**9), at=after(seconds), **{**given_fields, **fields})


def terms(**fields: Any) -> Terms:
    said: dict[str, Any] = {"kind": "first_response_5m", "source": "assignment", "rep_id": "ana", "team": "north"}
    return Terms(started_at=START, due_at=DUE, **{"counts": Counts(), **said, **fields})


def plan(policy: agreement.Policy, who: common_pb2.Rep) -> clocks.Plan:
    made = clocks.plan(policy, policy.clocks[0], who, Calendars({}, 2026))
    assert made is not None
    return made


def policy_of(text: str) -> agreement.Policy:
    return policies.build("standard", 1, policies.parse(text.encode(), []).data)


def decide(said: Terms, some: list[Touch], held: Assignment | None) -> Verdict:
    return verdicts.verdict(said, Facts(touches=some, assignments={1: held} if held else {}), 1)


def judge(one: Clock, some: list[Touch], held: Assignment) -> str | None:
    said = judging.judge(one, Facts(touches=some, assignments={1: held}))
    return str(one.state) if said is not None else None


def clock(text: str = "within: 5m, from: assignment, warn: [50%]", **rep: Any) -> Clock:
    policy = policy_of(f"clocks: [{{kind: first_response_5m, {text}}}]")
    hours = [common_pb2.WorkingHours(days=["mon", "tue", "wed", "thu", "fri"], start="09:00", end="18:00")]
    who = common_pb2.Rep(rep_id="ana", team="north", time_zone="Europe/Berlin", working_hours=hours, version=1, **rep)
    return clocks.start(LEAD, plan(policy, who), cycle=1, started_at=START, rep=who)


def assignment(**fields: Any) -> Assignment:
    return Assignment(cycle=1, rep_id="ana", assigned_at=START, **fields)


def test_what_counts_is_the_assignees_own_act_from_just_before_the_start() -> None:
    def is_met(one: Touch, **fields: Any) -> bool:
        return decide(terms(**fields), [one], None).met_at is not None

    assert is_met(touch(1))
    assert is_met(touch(-9))
    assert not is_met(touch(-11))
    assert not is_met(touch(1, automated=True))
    assert not is_met(touch(1, rep_id="ben"))
    assert is_met(touch(1, rep_id="ben"), source="arrival")
    assert is_met(touch(1, rep_id="ben"), counts=Counts(by="anyone"))
    assert is_met(touch(1, rep_id="ben", team="north"), counts=Counts(by="team"))
    assert not is_met(touch(1, rep_id="ben", team="south"), counts=Counts(by="team"))
    assert not is_met(touch(1), counts=Counts(outcome=("connected",)))
    assert not is_met(touch(1, kind="email"), counts=Counts(kinds=("call",)))
    assert decide(terms(), [touch(-9)], None).met_at == START


def test_what_the_rep_did_after_the_assignment_was_over_counts_for_nothing() -> None:
    over = assignment(released_at=after(60))
    assert decide(terms(), [touch(61)], over).is_void(DUE)
    assert decide(terms(), [touch(59)], over).in_time(DUE)


def test_a_talk_right_before_the_start_meets_what_it_ends() -> None:
    talk = touch(-4, outcome="connected")
    spoken: dict[str, Any] = {"counts": Counts(outcome=("connected",)), "ends_when": ("connected",)}
    assert decide(terms(**spoken), [talk], None).met_at == START
    assert decide(terms(kind="minimum_touches", needs={"call": 1}, **spoken), [talk], None).met_at == START


def test_touches_that_are_close_together_count_once() -> None:
    said = terms(kind="minimum_touches", needs={"call": 2, "email": 1}, spread_seconds=60)
    some = [touch(0), touch(30), touch(100), touch(5, kind="email")]
    assert decide(said, some, None).met_at == after(100)
    assert decide(said, some[:2], None).done == {"call": 1, "email": 0}


@given(
    touched=st.lists(st.integers(-20, 600), max_size=3),
    released=st.none() | st.integers(1, 600),
    fires=st.booleans(),
    seed=st.integers(0, 1000),
)
@example(touched=[302], released=301, fires=False, seed=1)
def test_facts_in_any_order_come_to_the_same_clock(
    touched: list[int], released: int | None, fires: bool, seed: int
) -> None:
    facts: list[Any] = [touch(seconds) for seconds in touched]
    facts += [] if released is None else [assignment(released_at=after(released), outcome="recycled")]

    def run(order: list[Any]) -> tuple[Any, ...]:
        one, known, held = clock(), [], assignment()
        if fires:
            one.state, one.breached_at, one.step, one.next_at = State.BREACHED, DUE, 2, None
        for fact in order:
            known += [fact] if isinstance(fact, Touch) else []
            held = fact if isinstance(fact, Assignment) else held
            judge(one, known, held)
        return one.state, one.met_at, one.next_at, one.retracted

    shuffled = list(facts)
    random.Random(seed).shuffle(shuffled)
    assert run(shuffled) == run(facts)


def test_an_earlier_touch_that_comes_late_moves_the_answer_back() -> None:
    one = clock()
    assert judge(one, [touch(120)], assignment()) == "met"
    assert judge(one, [touch(120), touch(60)], assignment()) == "met"
    assert (one.state, one.met_at) == (State.MET, after(60))


def test_a_release_in_time_that_comes_late_takes_the_breach_back() -> None:
    one = clock()
    one.state, one.breached_at, one.step, one.next_at = State.BREACHED, DUE, 2, None
    said = judge(one, [], assignment(released_at=after(60), outcome="recycled"))
    assert (said, one.reason, one.retracted) == ("cancelled", "recycled", True)


def test_who_was_late_is_told_once_and_not_escalated_any_more() -> None:
    one = clock()
    one.steps = [*one.steps, {"at": "2026-11-10T13:00:00Z", "level": "escalation", "to": "manager"}]
    judge(one, [touch(400)], assignment())
    assert (one.state, one.next_at, clocks.step_at(one, 1)) == (State.RUNNING, DUE, None)
    assert judge(one, [touch(400)], assignment()) is None


def test_what_a_late_touch_switched_off_comes_again_in_its_order_once_the_touch_was_anothers() -> None:
    one = clock()
    one.steps = steps = [*one.steps, {"at": "2026-11-10T13:00:00Z", "level": "escalation", "to": "manager"}]
    judge(one, [touch(400)], assignment())
    assert judge(one, [], assignment()) == "running"
    assert (one.steps, one.next_at) == (steps, clocks.step_at(one, 0))


def test_changed_hours_move_what_is_still_to_come_and_fire_nothing_again() -> None:
    said = "within: 2h, from: assignment, hours: rep, warn: [50%]"
    one = clock(said)
    one.step, one.next_at = 1, clocks.step_at(one, 1)
    fired = one.steps[0]
    part_time = [common_pb2.WorkingHours(days=["tue"], start="09:00", end="13:30"), *_wednesday()]
    rep = common_pb2.Rep(rep_id="ana", time_zone="Europe/Berlin", working_hours=part_time, version=2)
    clocks.recompute(one, plan(policy_of(f"clocks: [{{kind: first_response_5m, {said}}}]"), rep), after(60))
    # Half an hour was left on Tuesday, an hour and a half is on Wednesday's.
    assert one.terms.due_at == one.next_at == datetime(2026, 11, 11, 9, 30, tzinfo=UTC)
    assert (one.steps[0], one.step, one.calendar) == (fired, 1, "ana@2")


def _wednesday(*days: str) -> list[common_pb2.WorkingHours]:
    return [common_pb2.WorkingHours(days=["wed", *days], start="09:00", end="18:00")]


@pytest.mark.parametrize(("changed_after", "due_after"), [(0, 2), (4, 4), (30, 8)])
def test_a_deadline_that_changed_hours_put_before_the_change_is_then(changed_after: int, due_after: int) -> None:
    said = "within: 2d, from: assignment, hours: rep"
    one, policy = clock(said), policy_of(f"clocks: [{{kind: first_response_5m, {said}}}]")
    always = [common_pb2.WorkingHours(days=["tue", "wed", "thu"], start="00:00", end="24:00")]
    rep = common_pb2.Rep(rep_id="ana", time_zone="UTC", working_hours=always, version=2)
    changed_at = START + timedelta(days=changed_after)
    before = common_pb2.Rep(rep_id="ana", time_zone="UTC", working_hours=_wednesday("tue", "thu", "fri"), version=1)
    named = Calendars().knowing({"ana": [(START - timedelta(days=9), before), (changed_at, rep)]})
    by = clocks.plan(policy, policy.clocks[0], rep, named)
    assert by is not None
    clocks.recompute(one, by, changed_at + timedelta(days=1))
    # Two days are five and a third of nine hours each. What was missed by then was missed, whatever came later.
    assert (one.terms.due_at - START).days == due_after
    assert (one.terms.due_at == changed_at) is (due_after == changed_after)


def test_the_policy_with_the_lowest_order_that_applies_wins_not_the_first_by_name() -> None:
    def policy(name: str, order: int, applies: str) -> agreement.Policy:
        text = f"order: {order}\napplies: {applies}\nclocks: [{{kind: acceptance, within: 5m, from: assignment}}]"
        return policies.build(name, 1, policies.parse(text.encode(), []).data)

    some = [policy("a", 3, "true"), policy("b", 1, "false"), policy("c", 2, "true")]
    found = agreement.applicable(some, {})
    assert found is not None
    assert found.name == "c"


@pytest.mark.parametrize(("touched", "wrong"), [(None, []), (100, [0, 1, 2, 3]), (700, [2, 3]), (950, []), (1300, [])])
def test_whoever_lost_a_lead_by_its_clock_is_paused_rightly_though_it_is_theirs_no_more(
    touched: int | None, wrong: list[int]
) -> None:
    ladder = ", ".join(
        f"{{kind: first_response_5m, after: {minutes}m, to: {to}}}"
        for minutes, to in ((5, "manager"), (10, "reassign"), (15, "pause"))
    )
    policy = policy_of(f"clocks: [{{kind: first_response_5m, within: 5m, from: assignment}}]\nescalations: [{ladder}]")
    who = common_pb2.Rep(rep_id="ana", team="north")
    one = clocks.start(LEAD, plan(policy, who), cycle=1, started_at=START, rep=who)
    one.step, one.state, one.breached_at, one.next_at = len(one.steps), State.BREACHED, DUE, None
    held = Assignment(
        cycle=1, rep_id="ana", assigned_at=START, policy=None, released_at=after(905), outcome="reassigned"
    )
    judge(one, [touch(touched)] if touched is not None else [], held)
    assert [number for number, step in enumerate(one.steps) if step.get("retracted")] == wrong
