"""What quiet hours hold back: warnings and escalations, never the breach; the chain keeps its order and its gaps."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from backbone import ids, times
from backbone.calendars import Calendar
from backbone.testing.stage import Actor
from backbone.wall_time import Window
from handoff.events.v1 import common_pb2, console_pb2
from sla_monitor import clocks, policies
from sla_monitor.clocks import Plan
from sla_monitor.domain import State
from sla_monitor.hours import Calendars
from sla_monitor.store_clocks import Clock
from tests.telling import captured, learn, now, rep, routed

NIGHT = "{start: '20:00', end: '08:00', zone: UTC}"
START = datetime(2026, 11, 10, 19, tzinfo=UTC)
MORNING = datetime(2026, 11, 11, 8, tzinfo=UTC)
REP = common_pb2.Rep(rep_id="ana")
LINES = [(0, "rep"), (3, "rep"), (5, "manager"), (10, "reassign"), (15, "pause")]


def plan(within: str, lines: list[tuple[int, str]], *, kind: str = "first_response_1d") -> Plan:
    chain = "".join(f"  - {{kind: {kind}, after: {after}m, to: {to}}}\n" for after, to in lines)
    text = f"clocks: [{{kind: {kind}, within: {within}, from: arrival}}]\nescalations:\n{chain}quiet_hours: {NIGHT}\n"
    policy = policies.build("standard", 1, policies.parse(text.encode(), []).data)
    made = clocks.plan(policy, policy.clocks[0], REP, Calendars({}, 2026))
    assert made is not None
    return made


def started(by: Plan) -> Clock:
    return clocks.start(UUID(int=7), by, cycle=0, started_at=START, rep=REP)


def change(clock: Clock, by: Plan, now: datetime) -> None:
    """Let the hours change."""
    clock.calendar = "as it was"
    clocks.recompute(clock, by, now)


def changed(at: datetime) -> Plan:
    """Return a plan by hours that did not come and changed at an instant, so that the deadline was over by then."""
    always = Calendar(zone="UTC", windows=tuple(Window(day, 0, 24 * 60) for day in range(7)))
    then = [(START - timedelta(days=1), Calendar(zone="UTC", windows=())), (at, always)]
    return replace(plan("1m", LINES[1:]), then=then)


def told(steps: Any) -> list[tuple[datetime, str]]:
    return [(times.parse(one["at"]), one["to"]) for one in steps if one["level"] == "escalation"]


def minutes(at: datetime, *some: float) -> list[datetime]:
    return [at + timedelta(minutes=one) for one in some]


@pytest.mark.parametrize("seed", range(4))
def test_the_chain_waits_for_the_morning_and_comes_as_the_policy_has_it(seed: int) -> None:
    lines = random.Random(seed).sample(LINES, len(LINES)) if seed else LINES
    steps = started(plan("2h", lines)).steps
    assert (steps[0]["level"], times.parse(steps[0]["at"])) == ("breach", START + timedelta(hours=2))
    assert told(steps) == list(zip(minutes(MORNING, 0, 3, 5, 10, 15), [to for _, to in LINES], strict=True))


def test_what_quiet_hours_hold_back_holds_back_what_comes_after_it() -> None:
    # The deadline is at five to eight in the evening: the chain begins, and goes on in the morning.
    assert told(started(plan("55m", LINES)).steps) == list(
        zip(
            [*minutes(START, 55, 58), *minutes(MORNING, 0, 5, 10)],
            [to for _, to in LINES],
            strict=True,
        )
    )
    # At five to eight in the morning: those of its own time after eight come later too.
    assert [at for at, _ in told(started(plan("775m", LINES)).steps)] == minutes(MORNING, 0, 3, 5, 10, 15)
    # And in the evening once more, if they are that far apart.
    far = [(0, "rep"), (60 * 11, "manager"), (60 * 13, "reassign")]
    assert [at for at, _ in told(started(plan("2h", far)).steps)] == minutes(MORNING, 0, 660, 24 * 60)


def test_what_is_for_the_same_instant_is_in_the_order_of_the_chain() -> None:
    lines = [(0, to) for to in ("pause", "reassign", "manager", "rep")]
    assert [to for _, to in told(started(plan("5m", lines)).steps)] == ["rep", "manager", "reassign", "pause"]
    assert started(plan("5m", lines)).steps[0]["level"] == "breach"


def test_changed_hours_keep_the_gaps_of_what_is_left_of_the_chain() -> None:
    by = plan("2h", LINES)
    clock = started(by)
    clock.step, clock.state, clock.breached_at = 2, State.BREACHED, START + timedelta(hours=2)
    # The rep was told at eight; that everything else was over long ago comes out at noon.
    noon = MORNING + timedelta(hours=4)
    early = plan("1m", LINES)
    change(clock, early, noon)
    assert told(clock.steps[2:]) == list(zip(minutes(noon, 0, 2, 7, 12), [to for _, to in LINES[1:]], strict=True))
    assert clock.next_at == noon
    # At night it waits for the morning.
    change(clock, early, MORNING + timedelta(hours=15))
    assert [at for at, _ in told(clock.steps[2:])] == minutes(MORNING + timedelta(days=1), 0, 2, 7, 12)


def test_what_was_to_be_told_in_the_night_comes_behind_what_was_told_in_the_morning() -> None:
    by = plan("2h", LINES)
    clock = started(by)
    clock.step, clock.state, clock.breached_at = 3, State.BREACHED, START + timedelta(hours=2)
    before = list(clock.steps)
    change(clock, by, MORNING + timedelta(minutes=4))
    assert clock.steps == before


def test_a_breach_that_changed_hours_put_to_now_holds_back_what_comes_after_it() -> None:
    clock = started(plan("2h", LINES[1:]))
    first, again = minutes(START, 25, 30)
    for instant in (first, again):
        change(clock, changed(instant), instant)
        assert (clock.steps[0]["level"], clock.next_at) == ("breach", instant)
        assert [at for at, _ in told(clock.steps)] == minutes(instant, 3, 5, 10, 15)
    # It is told, and a touch that came late switches off the rest, until it turns out to be another lead's.
    clock.step, clock.state, clock.breached_at = 1, State.BREACHED, again
    clocks.let_come(clock, is_over=True, is_missed=False)
    clocks.let_come(clock, is_over=False, is_missed=True)
    change(clock, changed(again), again + timedelta(minutes=1))
    assert [at for at, _ in told(clock.steps)] == minutes(again, 3, 5, 10, 15)


def test_a_breach_that_is_put_to_the_end_of_the_night_keeps_its_gap_to_the_morning() -> None:
    clock, now = started(plan("14h", LINES[1:])), MORNING - timedelta(minutes=2)
    change(clock, changed(now), now)
    assert clock.next_at == now
    assert [at for at, _ in told(clock.steps)] == minutes(now, 3, 5, 10, 15)


async def test_where_no_zone_is_named_the_leads_own_clocks_are_quiet_by_the_companys(sla: Actor) -> None:
    far = "Pacific/Kiritimati"
    said = console_pb2.SettingsChanged(zone=far, week_starts="mon", base_currency="EUR", version=1)
    await learn(sla, "console", (ids.new(), said))
    there = now().astimezone(ZoneInfo(far))
    start, end = there - timedelta(hours=2), (there + timedelta(hours=2)).replace(second=0, microsecond=0)
    lines = "".join(
        f"  - {{clock: {source}, kind: first_response_1d, within: 1h, from: {source}}}\n"
        for source in ("arrival", "assignment")
    )
    text = f"clocks:\n{lines}escalations: [{{kind: first_response_1d, after: 0s, to: manager}}]\n"
    text += f"quiet_hours: {{start: '{start:%H:%M}', end: '{end:%H:%M}'}}\n"
    (warned,) = (await sla.http.put("/v1/policies/standard", content=text)).json()["warnings"]
    assert f"those from arrival by the company's, {far}" in warned["detail"]
    lead, at = ids.new(), now()
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at, who=rep("ana")))
    async with sla.database.reading() as conn:
        rows = await conn.fetch("SELECT clock, steps FROM clock WHERE lead_id = $1", lead)
    first = {row["clock"]: told(row["steps"]["steps"]) for row in rows}
    assert first["arrival"] == [(end.astimezone(UTC), "manager")]
    assert first["assignment"] == [(at + timedelta(hours=1), "manager")]
