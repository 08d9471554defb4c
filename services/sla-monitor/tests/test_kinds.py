"""Each kind of clock: what starts it, what meets it, what ends it; through the topics and the door."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from tests import telling
from tests.telling import captured, engaged, judged, learn, now, qualified, queued, rep, routed, touch, updated


@pytest.fixture
async def sla(start: Stage) -> Actor:
    return await start("sla")


async def put(sla: Actor, text: str) -> None:
    answer = await sla.http.put("/v1/policies/standard", content=text)
    assert answer.status_code == 200, answer.text


async def clocks(sla: Actor, lead: UUID) -> dict[tuple[str, int], dict[str, Any]]:
    found = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
    return {(one["clock"], one["cycle"]): one for one in found}


async def states(sla: Actor, lead: UUID) -> dict[tuple[str, int], str]:
    return {key: one["state"] for key, one in (await clocks(sla, lead)).items()}


def instant(text: str) -> datetime:
    return times.parse(text)


async def test_handing_over_runs_from_qualification_until_somebody_has_the_lead(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: handoff, within: 15m, from: qualification}]")
    lead, out, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(lead, at), captured(out, at))
    await learn(sla, "qualification", qualified(lead, at), qualified(out, at))
    assert (await clocks(sla, lead))["handoff", 1]["due_at"] == times.text(at + timedelta(minutes=15))
    await learn(sla, "routing", routed(lead, at + timedelta(seconds=30)))
    await learn(sla, "qualification", telling.disqualified(out, at + timedelta(seconds=5)))
    assert await states(sla, lead) == {("handoff", 1): "met"}
    assert await states(sla, out) == {("handoff", 1): "cancelled"}
    # Recycled, it is qualified again: another promise, while the one that was kept stays on record.
    again = at + timedelta(seconds=60)
    await learn(sla, "routing", telling.released(lead, again))
    await learn(sla, "qualification", qualified(lead, again), qualified(lead, again + timedelta(seconds=1)))
    assert await states(sla, lead) == {("handoff", 1): "met", ("handoff", 2): "running"}


async def test_the_review_queues_clock_is_met_by_a_judgement_and_its_alerts_go_to_the_sdrs_managers(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: review, within: 1s, from: queued}]")
    late, judged_one, left, bant, at = ids.new(), ids.new(), ids.new(), ids.new(), now() + timedelta(seconds=3)
    await learn(sla, "intake", *(captured(lead, at) for lead in (late, judged_one, left, bant)))
    changed = telling.routing_pb2.RepChanged(stamp=telling.stamp(ids.new(), at), rep=rep(manager_id="tom"))
    changed.stamp.lead_id = ""
    await learn(sla, "routing", (ids.derived("rep", "ana"), changed))
    await learn(sla, "qualification", queued(late, at), queued(judged_one, at), queued(left, at))
    await learn(sla, "qualification", qualified(bant, at, queue="bant"))
    soon = at + timedelta(milliseconds=400)
    await learn(sla, "qualification", judged(judged_one, soon), judged(left, soon, decided=False))
    await learn(sla, "qualification", judged(bant, soon, queue="bant"))
    assert await states(sla, judged_one) == {("review", 1): "met"}
    assert await states(sla, left) == {("review", 1): "cancelled"}
    assert await states(sla, bant) == {("review", 1): "met"}
    told = await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    (breach,) = [event.message for event in told if event.type == "SlaBreached"]
    assert (breach.stamp.lead_id, breach.alert.to, list(breach.alert.manager_ids)) == (str(late), "manager", ["tom"])


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


async def test_a_missed_meeting_is_booked_again_or_its_rep_says_why_not(sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: no_show_rebook, within: 1s, from: meeting_missed}]\n"
        "escalations: [{kind: no_show_rebook, after: 0s, to: reassign}]",
    )
    booked, told, slow, at = ids.new(), ids.new(), ids.new(), now() + timedelta(seconds=4)
    await learn(sla, "intake", *(captured(lead, at) for lead in (booked, told, slow)))
    await learn(sla, "routing", routed(booked, at), routed(told, at), routed(slow, at, cycle=3))
    missed = [engaged(lead, at, "meeting_missed", meeting_id="m1") for lead in (booked, slow)]
    await learn(sla, "intake", *missed, engaged(told, now(), "meeting_missed", meeting_id="m1"))
    assert await states(sla, booked) == {("no_show_rebook", 1): "running"}
    await learn(sla, "intake", engaged(booked, at + timedelta(milliseconds=100), "meeting_booked", meeting_id="m2"))
    assert await states(sla, booked) == {("no_show_rebook", 1): "met"}
    mine, others = sla.as_role("rep", rep="ana"), sla.as_role("rep", rep="ben")
    said = {"outcome": "wrong_time", "note": "was abroad"}
    answer = await mine.post(f"/v1/leads/{told}/no-show", json=said, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, [one["state"] for one in answer.json()]) == (200, ["met"])
    again = await mine.post(f"/v1/leads/{told}/no-show", json=said, headers={"Idempotency-Key": "k"})
    assert again.json() == answer.json()
    assert (await others.post(f"/v1/leads/{told}/no-show", json=said)).status_code == 403
    assert (await mine.post(f"/v1/leads/{ids.new()}/no-show", json=said)).status_code == 404
    assert (await mine.post(f"/v1/leads/{told}/no-show", json={"outcome": "shrug"})).status_code == 422
    # Whoever has the lead is meant: the act names the cycle of the assignment, not the clock's.
    seen = await sla.published(lambda seen: any(event.type == "SlaEscalated" for event in seen))
    (act,) = [event.message for event in seen if event.type == "SlaEscalated"]
    assert (act.stamp.lead_id, act.clock.rep_id) == (str(slow), "ana")
    assert (act.clock.cycle, act.alert.assignment_cycle) == (1, 3)
    erased = telling.intake_pb2.PersonalDataErased(stamp=telling.stamp(told, at), erasure_id="e")
    await learn(sla, "intake", (told, erased))
    async with sla.database.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM mark WHERE note IS NOT NULL") == 0
        assert await conn.fetchval("SELECT count(*) FROM mark WHERE kind = 'no_show'") == 1


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
        "  - {kind: stale, within: 60d, from: last_touch}",
    )
    lead, at = ids.new(), now() - timedelta(days=90)
    await learn(sla, "routing", routed(lead, at, starts_clocks=False, outcome="taken_over"))
    found = await clocks(sla, lead)
    assert list(found) == [("stale", 1)]
    assert instant(found["stale", 1]["due_at"]) > now() + timedelta(days=59)


async def test_open_clocks_follow_a_changed_calendar_each_move_on_record(sla: Actor) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    async def calendar(end: str) -> None:
        body = {"time_zone": "UTC", "working_hours": [{"days": days, "start": "00:00", "end": end}]}
        assert (await sla.http.put("/v1/calendars/firm", json=body)).status_code == 200

    await calendar("24:00")
    await put(sla, "clocks: [{kind: first_response_1d, within: 2d, from: assignment, hours: firm, warn: [50%]}]")
    lead, at = ids.new(), now()
    await learn(sla, "routing", routed(lead, at))
    before = (await clocks(sla, lead))["first_response_1d", 1]
    assert (before["calendar"], instant(before["due_at"])) == ("firm@1", at + timedelta(days=2))
    await calendar("12:00")

    async def moved() -> None:
        clock = (await clocks(sla, lead))["first_response_1d", 1]
        assert clock["calendar"] == "firm@2"
        (move,) = clock["moved"]
        assert (move["due_before"], move["due_at"]) == (before["due_at"], clock["due_at"])
        # Half days: it takes twice as long.
        assert abs(instant(clock["due_at"]) - at - timedelta(days=4)) <= timedelta(hours=12)

    await eventually(moved)
    told = await sla.published(lambda seen: sum(event.type == "ClockStarted" for event in seen) == 2)
    assert told[-1].message.clock.calendar == "firm@2"


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


async def test_what_was_promised_to_a_merged_lead_is_promised_to_the_survivor(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: handoff, within: 15m, from: qualification}]")
    kept, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(lost, at))
    await learn(sla, "qualification", qualified(lost, at))
    await learn(sla, "intake", *telling.merged(kept, lost, at))
    found = await clocks(sla, kept)
    assert {key: (one["state"], one["started_at"]) for key, one in found.items()} == {
        ("handoff", 1): ("running", times.text(at))
    }
    await learn(sla, "routing", routed(kept, at + timedelta(seconds=5)))
    assert await states(sla, kept) == {("handoff", 1): "met"}


async def test_a_merge_that_is_undone_gives_each_its_own_again(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: first_response_1d, within: 1d, from: arrival}]")
    kept, other, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(other, at))
    await learn(sla, "intake", *telling.merged(kept, other, at), touch(other, at + timedelta(seconds=5)))
    assert await states(sla, kept) == {("first_response_1d", 0): "met"}
    await learn(sla, "intake", *telling.unmerged(kept, other, at))
    # The touch was the other's.
    assert await states(sla, kept) == {("first_response_1d", 0): "running"}
    assert await states(sla, other) == {("first_response_1d", 0): "met"}


async def test_a_breach_that_was_told_of_before_a_merge_moved_the_assignment_is_not_told_of_again(sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations: [{kind: first_response_5m, after: 6s, to: manager}]",
    )
    kept, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(lost, at))
    await learn(sla, "routing", routed(lost, at))
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    await learn(sla, "intake", *telling.merged(kept, lost, now()))
    await learn(sla, "routing", telling.released(lost, now(), outcome="merged"), routed(kept, at, rule="merged"))
    assert await states(sla, kept) == {("first_response_5m", 1): "breached"}
    told = await sla.published(lambda seen: any(event.type == "SlaEscalated" for event in seen))
    alerts = [(event.type, event.subject) for event in told if event.type in ("SlaBreached", "SlaEscalated")]
    assert alerts == [("SlaBreached", lost), ("SlaEscalated", kept)]
