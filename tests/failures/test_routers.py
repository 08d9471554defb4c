"""One, two, four routers that are killed and replaced while leads come: every place is filled, and not one more."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.servers import Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import put_policy, put_rep, qualified, recycled
from tests.failures.member import begin

CAP = 14
OF_FIRST = 10
FULL = {"ana": OF_FIRST, "ben": CAP, "cem": CAP}
"""What each may have: ana is in a pool alone that gives nobody more than ten."""
WAVES = 6
A_WAVE = 12
PLACES = sum(FULL.values())
HEALED_WITHIN_S = 120.0
POLICY = f"""
pools:
  - {{pool: first, reps: rep.rep_id != "cem", cap: {OF_FIRST}, fallback: second}}
  - {{pool: second, reps: rep.rep_id != "ana"}}
rules:
  - {{rule: best, when: lead.grade == "A1", to: first}}
  - {{rule: rest, to: second, fallback: first, after: 0s}}
"""
"""Two pools that share ben, whose own cap bounds what he has of both."""


@contextlib.asynccontextmanager
async def watched(url: str) -> AsyncIterator[list[str]]:
    """Look all the while whether anybody has more than fits, or the counts are not what is there."""
    wrong: list[str] = []
    conn = await asyncpg.connect(url)

    async def look() -> None:
        while True:
            row = await conn.fetchrow(
                "SELECT (SELECT count(*) FROM assignment) AS held, (SELECT sum(open) FROM rep) AS counted,"
                " (SELECT max(open - cap) FROM rep) AS over,"
                " (SELECT max(n) FROM (SELECT count(*) AS n FROM assignment WHERE pool = 'first' GROUP BY rep_id) AS p)"
                " AS of_first"
            )
            assert row is not None
            if (
                row["held"] > PLACES
                or row["held"] != row["counted"]
                or row["over"] > 0
                or (row["of_first"] or 0) > OF_FIRST
            ):
                wrong.append(str(dict(row)))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield wrong
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await conn.close()


async def found(stage: Stage) -> Actor:
    actor = await stage("routing")
    for rep_id in FULL:
        await put_rep(actor, rep_id, cap=CAP)
    await put_policy(actor, POLICY)
    return actor


@pytest.mark.timeout(300)
@pytest.mark.parametrize("routers", [1, 2, 4])
async def test_routers_that_die_fill_every_place_and_not_one_more(
    servers: Servers, signer: Signer, chance: random.Random, routers: int
) -> None:
    stage = Stage(servers, signer)
    try:
        actor = await found(stage)
        url = actor.settings.database_url
        settings = actor.settings.model_dump()
        await actor.stop()
        processes = [await begin("routing", settings) for _ in range(routers)]
        leads = [ids.new() for _ in range(WAVES * A_WAVE)]
        try:
            async with watched(url) as wrong:
                for wave in range(WAVES):
                    some = leads[wave * A_WAVE : (wave + 1) * A_WAVE]
                    await stage.publish(
                        "qualification", [qualified(lead, grade=chance.choice(["A1", "B2", "C1"])) for lead in some]
                    )
                    await asyncio.sleep(chance.uniform(0.2, 1.0))
                    place = chance.randrange(routers)
                    processes[place].kill()
                    await processes[place].wait()
                    processes[place] = await begin("routing", settings)
                await check(stage, url, leads=len(leads))
            assert wrong == []
        finally:
            for process in processes:
                process.kill()
                await process.wait()
    finally:
        await stage.close()


async def check(stage: Stage, url: str, *, leads: int) -> None:
    """Hold that each place is filled once; then that each that gets free is filled again."""
    healer = await stage("routing", database_url=url)

    async def full() -> None:
        held = await healer.database.pool.fetch("SELECT lead_id, rep_id FROM assignment")
        assert Counter(row["rep_id"] for row in held) == FULL
        waits = await healer.database.pool.fetchval("SELECT count(*) FROM waiting")
        assert (len(held), waits) == (PLACES, leads - PLACES)

    await eventually(full, patience_s=HEALED_WITHIN_S)
    over = await healer.database.pool.fetch("SELECT lead_id FROM assignment ORDER BY lead_id LIMIT 10")
    await stage.publish("qualification", [recycled(row["lead_id"]) for row in over])
    leads -= len(over)
    await eventually(full, patience_s=HEALED_WITHIN_S)
