"""What is learned late or turns out to be wrong: merges, undone ones, releases, teams, managers, hours, erasures."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.database import Database
from handoff.events.v1 import intake_pb2, sla_pb2
from sla_monitor import reports_attainment
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import (
    Told,
    captured,
    engaged,
    merged,
    now,
    qualified,
    queued,
    released,
    rep,
    rep_changed,
    routed,
    touch,
)

ESCALATED = """
clocks: [{kind: first_response_5m, within: 5m, from: SOURCE}]
escalations: [{kind: first_response_5m, after: 2d, to: manager}, {kind: first_response_5m, after: 3d, to: reassign}]
"""
FIVE = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]"
HANDOFF = "clocks: [{kind: handoff, within: 3d, from: qualification}]"
HOUR = 3600


@pytest.mark.parametrize("tell", [qualified, queued])
async def test_a_clock_of_qualifications_starts_though_intake_is_read_later(
    monitor: Monitor, tell: Callable[[UUID, datetime], Told]
) -> None:
    await monitor.put(
        "clocks: [{kind: handoff, within: 3d, from: qualification}, {kind: review, within: 3d, from: queued}]"
    )
    lead = ids.new()
    await monitor.tell("qualification", tell(lead, at(1)))
    await monitor.tell("intake", captured(lead, at(0)))
    assert list((await monitor.states(lead)).values()) == ["running"]


@pytest.mark.parametrize("tell", [qualified, partial(engaged, kind="meeting_missed", meeting_id="m")])
async def test_a_merged_leads_news_starts_the_survivors_clock_though_nothing_was_read_of_that_yet(
    monitor: Monitor, tell: Callable[[UUID, datetime], Told]
) -> None:
    await monitor.put(
        "clocks: [{kind: handoff, within: 3d, from: qualification},"
        " {kind: no_show_rebook, within: 3d, from: meeting_missed}]"
    )
    lead, lost = ids.new(), ids.new()
    _, by_its_own_key = telling.merged(lead, lost, at(5), came_at=at(0))
    await monitor.tell("intake", captured(lost, at(0)), by_its_own_key)
    subject, message = tell(lost, at(10))
    topic = "qualification" if message.DESCRIPTOR.name == "LeadQualified" else "intake"
    await monitor.tell(topic, (subject, message))
    await monitor.tell("intake", captured(lead, at(0)))
    assert list((await monitor.states(lead)).values()) == ["running"]


@pytest.mark.parametrize("first", ["routing", "intake"])
async def test_what_comes_to_life_has_the_clocks_of_its_arrival_whichever_topic_says_so_first(
    monitor: Monitor, first: str
) -> None:
    lead = ids.new()
    await monitor.put("clocks: [{kind: first_response_1d, within: 3d, from: arrival}]")
    await monitor.tell("intake", captured(lead, at(-HOUR), live=False))
    told = {"routing": routed(lead, at(10)), "intake": engaged(lead, at(0), "demo_requested")}
    for topic in sorted(told, key=lambda one: one != first):
        await monitor.tell(topic, told[topic])
    assert await monitor.states(lead) == {("first_response_1d", 0): "running"}


@pytest.mark.parametrize("first", ["routing", "qualification"])
async def test_who_qualifies_again_is_promised_a_handoff_again(monitor: Monitor, first: str) -> None:
    lead = ids.new()
    await monitor.arrive(HANDOFF, lead)
    await monitor.tell("qualification", qualified(lead, at(0)))
    given = routed(lead, at(30)), released(lead, at(60))
    if first == "routing":
        await monitor.tell("routing", *given)
    await monitor.tell("qualification", qualified(lead, at(100)))
    if first == "qualification":
        await monitor.tell("routing", *given)
    assert await monitor.states(lead) == {("handoff", 1): "met", ("handoff", 2): "running"}


async def test_a_touch_after_the_release_starts_no_next_step(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: next_step, within: 2m, from: last_touch}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.tell("intake", touch(lead, at(100)))
    await monitor.tell("routing", released(lead, at(60), outcome="reassigned"))
    await monitor.fire()
    assert await monitor.alerts() == []
    assert await monitor.states(lead) == {("next_step", 1): "cancelled"}


@pytest.mark.parametrize("source", ["assignment", "arrival"])
async def test_of_an_erased_lead_nothing_is_escalated(db: Database, monitor: Monitor, source: str) -> None:
    lead = ids.new()
    await monitor.arrive(ESCALATED.replace("SOURCE", source), lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    erased = intake_pb2.PersonalDataErased(stamp=telling.stamp(lead, now()), erasure_id=str(ids.new()))
    await monitor.tell("intake", (lead, erased))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock WHERE lead_id = $1", lead) is None


async def test_the_breach_of_a_window_that_was_kept_is_taken_back_though_another_runs_by_now(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: stale, within: 10h, from: last_touch}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(18 * HOUR)))
    assert await monitor.alerts() == [("breach", False)]
    await monitor.tell("intake", touch(lead, at(9 * HOUR)))
    assert await monitor.alerts() == [("breach", True)]
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT breached_at FROM clock") is None
        stored = await reports_attainment.attainment(conn, at(-1), at(1), by="none")
        assert stored == await reports_attainment.attainment(conn, at(-1), at(1), by="none", as_of=now())


async def test_what_followed_a_wrong_breach_is_taken_back_with_it(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive(FIVE + "\nescalations: [{kind: first_response_5m, after: 0s, to: manager}]", lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    await monitor.tell("intake", touch(lead, at(60)))
    assert await monitor.alerts() == [("breach", True), ("escalation", True)]


async def test_an_alert_goes_to_who_leads_the_rep_by_now(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive(FIVE + "\nescalations: [{kind: first_response_5m, after: 0s, to: manager}]", lead)
    await monitor.tell("routing", routed(lead, at(0)), rep_changed(rep(manager_id="mia", version=2), at(0)))
    await monitor.fire()
    async with db.reading() as conn:
        (told,) = await conn.fetch("SELECT value FROM outbox WHERE type LIKE '%SlaEscalated'")
    assert list(sla_pb2.SlaEscalated.FromString(told["value"]).alert.manager_ids) == ["mia"]


async def test_a_touched_lead_that_changes_hands_has_every_clock_but_first_responses(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive(
        "clocks:\n  - {kind: first_response_5m, within: 5m, from: assignment}\n"
        "  - {kind: acceptance, within: 1d, from: assignment}\n"
        "  - {kind: minimum_touches, within: 7d, from: assignment, touches: {call: 4}}",
        lead,
    )
    await monitor.tell("routing", routed(lead, at(0), cycle=2, starts_clocks=False))
    assert {clock for clock, _ in await monitor.states(lead)} == {"acceptance", "minimum_touches"}


LADDER = """
clocks: [{kind: KIND, within: 5m, from: SOURCE}]
escalations:
  - {kind: KIND, after: 5m, to: rep}
  - {kind: KIND, after: 10m, to: manager}
  - {kind: KIND, after: 15m, to: rep}
"""


@pytest.mark.parametrize(("kind", "source"), [("first_response_5m", "assignment"), ("stale", "last_touch")])
@pytest.mark.parametrize(
    ("seconds", "taken_back"), [(200, 4), (400, 3), (700, 2), (1000, 1), (1300, 0)], ids=lambda value: str(value)
)
async def test_what_was_escalated_after_a_touch_is_taken_back_though_the_breach_is_right(
    monitor: Monitor, kind: str, source: str, seconds: int, taken_back: int
) -> None:
    lead = ids.new()
    await monitor.arrive(LADDER.replace("KIND", kind).replace("SOURCE", source), lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    told = len(await monitor.alerts())
    for _ in range(2):
        # Told again that it was touched later, nothing more changes.
        await monitor.tell("intake", touch(lead, at(seconds)))
        seconds += 5
        alerts = await monitor.alerts()
        first = [is_wrong for _, is_wrong in alerts[:told]]
        assert first == [False] * (told - taken_back) + [True] * taken_back


@pytest.mark.parametrize("reason", ["merged", "erased", "covered"])
async def test_whatever_word_a_lead_is_out_for_what_is_learned_later_counts(monitor: Monitor, reason: str) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: first_response_1d, within: 1d, from: arrival}]", lead)
    out = telling.disqualified(lead, at(100))
    out[1].qualification.reason = reason
    await monitor.tell("qualification", out)
    assert await monitor.states(lead) == {("first_response_1d", 0): "cancelled"}
    await monitor.tell("intake", touch(lead, at(50)))
    assert await monitor.states(lead) == {("first_response_1d", 0): "met"}


@pytest.mark.parametrize("late", [False, True])
async def test_a_gap_that_turns_out_to_be_none_leaves_the_one_that_is_one(
    db: Database, monitor: Monitor, *, late: bool
) -> None:
    """Nobody called until 67, was told at 20; then it is learned that there were calls at 11 and at 27 after all."""
    lead = ids.new()
    await monitor.put("clocks: [{kind: stale, within: 20s, from: last_touch}]")
    await monitor.tell("intake", captured(lead, at(0)))
    await monitor.tell("routing", routed(lead, at(0)))
    first, then = [touch(lead, at(67))], [touch(lead, at(11)), touch(lead, at(27))]
    if late:
        await monitor.fire()
        async with db.transaction() as conn:
            # As it is where the alert leaves in time.
            await conn.execute("UPDATE clock SET breached_at = $1", at(20.1))
    for some in (first, then) if late else (then, first):
        await monitor.tell("intake", *some)
    async with db.reading() as conn:
        shown = await conn.fetchrow("SELECT breached_at, retracted FROM clock")
    assert (shown["breached_at"], shown["retracted"]) == (at(47), False)


async def test_that_a_merged_lead_was_answered_in_time_is_learned_late_as_of_any(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 5m, from: arrival}]", lead, lost)
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(500), came_at=at(0)))
    _, message = touch(lost, at(60))
    message.stamp.recorded_at.CopyFrom(times.stamp(at(600)))
    await monitor.tell("intake", (lead, message))
    assert (await monitor.states(lost), await monitor.states(lead)) == ({("first_response_5m", 0): "met"},) * 2
    assert [is_taken_back for _, is_taken_back in await monitor.alerts()] == [True, True]
    async with db.reading() as conn:
        asked = reports_attainment.Asked(start=at(-60), end=at(60), by=("none",))
        stored = await reports_attainment.counted(conn, asked)
        assert stored == await reports_attainment.counted(conn, asked, as_of=now())
