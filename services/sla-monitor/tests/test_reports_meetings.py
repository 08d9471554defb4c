"""Meetings and what a minute costs: from facts, as of an instant."""

from math import exp, log, sqrt
from typing import Any

import pytest

from handoff.events.v1 import common_pb2
from sla_monitor import reports, reports_conversion, reports_leaks, reports_meetings, store_reps
from sla_monitor.store_reps import RepSeen

HOUR, DAY = 3600, 86_400
NO_WORD = {"not_rebooked": dict.fromkeys(reports_meetings.REASONS, 0)}


def whole(told: Any, as_of: float | None = None) -> dict[str, Any]:
    return {"start": told.start, "end": told.end, "as_of": told.at(as_of) if as_of is not None else told.at(365 * DAY)}


async def meetings(told: Any, by: str = "none", as_of: float | None = None) -> dict[str, dict[str, Any]]:
    groups = await reports_meetings.meetings(told.conn, by=by, **whole(told, as_of))
    return {group["key"]: {name: count for name, count in group.items() if count} for group in groups}


async def test_a_meeting_is_held_once_its_start_has_passed_unless_it_was_cancelled_or_missed(told: Any) -> None:
    lead = await told.lead()
    for ref in ("held", "off", "missed", "moved"):
        await told.mark(lead, "meeting_booked", 60, ref=ref, until=HOUR)
    await told.mark(lead, "meeting_booked", 60, ref="held", until=HOUR)
    await told.mark(lead, "meeting_cancelled", 70, ref="off")
    await told.mark(lead, "meeting_missed", HOUR + 60, ref="missed", recorded=HOUR + 90)
    await told.mark(lead, "meeting_cancelled", 80, ref="moved")
    await told.mark(lead, "meeting_booked", 90, ref="moved", until=2 * HOUR)
    assert (await meetings(told, as_of=75))["all"] == {"key": "all", "booked": 4, "cancelled": 1, **NO_WORD}
    assert (await meetings(told, as_of=HOUR))["all"] == {
        "key": "all",
        "booked": 4,
        "held": 2,
        "cancelled": 1,
        **NO_WORD,
    }
    assert (await meetings(told, as_of=2 * HOUR))["all"] == {
        "key": "all",
        "booked": 4,
        "held": 2,
        "cancelled": 1,
        "missed": 1,
        "not_rebooked": {**dict.fromkeys(reports_meetings.REASONS, 0), "unknown": 1},
    }


async def test_a_meeting_that_a_rep_logged_is_held_where_none_was_booked(told: Any) -> None:
    booked, dropped_in, phoned = [await told.lead() for _ in range(3)]
    await told.mark(booked, "meeting_booked", 60, ref="m1", until=HOUR)
    for lead in (booked, dropped_in):
        await told.touch(lead, HOUR, kind="meeting", outcome="connected")
    await told.touch(dropped_in, 2 * HOUR, kind="meeting", outcome="connected", automated=True)
    await told.touch(dropped_in, 2 * HOUR, kind="meeting", outcome="attempted")
    await told.touch(dropped_in, 2 * DAY, kind="meeting", outcome="connected")
    await told.touch(phoned, HOUR, kind="call", outcome="connected")
    assert (await meetings(told))["all"] == {"key": "all", "booked": 1, "held": 2, **NO_WORD}


async def test_who_meets_after_all_whom_they_did_not_meet_as_booked_has_held_a_meeting(told: Any) -> None:
    off, missed = [await told.lead() for _ in range(2)]
    for lead, became in ((off, "meeting_cancelled"), (missed, "meeting_missed")):
        await told.mark(lead, "meeting_booked", 60, ref="m1", until=HOUR)
        await told.mark(lead, became, HOUR + 60, ref="m1")
        await told.touch(lead, 2 * HOUR, kind="meeting", outcome="connected")
    shown = (await meetings(told))["all"]
    assert {name: shown[name] for name in ("booked", "cancelled", "missed", "held")} == {
        "booked": 2,
        "cancelled": 1,
        "missed": 1,
        "held": 2,
    }


async def test_a_missed_meeting_was_booked_again_or_it_says_why_not(told: Any) -> None:
    words = ("rebooked", "lost_interest", "wrong_time", "unreachable", "", "other", "late word")
    leads = {word: await told.lead() for word in words}
    for word, lead in leads.items():
        await told.mark(lead, "meeting_booked", 60, ref="m", until=HOUR)
        await told.mark(lead, "meeting_missed", HOUR + 600, ref="m")
        if word in ("rebooked", "lost_interest", "wrong_time", "unreachable", "other"):
            await told.mark(lead, "no_show", HOUR + 700, word=word)
    # Of two words the later one counts.
    await told.mark(leads["late word"], "no_show", HOUR + 700, word="unreachable")
    await told.mark(leads["late word"], "no_show", HOUR + 800, word="lost_interest")
    # Booked again before anybody noted that nobody came.
    await told.mark(leads[""], "meeting_booked", HOUR + 300, ref="m2", until=3 * DAY)
    found = (await meetings(told))["all"]
    assert (found["booked"], found["missed"], found["rebooked"], found["held"]) == (8, 7, 2, 1)
    assert found["not_rebooked"] == {"lost_interest": 2, "wrong_time": 1, "unreachable": 1, "unknown": 1}


@pytest.mark.parametrize("are_starts_known", [True, False])
async def test_a_meeting_that_is_booked_again_under_its_name_may_be_missed_again(
    told: Any, are_starts_known: bool
) -> None:
    again, came, lead = [await told.lead() for _ in range(3)]

    async def booked(of: Any, seconds: float, starts: float) -> None:
        await told.mark(of, "meeting_booked", seconds, ref="m", **({"until": starts} if are_starts_known else {}))

    for of in (again, came):
        await booked(of, 60, HOUR)
        # Told twice, it is one.
        for seconds in (HOUR + 60, HOUR + 70):
            await told.mark(of, "meeting_missed", seconds, ref="m")
        await booked(of, HOUR + 90, DAY)
    await told.mark(again, "meeting_missed", DAY + 60, ref="m")
    await told.mark(again, "no_show", DAY + 90, word="lost_interest")
    # Called off after it was missed, it was missed.
    await booked(lead, 60, HOUR)
    await told.mark(lead, "meeting_missed", HOUR + 60, ref="m")
    await told.mark(lead, "meeting_cancelled", HOUR + 90, ref="m")
    held = {"held": 1} if are_starts_known else {}
    why = {**NO_WORD["not_rebooked"], "lost_interest": 1, "unknown": 1}
    wanted = {"key": "all", "booked": 5, "missed": 4, "rebooked": 2, "not_rebooked": why, **held}
    assert (await meetings(told))["all"] == wanted
    leaking = {one["kind"]: one for one in await reports_leaks.leaks(told.conn, **whole(told))}["no_show"]
    assert leaking["lead_ids"] == sorted(map(str, (again, lead)))


async def test_a_meeting_without_an_id_is_known_by_its_start(told: Any) -> None:
    lead = await told.lead()
    for starts in (HOUR, 2 * HOUR):
        await told.mark(lead, "meeting_booked", 60, until=starts)
    await told.mark(lead, "meeting_missed", HOUR + 60, until=HOUR)
    found = (await meetings(told))["all"]
    assert (found["booked"], found["held"], found["missed"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("booking", "noted"),
    [
        ({"ref": "m1", "until": HOUR}, {}),
        ({"ref": "m1", "until": HOUR}, {"until": HOUR}),
        ({"until": HOUR}, {"ref": "m1", "until": HOUR}),
        ({"ref": "m1"}, {}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("kind", ["meeting_missed", "meeting_cancelled"])
async def test_a_meeting_is_one_however_it_is_named_when_it_is_missed_or_called_off(
    told: Any, kind: str, booking: dict[str, Any], noted: dict[str, Any]
) -> None:
    lead, other = await told.lead(), await told.lead()
    await told.mark(lead, "meeting_booked", 60, **booking)
    # Another lead's, and one that is still to come.
    await told.mark(other, "meeting_booked", 70, ref="m1", until=HOUR)
    at = HOUR + 60 if kind == "meeting_missed" else 120
    await told.mark(lead, kind, at, **noted)
    await told.mark(lead, "meeting_booked", HOUR + 90, ref="m2", until=500 * DAY)
    found = (await meetings(told))["all"]
    named = kind.removeprefix("meeting_")
    assert (found["booked"], found["held"], found[named]) == (3, 1, 1)


async def test_by_team_a_past_report_does_not_change_when_a_rep_changes_teams(told: Any) -> None:
    lead = await told.lead()
    await told.touch(lead, 60, rep_id="dia")
    await told.mark(lead, "meeting_booked", 60, ref="m", until=HOUR, rep_id="dia")
    for version, (since, team) in enumerate(((-60, "north"), (DAY, "south")), 1):
        dia = common_pb2.Rep(rep_id="dia", team=team, version=version)
        await store_reps.note_reps(told.conn, [RepSeen(dia, told.at(since), is_told=True)])
    assert set(await meetings(told, "team")) == {"north"}
    (group,) = await reports.speed(told.conn, by="team", **whole(told))
    assert group["key"] == "north"


async def test_the_word_of_a_missed_meeting_is_not_that_of_the_next_one(told: Any) -> None:
    lead = await told.lead()
    for ref, starts in (("m1", HOUR), ("m2", 2 * HOUR)):
        await told.mark(lead, "meeting_booked", 60, ref=ref, until=starts)
        await told.mark(lead, "meeting_missed", starts + 60, ref=ref)
    await told.mark(lead, "no_show", 2 * HOUR + 120, word="wrong_time")
    assert (await meetings(told))["all"]["not_rebooked"] == {**NO_WORD["not_rebooked"], "wrong_time": 1, "unknown": 1}


async def test_a_meeting_counts_when_it_was_booked_else_when_it_begins_and_by_who_has_it(told: Any) -> None:
    lead, lost = await told.lead(source="fair"), await told.lead()
    await told.merged(lost, lead)
    await told.given(lead, 0, "ben", team="south", returned=HOUR)
    await told.given(lead, 2 * HOUR, "ana", cycle=2)
    await told.mark(lead, "meeting_booked", -60, ref="before", until=HOUR)
    await told.mark(lead, "meeting_booked", 60, ref="by ben", until=3 * DAY, rep_id="cid")
    await told.mark(lead, "meeting_booked", 60, until=3 * DAY)
    await told.mark(lost, "meeting_missed", 2 * DAY, ref="never booked", until=1800)
    for by, keys in (
        ("none", {"all": (2, 1)}),
        ("source", {"fair": (2, 1)}),
        ("rep", {"ana": (1, 0), "ben": (0, 1), "cid": (1, 0)}),
        ("team", {"": (1, 0), "north": (1, 0), "south": (0, 1)}),
        ("hour", {"12": (2, 1)}),
        ("weekday", {"tue": (2, 1)}),
    ):
        found = await meetings(told, by)
        assert {key: (one.get("booked", 0), one.get("missed", 0)) for key, one in found.items()} == keys, by


# What a minute costs


async def test_conversion_tells_what_became_of_leads_by_how_soon_they_were_touched(told: Any) -> None:
    for seconds in (0, 300, 301, 900, 1800, 3600, DAY, DAY + 1, None):
        lead = await told.lead(source="fair" if seconds == 0 else "web")
        await told.touch(lead, 1, automated=True)
        if seconds is not None:
            await told.touch(lead, seconds)
        if seconds in (300, 900, None):
            await told.mark(lead, "sales_ready", 400, recorded=500)
            await told.mark(lead, "qualified", 400)
        if seconds == 900:
            await told.mark(lead, "sales_qualified", 1000)
            await told.mark(lead, "deal_moved", 2000, word="won")
    (group,) = await reports_conversion.conversion(told.conn, by="none", **whole(told))
    counts = {one["bucket"]: (one["leads"], one["srl"], one["sql"], one["won"]) for one in group["buckets"]}
    assert counts == {
        "0-300": (2, 1, 0, 0),
        "300-900": (2, 1, 1, 1),
        "900-1800": (1, 0, 0, 0),
        "1800-3600": (1, 0, 0, 0),
        "3600-86400": (1, 0, 0, 0),
        "later": (1, 0, 0, 0),
        "never": (1, 1, 0, 0),
    }
    assert [group["buckets"][1][f"{outcome}_share"] for outcome in ("srl", "sql", "won")] == [0.5, 0.5, 0.5]
    # One of two against two of seven.
    assert group["odds"]["srl"]["ratio"] == pytest.approx(5 / 2)
    assert group["odds"]["won"] == {"ratio": None, "low": None, "high": None}
    (before,) = await reports_conversion.conversion(told.conn, by="none", **whole(told, 499))
    assert sum(one["srl"] for one in before["buckets"]) == 0
    by_source = await reports_conversion.conversion(told.conn, by="source", **whole(told))
    assert [(one["key"], sum(bucket["leads"] for bucket in one["buckets"])) for one in by_source] == [
        ("fair", 1),
        ("web", 8),
    ]


async def test_conversion_counts_merged_leads_once_and_shows_every_bucket_of_nobody(told: Any) -> None:
    (nobody,) = await reports_conversion.conversion(told.conn, by="none", **whole(told))
    assert [(one["leads"], one["srl_share"]) for one in nobody["buckets"]] == [(0, None)] * 7
    kept, lost = await told.lead(), await told.lead()
    await told.merged(lost, kept)
    await told.touch(lost, 10)
    await told.mark(lost, "deal_moved", 20, word="won")
    (group,) = await reports_conversion.conversion(told.conn, by="none", **whole(told))
    assert [(one["leads"], one["won"]) for one in group["buckets"]] == [(1, 1), *[(0, 0)] * 6]


def test_an_odds_ratio_comes_with_woolfs_interval() -> None:
    found = reports_conversion.odds_ratio(30, 70, 20, 180)
    reach = 1.959964 * sqrt(1 / 30 + 1 / 70 + 1 / 20 + 1 / 180)
    assert found == pytest.approx(
        {"ratio": 30 * 180 / (70 * 20), "low": exp(log(27 / 7) - reach), "high": exp(log(27 / 7) + reach)}, rel=1e-6
    )
    for cells in ((0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)):
        assert reports_conversion.odds_ratio(*cells) == {"ratio": None, "low": None, "high": None}
