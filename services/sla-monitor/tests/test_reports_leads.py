"""Persistence and leaks: from facts, as of an instant."""

from typing import Any
from uuid import UUID

from sla_monitor import reports, reports_leaks, reports_persistence
from sla_monitor.domain import State

HOUR, DAY = 3600, 86_400


def whole(told: Any, as_of: float | None = None) -> dict[str, Any]:
    return {"start": told.start, "end": told.end, "as_of": told.at(as_of) if as_of is not None else told.at(365 * DAY)}


async def persistence(told: Any, by: str = "none", as_of: float | None = None) -> dict[str, dict[str, Any]]:
    groups = await reports_persistence.persistence(told.conn, by=by, **whole(told, as_of))
    return {group["key"]: group for group in groups}


async def leaks(told: Any, as_of: float | None = None) -> dict[str, list[UUID]]:
    items = await reports_leaks.leaks(told.conn, **whole(told, as_of))
    assert [item["kind"] for item in items] == list(reports_leaks.KINDS)
    assert all(item["leads"] == len(item["lead_ids"]) for item in items)
    return {item["kind"]: [UUID(one) for one in item["lead_ids"]] for item in items if item["leads"]}


# Persistence


async def test_persistence_counts_human_touches_and_those_until_somebody_speaks_with_the_lead(told: Any) -> None:
    third, first, never, untouched = [await told.lead(source=source) for source in ("web", "web", "fair", "fair")]
    await told.lead(DAY)
    for seconds, outcome in ((10, "attempted"), (20, "attempted"), (30, "connected"), (40, "connected")):
        await told.touch(third, seconds, outcome=outcome)
    await told.touch(third, 5, outcome="connected", automated=True)
    await told.touch(first, 50, outcome="connected", rep_id="ben")
    await told.touch(never, 60)
    (group,) = (await persistence(told)).values()
    assert (group["leads"], group["touches_per_lead"], group["contacted"], group["contacted_share"]) == (4, 1.5, 2, 0.5)
    assert group["touches_until_contact"] == {"mean": 2.0, "p50": 2.0}
    by_source = await persistence(told, "source")
    assert {key: one["contacted_share"] for key, one in by_source.items()} == {"fair": 0.0, "web": 1.0}
    assert by_source["fair"]["touches_until_contact"] == {"mean": None, "p50": None}
    assert set(await persistence(told, "weekday")) == {"tue"}
    assert set(await persistence(told, "rep")) == {"ana", "ben", ""}
    assert untouched not in (third, first, never)


async def test_persistence_counts_the_touches_that_speed_counts(told: Any) -> None:
    lead = await told.lead(60)
    for seconds, outcome in ((40, "connected"), (55, "attempted"), (70, "connected")):
        await told.touch(lead, seconds, outcome=outcome)
    for by in ("none", "rep"):
        (group,) = (await persistence(told, by)).values()
        assert (group["touches_per_lead"], group["touches_until_contact"]["mean"]) == (2, 2)
        (group,) = await reports.speed(told.conn, told.start, told.end, by=by, as_of=told.end)
        assert group["touches_per_lead"] == 2


async def test_persistence_as_of_knows_what_was_recorded_by_then(told: Any) -> None:
    lead = await told.lead()
    await told.touch(lead, 10, outcome="connected", recorded=500)
    assert (await persistence(told, as_of=499))["all"]["contacted"] == 0
    assert (await persistence(told, as_of=500))["all"]["contacted"] == 1


async def test_persistence_of_nobody_is_a_group_of_nothing(told: Any) -> None:
    (group,) = await reports_persistence.persistence(told.conn, by="none", **whole(told))
    assert (group["leads"], group["contacted_share"], group["given_up"]) == (0, None, {"leads": 0, "lead_ids": []})


async def test_given_up_is_who_was_closed_before_the_minimum_of_touches(told: Any) -> None:
    minimum = told.plan("minimum_touches", within=DAY, needs={"call": 2}, ends_when=("connected",))
    leads = {}
    for name, outcome, touches, said in (
        ("given up", "recycled", 1, "attempted"),
        ("given up late", "unreachable", 1, "attempted"),
        ("tried enough", "recycled", 2, "attempted"),
        ("converted", "converted", 1, "attempted"),
        ("spoken with", "recycled", 1, "connected"),
        ("erased", "erased", 0, "attempted"),
        # Somebody else works these.
        ("reassigned", "reassigned", 1, "attempted"),
        ("declined", "declined", 0, "attempted"),
        ("returned", "returned", 1, "attempted"),
        ("handed back", "handed_back", 1, "attempted"),
    ):
        lead = leads[name] = await told.lead()
        await told.given(lead, 0, **{outcome: 3 * DAY if "late" in name else 600})
        for number in range(touches):
            await told.touch(lead, 100 + number, outcome=said)
        await told.clock(lead, minimum, state=State.CANCELLED)
    # Of another promise that is cut short nothing follows.
    await told.clock(leads["tried enough"], told.plan("status_update", within=DAY), state=State.CANCELLED)
    kept = leads["kept"] = await told.lead()
    await told.given(kept, 0)
    await told.clock(kept, minimum)
    soon = leads["without such a clock"] = await told.lead()
    await told.given(soon, 0, recycled=600)
    await told.clock(soon, told.plan(), state=State.CANCELLED)

    async def given_up(as_of: float | None = None) -> set[str]:
        found = (await persistence(told, as_of=as_of))["all"]["given_up"]
        assert found["leads"] == len(found["lead_ids"])
        assert found["lead_ids"] == sorted(found["lead_ids"])
        return {name for name, lead in leads.items() if str(lead) in found["lead_ids"]}

    assert await given_up() == {"given up", "given up late"}
    assert await given_up(as_of=599) == set()
    assert await given_up(as_of=600) == {"given up"}


async def test_by_rep_a_lead_counts_for_each_who_had_it_and_is_given_up_by_who_closed_it(told: Any) -> None:
    lead, other = await told.lead(), await told.lead()
    minimum = told.plan("minimum_touches", within=DAY, needs={"call": 2})
    await told.given(lead, 0, reassigned=300)
    await told.given(lead, 300, "ben", cycle=2, team="south", unreachable=900)
    await told.given(other, 0)
    await told.touch(lead, 100)
    await told.touch(lead, 400, rep_id="ben")
    await told.touch(lead, 500, rep_id="ben", outcome="connected")
    for cycle in (1, 2):
        await told.clock(lead, minimum, cycle=cycle, state=State.CANCELLED)
    for by, first, second in (("rep", "ana", "ben"), ("team", "north", "south")):
        groups = await reports_persistence.persistence(told.conn, by=by, **whole(told))
        found = {one["key"]: (one["leads"], one["touches_per_lead"], one["contacted"]) for one in groups}
        assert found == {first: (2, 0.5, 0), second: (1, 2.0, 1)}
        assert {one["key"]: one["given_up"]["lead_ids"] for one in groups} == {first: [], second: [str(lead)]}


async def test_a_merged_lead_that_was_given_up_counts_under_its_survivor_once(told: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(reports_persistence, "MOST_IDS", 1)
    kept, lost, other = [await told.lead() for _ in range(3)]
    await told.merged(lost, kept)
    for lead in (kept, lost, other):
        await told.given(lead, 0, unreachable=60)
        await told.clock(lead, told.plan("minimum_touches", needs={"call": 1}), state=State.CANCELLED)
    found = (await persistence(told))["all"]["given_up"]
    assert found == {"leads": 2, "lead_ids": [str(min(kept, other))]}


# Leaks


async def test_slow_is_who_was_touched_late_or_not_at_all_though_somebody_had_to(told: Any) -> None:
    names = ("in time", "late", "assigned", "qualified", "neither", "by a robot")
    leads = {name: await told.lead() for name in names}
    await told.touch(leads["in time"], 1800)
    await told.touch(leads["late"], 1801)
    await told.given(leads["assigned"], 10)
    await told.mark(leads["qualified"], "qualified", 10)
    await told.mark(leads["neither"], "status", 10)
    await told.given(leads["by a robot"], 10)
    await told.touch(leads["by a robot"], 20, automated=True)
    slow = sorted(leads[name] for name in ("late", "assigned", "qualified", "by a robot"))
    assert (await leaks(told, as_of=1800)) == {}
    assert (await leaks(told, as_of=1801))["slow"] == slow
    # Before anybody knew that somebody had to.
    assert leads["assigned"] not in (await leaks(told, as_of=9)).get("slow", [])


async def test_capped_is_who_waited_because_nobody_had_room(told: Any) -> None:
    full, away = await told.lead(), await told.lead()
    await told.mark(full, "waiting", 10, word="no_capacity")
    await told.mark(away, "waiting", 10, word="nobody_at_work")
    assert await leaks(told, as_of=9) == {}
    assert await leaks(told, as_of=10) == {"capped": [full]}


async def test_neglected_is_who_is_with_sales_and_was_not_touched_for_two_months(told: Any) -> None:
    names = ("untouched", "touched", "released", "passed on", "came back")
    leads = {name: await told.lead() for name in names}
    for lead in leads.values():
        await told.touch(lead, 100)
        await told.touch(lead, 50 * DAY, automated=True)
    await told.given(leads["untouched"], 0)
    await told.given(leads["touched"], 0)
    await told.touch(leads["touched"], 30 * DAY)
    await told.given(leads["released"], 0, disqualified=59 * DAY)
    await told.given(leads["passed on"], 0, reassigned=59 * DAY)
    await told.given(leads["passed on"], 59 * DAY, "ben", cycle=2)
    await told.given(leads["came back"], 0, recycled=10 * DAY)
    await told.given(leads["came back"], 59 * DAY, "ben", cycle=2)
    assert "neglected" not in await leaks(told, as_of=60 * DAY + 99)
    expected = sorted([leads["untouched"], leads["passed on"]])
    assert (await leaks(told, as_of=60 * DAY + 100))["neglected"] == expected
    assert leads["came back"] in (await leaks(told, as_of=120 * DAY))["neglected"]


async def test_no_show_is_who_missed_a_meeting_that_was_not_booked_again(told: Any) -> None:
    missed, again, held = [await told.lead() for _ in range(3)]
    for lead in (missed, again, held):
        await told.touch(lead, 10)
        await told.mark(lead, "meeting_booked", 60, ref="m", until=HOUR)
    for lead in (missed, again):
        await told.mark(lead, "meeting_missed", HOUR + 60, ref="m")
    await told.mark(again, "meeting_booked", 2 * HOUR, ref="m2", until=3 * HOUR)
    assert await leaks(told, as_of=HOUR + 60) == {"no_show": sorted([missed, again])}
    assert await leaks(told) == {"no_show": [missed]}


async def test_declined_in_a_circle_is_who_was_given_back_twice_by_whomever(told: Any) -> None:
    twice, once, merged = [await told.lead() for _ in range(3)]
    for lead, outcomes in ((twice, ("declined", "returned")), (once, ("declined", "reassigned", "recycled"))):
        await told.touch(lead, 10)
        for number, outcome in enumerate(outcomes):
            await told.given(lead, number * 100, cycle=number + 1, **{outcome: number * 100 + 50})
    assert await leaks(told, as_of=149) == {}
    assert await leaks(told, as_of=150) == {"declined_in_a_circle": [twice]}
    await told.given(merged, 0, declined=50)
    await told.merged(merged, once)
    assert await leaks(told, as_of=150) == {"declined_in_a_circle": sorted([twice, once])}


async def test_closed_without_outcome_is_of_whom_its_rep_did_not_say_what_came_of_it(told: Any) -> None:
    silent, told_so = await told.lead(), await told.lead()
    for lead in (silent, told_so):
        await told.touch(lead, 10)
    await told.given(silent, 20, nothing=50)
    await told.given(told_so, 20, recycled=50)
    assert await leaks(told, as_of=49) == {}
    assert await leaks(told, as_of=50) == {"closed_without_outcome": [silent]}


async def test_a_leak_names_a_thousand_leads_at_most_and_counts_them_all(told: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(reports_leaks, "MOST_IDS", 2)
    leads = [await told.lead() for _ in range(3)]
    for lead in leads:
        await told.mark(lead, "waiting", 10, word="no_capacity")
    capped = (await reports_leaks.leaks(told.conn, **whole(told, 20)))[1]
    assert capped == {"kind": "capped", "leads": 3, "lead_ids": [str(one) for one in sorted(leads)[:2]]}
