"""Reps, caps and policies change while leads flow: every decision is one version's, and no lead is between two."""

import asyncio
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import put_policy, put_rep, qualified

REPS = ("ana", "ben", "cem")
VERSIONS = 8


def policy(number: int) -> str:
    """Return a policy whose rule says which it is."""
    pool = "odd" if number % 2 else "even"
    return (
        'pools: [{pool: odd, reps: rep.team == "north"}, {pool: even, reps: rep.rep_id != "ana",'
        f" strategy: least_loaded}}]\nrules: [{{rule: number {number}, to: {pool}}}]"
    )


@pytest.mark.timeout(120)
async def test_each_decision_names_the_version_it_used_and_no_lead_is_lost(start: Stage) -> None:
    routing = await start("routing")
    other = await start("routing", database_url=routing.settings.database_url)
    for rep_id in REPS:
        await put_rep(routing, rep_id, cap=5)
    version_of = {await put_policy(routing, policy(0)): 0}
    leads = [ids.new() for _ in range(200)]

    async def flow() -> None:
        for first in range(0, len(leads), 5):
            await start.publish("qualification", [qualified(lead) for lead in leads[first : first + 5]])

    async def change() -> None:
        for number in range(1, VERSIONS):
            through = (routing, other)[number % 2]
            version_of[await put_policy(through, policy(number))] = number
            await put_rep(through, REPS[number % 3], cap=number * 10, weight=number)

    await asyncio.gather(flow(), change())

    async def all_decided() -> None:
        held = await routing.database.pool.fetch("SELECT lead_id FROM assignment UNION ALL SELECT lead_id FROM waiting")
        assert sorted(row[0] for row in held) == sorted(leads)

    await eventually(all_decided)
    rows = await routing.database.pool.fetch("SELECT decision_id, policy_version, rule FROM decision ORDER BY sequence")
    assert all(row["rule"] == f"number {version_of[row['policy_version']]}" for row in rows)
    await made_again(other, [row["decision_id"] for row in rows[::7]])
    over = await routing.database.pool.fetchval("SELECT count(*) FROM rep WHERE open > greatest(cap, allowed)")
    assert over == 0


async def made_again(routing: Actor, decisions: list[UUID]) -> None:
    for decision in decisions:
        again = (await routing.http.post(f"/v1/decisions/{decision}/replay")).json()
        assert again["same"], again
