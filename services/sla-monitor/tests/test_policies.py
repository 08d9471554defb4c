"""What a policy's lines come to when a clock starts by them."""

from datetime import UTC, datetime, timedelta

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from backbone import ids, times
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, policies
from sla_monitor.hours import Calendars

START = datetime(2026, 11, 10, 12, tzinfo=UTC)


def escalated(text: str) -> dict[str, list[tuple[str, timedelta]]]:
    """Return to whom each clock of a policy is escalated, and how long after its start."""
    policy = policies.build("standard", 1, policies.parse(text.encode(), []).data)
    found = {}
    for spec in policy.clocks:
        plan = clocks.plan(policy, spec, common_pb2.Rep(rep_id="ana"), Calendars({}, 2026))
        assert plan is not None
        due_at = plan.due(START)
        assert due_at is not None
        steps = [step for step in plan.steps(START, due_at) if step["level"] == "escalation"]
        found[spec.clock] = [(step["to"], times.parse(step["at"]) - START) for step in steps]
    return found


def test_an_escalation_that_names_a_clock_follows_that_one_alone() -> None:
    found = escalated("""
clocks:
  - {clock: first week, kind: minimum_touches, within: 7d, from: assignment, touches: {call: 4}}
  - {clock: two weeks, kind: minimum_touches, within: 14d, from: assignment, touches: {call: 6}}
  - {kind: status_update, within: 7d, from: assignment}
escalations:
  - {kind: minimum_touches, clock: two weeks, after: 1d, to: reassign}
  - {kind: minimum_touches, after: 2d, to: manager}
""")
    week, day = timedelta(days=7), timedelta(days=1)
    assert found == {
        "first week": [("manager", week + 2 * day)],
        "two weeks": [("reassign", 2 * week + day), ("manager", 2 * week + 2 * day)],
        "status_update": [],
        "next_step": [],
    }


def unstarted() -> float:
    return REGISTRY.get_sample_value("handoff_clocks_without_hours_total") or 0


def test_a_clock_that_does_not_start_for_want_of_hours_is_told_of_once() -> None:
    text = b"clocks: [{kind: first_response_5m, within: 5m, from: assignment, hours: rep}]"
    policy = policies.build("standard", 1, policies.parse(text, []).data)
    idle = common_pb2.Rep(rep_id="ana", time_zone="UTC", version=2)
    plan = clocks.plan(policy, policy.clocks[0], idle, Calendars({}, 2026))
    assert plan is not None
    before, lead = unstarted(), ids.new()
    with capture_logs() as said:
        # Each fact that comes of the lead tries again.
        for cycle in (1, 1, 2):
            assert clocks.start(lead, plan, cycle=cycle, started_at=START, rep=idle) is None
    assert unstarted() - before == len(said) == 2
    assert {(one["log_level"], one["lead_id"], one["calendar"]) for one in said} == {("warning", str(lead), "ana@2")}
