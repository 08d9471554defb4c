"""What other systems get wrong in giving leads to reps, each by its number in the list of such defects."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import (
    holder,
    learn,
    loads,
    made_again,
    put_policy,
    put_rep,
    qualified,
    touched,
    waiting,
)

ROUND = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""
LEAST = ROUND.replace('rep.role == "sdr"}', 'rep.role == "sdr", strategy: least_loaded}')


async def company(routing: Actor, policy: str, *names: str, **fields: Any) -> None:
    for name in names:
        await put_rep(routing, name, **fields)
    await put_policy(routing, policy)


async def come(routing: Actor, count: int, *, settle: bool = True) -> list[UUID]:
    leads = [ids.new() for _ in range(count)]
    await routing.publish("qualification", [qualified(lead) for lead in leads])
    if settle:
        await routing.settled()
    return leads


async def close(routing: Actor, lead: UUID) -> str:
    rep_id = await holder(routing, lead)
    assert rep_id is not None
    rep = routing.as_role("sdr", rep=rep_id)
    answer = await rep.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled", "reason": "timing"})
    assert answer.status_code == 200
    return rep_id


async def in_order(routing: Actor) -> list[str]:
    """Return who got lead after lead, as the group decided."""
    rows = await routing.database.pool.fetch(
        "SELECT rep_id FROM decision WHERE outcome = 'assigned' ORDER BY sequence, ordinal"
    )
    return [row[0] for row in rows]


async def test_1_a_small_cap_or_weight_is_never_rounded_to_nothing(routing: Actor) -> None:
    await company(routing, ROUND, "ana", "ben")
    await put_rep(routing, "cem", cap=1)
    await put_rep(routing, "dee", weight=0.05)
    await come(routing, 60)
    given = await loads(routing)
    assert given["cem"] == 1
    assert given["dee"] in (1, 2)


@pytest.mark.parametrize("policy", [ROUND, LEAST])
async def test_2_ties_do_not_go_to_the_most_senior(routing: Actor, policy: str) -> None:
    await company(routing, policy, "ana", "ben", "cem")
    got: Counter[str] = Counter()
    for _ in range(9):
        # Everybody is idle each time: all are equal.
        (lead,) = await come(routing, 1)
        got[await close(routing, lead)] += 1
    assert got == {"ana": 3, "ben": 3, "cem": 3}


async def test_3_parallel_routers_do_not_go_over_a_cap(routing: Actor, start: Stage) -> None:
    await company(routing, LEAST, "ana", "ben", cap=7)
    await asyncio.gather(*(start("routing", database_url=routing.settings.database_url) for _ in range(2)))
    await asyncio.gather(*(come(routing, 10, settle=False) for _ in range(4)))

    async def decided() -> None:
        assert await routing.database.pool.fetchval("SELECT count(*) FROM waiting") == 26

    await eventually(decided)
    assert await loads(routing) == {"ana": 7, "ben": 7}


async def test_4_an_idle_rep_without_records_is_picked_and_closed_work_is_no_load(routing: Actor) -> None:
    await company(routing, LEAST, "ana")
    for lead in await come(routing, 3):
        await close(routing, lead)
    await come(routing, 1)
    await put_rep(routing, "new")
    (lead,) = await come(routing, 1)
    assert await holder(routing, lead) == "new"
    assert await loads(routing) == {"ana": 1, "new": 1}


@pytest.mark.parametrize("policy", [ROUND, LEAST])
async def test_5_who_is_away_gets_nothing_and_is_not_flooded_on_return(routing: Actor, policy: str) -> None:
    await company(routing, policy, "ana", "ben", "cem", "dee")
    now = await routing.database.pool.fetchval("SELECT now()")
    leave = {"start": times.text(now - timedelta(hours=1)), "end": times.text(now + timedelta(hours=1))}
    await routing.http.post("/v1/reps/ben/time-off", json=leave)
    await put_rep(routing, "cem", active=False)
    await put_rep(routing, "dee", working_hours=[])
    await come(routing, 20)
    assert await loads(routing) == {"ana": 20, "ben": 0, "cem": 0, "dee": 0}
    back = {"start": leave["start"], "end": times.text(now - timedelta(minutes=1))}
    await routing.http.post("/v1/reps/ben/time-off", json=back)
    await come(routing, 10)
    assert (await loads(routing))["ben"] in (5, 6)


async def test_6_two_nodes_agree_on_whose_turn_it_is_and_an_edited_pool_keeps_it(routing: Actor, start: Stage) -> None:
    await company(routing, ROUND, "ana", "ben", "cem")
    other = await start("routing", database_url=routing.settings.database_url)
    for _ in range(2):
        await asyncio.gather(*(come(routing, 1, settle=False) for _ in range(6)))
    await routing.settled()
    await other.settled()
    assert set(Counter(await in_order(routing)).values()) == {4}
    (lead,) = await come(routing, 1)
    first = await holder(routing, lead)
    await put_rep(routing, "dee")
    await put_policy(routing, ROUND.replace("everyone", "all"))
    await come(routing, 3)
    # Whoever had the turn before the change is not first again.
    assert Counter((await in_order(routing))[-4:])[str(first)] == 1


@pytest.mark.parametrize("how", ["policy", "rep"])
async def test_6_who_leaves_an_edited_pool_and_comes_back_gets_no_run(routing: Actor, start: Stage, how: str) -> None:
    await company(routing, ROUND.replace('"sdr"', '"sdr" && rep.team == "north"'), "ana", "ben", "cem")
    other = await start("routing", database_url=routing.settings.database_url)
    leads = await come(routing, 6)
    if how == "policy":
        await put_policy(routing, ROUND.replace('"sdr"', '"sdr" && rep.rep_id != "ana"'))
    else:
        await put_rep(routing, "ana", team="south")
    leads += await come(routing, 12)
    if how == "policy":
        await put_policy(routing, ROUND)
    else:
        await put_rep(routing, "ana", team="north")
    leads += await come(routing, 9)
    await other.settled()
    assert Counter((await in_order(routing))[-9:]) == {"ana": 3, "ben": 3, "cem": 3}
    await made_again(other, leads)


async def test_7_the_backlog_is_drained_however_old_when_somebody_has_room(routing: Actor) -> None:
    await company(routing, ROUND, "ana", cap=0)
    leads = await come(routing, 5)
    async with routing.database.transaction() as conn:
        await conn.execute("UPDATE waiting SET since = now() - interval '40 days'")
    assert len(await waiting(routing)) == 5
    await put_rep(routing, "ana", cap=3)
    assert (await loads(routing), len(await waiting(routing))) == ({"ana": 3}, 2)
    held = [lead for lead in leads if await holder(routing, lead) == "ana"]
    await close(routing, held[0])
    assert (await loads(routing), len(await waiting(routing))) == ({"ana": 3}, 1)


@pytest.mark.parametrize("policy", [ROUND, LEAST])
async def test_8_a_bulk_of_leads_is_shared_by_all(routing: Actor, policy: str) -> None:
    await company(routing, policy, "ana", "ben", "cem", "dee")
    await come(routing, 100)
    assert await loads(routing) == dict.fromkeys(("ana", "ben", "cem", "dee"), 25)


async def test_19_round_robin_gives_no_runs_to_one_rep_under_load(routing: Actor, start: Stage) -> None:
    await company(routing, ROUND, "ana", "ben", "cem", "dee")
    await asyncio.gather(*(start("routing", database_url=routing.settings.database_url) for _ in range(3)))
    await asyncio.gather(*(come(routing, 10, settle=False) for _ in range(20)))

    async def decided() -> None:
        assert len(await in_order(routing)) == 200

    await eventually(decided)
    order = await in_order(routing)
    assert max(len(list(run)) for _, run in groupby(order)) == 1
    assert Counter(order) == dict.fromkeys(("ana", "ben", "cem", "dee"), 50)


async def test_mondays_backlog_starts_no_more_clocks_than_can_be_kept(routing: Actor) -> None:
    names = ("ana", "ben", "cem", "dee")
    await company(routing, ROUND.replace('"sdr"}', '"sdr", untouched_cap: 2}'), *names, working_hours=[])
    await come(routing, 40)
    assert set((await waiting(routing)).values()) == {"nobody_working"}
    for name in names:
        await put_rep(routing, name)
    for done in range(0, 32, 4):
        held = await routing.database.pool.fetch("SELECT lead_id, rep_id, touched FROM assignment ORDER BY touched")
        assert len(held) == 8 + done
        untouched = [(row["lead_id"], row["rep_id"]) for row in held if not row["touched"]]
        assert Counter(rep_id for _, rep_id in untouched) == dict.fromkeys(names, 2)
        one_each = {rep_id: lead for lead, rep_id in untouched}
        await learn(routing, "intake", *(touched(lead, rep_id) for rep_id, lead in one_each.items()))
    assert await waiting(routing) == {}
    assert await loads(routing) == dict.fromkeys(names, 10)


async def test_no_more_clocks_start_at_once_of_leads_that_somebody_called_before(routing: Actor) -> None:
    """What a colleague answered on Saturday, or another gave back, is news to whoever gets it, and has a new clock."""
    await company(routing, ROUND.replace('"sdr"}', '"sdr", untouched_cap: 2}'), "ana", working_hours=[])
    answered = await come(routing, 5)
    await learn(routing, "intake", *(touched(lead, "eve") for lead in answered))
    await put_rep(routing, "ana")
    assert (len(await waiting(routing)), await loads(routing)) == (3, {"ana": 2})
    while await waiting(routing):
        held = await routing.database.pool.fetch("SELECT lead_id FROM assignment WHERE NOT touched")
        await learn(routing, "intake", *(touched(row["lead_id"]) for row in held))
    await put_rep(routing, "ben")
    for lead in answered:
        assert (await routing.http.post(f"/v1/assignments/{lead}/decline")).is_success
    await routing.settled()
    assert (len(await waiting(routing)), await loads(routing)) == (3, {"ana": 0, "ben": 2})


async def test_a_colleagues_touch_makes_no_room_for_another_clock(routing: Actor) -> None:
    await company(routing, ROUND.replace('rep.role == "sdr"}', 'rep.rep_id == "ana", untouched_cap: 1}'), "ana", "ben")
    await come(routing, 2)
    (held,) = await routing.database.pool.fetch("SELECT lead_id FROM assignment")
    await learn(routing, "intake", touched(held["lead_id"], "ben"))
    assert (len(await waiting(routing)), (await loads(routing))["ana"]) == (1, 1)
    await learn(routing, "intake", touched(held["lead_id"], "ana"))
    assert (len(await waiting(routing)), (await loads(routing))["ana"]) == (0, 2)
