"""What a policy with pairs would have done, whose reps have changed since: what they are today refuses nothing."""

from typing import Any

import pytest

from backbone import ids
from backbone.testing.stage import Actor
from services.routing.tests.desk import learn, put_policy, put_rep, qualified

POLICY = """
pools: [{pool: sdr, reps: rep.team == "north"}, {pool: sales, reps: rep.active && rep.role == "sales"}]
rules: [{rule: ready, when: lead.stage == "srl", to: paired, else: sales}, {rule: rest, to: sdr}]
pairs: [{sdr: ana, sales: [ben]}]
"""


@pytest.fixture
async def routing(routing: Actor) -> Actor:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", role="sales", team="sales")
    await put_rep(routing, "sam", role="sales", team="sales")
    await put_policy(routing, POLICY)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    return routing


async def what_if(routing: Actor, policy: str) -> dict[str, Any]:
    answer = await routing.http.post("/v1/policy/simulate", json={"policy": policy, "from": "2026-01-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return {one["rep_id"]: (one["actual"], one["simulated"]) for one in found["reps"]}


async def test_the_policy_that_was_in_force_is_tried_on_the_past_whoever_of_its_pairs_has_left(routing: Actor) -> None:
    same = {"ana": (1, 1), "ben": (1, 1)}
    assert await what_if(routing, POLICY) == same
    await put_rep(routing, "ana", team="south")
    await put_rep(routing, "ben", role="sales", team="sales", active=False)
    assert await what_if(routing, POLICY) == same
    for path in ("/v1/policy", "/v1/policy?dry_run=true"):
        refused = await routing.http.put(path, content=POLICY)
        assert refused.status_code == 422
        places = [(one["pointer"], one["detail"]) for one in refused.json()["errors"]]
        assert places == [
            ("/pairs/0/sdr", "this rep is in no pool"),
            ("/pairs/0/sales/0", "this rep is in no pool"),
        ]


async def test_a_pair_of_those_who_came_later_gets_nothing_of_the_past(routing: Actor) -> None:
    await put_rep(routing, "new", role="sales", team="sales")
    late = POLICY.replace("[ben]", "[new]")
    assert "new" not in await what_if(routing, late)
    unknown = await routing.http.post("/v1/policy/simulate", json={"policy": POLICY.replace("[ben]", "[nobody]")})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/pairs/0/sales/0")
