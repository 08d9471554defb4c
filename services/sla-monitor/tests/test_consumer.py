"""Facts that meet in any order: arrival, merge, erasure, hours that change, and what waits for the backlog."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from backbone import database, ids, times
from backbone.envelope import Incoming
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from backbone.testing.tap import garbage
from handoff.events.v1 import console_pb2, intake_pb2
from tests.shown import put, states
from tests.telling import captured, learn, now, released, rep, routed, stamp, touch

ARRIVAL = """
clocks:
  - {kind: first_response_1d, within: 1d, from: arrival}
  - {kind: first_response_5m, within: 5m, from: assignment}
"""


async def test_clocks_from_arrival_start_once_whichever_topic_or_event_comes_first(sla: Actor) -> None:
    await put(sla, ARRIVAL)
    routed_first, old, at = ids.new(), ids.new(), now()
    await learn(sla, "routing", routed(routed_first, at))
    await learn(sla, "intake", captured(routed_first, at), captured(old, at - timedelta(days=90), live=False))
    assert await states(sla, routed_first) == {("first_response_1d", 0): "running", ("first_response_5m", 1): "running"}
    assert await states(sla, old) == {}
    # History that does something today is news from then on.
    does = intake_pb2.EngagementRecorded(stamp=stamp(old, at), kind="demo_requested", original_lead_id=str(old))
    await learn(sla, "intake", (old, does))
    assert await states(sla, old) == {("first_response_1d", 0): "running"}
    (clock,) = (await sla.http.get(f"/v1/leads/{old}/clocks")).json()
    assert times.parse(clock["started_at"]) == at
    await learn(sla, "intake", touch(old, at + timedelta(seconds=5), rep_id="anybody"))
    assert await states(sla, old) == {("first_response_1d", 0): "met"}


async def test_a_touch_before_the_release_counts_though_the_release_is_read_first(sla: Actor) -> None:
    lead, other, at = ids.new(), ids.new(), now() - timedelta(minutes=2)
    over = at + timedelta(minutes=1)
    await learn(sla, "routing", routed(lead, at), released(lead, over), routed(other, at), released(other, over))
    assert (await states(sla, lead))["first_response_5m", 1] == "cancelled"
    await learn(sla, "intake", touch(lead, at + timedelta(seconds=30)), touch(other, over + timedelta(seconds=1)))
    assert (await states(sla, lead))["first_response_5m", 1] == "met"
    assert (await states(sla, other))["first_response_5m", 1] == "cancelled"


async def test_an_erased_leads_clocks_end_and_it_is_told(sla: Actor) -> None:
    lead, at = ids.new(), now()
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at))
    await learn(sla, "intake", (lead, intake_pb2.PersonalDataErased(stamp=stamp(lead, at), erasure_id="e")))
    assert set((await states(sla, lead)).values()) == {"cancelled"}
    await learn(sla, "routing", routed(lead, at, cycle=2))
    assert set((await states(sla, lead)).values()) == {"cancelled"}
    await sla.published(lambda seen: any(event.type == "PersonalDataDeleted" for event in seen))
    async with sla.database.reading() as conn:
        assert await conn.fetchval("SELECT fields FROM lead WHERE lead_id = $1", lead) is None


async def test_reports_count_in_the_zone_that_the_company_set(sla: Actor) -> None:
    lead, at = ids.new(), datetime(2026, 11, 8, 23, 30, tzinfo=UTC)
    await learn(sla, "intake", captured(lead, at, live=False))
    span = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}

    async def keys(by: str) -> list[str]:
        answer = await sla.http.get("/v1/reports/speed", params={**span, "by": by})
        return [group["key"] for group in answer.json()["groups"]]

    assert (await keys("hour"), await keys("week")) == (["23"], ["2026-11-02"])
    said = console_pb2.SettingsChanged(zone="Europe/Berlin", week_starts="sun", base_currency="EUR", version=1)
    await learn(sla, "console", (ids.new(), said))
    assert (await keys("hour"), await keys("week")) == (["00"], ["2026-11-08"])


async def is_past(url: str, instant: datetime) -> None:
    conn = await database.connect_single(url, name="tests", idle_ms=0)
    try:
        assert await conn.fetchval("SELECT clock_timestamp() > $1", instant)
    finally:
        await conn.close()


@pytest.mark.parametrize(
    ("catch_up_seconds", "kept_back"),
    [pytest.param(60, {"SlaBreached", "SlaEscalated"}, id="in time"), pytest.param(0, {"SlaEscalated"}, id="too late")],
)
async def test_nothing_is_fired_before_the_backlog_is_read_nor_a_lead_taken_from_who_called(
    start: Stage, catch_up_seconds: int, kept_back: set[str]
) -> None:
    sla = await start("sla")
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations: [{kind: first_response_5m, after: 0s, to: reassign}]",
    )
    called, silent, at = ids.new(), ids.new(), now() + timedelta(seconds=3)
    await learn(sla, "routing", routed(called, at), routed(silent, at))
    url = sla.settings.database_url
    await sla.stop()
    # While nobody runs, one rep calls and the deadlines pass: the call waits behind much else.
    others = [captured(ids.new(), at) for _ in range(1_000)]
    await start.publish("intake", [*others, touch(called, at + timedelta(milliseconds=500))])
    await eventually(lambda: is_past(url, at + timedelta(seconds=1)))
    sla = await start("sla", database_url=url, catch_up_seconds=catch_up_seconds)

    async def met() -> None:
        assert (await states(sla, called)) == {("first_response_5m", 1): "met"}

    # Their partitions may be read at different times.
    await eventually(met)
    events = await sla.published(lambda seen: any(event.type == "SlaEscalated" for event in seen))
    about = {event.subject for event in events if event.type in kept_back}
    assert about == {silent}


async def test_taking_a_lead_away_waits_until_its_topics_are_read_past_the_deadline(start: Stage) -> None:
    # However slow the machine is: what is told at all waits for the backlog for a moment only.
    sla = await start("sla", catch_up_seconds=1)
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations: [{kind: first_response_5m, after: 0s, to: reassign}]",
    )
    await sla.settled()
    lead = ids.new()
    reader = await database.connect_single(sla.settings.database_url, name="tests", idle_ms=0)
    try:
        async with reader.transaction():
            # Nobody gets on with intake's partitions, where the rep's call waits.
            await reader.execute("SELECT FROM consumer_offset WHERE topic LIKE '%intake%' FOR UPDATE")
            at = now()
            await sla.publish("routing", [routed(lead, at)])
            await sla.published(lambda seen: any(event.type == "ClockStarted" for event in seen))
            await sla.publish("intake", [touch(lead, at + timedelta(milliseconds=500))])
            await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))

            async def held_back() -> None:
                row = await reader.fetchrow("SELECT step, next_at, due_at FROM clock WHERE lead_id = $1", lead)
                assert row is not None
                assert (row["step"], row["next_at"] > row["due_at"]) == (1, True)

            await eventually(held_back)
    finally:
        await reader.close()
    events = await sla.published(lambda seen: any(event.type == "BreachRetracted" for event in seen))
    await sla.settled()
    assert not any(event.type == "SlaEscalated" for event in events)
    assert await states(sla, lead) == {("first_response_5m", 1): "met"}


@pytest.mark.parametrize(("called_after", "breach_is_right"), [(0.5, False), (1.5, True)])
async def test_what_was_escalated_of_a_promise_that_was_kept_by_then_is_taken_back_on_the_topic(
    sla: Actor, called_after: float, *, breach_is_right: bool
) -> None:
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations:\n"
        "  - {kind: first_response_5m, after: 1s, to: manager}\n"
        "  - {kind: first_response_5m, after: 1s, to: pause}",
    )
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    told = await sla.published(lambda seen: sum(event.type == "SlaEscalated" for event in seen) == 2)
    alerts = {event.message.alert.to: event.message.alert.alert_id for event in told if event.type == "SlaEscalated"}
    await learn(sla, "intake", touch(lead, at + timedelta(seconds=called_after)))
    told = await sla.published(lambda seen: sum(event.type == "EscalationRetracted" for event in seen) == 2)
    taken_back = [event.message for event in told if event.type == "EscalationRetracted"]
    assert {one.to: (one.alert_id, one.clock.rep_id) for one in taken_back} == {
        to: (alert, "ana") for to, alert in alerts.items()
    }
    assert any(event.type == "BreachRetracted" for event in told) is not breach_is_right


async def test_nobody_is_told_of_a_breach_while_what_was_read_cannot_be_applied(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: first_response_5m, within: 2s, from: assignment}]")
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    holding = await database.connect_single(sla.settings.database_url, name="tests", idle_ms=0)
    try:
        async with holding.transaction():
            await holding.execute("LOCK TABLE touch IN SHARE MODE")
            await sla.publish("intake", [touch(lead, at + timedelta(milliseconds=500))])

            async def is_over() -> None:
                assert now() > at + timedelta(seconds=3)

            await eventually(is_over)
    finally:
        await holding.close()
    await sla.settled()
    assert await states(sla, lead) == {("first_response_5m", 1): "met"}
    assert (await sla.http.get(f"/v1/alerts?lead_id={lead}")).json() == []


async def test_nobody_loses_a_lead_of_which_a_record_is_parked(start: Stage, sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations: [{kind: first_response_5m, after: 0s, to: reassign}]",
    )
    sick, well, at = ids.new(), ids.new(), now() + timedelta(seconds=3)
    await learn(sla, "intake", captured(sick, now()), captured(well, now()))
    await learn(sla, "routing", routed(sick, at), routed(well, at))
    # It may be the call that the alert says was never made.
    await garbage(start.settings(""), sick)

    def escalated(seen: Sequence[Incoming], lead: UUID) -> bool:
        return any(event.type == "SlaEscalated" and event.subject == lead for event in seen)

    await sla.published(lambda seen: escalated(seen, well))

    async def held_back() -> None:
        row = await sla.database.pool.fetchrow("SELECT step, next_at, due_at FROM clock WHERE lead_id = $1", sick)
        assert row is not None
        assert (row["step"], row["next_at"] > row["due_at"]) == (1, True)

    await eventually(held_back)
    (parked,) = (await sla.http.get("/v1/parked")).json()["items"]
    await sla.http.post(f"/v1/parked/{parked['parked_id']}/discard", json={"reason": "no event"})
    await sla.published(lambda seen: escalated(seen, sick))


@pytest.mark.parametrize("times_allowed", [1, 2])
async def test_a_lead_is_taken_away_as_often_as_the_policy_says_and_never_in_a_loop(
    sla: Actor, times_allowed: int
) -> None:
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        f"escalations: [{{kind: first_response_5m, after: 0s, to: reassign, times: {times_allowed}}}]",
    )
    lead = ids.new()
    for cycle in (1, 2, 3):
        await learn(sla, "routing", routed(lead, now(), cycle=cycle))

        async def all_is_over(cycle: int = cycle) -> None:
            async with sla.database.reading() as conn:
                row = await conn.fetchrow(
                    "SELECT state, next_at FROM clock WHERE lead_id = $1 AND cycle = $2", lead, cycle
                )
            assert row is not None
            assert (row["state"], row["next_at"]) == ("breached", None)

        await eventually(all_is_over)
    await sla.settled()
    told = await sla.published(lambda seen: sum(event.type == "SlaBreached" for event in seen) == 3)
    taken = [event.message.clock.cycle for event in told if event.type == "SlaEscalated"]
    assert taken == list(range(1, times_allowed + 1))


async def test_who_missed_it_is_paused_though_the_lead_was_taken_away_and_nobody_else_is(sla: Actor) -> None:
    await put(
        sla,
        "clocks:\n  - {kind: first_response_5m, within: 1s, from: assignment}\n"
        "  - {kind: first_response_30m, within: 1s, from: assignment}\n"
        "escalations:\n  - {kind: first_response_5m, after: 0s, to: reassign}\n"
        "  - {kind: first_response_5m, after: 1d, to: manager}\n"
        "  - {kind: first_response_5m, after: 2d, to: pause}\n"
        "  - {kind: first_response_30m, after: 2d, to: pause}",
    )
    lead = ids.new()
    await learn(sla, "routing", routed(lead, now()))

    async def left() -> dict[str, list[str]]:
        async with sla.database.reading() as conn:
            rows = await conn.fetch(
                "SELECT clock, steps, step, next_at FROM clock WHERE lead_id = $1 AND cycle = 1", lead
            )
        to_come = {
            row["clock"]: [step["to"] for step in row["steps"]["steps"][row["step"] :] if not step.get("off")]
            for row in rows
        }
        assert all((row["next_at"] is None) == (not to_come[row["clock"]]) for row in rows)
        return to_come

    async def taken() -> None:
        assert await left() == {"first_response_5m": ["manager", "pause"], "first_response_30m": ["pause"]}

    await eventually(taken)
    over = now()
    await learn(sla, "routing", released(lead, over, outcome="reassigned"), routed(lead, over, cycle=2, who=rep("ben")))
    assert await left() == {"first_response_5m": ["pause"], "first_response_30m": []}
