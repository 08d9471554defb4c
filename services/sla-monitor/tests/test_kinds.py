"""Each kind of clock: what starts it, what meets it, what ends it; through the topics and the door."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor
from tests import telling
from tests.shown import clocks, put, states
from tests.telling import (
    captured,
    engaged,
    judged,
    learn,
    now,
    qualified,
    queued,
    rep,
    rep_changed,
    routed,
    touch,
    updated,
)


def instant(text: str) -> datetime:
    return times.parse(text)


async def test_handing_over_runs_from_qualification_until_somebody_has_the_lead(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: handoff, within: 15m, from: qualification}]")
    lead, out, bought, won, at = ids.new(), ids.new(), ids.new(), ids.new(), now()
    await learn(sla, "intake", *(captured(one, at) for one in (lead, out, bought, won)))
    await learn(sla, "qualification", *(qualified(one, at) for one in (lead, out, bought, won)))
    assert (await clocks(sla, lead))["handoff", 1]["due_at"] == times.text(at + timedelta(minutes=15))
    await learn(sla, "routing", routed(lead, at + timedelta(seconds=30)))
    soon = at + timedelta(seconds=5)
    await learn(sla, "qualification", telling.disqualified(out, soon), telling.converted(bought, soon))
    await learn(sla, "forecast", telling.opened(won, soon, "won"), *telling.moved(won, soon, "won"))
    assert await states(sla, lead) == {("handoff", 1): "met"}
    for over in (out, bought, won):
        assert await states(sla, over) == {("handoff", 1): "cancelled"}
    # Recycled, it is qualified again: another promise, while the one that was kept stays on record.
    again = at + timedelta(seconds=60)
    await learn(sla, "routing", telling.released(lead, again))
    await learn(sla, "qualification", qualified(lead, again), qualified(lead, again + timedelta(seconds=1)))
    assert await states(sla, lead) == {("handoff", 1): "met", ("handoff", 2): "running"}


async def test_the_review_queues_clock_is_met_by_a_judgement_and_its_alerts_go_to_the_sdrs_managers(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: review, within: 1s, from: queued}]")
    late, judged_one, left, bant, at = ids.new(), ids.new(), ids.new(), ids.new(), now() + timedelta(seconds=3)
    await learn(sla, "intake", *(captured(lead, at) for lead in (late, judged_one, left, bant)))
    await learn(sla, "routing", rep_changed(rep(manager_id="tom"), at))
    soon = at + timedelta(milliseconds=400)
    waiting = queued(late, at), queued(judged_one, at), queued(left, at), qualified(bant, at, queue="bant")
    ended = judged(judged_one, soon), judged(left, soon, decided=False), judged(bant, soon, queue="bant")
    await learn(sla, "qualification", *waiting, *ended)
    assert await states(sla, judged_one) == {("review", 1): "met"}
    assert await states(sla, left) == {("review", 1): "cancelled"}
    assert await states(sla, bant) == {("review", 1): "met"}
    told = await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    (breach,) = [event.message for event in told if event.type == "SlaBreached"]
    assert (breach.stamp.lead_id, breach.alert.to, list(breach.alert.manager_ids)) == (str(late), "manager", ["tom"])


@pytest.mark.parametrize("by", ["assignee", "anyone"])
async def test_what_an_sdr_said_right_before_handing_over_ends_nothing_of_sales(sla: Actor, by: str) -> None:
    minimum = "{kind: minimum_touches, within: 14d, from: assignment, touches: {call: 3}, ends_when: [connected]}"
    await put(sla, f"clocks: [{minimum}]\ncounts: {{outcome: [attempted, connected], by: {by}}}")
    lead, at = ids.new(), now()
    over = at + timedelta(minutes=1)
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at))
    await learn(sla, "intake", touch(lead, over - timedelta(seconds=1), outcome="connected"))
    handed = telling.released(lead, over, outcome="converted"), routed(lead, over, cycle=2, who=telling.rep("zoe"))
    await learn(sla, "routing", *handed)
    assert (await states(sla, lead)) == {("minimum_touches", 1): "cancelled", ("minimum_touches", 2): "running"}


async def test_acceptance_starts_clocks_and_meets_its_own(sla: Actor) -> None:
    await put(
        sla,
        "clocks:\n  - {kind: acceptance, within: 10m, from: assignment}\n"
        "  - {kind: first_response_5m, within: 5m, from: acceptance}\n"
        "  - {kind: status_update, within: 7d, from: acceptance}",
    )
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    assert await states(sla, lead) == {("acceptance", 1): "running"}
    # A policy that is put meanwhile is for those who are assigned from then on.
    await put(sla, "clocks: [{kind: first_response_1d, within: 1d, from: assignment}]")
    accepted_at = at + timedelta(minutes=2)
    await learn(sla, "routing", telling.accepted(lead, accepted_at))
    found = await clocks(sla, lead)
    assert {key: one["state"] for key, one in found.items()} == {
        ("acceptance", 1): "met",
        ("first_response_5m", 1): "running",
        ("status_update", 1): "running",
    }
    assert found["first_response_5m", 1]["due_at"] == times.text(accepted_at + timedelta(minutes=5))
    await learn(sla, "routing", updated(lead, accepted_at + timedelta(seconds=9)))
    updates = [one for one in (await sla.http.get(f"/v1/leads/{lead}/clocks")).json() if one["kind"] == "status_update"]
    assert [one["state"] for one in updates] == ["met", "running"]


async def test_a_booked_meeting_meets_first_responses_where_the_policy_says_so(sla: Actor) -> None:
    line = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]"
    at = now()
    for counts, state in ((True, "met"), (False, "running")):
        await put(sla, f"{line}\nbooking_counts: {str(counts).lower()}")
        during, before, off = ids.new(), ids.new(), ids.new()
        ahead, gone = times.text(at + timedelta(days=1)), at - timedelta(hours=1)
        await learn(
            sla,
            "intake",
            *(captured(lead, gone) for lead in (during, before, off)),
            engaged(before, gone, "meeting_booked", starts_at=ahead, meeting_id="a"),
            engaged(off, gone, "meeting_booked", starts_at=ahead, meeting_id="b"),
            engaged(off, gone + timedelta(minutes=1), "meeting_cancelled", meeting_id="b"),
        )
        await learn(sla, "routing", *(routed(lead, at) for lead in (during, before, off)))
        await learn(sla, "intake", engaged(during, at + timedelta(minutes=1), "meeting_booked"))
        assert set((await states(sla, during)).values()) == {state}
        assert set((await states(sla, before)).values()) == {state}
        # Called off before anybody had the lead: there is nothing to wait for.
        assert set((await states(sla, off)).values()) == {"running"}


async def test_what_ends_a_clock_is_the_reason_that_is_told(sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: minimum_touches, within: 14d, from: assignment, touches: {call: 3},"
        " ends_when: [connected, meeting_booked, closed]}]\n"
        "counts: {outcome: [attempted]}",
    )
    reached, booked, closed, given_away, at = ids.new(), ids.new(), ids.new(), ids.new(), now()
    everyone = (reached, booked, closed, given_away)
    await learn(sla, "intake", *(captured(lead, at) for lead in everyone))
    await learn(sla, "routing", *(routed(lead, at) for lead in everyone))
    soon = at + timedelta(minutes=1)
    await learn(sla, "intake", touch(reached, soon, outcome="connected"), engaged(booked, soon, "meeting_booked"))
    await learn(
        sla,
        "routing",
        telling.released(closed, soon, outcome="disqualified"),
        telling.released(given_away, soon, outcome="reassigned"),
    )
    told = await sla.published(lambda seen: sum(event.type == "ClockCancelled" for event in seen) == 4)
    assert {event.subject: event.message.reason for event in told if event.type == "ClockCancelled"} == {
        reached: "connected",
        booked: "meeting_booked",
        closed: "closed",
        given_away: "reassigned",
    }


async def test_what_an_sdr_closes_ends_no_clock_of_who_has_it_from_that_instant_on(sla: Actor) -> None:
    minimum = "{kind: minimum_touches, within: 14d, from: assignment, touches: {call: 3}, ends_when: [closed]}"
    await put(sla, f"clocks: [{minimum}]")
    lead, at = ids.new(), now()
    over = at + timedelta(minutes=1)
    await learn(sla, "intake", captured(lead, at))
    await learn(
        sla,
        "routing",
        routed(lead, at),
        telling.released(lead, over, outcome="converted"),
        routed(lead, over, cycle=2, who=telling.rep("zoe")),
    )
    assert (await states(sla, lead)) == {("minimum_touches", 1): "cancelled", ("minimum_touches", 2): "running"}


async def test_who_is_neglected_twice_is_told_of_twice_and_each_touch_begins_the_window_anew(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: stale, within: 2s, from: last_touch}]")
    lead, at = ids.new(), now()
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at))
    assert instant((await clocks(sla, lead))["stale", 1]["due_at"]) == at + timedelta(seconds=2)

    async def breaches() -> list[dict[str, Any]]:
        found = (await sla.http.get("/v1/alerts", params={"lead_id": str(lead)})).json()
        return [one for one in found if one["level"] == "breach"]

    for number in (1, 2):

        async def neglected(number: int = number) -> None:
            assert len(await breaches()) == number

        await eventually(neglected)
        touched_at = now()
        await learn(sla, "intake", touch(lead, touched_at))
        clock = (await clocks(sla, lead))["stale", 1]
        assert clock["state"] == "running" or len(await breaches()) > number
        assert instant(clock["due_at"]) == touched_at + timedelta(seconds=2)
    ids_of = {one["alert_id"] for one in await breaches()}
    assert len(ids_of) == len(await breaches())
    assert all(one["retracted_at"] is None for one in (await breaches())[:2])


async def test_a_touch_that_comes_late_closes_the_gap_that_it_fell_into(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: stale, within: 1d, from: last_touch}]")
    lead, at = ids.new(), now() - timedelta(days=1, hours=2)
    await learn(sla, "routing", routed(lead, at))
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    touched_at = at + timedelta(hours=20)
    await learn(sla, "intake", touch(lead, touched_at))
    clock = (await clocks(sla, lead))["stale", 1]
    assert (clock["state"], clock["retracted"], instant(clock["due_at"])) == (
        "running",
        True,
        touched_at + timedelta(days=1),
    )
    (alert,) = (await sla.http.get("/v1/alerts", params={"lead_id": str(lead)})).json()
    assert alert["retracted_at"] is not None
    await learn(sla, "routing", telling.released(lead, now(), outcome="converted"))
    assert (await states(sla, lead)) == {("stale", 1): "met"}


async def test_the_next_step_has_until_the_rep_said(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: next_step, within: 1d, from: last_touch}]")
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    assert await states(sla, lead) == {}
    agreed = at + timedelta(days=3)
    await learn(sla, "intake", touch(lead, at, next_at=agreed))
    assert instant((await clocks(sla, lead))["next_step", 1]["due_at"]) == agreed + timedelta(days=1)
    await learn(sla, "intake", touch(lead, at + timedelta(hours=1)))
    assert instant((await clocks(sla, lead))["next_step", 1]["due_at"]) == at + timedelta(days=1, hours=1)


async def test_a_team_that_moves_in_is_not_late_from_the_start(sla: Actor) -> None:
    await put(
        sla,
        "clocks:\n  - {kind: first_response_5m, within: 5m, from: assignment}\n"
        "  - {kind: first_response_1d, within: 1d, from: arrival}\n"
        "  - {kind: stale, within: 60d, from: last_touch}",
    )
    (lead, fresh, nobodys, left), at = [ids.new() for _ in range(4)], now() - timedelta(days=90)
    await learn(sla, "routing", rep_changed(rep(), at), rep_changed(rep("ben", active=False), at))
    owned = captured(lead, now(), owner_id="ana")
    await learn(sla, "intake", owned, captured(fresh, now()), captured(nobodys, now(), owner_id="of another tool"))
    await learn(sla, "intake", captured(left, now(), owner_id="ben"))
    for came in (fresh, nobodys, left):
        assert await states(sla, came) == {("first_response_1d", 0): "running"}
    await learn(sla, "routing", routed(lead, at, starts_clocks=False, outcome="taken_over"))
    found = await clocks(sla, lead)
    assert list(found) == [("stale", 1)]
    assert instant(found["stale", 1]["due_at"]) > now() + timedelta(days=59)


async def test_in_quiet_hours_nobody_is_warned_and_nothing_is_escalated_but_late_is_late(sla: Actor) -> None:
    at = now()
    quiet_end = (at + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    start, end = (at - timedelta(hours=3)).strftime("%H:00"), quiet_end.strftime("%H:%M")
    await put(
        sla,
        "clocks: [{kind: first_response_30m, within: 30m, from: assignment, warn: [50%]}]\n"
        "escalations: [{kind: first_response_30m, after: 0s, to: manager}]\n"
        f'quiet_hours: {{start: "{start}", end: "{end}", zone: UTC}}',
    )
    lead = ids.new()
    await learn(sla, "routing", routed(lead, at))
    async with sla.database.reading() as conn:
        steps = (await conn.fetchval("SELECT steps FROM clock WHERE lead_id = $1", lead))["steps"]
    assert [(one["level"], times.parse(one["at"])) for one in steps] == [
        ("breach", at + timedelta(minutes=30)),
        ("escalation", quiet_end),
    ]


async def test_who_is_paused_is_whom_the_lead_was_taken_from_not_who_got_it_for_that(sla: Actor) -> None:
    # The second clock finds the lead taken away already: its pause is meant for the same one.
    await put(
        sla,
        "clocks:\n  - {kind: first_response_1d, within: 1s, from: arrival}\n"
        "  - {kind: first_response_30m, within: 1s, from: arrival}\n"
        "escalations:\n  - {kind: first_response_1d, after: 0s, to: reassign}\n"
        "  - {kind: first_response_1d, after: 4s, to: pause}\n"
        "  - {kind: first_response_30m, after: 3s, to: reassign}\n"
        "  - {kind: first_response_30m, after: 4s, to: pause}",
    )
    # Late enough that who has it is read before it is missed, however slow the machine.
    lead, at = ids.new(), now() + timedelta(seconds=3)
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at))
    await sla.published(lambda seen: any(event.type == "SlaEscalated" for event in seen))
    given = telling.released(lead, now(), outcome="reassigned"), routed(lead, now(), cycle=2, who=rep("ben"))
    await learn(sla, "routing", *given)
    told = await sla.published(lambda seen: sum(event.type == "SlaEscalated" for event in seen) == 3)
    escalated = [event.message for event in told if event.type == "SlaEscalated"]
    acts = [(one.alert.to, one.clock.rep_id, one.alert.assignment_cycle) for one in escalated]
    assert acts == [("reassign", "ana", 1), ("pause", "ana", 1), ("pause", "ana", 1)]
