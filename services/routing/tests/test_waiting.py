"""The pure choice where nobody can take the lead: reasons, when it is tried again, fallbacks."""

from datetime import timedelta
from typing import Any

from routing import assigning, queueing
from routing.domain import Outcome, Policy, Pool, Rep, Rule, WhyNot
from routing.narrowing import Narrowing, Target
from services.routing.tests.core import EVERYONE, NOW, ROUND, index, lead, policy, rep


def test_a_lead_waits_with_the_reason_that_holds() -> None:
    def reason(*reps: Rep, **fields: Any) -> str:
        rules = policy(ROUND, [one.rep_id for one in reps])
        return assigning.decide(lead(**fields), index(*reps), rules, NOW).reason_code

    off = {"away": WhyNot.OFF_HOURS, "back_at": NOW + timedelta(hours=1)}
    assert reason(rep("ana", cap=0), rep("ben", **off)) == "no_capacity"
    assert reason(rep("ana", away=WhyNot.PAUSED), rep("ben", away=WhyNot.INACTIVE)) == "paused"
    assert reason(rep("ana", away=WhyNot.PAUSED), rep("ben", **off)) == "nobody_working"
    assert reason(rep("ana", away=WhyNot.INACTIVE)) == "nobody_working"
    assert reason(rep("ana"), declined=frozenset({"ana"})) == "no_match"
    assert reason() == "no_match"
    assert assigning.decide(lead(), index(), None, NOW).reason_code == "no_rule"


def test_a_lead_that_waits_is_tried_again_when_the_first_of_any_pool_is_back() -> None:
    first, second = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    reps = index(rep("ana", away=WhyNot.OFF_HOURS, back_at=second), rep("ben", away=WhyNot.ON_LEAVE, back_at=first))
    pools = {
        "sdr": Pool(pool="sdr", strategy=ROUND, members=["ana"], fallback="night"),
        "night": Pool(pool="night", strategy=ROUND, members=["ben"]),
    }
    decision = assigning.decide(lead(), reps, Policy(version=1, pools=pools, rules=[EVERYONE], pairs={}), NOW)
    assert (decision.outcome, decision.retry_at) == (Outcome.WAITING, first)
    assert decision.targets == (Target("everyone", "sdr"), Target("everyone", "night"))


def test_room_counts_for_those_who_wait_for_it_and_for_nobody_else() -> None:
    reps = index(rep("ana", cap=3, open=1), rep("ben", away=WhyNot.PAUSED), rep("zoe", cap=1))
    nobody = Rule(rule="german", to="sdr", holds=bool, narrows=Narrowing("german", lambda _: False))
    rules = policy(ROUND, ["ana", "ben"], EVERYONE, nobody)
    assert queueing.room([False, [], ["everyone", "sdr", ""]], reps, rules) == 2
    assert queueing.room([False, [], ["german", "sdr", ""]], reps, rules) == 0
    assert queueing.room([False, [], ["everyone", "owner", "zoe"]], reps, rules) == 1
    assert queueing.room([False, []], reps, rules) == 0
    # Room with whom they declined is none.
    assert queueing.room([False, ["ana"], ["everyone", "sdr", ""]], reps, rules) == 0
    assert queueing.room([False, ["ben", "nobody"], ["everyone", "sdr", ""]], reps, rules) == 2


def test_who_waits_for_an_owner_goes_to_the_fallback_after_its_time() -> None:
    reps = index(rep("zoe", cap=0), rep("ana"))
    rule = Rule(rule="named", to="owner", holds=lambda _: True, wait=True, fallback="sdr", after_seconds=60)
    rules = policy(ROUND, ["ana"], rule, EVERYONE)
    of_zoe = {"owner_rep": "zoe", "waiting_since": NOW}
    decision = assigning.decide(lead(**of_zoe), reps, rules, NOW)
    assert (decision.rep_id, decision.retry_at) == (None, NOW + timedelta(seconds=60))
    decision = assigning.decide(lead(**of_zoe), reps, rules, NOW + timedelta(seconds=60))
    assert (decision.rep_id, decision.rule, decision.pool) == ("ana", "named", "sdr")
    # Where there is no owner the rule is nobody's, and its fallback neither.
    assert assigning.decide(lead(), reps, rules, NOW).rule == "everyone"


def test_a_rules_fallback_goes_on_to_the_fallbacks_of_its_own() -> None:
    reps = index(rep("ana", cap=0), rep("nia", cap=0), rep("wes"))
    pools = {
        "sdr": Pool(pool="sdr", strategy=ROUND, members=["ana"]),
        "night": Pool(pool="night", strategy=ROUND, members=["nia"], fallback="week"),
        "week": Pool(pool="week", strategy=ROUND, members=["wes"]),
    }
    rule = Rule(rule="all", to="sdr", holds=lambda _: True, fallback="night")
    decision = assigning.decide(lead(), reps, Policy(version=1, pools=pools, rules=[rule], pairs={}), NOW)
    assert (decision.rep_id, decision.pool) == ("wes", "week")


def test_a_pair_without_anything_else_has_its_fallback() -> None:
    reps = index(rep("sam", cap=0), rep("sue"))
    pools = {"sales": Pool(pool="sales", strategy=ROUND, members=["sue"])}
    rule = Rule(rule="pair", to="paired", holds=lambda _: True, fallback="sales")
    rules = Policy(version=1, pools=pools, rules=[rule], pairs={"ana": ["sam"]})
    assert assigning.decide(lead(sdr_id="ana"), reps, rules, NOW).rep_id == "sue"
