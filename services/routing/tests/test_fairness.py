"""Fairness, and why not another: of decisions that were really made."""

from typing import Any

import pytest

from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import come, made_again, put_policy, put_rep

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: rest, to: sdr}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    return actor


async def report(routing: Actor) -> dict[str, Any]:
    answer = await routing.http.get("/v1/fairness", params={"pool": "sdr", "from": "2026-01-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    return {one["rep_id"]: one for one in answer.json()["reps"]}


async def test_fairness_says_what_each_should_have_got_and_why_not(routing: Actor) -> None:
    await put_rep(routing, "ana", weight=2)
    await put_rep(routing, "ben", cap=3)
    await put_rep(routing, "cem", active=False)
    await come(routing, 6)  # in turns: 4 and 2
    await come(routing, 6)  # ben takes one more, then is full
    seen = await report(routing)
    assert (seen["ana"]["expected"], seen["ana"]["actual"], seen["ana"]["deviation"]) == (8.0, 9, 1.0)
    assert (seen["ben"]["expected"], seen["ben"]["actual"], seen["ben"]["deviation"]) == (4.0, 3, -1.0)
    assert (seen["cem"]["expected"], seen["cem"]["actual"]) == (0.0, 0)
    assert seen["cem"]["reasons"] == {"inactive": 12}
    assert seen["ben"]["reasons"]["at_cap"] + seen["ben"]["reasons"]["not_their_turn"] == 9
    full = seen["ben"]["reasons"]["at_cap"]
    assert [seen[name]["in_place_of"] for name in ("ana", "ben", "cem")] == [{"at_cap": full}, {}, {}]
    asked = {"pool": "sdr", "from": "2026-01-01T00:00:00Z"}
    table = await routing.http.get("/v1/fairness", params=asked, headers={"Accept": "text/csv"})
    head, ana = "rep_id,expected,actual,deviation,reasons,in_place_of", f"ana,8.0,9,1.0,not_their_turn:3,at_cap:{full}"
    assert table.text.splitlines()[:2] == [head, ana]
    # A rep who changed since is seen as they were.
    await put_rep(routing, "ana", weight=1, cap=0)
    assert await report(routing) == seen


async def test_comings_and_goings_owe_nobody_anything_whichever_replica_sees_them(routing: Actor, start: Stage) -> None:
    names = ["ana", "ben", "cem", "dee"]
    for rep_id in names:
        await put_rep(routing, rep_id)
    await start("routing", database_url=routing.settings.database_url)
    leads = []
    for _ in range(8):
        assert (await routing.http.post("/v1/reps/dee/pause")).is_success
        leads += await come(routing, 3)
        assert (await routing.http.post("/v1/reps/dee/resume")).is_success
        leads += await come(routing, 1)
    seen = await report(routing)
    assert seen["dee"]["expected"] == 2.0
    assert max(abs(seen[name]["deviation"]) for name in names) <= 1
    await made_again(routing, leads)


async def test_a_question_about_no_pool_or_no_span_is_refused(routing: Actor) -> None:
    asked = ({"pool": "nobody"}, {"pool": "sdr", "from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"})
    faults = ["query/pool", "query/"]
    for params, pointer in zip(asked, faults, strict=True):
        answer = await routing.http.get("/v1/fairness", params=params)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await routing.http.get("/v1/fairness", params={"pool": "sdr"})).status_code == 200
    # A pool of a policy that is no more in force is one of the time when it was.
    await put_rep(routing, "ana")
    await come(routing, 1)
    await put_policy(routing, POLICY.replace("sdr}", "other}").replace("pool: sdr", "pool: other"))
    assert (await report(routing))["ana"]["actual"] == 1
    backwards = {"policy": POLICY, "from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    assert (await routing.http.post("/v1/policy/simulate", json=backwards)).status_code == 422


async def test_why_not_another_is_said_by_the_pool_that_gave_the_lead(routing: Actor) -> None:
    pools = ", ".join(
        f'{{pool: {name}, reps: rep.role == "sdr", untouched_cap: {cap}{more}}}'
        for name, cap, more in (("first", 1, ", fallback: second"), ("second", 2, ""))
    )
    await put_policy(routing, f"pools: [{pools}]\nrules: [{{rule: rest, to: first}}]\n")
    for rep_id in ("ana", "ben"):
        await put_rep(routing, rep_id)
    leads = await come(routing, 4)
    said = []
    for lead in leads:
        (one,) = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
        said.append((one["pool"], [other["reason"] for other in one["considered"][1:]]))
    assert said == [("first", [why]) for why in ("not_their_turn", "untouched_cap")] + [
        ("second", [why]) for why in ("not_their_turn", "untouched_cap")
    ]
