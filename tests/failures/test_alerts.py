"""Alerts while instances of sla-monitor die, stand still, come back, or have wrong clocks: each step once, and all."""

import asyncio
import random
import signal
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import database, ids
from backbone.testing import eventually
from backbone.testing.stage import Stage
from tests import telling
from tests.failures.member import begin

DUE = 1_000
HEALED_WITHIN_S = 90.0
WINDOW_S = 4
POLICY = f"clocks: [{{kind: first_response_5m, within: {WINDOW_S}s, from: assignment, warn: [50%]}}]"
STEPS = {"warning": DUE, "breach": DUE}


async def found(stage: Stage, policy: str = POLICY) -> tuple[str, dict[str, Any]]:
    """Return the database and the settings of a service with a policy, which is stopped again."""
    actor = await stage("sla")
    answer = await actor.http.put("/v1/policies/standard", content=policy)
    assert answer.status_code == 200, answer.text
    await actor.stop()
    return actor.settings.database_url, actor.settings.model_dump()


async def give(stage: Stage, leads: list[UUID], at: datetime) -> None:
    await stage.publish("routing", [telling.routed(lead, at) for lead in leads])


async def reader(url: str) -> Any:
    return await database.connect_single(url, name="tests", idle_ms=0)


async def is_past(conn: Any, instant: datetime) -> None:
    assert await conn.fetchval("SELECT clock_timestamp() > $1", instant)


async def fired(conn: Any) -> Counter[str]:
    return Counter(row["level"] for row in await conn.fetch("SELECT level FROM alert"))


async def all_told_once(stage: Stage, conn: Any, leads: list[UUID]) -> None:
    """Hold that each step of each clock was told once, in the table and on the topic."""
    rows = await conn.fetch("SELECT lead_id, level, at, due_at FROM alert")
    assert Counter((row["lead_id"], row["level"]) for row in rows) == Counter(
        (lead, level) for lead in leads for level in STEPS
    )
    assert all(row["at"] >= row["due_at"] for row in rows if row["level"] == "breach")
    told = await stage.tap("sla").until(
        lambda seen: len({e.id for e in seen if e.type in ("SlaWarned", "SlaBreached")}) == 2 * len(leads)
    )
    kinds = Counter((event.subject, event.type) for event in told if event.type in ("SlaWarned", "SlaBreached"))
    # The relay may send an event twice after a crash, under the same id and version; no second event was made.
    assert len(kinds) == 2 * len(leads)


@pytest.mark.timeout(300)
async def test_an_instance_that_dies_a_second_before_a_thousand_are_due_loses_and_doubles_none(stage: Stage) -> None:
    url, settings = await found(stage)
    leads = [ids.new() for _ in range(DUE)]
    conn, processes = await reader(url), [await begin("sla", settings) for _ in range(2)]
    try:
        at = telling.now() + timedelta(seconds=10)
        await give(stage, leads, at)

        async def all_are_armed() -> None:
            assert await conn.fetchval("SELECT count(*) FROM clock") == DUE

        await eventually(all_are_armed, patience_s=HEALED_WITHIN_S)
        due_at = await conn.fetchval("SELECT max(due_at) FROM clock")
        left_s = await conn.fetchval("SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())::float8", due_at)
        await asyncio.sleep(max(0.0, left_s - 1))
        processes[0].kill()

        async def all_have_fired() -> None:
            assert await fired(conn) == STEPS

        await eventually(all_have_fired, patience_s=HEALED_WITHIN_S)
        await all_told_once(stage, conn, leads)
    finally:
        await end(processes)
        await conn.close()


@pytest.mark.timeout(300)
async def test_instances_that_are_killed_and_replaced_all_the_while_fire_each_step_once(
    stage: Stage, chance: random.Random
) -> None:
    url, settings = await found(stage)
    leads = [ids.new() for _ in range(DUE)]
    conn, processes = await reader(url), [await begin("sla", settings) for _ in range(2)]
    try:
        for wave in range(4):
            await give(stage, leads[wave * DUE // 4 : (wave + 1) * DUE // 4], telling.now())
            await asyncio.sleep(chance.uniform(0.5, 2.0))
            place = chance.randrange(2)
            processes[place].kill()
            await processes[place].wait()
            processes[place] = await begin("sla", settings)

        async def all_have_fired() -> None:
            assert await fired(conn) == STEPS

        await eventually(all_have_fired, patience_s=HEALED_WITHIN_S)
        await all_told_once(stage, conn, leads)
    finally:
        await end(processes)
        await conn.close()


async def test_who_was_stopped_tells_nobody_of_a_breach_who_called_meanwhile(stage: Stage) -> None:
    url, settings = await found(stage, "clocks: [{kind: first_response_5m, within: 4s, from: assignment}]")
    called, silent, first = [ids.new() for _ in range(20)], [ids.new() for _ in range(20)], ids.new()
    conn, process = await reader(url), await begin("sla", settings)

    async def breaches() -> Counter[UUID]:
        return Counter(row[0] for row in await conn.fetch("SELECT lead_id FROM alert WHERE level = 'breach'"))

    async def told(*leads: UUID) -> None:
        assert set(leads) <= (await breaches()).keys()

    async def armed() -> None:
        assert await conn.fetchval("SELECT count(*) FROM clock") == len([first, *called, *silent])

    try:
        await give(stage, [first], telling.now() - timedelta(seconds=WINDOW_S))
        await eventually(lambda: told(first), patience_s=HEALED_WITHIN_S)
        at = telling.now() + timedelta(seconds=3)
        await give(stage, called + silent, at)
        await eventually(armed)
        process.send_signal(signal.SIGSTOP)
        # By then Kafka has answered what it was asked before. The calls wait behind much that was not asked for yet.
        call_at = at + timedelta(seconds=2)
        await eventually(lambda: is_past(conn, call_at))
        others = [telling.captured(ids.new(), call_at) for _ in range(DUE)]
        await stage.publish("intake", [*others, *(telling.touch(lead, call_at) for lead in called)])
        await eventually(lambda: is_past(conn, at + timedelta(seconds=WINDOW_S)))
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: told(*silent))
        assert await breaches() == Counter([first, *silent])
        states = {row["lead_id"]: row["state"] for row in await conn.fetch("SELECT lead_id, state FROM clock")}
        assert states == dict.fromkeys(called, "met") | dict.fromkeys([first, *silent], "breached")
    finally:
        await end([process])
        await conn.close()


async def test_after_an_outage_each_fires_once_and_says_that_it_is_late(stage: Stage) -> None:
    url, _ = await found(stage)
    actor = await stage("sla", database_url=url)
    leads = [ids.new() for _ in range(50)]
    await give(stage, leads, telling.now() + timedelta(seconds=3))
    await actor.settled()
    await actor.stop()
    conn = await reader(url)
    try:
        # An hour passes while nobody runs.
        await conn.execute(
            "UPDATE clock SET next_at = next_at - interval '1 hour', due_at = due_at - interval '1 hour',"
            " started_at = started_at - interval '1 hour', steps = jsonb_build_object('steps',"
            " (SELECT jsonb_agg(s || jsonb_build_object('at', to_char(((s->>'at')::timestamptz - interval '1 hour')"
            " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))) FROM jsonb_array_elements(steps->'steps') s))"
        )
        again = await stage("sla", database_url=url)

        async def all_have_fired() -> None:
            assert await fired(conn) == {"warning": len(leads), "breach": len(leads)}

        await eventually(all_have_fired)
        rows = await conn.fetch("SELECT late, late_by_seconds FROM alert")
        assert all(row["late"] and row["late_by_seconds"] > 3500 for row in rows)
        await again.settled()
        assert await fired(conn) == {"warning": len(leads), "breach": len(leads)}
    finally:
        await conn.close()


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_machines_whose_clocks_are_ten_minutes_off_fire_by_the_databases(stage: Stage, minutes: int) -> None:
    url, settings = await found(stage)
    leads = [ids.new() for _ in range(20)]
    conn = await reader(url)
    processes = [await begin("sla", settings, ahead_seconds=60 * minutes)]
    try:
        await give(stage, leads, telling.now())

        async def all_have_fired() -> None:
            assert await fired(conn) == {"warning": len(leads), "breach": len(leads)}

        await eventually(all_have_fired, patience_s=HEALED_WITHIN_S)
        rows = await conn.fetch("SELECT a.at, a.due_at, c.breached_at FROM alert a JOIN clock c USING (lead_id)")
        # Neither ten minutes early nor ten minutes late.
        assert all(row["at"] >= row["due_at"] - timedelta(seconds=WINDOW_S / 2) for row in rows)
        assert all(row["at"] < row["due_at"] + timedelta(minutes=5) for row in rows)
    finally:
        await end(processes)
        await conn.close()


async def end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()
