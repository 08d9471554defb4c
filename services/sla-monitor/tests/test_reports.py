"""Speed to lead, from facts."""

from datetime import timedelta
from typing import Any

import pytest

from sla_monitor import (
    reports,
    store_marks,
)

DAY = 86_400


async def speed(told: Any, by: str = "none", **fields: Any) -> dict[str, dict[str, Any]]:
    said: dict[str, Any] = {"start": told.start, "end": told.end, "as_of": told.end, **fields}
    groups = await reports.speed(told.conn, said["start"], said["end"], by=by, as_of=said["as_of"])
    return {group["key"]: group for group in groups}


async def test_speed_counts_the_first_touch_of_any_rep_and_the_assignees_own(told: Any) -> None:
    quick, slow, never = [await told.lead(), await told.lead(10, source="fair"), await told.lead(20)]
    for one in (quick, slow, never):
        await told.given(one, 60)
    await told.given(slow, 5000, "ben", cycle=2)
    await told.touch(quick, 100)
    await told.touch(quick, 90, automated=True)
    await told.touch(quick, 80, rep_id="ben")
    await told.touch(slow, 2010)
    await told.touch(never, 30, automated=True)
    (group,) = (await speed(told)).values()
    assert group["from_arrival"] == {
        "leads": 3,
        "touched": 2,
        "never_touched": 1,
        "within_300_seconds": 1,
        "within_1800_seconds": 1,
        "within_86400_seconds": 2,
        "p50_seconds": 1040.0,
        "p90_seconds": 80 + 0.9 * 1920,
    }
    answered = group["from_assignment"]
    assert (answered["leads"], answered["touched"], answered["never_touched"]) == (3, 2, 1)
    assert (answered["within_300_seconds"], answered["p50_seconds"]) == (1, (40 + 1950) / 2)
    assert group["touches_per_lead"] == 1.0
    by_source = await speed(told, "source")
    assert {key: one["from_arrival"]["leads"] for key, one in by_source.items()} == {"fair": 1, "web": 2}
    assert set(await speed(told, "rep")) == {"ana", "ben"}
    for by, key in (("team", "north"), ("hour", "12"), ("weekday", "tue"), ("week", "2024-11-11")):
        assert set(await speed(told, by)) == {key}


@pytest.mark.parametrize(("by", "first", "second"), [("rep", "ana", "zoe"), ("team", "north", "south")])
async def test_each_who_had_a_lead_has_a_speed_from_their_own_assignment(
    told: Any, by: str, first: str, second: str
) -> None:
    """An SDR's lead that sales got, whose rep called twice; and one that only the SDR had."""
    both, one = await told.lead(), await told.lead()
    for lead in (both, one):
        await told.given(lead, 10, converted=600 if lead is both else 900)
        await told.touch(lead, 40)
    await told.given(both, 600, "zoe", cycle=2, team="south")
    for seconds in (700, 800):
        await told.touch(both, seconds, rep_id="zoe")
    found = await speed(told, by)
    arrived = {
        key: (group["from_arrival"]["leads"], group["from_arrival"]["p50_seconds"]) for key, group in found.items()
    }
    assert arrived == {first: (2, 40.0), second: (0, None)}
    given = {
        key: (group["from_assignment"]["leads"], group["from_assignment"]["p50_seconds"])
        for key, group in found.items()
    }
    assert given == {first: (2, 30.0), second: (1, 100.0)}
    assert {key: group["touches_per_lead"] for key, group in found.items()} == {first: 1.0, second: 2.0}
    (whole,) = (await speed(told)).values()
    assert (whole["from_assignment"]["leads"], whole["touches_per_lead"]) == (2, 2.0)


async def test_moments_are_those_of_the_companys_zone(told: Any) -> None:
    # Sunday the 10th, 23:30 in UTC: Monday in Berlin.
    await told.lead(-36.5 * 3600)
    said = {"start": told.start - timedelta(days=3), "end": told.start}
    for zone, week_starts, hour, weekday, week in (
        ("UTC", "mon", "23", "sun", "2024-11-04"),
        ("UTC", "sun", "23", "sun", "2024-11-10"),
        ("Europe/Berlin", "mon", "00", "mon", "2024-11-11"),
        ("Europe/Berlin", "sun", "00", "mon", "2024-11-10"),
    ):
        await reports.count_in(told.conn, zone, week_starts)
        assert set(await speed(told, "hour", **said)) == {hour}
        assert set(await speed(told, "weekday", **said)) == {weekday}
        assert set(await speed(told, "week", **said)) == {week}


async def test_weekdays_stand_in_the_order_of_the_week(told: Any) -> None:
    for day in (3, 0, 1, 6):
        await told.lead(day * DAY)
    found = await speed(told, "weekday", end=told.at(7 * DAY), as_of=told.at(7 * DAY))
    assert list(found) == ["mon", "tue", "wed", "fri"]


async def test_speed_knows_what_was_known_and_ends_before_its_end(told: Any) -> None:
    first = await told.lead()
    await told.lead(DAY)
    await told.touch(first, 60, recorded=7200)
    assert (await speed(told, as_of=told.at(3600)))["all"]["from_arrival"]["touched"] == 0
    assert (await speed(told, as_of=told.at(10_000)))["all"]["from_arrival"]["touched"] == 1
    assert (await speed(told))["all"]["from_arrival"]["leads"] == 1
    assert (await speed(told, as_of=told.at(-DAY)))["all"]["from_arrival"]["leads"] == 0


async def test_a_merged_leads_touches_are_the_survivors(told: Any) -> None:
    kept, lost, before = await told.lead(), await told.lead(1), await told.lead(2)
    await told.merged(before, lost)
    await told.merged(lost, kept)
    await told.touch(before, 50)
    await told.touch(lost, 70)
    (group,) = (await speed(told)).values()
    assert (group["from_arrival"]["leads"], group["from_arrival"]["p50_seconds"]) == (1, 50.0)
    assert group["touches_per_lead"] == 2
    assert len((await store_marks.facts(told.conn, [kept]))[kept].touches) == 2
