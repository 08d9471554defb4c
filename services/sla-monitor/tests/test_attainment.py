"""Attainment by the stored state and as of an instant."""

from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import pytest

from handoff.events.v1 import common_pb2
from sla_monitor import (
    judging,
    keeping,
    known,
    reports_attainment,
    store,
    store_changes,
    store_clocks,
    store_marks,
    store_policies,
    store_reps,
)
from sla_monitor.clocks import Plan
from sla_monitor.domain import Facts, State
from sla_monitor.store_clocks import Clock
from sla_monitor.store_reps import RepSeen

DAY = 86_400


async def attained(told: Any, as_of: float | None = None, by: str = "none") -> dict[tuple[str, str], tuple[Any, ...]]:
    instant = told.at(as_of) if as_of is not None else None
    groups = await reports_attainment.attainment(told.conn, told.start, told.end, by=by, as_of=instant)
    return {(one["key"], one["kind"]): (one["met"], one["missed"], one["running"], one["share"]) for one in groups}


ALL_FIVE = ("all", "first_response_5m")


def stale(told: Any, within: float = 1000) -> Plan:
    return told.plan("stale", within=within, source="last_touch")  # type: ignore[no-any-return]


async def test_attainment_counts_what_is_stored_and_a_moving_clock_that_was_broken_as_missed(told: Any) -> None:
    leads = [await told.lead(source="fair") for _ in range(4)]
    for lead, state in zip(leads, State, strict=True):
        await told.clock(lead, told.plan(), state=state)
    await told.clock(leads[0], told.plan(), DAY, cycle=2, state=State.MET)
    await told.clock(leads[0], stale(told), breached_at=told.start)
    await told.clock(leads[1], stale(told))
    await told.clock(leads[2], stale(told), state=State.MET)
    assert await attained(told) == {ALL_FIVE: (1, 1, 1, 0.5), ("all", "stale"): (1, 1, 1, 0.5)}
    for by, key in (("rep", "ana"), ("team", "north"), ("source", "fair"), ("hour", "12"), ("weekday", "tue")):
        assert {found for found, _ in await attained(told, by=by)} == {key}


@pytest.mark.parametrize(("by", "first", "second"), [("rep", "ana", "ben"), ("team", "north", "south")])
async def test_a_clock_of_the_lead_itself_stands_for_who_had_the_lead_when_it_was_decided(
    told: Any, by: str, first: str, second: str
) -> None:
    """Of five leads that changed hands: met and missed before that and after; one was missed before anybody had it."""
    own = told.plan("first_response_1d", within=500, source="arrival")
    for met, given in ((50, 10), (400, 10), (None, 10), (None, 400), (None, 600)):
        lead = await told.lead(live=True)
        await told.given(lead, given, declined=300 if given < 300 else 700)
        await told.given(lead, 300 if given < 300 else 700, "ben", cycle=2, team="south")
        state, at = (State.MET, told.at(met)) if met else (State.BREACHED, None)
        one = told.made(lead, own, cycle=0, team="", state=state, met_at=at)
        one.terms = replace(one.terms, rep_id="", team="")
        await store_clocks.add(told.conn, [one])
        if met:
            await told.touch(lead, met, rep_id=first)
    met_and_missed = {key: (found[0], found[1]) for (key, _), found in (await attained(told, by=by)).items()}
    assert met_and_missed == {first: (1, 2), second: (1, 1)}
    assert await attained(told, DAY, by=by) == await attained(told, by=by)


async def test_a_clock_of_the_lead_itself_stands_for_whoever_has_the_lead(told: Any) -> None:
    had, never = await told.lead(live=True), await told.lead(live=True)
    await told.given(had, 100, declined=200)
    await told.given(had, 300, "ben", cycle=2, team="south")
    own = [told.plan("first_response_1d", source="arrival"), told.plan("first_response_30m", source="qualification")]
    for lead in (had, never):
        await told.mark(lead, "qualified", 0)
        for by in own:
            one = told.made(lead, by, cycle=0, team="")
            one.terms = replace(one.terms, rep_id="", team="")
            await store_clocks.add(told.conn, [one])
    await told.clock(had, told.plan(), 100)
    kinds = [by.spec.kind for by in own]
    for by, keys in (("rep", ("ana", "ben")), ("team", ("north", "south"))):
        first, second = ({(key, kind) for key in ("", key) for kind in kinds} for key in keys)
        assert set(await attained(told, by=by)) == {*second, (keys[0], "first_response_5m")}
        assert set(await attained(told, 99, by=by)) == {("", kind) for kind in kinds}
        assert set(await attained(told, 199, by=by)) == {*first, (keys[0], "first_response_5m")}
        # Released, the first rep's own clock was over before it was due; the lead's still stand for who had it last.
        assert set(await attained(told, 299, by=by)) == first
        assert set(await attained(told, 300, by=by)) == second


async def test_as_of_before_a_late_report_of_a_touch_shows_what_was_known_then(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0)
    await told.touch(lead, 60, recorded=900)
    await told.clock(lead, told.plan(), state=State.MET)
    assert await attained(told, -1) == {}
    assert await attained(told, 299) == {ALL_FIVE: (0, 0, 1, None)}
    assert await attained(told, 300) == {ALL_FIVE: (0, 1, 0, 0.0)}
    assert await attained(told, 900) == {ALL_FIVE: (1, 0, 0, 1.0)} == await attained(told)


async def test_as_of_knows_marks_acceptances_and_releases_by_then_alone(told: Any) -> None:
    marked, accepted, released = [await told.lead() for _ in range(3)]
    for one in (marked, accepted):
        await told.given(one, 0)
    await told.given(released, 0, declined=200)
    await told.mark(marked, "status", 50, recorded=100, word="working")
    await store.note_accepted(told.conn, [(accepted, 1, told.at(150))])
    await told.clock(marked, told.plan("status_update"))
    await told.clock(accepted, told.plan("acceptance"))
    await told.clock(released, told.plan(), state=State.CANCELLED)
    running, status, acceptance = (0, 0, 1, None), ("all", "status_update"), ("all", "acceptance")
    assert await attained(told, 99) == dict.fromkeys([status, acceptance, ALL_FIVE], running)
    assert (await attained(told, 100))[status] == (1, 0, 0, 1.0)
    assert (await attained(told, 149))[acceptance] == running
    assert (await attained(told, 150))[acceptance] == (1, 0, 0, 1.0)
    assert (await attained(told, 199))[ALL_FIVE] == running
    assert ALL_FIVE not in await attained(told, 200)


async def test_what_an_erasure_ended_has_no_verdict_at_any_instant(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0)
    erased = {"state": State.CANCELLED, "reason": judging.ERASED, "is_final": True}
    await told.clock(lead, told.plan(), **erased)
    await told.clock(lead, stale(told), **erased)
    over = await told.lead()
    await told.given(over, 0, declined=50)
    await told.clock(over, stale(told), **erased)
    assert await attained(told, 100) == await attained(told, DAY) == await attained(told) == {}


async def test_as_of_before_a_calendar_moved_a_deadline_the_old_one_holds(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0)
    moved = told.made(lead, told.plan(within=5000))
    await store_clocks.add(told.conn, [moved])
    await store_changes.note_changes(told.conn, [(moved, "wall", replace(moved.terms, due_at=told.at(300)))])
    await told.conn.execute("UPDATE clock_change SET at = $1", told.at(1000))
    assert (await attained(told, 999))[ALL_FIVE] == (0, 1, 0, 0.0)
    assert (await attained(told, 1000))[ALL_FIVE] == (0, 0, 1, None)


async def test_a_moving_clock_counts_where_it_began_and_as_of_then_by_the_touches_until_then(told: Any) -> None:
    lead = await told.lead()
    await told.given(lead, 0, converted=3 * DAY)
    await told.touch(lead, 900)
    await told.touch(lead, 2 * DAY)
    # By now it runs from its last touch, which lies outside the span.
    await told.clock(lead, stale(told), 2 * DAY, breached_at=told.at(1900))
    key = ("all", "stale")
    assert await attained(told) == {key: (0, 1, 0, 0.0)}
    assert await attained(told, 999) == await attained(told, 1899) == {key: (0, 0, 1, None)}
    assert await attained(told, 1900) == await attained(told, 4 * DAY) == {key: (0, 1, 0, 0.0)}


@pytest.mark.parametrize(("hours", "due"), [("rep", 20.5 * 3600), ("office", 21.5 * 3600)])
async def test_a_moving_clock_is_decided_on_its_own_hours(told: Any, hours: str, due: float) -> None:
    lead = await told.lead()
    await told.given(lead, 0)
    # Closed from Tuesday noon until eight or nine on Wednesday.
    opens = {"days": ["mon", "tue", "wed", "thu", "fri"], "end": "11:00"}
    windows = [common_pb2.WorkingHours(start="08:00", **opens)]
    rep = common_pb2.Rep(rep_id="ana", team="north", version=2, time_zone="UTC", working_hours=windows)
    await store_reps.note_reps(told.conn, [RepSeen(rep, told.start, is_told=True)])
    document = {"time_zone": "UTC", "working_hours": [{"start": "09:00", **opens}]}
    await store_policies.add_calendar(told.conn, "office", document)
    await told.clock(lead, stale(told, within=1800), hours=hours)

    async def is_due_then() -> None:
        assert (await attained(told, due - 1))["all", "stale"] == (0, 0, 1, None)
        assert (await attained(told, due))["all", "stale"] == (0, 1, 0, 0.0)

    await is_due_then()
    # Open on Sundays alone from a minute later on: what was missed by then is so.
    sundays = {"days": ["sun"], "start": "00:00", "end": "24:00"}
    changed = common_pb2.Rep(rep_id="ana", team="north", version=3, time_zone="UTC", working_hours=[sundays])
    await store_reps.note_reps(told.conn, [RepSeen(changed, told.at(due + 60), is_told=True)])
    await store_policies.add_calendar(told.conn, "office", {"time_zone": "UTC", "working_hours": [sundays]})
    for version, since in ((1, -DAY), (2, due + 60)):
        await told.conn.execute("UPDATE calendar SET made_at = $2 WHERE version = $1", version, told.at(since))
    await is_due_then()
    assert (await attained(told, due + 3600))["all", "stale"] == (0, 1, 0, 0.0)


async def test_attainment_by_facts_equals_the_stored_state(told: Any, chance: Random, monkeypatch: Any) -> None:
    monkeypatch.setattr(known, "AT_ONCE", 7)
    monkeypatch.setattr(reports_attainment, "PAGE", 20)
    now = 5000.0
    twice = told.plan("minimum_touches", within=2000, needs={"call": 2}, spread_seconds=100, ends_when=("connected",))
    plans = [told.plan(), stale(told), twice, told.plan("next_step", within=800, source="last_touch")]
    for _ in range(60):
        lead = await told.lead()
        over = {chance.choice(["converted", "declined"]): chance.uniform(1, now)} if chance.random() < 0.5 else {}
        await told.given(lead, 0, **over)
        for _ in range(chance.randint(0, 4)):
            await told.touch(lead, chance.uniform(0, now), outcome=chance.choice(["attempted", "connected"]))
        about = (await store_marks.facts(told.conn, [lead]))[lead]
        for by in plans:
            one = told.made(lead, by)
            if by.spec.kind != "next_step" or keeping.kept(one.terms, about, 1, by.due) is not None:
                _live(one, by, about, told.at(now))
                await store_clocks.add(told.conn, [one])
    stored = await attained(told, by="rep")
    assert stored == await attained(told, now, by="rep")
    assert {kind for _, kind in stored} == {by.spec.kind for by in plans}
    assert all(met and missed for met, missed, _, _ in stored.values())


def _live(one: Clock, by: Plan, about: Facts, now: datetime) -> None:
    """Let a clock live through facts as they happen, and break when it is due."""
    (given,) = about.assignments.values()
    instants = {touch.at for touch in about.touches} | {given.released_at or now, now}
    for instant in sorted(instants):
        if one.state is State.RUNNING and one.terms.due_at < instant and one.next_at is not None:
            one.state, one.breached_at, one.next_at = State.BREACHED, one.terms.due_at, None
            one.step += 1
        is_over = given.released_at is not None and given.released_at <= instant
        facts = Facts(
            touches=[touch for touch in about.touches if touch.at <= instant],
            assignments={1: given if is_over else replace(given, released_at=None)},
        )
        if by.spec.moves:
            judging.keep(one, facts, by)
        else:
            judging.judge(one, facts)
