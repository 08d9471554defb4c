"""What other systems get wrong with clocks, and this one must not: numbers as in the list of such defects."""

import cProfile
import pstats
from datetime import UTC, datetime, timedelta

import pytest

from backbone import calendars, ids, times
from backbone.testing.stage import Actor
from tests.shown import put
from tests.telling import captured, learn, now, rep, routed, touch, updated

HALF_AN_HOUR = "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: HOURS}]"
SATURDAYS = ("2026-11-14T15:00:00+00:00", "2026-11-14T23:00:00+00:00")
MONDAY = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)


async def test_9_a_lead_of_the_weekend_is_due_on_monday_half_past_nine_whenever_it_came(sla: Actor) -> None:
    week = ["mon", "tue", "wed", "thu", "fri"]
    body = {"time_zone": "UTC", "working_hours": [{"days": week, "start": "09:00", "end": "18:00"}]}
    assert (await sla.http.put("/v1/calendars/firm", json=body)).status_code == 200
    await put(sla, HALF_AN_HOUR.replace("HOURS", "firm"))
    leads = {ids.new(): datetime.fromisoformat(came) for came in SATURDAYS}
    await learn(sla, "routing", *(routed(lead, at) for lead, at in leads.items()))
    for lead in leads:
        (clock,) = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
        assert (clock["due_at"], clock["calendar"]) == (times.text(MONDAY), "firm@1")


def test_9_elapsed_time_is_not_counted_second_by_second() -> None:
    week = calendars.windows([(["mon", "tue", "wed", "thu", "fri"], "09:00", "18:00")])
    calendar = calendars.Calendar(zone="Europe/Berlin", windows=week)
    start = datetime(2026, 11, 2, tzinfo=UTC)

    def calls(days: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(calendars.elapsed, calendar, start, start + timedelta(days=days))
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    calls(30)
    assert calls(30) == calls(3)


async def test_10_a_breach_is_noticed_though_nobody_saves_or_reads_anything(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]")
    lead = ids.new()
    await learn(sla, "routing", routed(lead, now()))
    told = await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    assert [event.subject for event in told if event.type == "SlaBreached"] == [lead]


async def test_11_a_reply_stops_the_clock_whatever_the_status_says_and_a_status_does_not(sla: Actor) -> None:
    lead, at = ids.new(), now()
    await put(sla, "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]")
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at), updated(lead, at + timedelta(seconds=1), status="contacted"))

    async def state() -> str:
        (clock,) = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
        return str(clock["state"])

    assert await state() == "running"
    await learn(sla, "intake", touch(lead, at + timedelta(seconds=2), automated=True))
    assert await state() == "running"
    await learn(sla, "routing", updated(lead, at + timedelta(seconds=3), status="waiting_for_lead"))
    await learn(sla, "intake", touch(lead, at + timedelta(seconds=4)))
    assert await state() == "met"


@pytest.mark.parametrize("first", ["a", "b"])
async def test_21_of_two_policies_that_apply_the_lower_order_wins_not_the_first_name(sla: Actor, first: str) -> None:
    orders = {"a": 2, "b": 1, "c": 3}
    for name in sorted(orders, key=lambda one: one != first):
        clocks = f"clocks: [{{clock: of {name}, kind: first_response_5m, within: 5m, from: assignment}}]"
        await put(sla, f"order: {orders[name]}\n{clocks}", name)
    strict = "order: 0\napplies: lead.source == 'fair'\nclocks: [{kind: acceptance, within: 5m, from: assignment}]"
    await put(sla, strict, "strict")
    lead, other, at = ids.new(), ids.new(), now()
    given, elsewhere = routed(lead, at), routed(other, at, who=rep("ben"))
    elsewhere[1].lead.source = "fair"
    await learn(sla, "routing", given, elsewhere)
    names = {
        one: [clock["clock"] for clock in (await sla.http.get(f"/v1/leads/{one}/clocks")).json()]
        for one in (lead, other)
    }
    assert names == {lead: ["of b"], other: ["acceptance"]}


async def test_21_whoever_puts_a_policy_in_the_place_of_another_is_told(sla: Actor) -> None:
    clocks = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]\n"
    await put(sla, clocks, "b")
    for text, place in ((clocks, {"line": 1}), (f"{clocks}order: 1\n", {"line": 2})):
        for params in ({"dry_run": True}, {}):
            (warned,) = (await sla.http.put("/v1/policies/a", content=text, params=params)).json()["warnings"]
            assert "b: of two that apply to a lead" in warned["detail"]
            assert warned["line"] == place["line"]
    for name, text in (("a", f"{clocks}order: 2"), ("b", clocks)):
        assert (await sla.http.put(f"/v1/policies/{name}", content=text)).json()["warnings"] == []
