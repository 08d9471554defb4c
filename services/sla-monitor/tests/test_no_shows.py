"""Meetings that were missed, and are to be booked again."""

from datetime import timedelta
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.database import Database
from backbone.testing.stage import Actor
from sla_monitor import reports_meetings
from tests import telling
from tests.monitor import Monitor, at
from tests.shown import put, states
from tests.telling import Told, captured, engaged, learn, now, routed


async def test_a_missed_meeting_is_booked_again_or_its_rep_says_why_not(sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: no_show_rebook, within: 1s, from: meeting_missed}]\n"
        "escalations: [{kind: no_show_rebook, after: 0s, to: reassign}]",
    )
    patient = "applies: lead.source == 'fair'\nclocks: [{kind: no_show_rebook, within: 1h, from: meeting_missed}]"
    await put(sla, patient, name="patient")
    booked, told, slow, at = ids.new(), ids.new(), ids.new(), now() + timedelta(seconds=4)
    await learn(sla, "intake", captured(booked, at), captured(slow, at), captured(told, at, source="fair"))
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


async def test_of_a_meeting_that_nobody_booked_again_is_told_once_whoever_has_the_lead_by_then(
    db: Database, monitor: Monitor
) -> None:
    kept, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 1h, from: meeting_missed}]", kept, lost)
    await monitor.tell("routing", routed(kept, at(1)), routed(lost, at(1), who=telling.rep("ben")))
    await monitor.tell("intake", engaged(lost, at(10), "meeting_missed"))
    await monitor.fire()
    await monitor.tell("intake", *telling.merged(kept, lost, at(5000), came_at=at(0)))
    await monitor.fire()
    async with db.reading() as conn:
        assert [tuple(row) for row in await conn.fetch("SELECT lead_id, rep_id FROM alert")] == [(lost, "ben")]


async def test_a_missed_meeting_stays_its_reps_when_the_lead_is_merged(db: Database, monitor: Monitor) -> None:
    kept, lost = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 9d, from: meeting_missed}]", kept, lost)
    await monitor.tell("routing", routed(lost, at(1), who=telling.rep("ben")))
    await monitor.tell("intake", engaged(lost, at(10), "meeting_missed"))
    await monitor.tell("intake", *telling.merged(kept, lost, at(100), came_at=at(0)))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT rep_id FROM clock WHERE lead_id = $1", kept) == "ben"


async def test_a_booking_told_late_leaves_the_second_miss_a_clock(monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 3d, from: meeting_missed}]", lead)
    await monitor.tell("intake", engaged(lead, at(10), "meeting_missed"))
    await monitor.tell("intake", engaged(lead, at(30), "meeting_missed"))
    assert await monitor.states(lead) == {("no_show_rebook", 1): "running"}
    await monitor.tell("intake", engaged(lead, at(20), "meeting_booked"))
    assert await monitor.states(lead) == {("no_show_rebook", 1): "met", ("no_show_rebook", 2): "running"}
    # And it is one promise again when that booking turns out to be of before both.
    await monitor.tell("intake", engaged(lead, at(5), "meeting_missed"))
    assert await monitor.states(lead) == {
        ("no_show_rebook", 1): "cancelled",
        ("no_show_rebook", 2): "running",
        ("no_show_rebook", 3): "met",
    }


@pytest.mark.parametrize("noted_first", [False, True])
@pytest.mark.parametrize("named", [{"meeting_id": "m1"}, {}, {"starts_at": times.text(at(600))}])
async def test_who_books_again_before_anybody_notes_the_miss_has_booked_again(
    db: Database, monitor: Monitor, named: dict[str, str], noted_first: bool
) -> None:
    again, late, moved = ids.new(), ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 3d, from: meeting_missed}]", again, late, moved)

    def booked(lead: UUID, seconds: float, meeting: str, starts: float) -> Told:
        return engaged(lead, at(seconds), "meeting_booked", meeting_id=meeting, starts_at=times.text(at(starts)))

    async def note() -> None:
        missed = [engaged(lead, at(1200), "meeting_missed", **named) for lead in (again, late, moved)]
        await monitor.tell("intake", *missed)

    if noted_first:
        await note()
    await monitor.tell("intake", booked(again, 0, "m1", 600), booked(again, 700, "m2", 90_000))
    await monitor.tell("intake", booked(moved, 0, "m1", 600), booked(moved, 700, "m1", 90_000))
    # The booking itself may be recorded after its meeting was to begin.
    await monitor.tell("intake", booked(late, 700, "m1", 600))
    if not noted_first:
        await note()
    key = ("no_show_rebook", 1)
    assert [(await monitor.states(lead))[key] for lead in (again, moved, late)] == ["met", "met", "running"]
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT met_at FROM clock WHERE lead_id = $1", again) == at(1200)
        (group,) = await reports_meetings.meetings(conn, at(0), at(3600), by="none", as_of=now())
    assert (group["missed"], group["rebooked"]) == (3, 2)


async def test_a_meeting_whose_id_is_a_number_is_one_meeting_however_it_is_written(
    db: Database, monitor: Monitor
) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 3d, from: meeting_missed}]", lead)
    for seconds, meeting in enumerate((77, 77.0, "77", 77.5)):
        starts_at = times.text(at(600 + seconds))
        booked = engaged(lead, at(seconds), "meeting_booked", meeting_id=meeting, starts_at=starts_at)
        await monitor.tell("intake", booked)
    await monitor.tell("intake", engaged(lead, at(1200), "meeting_cancelled", meeting_id=77))
    async with db.reading() as conn:
        (group,) = await reports_meetings.meetings(conn, at(0), at(3600), by="none", as_of=now())
    assert (group["booked"], group["cancelled"]) == (2, 1)


async def test_a_meeting_is_of_the_rep_who_hosts_it(db: Database, monitor: Monitor) -> None:
    lead, others = ids.new(), ids.new()
    await monitor.arrive("clocks: [{kind: first_response_1d, within: 1d, from: arrival}]", lead, others)
    reps = (telling.rep("ana", email="Ana@handoff.example"), telling.rep("ben", email="ben@handoff.example"))
    await monitor.tell("routing", *(telling.rep_changed(one, at(0)) for one in reps), routed(lead, at(1)))
    for host, seconds in (
        ("ANA@handoff.example ", 10),
        ("ben@handoff.example", 11),
        ("who@else.example", 12),
        ("", 13),
    ):
        said = {"host_email": host} if host else {}
        await monitor.tell("intake", engaged(lead, at(seconds), "meeting_booked", meeting_id=str(seconds), **said))
    await monitor.tell("intake", engaged(others, at(20), "meeting_missed", host_email="ben@handoff.example"))
    async with db.reading() as conn:
        span = {"start": at(-60), "end": at(60), "as_of": at(60)}
        groups = await reports_meetings.meetings(conn, by="rep", **span)
    # Whoever is none of ours is nobody here; then it is of who has the lead.
    assert {one["key"]: (one["booked"], one["missed"]) for one in groups} == {"ana": (3, 0), "ben": (1, 1)}


async def test_a_host_whom_nobody_knows_yet_is_found_when_they_are(db: Database, monitor: Monitor) -> None:
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: first_response_1d, within: 1d, from: arrival}]", lead)
    for number in range(2):
        said = {"meeting_id": f"m{number}", "host_email": "ben@handoff.example"}
        await monitor.tell("intake", engaged(lead, at(number), "meeting_booked", **said))
    await monitor.tell("routing", telling.rep_changed(telling.rep("ben", email="Ben@handoff.example"), at(5)))
    async with db.reading() as conn:
        span = {"start": at(-60), "end": at(60), "as_of": at(60)}
        groups = await reports_meetings.meetings(conn, by="rep", **span)
        before = await reports_meetings.meetings(conn, by="rep", **{**span, "as_of": at(4)})
        of_team = await reports_meetings.meetings(conn, by="team", **{**span, "as_of": at(4)})
        assert await conn.fetchval("SELECT count(*) FROM unknown_host") == 0
    assert {one["key"]: one["booked"] for one in groups} == {"ben": 2}
    # A report of before that says what it said then.
    assert ({one["key"]: one["booked"] for one in before}, of_team[0]["key"]) == ({"": 2}, "")


async def test_a_miss_is_of_the_start_that_it_names(db: Database, monitor: Monitor) -> None:
    """Booked again before anybody noted the miss, and that one has begun as well by then."""
    lead = ids.new()
    await monitor.arrive("clocks: [{kind: no_show_rebook, within: 3d, from: meeting_missed}]", lead)
    first, second = times.text(at(100)), times.text(at(200))
    for seconds, kind, starts in (
        (10, "meeting_booked", first),
        (150, "meeting_booked", second),
        (250, "meeting_missed", first),
    ):
        await monitor.tell("intake", engaged(lead, at(seconds), kind, meeting_id="m", starts_at=starts))
    assert await monitor.states(lead) == {("no_show_rebook", 1): "met"}
    async with db.reading() as conn:
        span = {"start": at(-60), "end": at(300), "as_of": at(3000)}
        (found,) = await reports_meetings.meetings(conn, by="none", **span)
    counts = {name: found[name] for name in reports_meetings.COUNTS}
    assert counts == {"booked": 2, "held": 1, "cancelled": 0, "missed": 1, "rebooked": 1}


async def test_what_is_said_of_a_merged_leads_missed_meeting_leaves_with_it(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: no_show_rebook, within: 1h, from: meeting_missed}]")
    lead, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(lead, at), captured(lost, at), engaged(lost, at, "meeting_missed"))
    await learn(sla, "intake", *telling.merged(lead, lost, at, came_at=at))
    answer = await sla.http.post(f"/v1/leads/{lost}/no-show", json={"outcome": "wrong_time"})
    assert (answer.status_code, [one["state"] for one in answer.json()]) == (200, ["met"])
    apart = telling.unmerged(lead, lost, at + timedelta(seconds=1), came=dict.fromkeys((lead, lost), at))
    await learn(sla, "intake", *apart)
    assert await states(sla, lost) == {("no_show_rebook", 1): "met"}
