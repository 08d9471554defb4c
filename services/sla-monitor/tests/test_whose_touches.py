"""By rep and by team: whose touches of a lead are whose, when it changes hands, comes back, and is merged."""

from datetime import timedelta
from typing import Any

import pytest

from sla_monitor import reports, reports_persistence

Shown = dict[str, tuple[Any, ...]]


async def persistence(told: Any, by: str = "rep") -> Shown:
    span = {"start": told.start, "end": told.end, "as_of": told.end}
    groups = await reports_persistence.persistence(told.conn, by=by, **span)
    return {one["key"]: (one["leads"], one["touches_per_lead"], one["contacted"]) for one in groups}


async def speed(told: Any, by: str = "rep") -> Shown:
    groups = await reports.speed(told.conn, told.start, told.end, by=by, as_of=told.end)
    sides = {one["key"]: one["from_assignment"] for one in groups}
    return {key: (side["leads"], side["touched"], side["p50_seconds"]) for key, side in sides.items()}


async def test_a_call_right_before_the_lead_changes_hands_is_of_who_called(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0, converted=60)
    await told.given(lead, 60, "zoe", cycle=2, team="south")
    await told.touch(lead, 59, outcome="connected")
    # By a clock that is behind.
    await told.touch(lead, 58, rep_id="zoe")
    assert await persistence(told) == {"ana": (1, 1.0, 1), "zoe": (1, 1.0, 0)}
    assert await persistence(told, "team") == {"north": (1, 1.0, 1), "south": (1, 1.0, 0)}
    assert await speed(told) == {"ana": (1, 1, 59.0), "zoe": (1, 1, 0.0)}


async def test_whoever_answers_at_the_second_time_of_having_it_has_answered(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0, reassigned=100)
    await told.given(lead, 100, "ben", cycle=2, reassigned=200)
    await told.given(lead, 200, cycle=3)
    await told.touch(lead, 230)
    assert await speed(told) == {"ana": (1, 1, 30.0), "ben": (1, 0, None)}
    # Or a colleague of the team; of all leads it is said how whoever had them first answered.
    assert await speed(told, "team") == {"north": (1, 1, 30.0)}
    assert await speed(told, "none") == {"all": (1, 0, None)}


async def test_a_rep_who_gets_a_lead_back_within_seconds_has_not_touched_it_twice(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0, reassigned=22)
    await told.given(lead, 22, "ben", cycle=2, reassigned=25)
    await told.given(lead, 25, cycle=3)
    await told.touch(lead, 20)
    await told.touch(lead, 24)
    assert await persistence(told) == {"ana": (1, 2.0, 0), "ben": (1, 0.0, 0)}
    assert await persistence(told, "none") == {"all": (1, 2.0, 0)}


@pytest.mark.parametrize("by", ["none", "source", "rep", "team"])
async def test_what_a_rep_did_before_they_have_the_lead_again_stays_with_the_first_time(told: Any, by: str) -> None:
    lead, later = await told.lead(), await told.lead()
    await told.given(lead, 60, converted=7260)
    await told.touch(lead, 7260)
    await told.given(lead, 7262, cycle=2)
    # What they did once it was over is of the next time, as it meets that one's clock.
    await told.given(later, 60, recycled=7260)
    await told.touch(later, 7261)
    await told.given(later, 7262, cycle=2)
    groups = await reports.speed(told.conn, told.start, told.end, by=by, as_of=told.end)
    (side,) = (group["from_assignment"] for group in groups)
    seconds = {"none": 7200.0, "source": 7200.0, "rep": 3600.0, "team": 3600.0}[by]  # By rep: of 7,200 and none.
    assert (side["leads"], side["touched"], side["p50_seconds"]) == (2, 1 if seconds == 7200.0 else 2, seconds)


async def test_what_was_done_long_before_a_lead_was_given_to_anybody_is_no_answer(told: Any) -> None:
    early, late = await told.lead(), await told.lead()
    for lead in (early, late):
        await told.given(lead, 100)
        await told.touch(lead, 40)
    await told.touch(late, 130)
    assert await speed(told) == {"ana": (2, 1, 30.0)}
    assert await persistence(told) == {"ana": (2, 1.5, 0)}


async def test_what_was_done_long_before_a_lead_came_is_no_answer_to_it(told: Any) -> None:
    called, known = await told.lead(), await told.lead()
    for lead in (called, known):
        await told.touch(lead, -7200)
    await told.touch(known, 60)
    (group,) = await reports.speed(told.conn, told.start, told.end, by="none", as_of=told.end)
    side = group["from_arrival"]
    assert (side["leads"], side["touched"], side["never_touched"], side["p50_seconds"]) == (2, 1, 1, 60.0)


async def test_who_had_a_lead_that_was_merged_has_what_was_done_with_it(told: Any) -> None:
    kept, lost = await told.lead(), await told.lead(1)
    await told.given(kept, 0)
    await told.given(lost, 0, "ben", merged=300)
    await told.touch(lost, 100, rep_id="ben")
    await told.touch(lost, 200, rep_id="ben", outcome="connected")
    apart = {"ana": (1, 0.0, 0), "ben": (1, 2.0, 1)}
    assert await persistence(told) == apart
    await told.merged(lost, kept, 300)
    assert await persistence(told) == apart
    assert await speed(told) == {"ana": (1, 0, None), "ben": (1, 1, 100.0)}
    assert await persistence(told, "none") == {"all": (1, 2.0, 1)}


async def test_what_a_merge_moved_to_a_rep_takes_no_touches_of_before(told: Any) -> None:
    kept, lost = await told.lead(), await told.lead(1)
    await told.given(lost, 0, "ben", merged=300)
    await told.given(kept, 50, recycled=200)
    await told.touch(kept, 100, outcome="connected")
    await told.merged(lost, kept, 300)
    await told.given(kept, 0, "ben", cycle=2)
    moved = "UPDATE assignment SET moved = true, recorded_at = $2 WHERE lead_id = $1 AND cycle = 2"
    await told.conn.execute(moved, kept, told.start + timedelta(seconds=300))
    await told.touch(kept, 400, rep_id="ben")
    assert await persistence(told) == {"ana": (1, 1.0, 1), "ben": (1, 1.0, 0)}


async def test_of_a_part_that_nobody_had_the_touches_are_of_who_has_the_lead(told: Any) -> None:
    kept, lost = await told.lead(), await told.lead(1)
    await told.given(kept, 0)
    await told.touch(lost, 100, rep_id="ben")
    await told.merged(lost, kept, 300)
    assert await persistence(told) == {"ana": (1, 1.0, 0)}


@pytest.mark.parametrize(("answered", "seconds"), [("lost", 60.0), ("kept", 120.0)])
async def test_what_a_merge_moved_is_answered_as_the_one_lead_or_the_other(
    told: Any, answered: str, seconds: float
) -> None:
    leads = {"kept": await told.lead(), "lost": await told.lead()}
    await told.given(leads["lost"], 10, merged=100)
    await told.merged(leads["lost"], leads["kept"], 100)
    await told.given(leads["kept"], 10)
    moved = "UPDATE assignment SET moved = true, recorded_at = $2 WHERE lead_id = $1"
    await told.conn.execute(moved, leads["kept"], told.start + timedelta(seconds=100))
    await told.touch(leads[answered], 10 + seconds)
    for by in ("none", "rep", "source"):
        assert list((await speed(told, by)).values()) == [(1, 1, seconds)]
