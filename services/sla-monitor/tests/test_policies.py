"""What a policy's lines come to when a clock starts by them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from backbone import times
from backbone.problem import Problem
from backbone.testing import promised
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, domain, policies, senseless, starting
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


def test_who_is_warned_of_an_instant_is_warned_of_it_once() -> None:
    text = b"clocks: [{kind: first_response_5m, within: 4s, from: assignment, warn: [50%, 2s, 75%]}]"
    policy = policies.build("standard", 1, policies.parse(text, []).data)
    assert policy.clocks[0].warn_seconds == [2.0, 3.0]


def places(text: str) -> list[str]:
    """Return where a policy is wrong."""
    try:
        policies.parse(text.encode(), [])
    except Problem as refused:
        return [one.pointer for one in refused.errors]
    return []


@pytest.mark.parametrize(
    ("more", "place", "advice"),
    [
        ('quiet_hours: {start: "22:00", end: "7:00"}', "/quiet_hours/end", '"07:00"'),
        ('quiet_hours: {start: 22:00, end: "07:00"}', "/quiet_hours/start", '"22:30"'),
        ("escalations: [{kind: status_update, after: 1s, to: rep, times: 3}]", "/escalations/0/times", "another line"),
        ("escalations: [{kind: status_update, clock: no, after: 1s, to: rep}]", "/escalations/0/clock", "weekly"),
        ("applies: lead.sourc == 'web'", "/applies", "lead.source"),
        ("applies: lead.revenue", "/applies", "lead.employees > 100"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write_instead(more: str, place: str, advice: str) -> None:
    clock = "{clock: weekly, kind: status_update, within: 7d, from: assignment}"
    with pytest.raises(Problem) as refused:
        policies.parse(f"clocks: [{clock}]\n{more}".encode(), [])
    (error,) = refused.value.errors
    assert error.pointer == place
    assert advice in error.detail


@pytest.mark.parametrize(("more", "advice"), [("warn: [100%]", "99%"), ("touches: {fax: 2}", "call, email")])
def test_a_clock_that_is_wrong_is_told_with_what_to_write_instead(more: str, advice: str) -> None:
    with pytest.raises(Problem) as refused:
        policies.parse(f"clocks: [{{kind: minimum_touches, within: 7d, from: assignment, {more}}}]".encode(), [])
    assert any(advice in error.detail for error in refused.value.errors)


@pytest.mark.parametrize(
    ("applies", "told"),
    [
        ("5", "has to be a condition, in quotes, such as 'lead.country == \"DE\"', 'true'"),
        ("", "or leave applies out"),
        ('"DE" == lead.country', "in quotes as a whole"),
    ],
)
def test_what_is_no_condition_is_told_as_of_any_other(applies: str, told: str) -> None:
    with pytest.raises(Problem) as refused:
        policies.parse(f"{line(kind=FIVE)}applies: {applies}".encode(), [])
    (error,) = refused.value.errors
    assert told in error.detail


ANYWHERE = frozenset(domain.SOURCES) - {domain.LAST_TOUCH}
KEPT_AND_BROKEN = {
    **dict.fromkeys((*domain.FIRST_RESPONSE, "minimum_touches", "review", "status_update"), ANYWHERE),
    **dict.fromkeys(domain.MOVING, frozenset(domain.SOURCES)),
    "handoff": {"arrival", "qualification", "queued", "meeting_missed"},
    "acceptance": {"assignment"},
    "no_show_rebook": {"meeting_missed"},
}
"""From which instants a clock of a kind can be in time, and can be late."""


@pytest.mark.parametrize("kind", domain.KINDS)
def test_a_kind_runs_from_where_it_can_be_kept_and_broken_alone(kind: str) -> None:
    touches = ", touches: {call: 2}" if kind == "minimum_touches" else ""
    refused = {
        source
        for source in domain.SOURCES
        if places(f"clocks: [{{kind: {kind}, within: 1d, from: {source}{touches}}}]") == ["/clocks/0/from"]
    }
    assert {*domain.SOURCES} - refused == KEPT_AND_BROKEN[kind]


def line(*, kind: str = "minimum_touches", more: str = "", rest: str = "") -> str:
    return f"clocks: [{{kind: {kind}, within: 1d, from: assignment{more}}}]\n{rest}"


FIVE = "first_response_5m"
CALLS = ", touches: {call: 3}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (line(kind=FIVE).replace("1d", "0s"), "/clocks/0/within"),
        (line(kind=FIVE, more=CALLS), "/clocks/0/touches"),
        (line(kind=FIVE, more=", spread: 1h"), "/clocks/0/spread"),
        (line(more=f"{CALLS}, spread: 13h"), "/clocks/0/spread"),
        (line(more=CALLS, rest="counts: {kinds: [email]}"), "/clocks/0/touches/call"),
        (line(kind=FIVE, rest="counts: {kinds: []}"), "/counts/kinds"),
        (line(kind=FIVE, rest="counts: {outcome: []}"), "/counts/outcome"),
        (line(kind=FIVE, rest="quiet_hours: {start: '00:00', end: '24:00'}"), "/quiet_hours"),
        (line(kind=FIVE, rest="quiet_hours: {start: '24:00', end: '00:00'}"), "/quiet_hours"),
        (line(kind=FIVE, rest="escalations: [{kind: stale, after: 0s, to: rep}]"), "/escalations/0/kind"),
    ],
)
def test_what_has_no_effect_or_cannot_be_kept_is_refused_with_its_place(text: str, place: str) -> None:
    assert places(text) == [place]


@pytest.mark.parametrize(
    "text",
    [
        line(more=f"{CALLS}, spread: 12h"),
        line(more=f"{CALLS}, spread: 13h, hours: rep"),
        line(more=CALLS, rest="counts: {kinds: [call]}"),
        line(kind=FIVE, rest="quiet_hours: {start: '00:00', end: '07:00'}"),
        line(kind=FIVE, rest="escalations: [{kind: next_step, after: 0s, to: rep}]"),
    ],
    ids=["it fits", "hours of work last longer", "what is needed counts", "from midnight on", "starts without a line"],
)
def test_what_may_be_meant_is_taken(text: str) -> None:
    assert places(text) == []


def test_a_policy_reads_every_field_that_is_promised_and_clocks_news_alone() -> None:
    text = f"applies: {json.dumps(promised.OF_NOBODY.replace('!lead.live', 'lead.live'))}\n{line(kind=FIVE)}"
    policy = policies.build("standard", 1, policies.parse(text.encode(), []).data)
    assert starting.applicable([policy], common_pb2.LeadFields()) is policy
    assert starting.applicable([policy], common_pb2.LeadFields(owner_id="ana")) is None


def test_the_published_example_is_taken() -> None:
    assert places(PUBLISHED) == []


PUBLISHED = """
order: 1
applies: "true"
clocks:                                          # hours: wall (default), rep, or the name of a calendar
  - {kind: first_response_5m,  within: 5m,  from: assignment, hours: wall, warn: [50%]}
  - {kind: first_response_30m, within: 30m, from: assignment, hours: rep}
  - {kind: first_response_1d,  within: 1d,  from: arrival}
  - {clock: first week, kind: minimum_touches, within: 7d, from: assignment, touches: {call: 4}, spread: 1d}
  - {clock: two weeks, kind: minimum_touches, within: 14d, from: assignment, touches: {call: 3, email: 3},
     ends_when: [connected, meeting_booked, closed]}
  - {kind: review, within: 4h, from: queued}
  - {kind: status_update, within: 7d, from: assignment}
  - {kind: no_show_rebook, within: 1d, from: meeting_missed}
  - {kind: stale, within: 60d, from: last_touch}
counts: {outcome: [attempted, connected], kinds: [call, email, meeting, message], automated: false, by: assignee,
         before_start: 10s}
booking_counts: true
escalations:
  - {kind: first_response_5m,  after: 0s,  to: rep}
  - {kind: first_response_30m, after: 0s,  to: manager}
  - {kind: first_response_30m, after: 30m, to: reassign, times: 1}
"""


@pytest.mark.parametrize(
    ("applies", "said"),
    [
        ('lead.grade == "A1"', ["when a lead arrives nobody knows its grade yet"]),
        ('lead.fit >= 40.0 && lead.stage == "mqll"', ['lead.stage is never "mqll"', "knows its stage and fit yet"]),
        ('lead.country == "DE"', []),
        ("true", []),
    ],
)
def test_what_a_condition_asks_too_early_or_never_is_warned_of(applies: str, said: list[str]) -> None:
    lines = [f"{{clock: {source}, kind: first_response_1d, within: 1h, from: {source}}}" for source in STARTS]
    document = policies.parse(f"applies: '{applies}'\nclocks: [{', '.join(lines)}]".encode(), [])
    found = list(senseless.doubts(document, "UTC", policies.condition(document)))
    assert len(found) == len(said)
    for one, words in zip(found, said, strict=True):
        assert words in one.detail
    if said:
        assert found[-1].pointer.endswith("clocks/1/from")


STARTS = ("qualification", "arrival")
