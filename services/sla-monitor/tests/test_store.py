"""Reports from facts, and steps that only one raises."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Connection, Database
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, policies, reports, store, store_clocks
from sla_monitor.domain import Assignment, Touch
from sla_monitor.hours import Calendars
from sla_monitor.store import Row

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
NEXT_DAY = START + timedelta(days=1)


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("sla")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def lead(seconds: float = 0, *, source: str = "web", **fields: Any) -> Row:
    at = after(seconds)
    return Row(ids.new(), created_at=at, recorded_at=at, known_at=at, source=source, changed=True, **fields)


def touch(of: UUID, seconds: float, **fields: Any) -> tuple[UUID, Touch, datetime]:
    said: dict[str, Any] = {"rep_id": "ana", "kind": "call", "outcome": "attempted", "automated": False, **fields}
    recorded = said.pop("recorded", seconds)
    return of, Touch(touch_id=ids.new(), at=after(seconds), **said), after(recorded)


async def given(conn: Connection, of: UUID, seconds: float, rep_id: str = "ana", cycle: int = 1) -> None:
    made = Assignment(cycle=cycle, rep_id=rep_id, assigned_at=after(seconds))
    await store.add_assignments(conn, [(of, made, "north")])


async def speed(conn: Connection, by: str = "none", **fields: Any) -> dict[str, dict[str, Any]]:
    said: dict[str, Any] = {"start": START, "end": NEXT_DAY, "as_of": NEXT_DAY, **fields}
    groups = await reports.speed(conn, said["start"], said["end"], by=by, as_of=said["as_of"])
    return {group["key"]: group for group in groups}


async def test_speed_counts_the_first_touch_of_any_rep_and_the_assignees_own(db: Database) -> None:
    quick, slow, never = lead(), lead(10, source="fair"), lead(20)
    async with db.transaction() as conn:
        await store.save(conn, [quick, slow, never])
        for one in (quick, slow, never):
            await given(conn, one.lead_id, 60)
        await given(conn, slow.lead_id, 5000, "ben", cycle=2)
        await store.add_touches(
            conn,
            [
                touch(quick.lead_id, 100),
                touch(quick.lead_id, 90, automated=True),
                touch(quick.lead_id, 80, rep_id="ben"),
                touch(slow.lead_id, 2010),
                touch(never.lead_id, 30, automated=True),
            ],
        )
        (group,) = (await speed(conn)).values()
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
        assert {key: one["from_arrival"]["leads"] for key, one in (await speed(conn, "source")).items()} == {
            "fair": 1,
            "web": 2,
        }
        assert set(await speed(conn, "rep")) == {"ana"}
        assert set(await speed(conn, "team")) == {"north"}
        assert set(await speed(conn, "hour")) == {"12"}
        assert set(await speed(conn, "week")) == {"2026-11-09"}


async def test_hours_and_weeks_are_those_of_the_companys_zone(db: Database) -> None:
    async with db.transaction() as conn:
        # Sunday the 8th, 23:30 in UTC: Monday in Berlin.
        await store.save(conn, [lead(-36.5 * 3600)])
        said = {"start": START - timedelta(days=3), "end": START}
        for zone, week_starts, hour, week in (
            ("UTC", "mon", "23", "2026-11-02"),
            ("UTC", "sun", "23", "2026-11-08"),
            ("Europe/Berlin", "mon", "00", "2026-11-09"),
            ("Europe/Berlin", "sun", "00", "2026-11-08"),
        ):
            await reports.count_in(conn, zone, week_starts)
            assert set(await speed(conn, "hour", **said)) == {hour}
            assert set(await speed(conn, "week", **said)) == {week}


async def test_speed_knows_what_was_known_and_ends_before_its_end(db: Database) -> None:
    first, last = lead(), lead(86_400)
    async with db.transaction() as conn:
        await store.save(conn, [first, last])
        await store.add_touches(conn, [touch(first.lead_id, 60, recorded=7200)])
        before, later = after(3600), after(10_000)
        assert (await speed(conn, as_of=before))["all"]["from_arrival"]["touched"] == 0
        assert (await speed(conn, as_of=later))["all"]["from_arrival"]["touched"] == 1
        assert (await speed(conn))["all"]["from_arrival"]["leads"] == 1
        assert (await speed(conn, as_of=START - timedelta(1)))["all"]["from_arrival"]["leads"] == 0


async def test_a_merged_leads_touches_are_the_survivors(db: Database) -> None:
    kept, lost, before = lead(), lead(1, closed=True), lead(2, closed=True)
    async with db.transaction() as conn:
        await store.save(conn, [kept, lost, before])
        await conn.executemany(
            "INSERT INTO subject (subject_id, merged_into) VALUES ($1, $2)",
            [(before.lead_id, lost.lead_id), (lost.lead_id, kept.lead_id), (kept.lead_id, None)],
        )
        await store.add_touches(conn, [touch(before.lead_id, 50), touch(lost.lead_id, 70)])
        (group,) = (await speed(conn)).values()
        assert (group["from_arrival"]["leads"], group["from_arrival"]["p50_seconds"]) == (1, 50.0)
        assert group["touches_per_lead"] == 2
        assert len((await store.touches(conn, [kept.lead_id]))[kept.lead_id]) == 2


async def test_a_step_is_raised_by_one_alone(db: Database) -> None:
    document = policies.parse(b"clocks: [{kind: first_response_5m, within: 5m, from: assignment}]", [])
    policy = policies.build("standard", 1, document.data)
    rep = common_pb2.Rep(rep_id="ana")
    plan = clocks.plan(policy, policy.clocks[0], rep, Calendars({}, 2026))
    assert plan is not None
    one = clocks.start(ids.new(), plan, cycle=1, started_at=START, rep=rep)
    assert one is not None
    async with db.transaction() as conn:
        await store_clocks.add(conn, [one])
        early = await store_clocks.raise_steps(conn, [(one, 0, 1)], after(299))
        assert early == set()
        assert len(await store_clocks.raise_steps(conn, [(one, 0, 1)], after(301))) == 1
        assert await store_clocks.raise_steps(conn, [(one, 0, 1)], after(302)) == set()
