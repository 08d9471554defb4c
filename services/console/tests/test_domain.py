"""How a rep's list is put in order, and what is said of a lead: values in, values out."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import times
from console import domain, journey, noting, shaping, zones
from console.views import Clock, Filters, InboxRow
from handoff.events.v1 import common_pb2, qualification_pb2

NOW = times.parse("2026-11-10T13:32:08Z")


def clock(kind: str, left_s: float, state: Any = "running", met_at: datetime | None = None) -> Clock:
    due = NOW + timedelta(seconds=left_s)
    start = due - timedelta(minutes=5)
    return Clock(
        clock=kind,
        kind=kind,
        label=domain.label(kind, {"call": 3, "email": 1}),
        state=state,
        cycle=1,
        started_at=start,
        due_at=due,
        within_seconds=300,
        met_at=met_at,
    )


FIVE, THIRTY, TOUCHES = "first_response_5m", "first_response_30m", "minimum_touches"


@pytest.mark.parametrize(
    ("clocks", "group", "left_s"),
    [
        ([clock(FIVE, 60), clock(THIRTY, 1500), clock(TOUCHES, 9999)], "first", 60),
        ([clock(FIVE, -60, "missed"), clock(THIRTY, 1500)], "missed", -60),
        # A late touch stays a miss, but hurries nobody any more.
        ([clock(FIVE, -60, "missed", NOW - timedelta(hours=1)), clock(TOUCHES, 9999)], "touches", 9999),
        ([clock(THIRTY, 1500), clock("status_update", 5)], "thirty", 1500),
        ([clock("status_update", 5), clock(TOUCHES, 1)], "other", 5),
        ([clock(FIVE, 60, "met", NOW - timedelta(seconds=2))], "done", 60),
        ([clock(FIVE, 60, "met", NOW - timedelta(seconds=6))], "open", None),
        ([clock(FIVE, 60, "cancelled")], "open", None),
        # Zero is not a miss: only the server's word is.
        ([clock(FIVE, -1)], "first", -1),
    ],
)
def test_the_clock_that_decides_a_leads_place(clocks: list[Clock], group: str, left_s: float | None) -> None:
    found, deciding = domain.place(clocks, NOW)
    left = (deciding.due_at - NOW).total_seconds() if deciding is not None and group != "open" else None
    assert (found, left) == (group, left_s)


def row(number: int, clocks: list[Clock], now: datetime = NOW, **more: Any) -> InboxRow:
    group, deciding = domain.place(clocks, now)
    values: dict[str, Any] = {
        **dict.fromkeys(("company", "job_title", "grade", "why_passed", "source"), ""),
        "v": 1,
        "rep_id": "dana",
        "cycle": 1,
        "state": "offered",
        "name": None,
        "hot": False,
        "new": True,
        "touches_done": {},
        "touches_needed": {},
        "arrived_at": NOW,
        "assigned_at": NOW,
        "group": group,
        "clock": deciding,
        "due_at": deciding.due_at if deciding else None,
    }
    return InboxRow(lead_id=UUID(int=number), clocks=tuple(clocks), **{**values, **more})


def test_time_passing_reorders_nothing() -> None:
    lists = [[clock(FIVE, 200)], [clock(FIVE, 20)], [clock(TOUCHES, 30)], [clock("stale", 90)], []]
    for later in (0, 25, 100, 500):
        now = NOW + timedelta(seconds=later)
        rows = sorted((row(number, one, now) for number, one in enumerate(lists)), key=domain.order)
        assert [one.lead_id.int for one in rows] == [1, 0, 3, 2, 4]


def test_filters_let_through_what_they_say() -> None:
    due = row(1, [clock(FIVE, 60)], name="Amara Nwosu", grade="A1", source="hubspot")
    idle = row(2, [], company="Fintrove", hot=True, new=False)
    for filters, found in (
        (Filters(), [due]),
        (Filters(show="all"), [due, idle]),
        (Filters(show="hot"), [idle]),
        (Filters(show="new"), [due]),
        (Filters(show="all", grade="A1"), [due]),
        (Filters(show="all", source="mautic"), []),
        (Filters(clock=FIVE), [due]),
        (Filters(clock=THIRTY), []),
        (Filters(show="all", q="fintro"), [idle]),
        (Filters(show="all", q="AMARA"), [due]),
    ):
        assert [one for one in (due, idle) if domain.matches(one, filters)] == found, filters


def test_durations_are_two_units_and_labels_are_words() -> None:
    said = [domain.duration(seconds) for seconds in (0.012, 7, 252, 3960, 273_600)]
    assert said == ["12 ms", "7s", "4m 12s", "1h 06m", "3d 4h"]
    assert clock(TOUCHES, 1).label == "3 calls, 1 e-mail"
    assert (clock(FIVE, 1).label, domain.label("no_such_kind", {})) == ("First follow-up", "No such kind")


def test_a_rep_is_away_for_a_reason_and_until_when() -> None:
    hours = [common_pb2.WorkingHours(days=["tue"], start="09:00", end="18:00")]
    rep = common_pb2.Rep(rep_id="dana", active=True, time_zone="Europe/Berlin", working_hours=hours)
    assert shaping.availability(rep, NOW).until == times.parse("2026-11-10T17:00:00Z")
    evening = shaping.availability(rep, NOW + timedelta(hours=5))
    assert (evening.available, evening.reason, evening.until) == (
        False,
        "off_hours",
        times.parse("2026-11-17T08:00:00Z"),
    )
    rep.time_off.add(start=times.stamp(NOW), end=times.stamp(NOW + timedelta(hours=1)))
    assert shaping.availability(rep, NOW).reason == "on_leave"
    rep.paused = True
    assert shaping.availability(rep, NOW).reason == "paused"
    rep.active = False
    assert shaping.availability(rep, NOW).reason == "inactive"


def test_a_countrys_zone_is_told_where_it_has_one_clock() -> None:
    assert (zones.zone_of("DE"), zones.zone_of("US"), zones.zone_of("")) == ("Europe/Berlin", None, None)


def test_whatever_is_noted_of_a_lead_has_its_words_in_the_journey() -> None:
    silent = {"RepChanged", "ClockStarted", "ClockCancelled"}
    reader = journey.Reader(rep_id=None, names={})
    for kind in sorted(set(noting.KINDS) - silent):
        empty = journey.message_of(kind, b"").SerializeToString()
        assert journey.entry(UUID(int=1), NOW, kind, empty, reader).kind, kind


@pytest.mark.parametrize(
    ("decided", "queue", "title", "note"),
    [(True, "bant", "Judged", "BANT"), (False, "review", "Needs no judgement any more", "review")],
)
def test_the_journey_says_how_a_review_ended(decided: bool, queue: str, title: str, note: str) -> None:
    message = qualification_pb2.ReviewEnded(queue=queue, decided=decided)
    said = journey.entry(
        UUID(int=1), NOW, "ReviewEnded", message.SerializeToString(), journey.Reader(rep_id=None, names={})
    )
    assert (said.kind, said.title, said.note, said.milestone) == ("review", title, note, True)
