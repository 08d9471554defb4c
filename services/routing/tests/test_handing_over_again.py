"""Orders that are made again, or of leads that are where they are to go: nobody is left out for long."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import holder, learn, loads, put_policy, put_rep, qualified, waiting

POLICY = """
pools: [{pool: north, reps: rep.team == "north"}]
rules: [{rule: rest, to: north}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def leads_of_ana(routing: Actor, count: int) -> list[UUID]:
    leads = [ids.new() for _ in range(count)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    return leads


async def ask(routing: Actor, **body: Any) -> dict[str, Any]:
    answer = await routing.http.post("/v1/hand-over", json={"reason": "left", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_whoever_had_a_lead_before_a_hand_over_may_have_it_again(routing: Actor) -> None:
    (lead,) = await leads_of_ana(routing, 1)
    await put_rep(routing, "ben")
    for was, now in (("ana", "ben"), ("ben", "ana")):
        assert (await ask(routing, **{"from": was}, to="policy"))["per_rep"] == {now: 1}
    assert (await routing.http.post(f"/v1/assignments/{lead}/return", json={"reason": "timing"})).is_success
    assert await holder(routing, lead) == "ben", "whom nobody's word excludes"


async def test_a_territorys_leads_stay_with_whoever_it_goes_to(routing: Actor) -> None:
    await leads_of_ana(routing, 2)
    await put_rep(routing, "ben")
    everything = 'lead.country == ""'
    for to in ("policy", "north"):
        for _ in range(2):
            assert (await ask(routing, when=everything, to=to))["moved"]["assignments"] == 0
    assert (await loads(routing), await waiting(routing)) == ({"ana": 2, "ben": 0}, {})
    # Whoever is named by the condition is who the leads are taken from; so is who works no more.
    assert (await ask(routing, when='rep.rep_id == "ana"', to="north", dry_run=True))["per_rep"] == {"ben": 2}
    await put_rep(routing, "ana", active=False)
    assert (await ask(routing, when=everything, to="policy"))["per_rep"] == {"ben": 2}


async def test_what_waits_already_is_said_when_an_order_is_made_again(routing: Actor) -> None:
    await leads_of_ana(routing, 2)
    for dry_run in (False, False, True):
        answer = await ask(routing, **{"from": "ana"}, to="policy", dry_run=dry_run)
        assert (answer["moved"]["assignments"], answer["waiting"]) == (0, 2)
