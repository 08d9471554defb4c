"""What a policy with a cap of untouched leads would have done: leads are touched as long after as they really were."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing.stage import Actor, Stage
from services.routing.tests import desk
from services.routing.tests.desk import holder, learn, put_policy, put_rep, qualified, recycled, touched, waiting

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: rest, to: sdr}]
"""
CAPPED = POLICY.replace('"sdr"}', '"sdr", untouched_cap: 1}')


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def come(routing: Actor, count: int) -> list[UUID]:
    """Let leads come at once; they are in the order in which the best and oldest go first."""
    leads = sorted(ids.new() for _ in range(count))
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    return leads


async def what_if(routing: Actor, policy: str, since: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    found = await desk.what_if(routing, policy, since)
    return {name: found[name] for name in ("leads", "same", "waited", "still_waiting", "not_recorded")}


async def test_a_policy_with_such_a_cap_would_have_done_what_it_did(routing: Actor) -> None:
    await put_policy(routing, CAPPED)
    await put_rep(routing, "ben")
    one, two, three, four, five = await come(routing, 5)
    assert len(await waiting(routing)) == 3
    for lead in (one, two):
        await learn(routing, "intake", touched(lead, str(await holder(routing, lead))))
    # One that ends untouched makes room as well.
    await learn(routing, "qualification", recycled(three))
    assert [await holder(routing, lead) is not None for lead in (one, two, three, four, five)] == [True] * 2 + [
        False
    ] + [True] * 2
    assert await what_if(routing, CAPPED) == {
        "leads": 5,
        "same": 5,
        "waited": 3,
        "still_waiting": 0,
        "not_recorded": {},
    }


async def test_whoever_is_not_touched_keeps_the_next_one_waiting(routing: Actor) -> None:
    one, *_ = await come(routing, 3)
    none_touched = {"leads": 3, "same": 1, "waited": 2, "still_waiting": 2, "not_recorded": {}}
    assert await what_if(routing, CAPPED) == none_touched
    await learn(routing, "intake", touched(one))
    assert await what_if(routing, CAPPED) == {**none_touched, "same": 2, "still_waiting": 1}
    assert (await what_if(routing, POLICY))["same"] == 3


async def test_what_was_untouched_when_the_span_began_counts_until_it_was_touched(routing: Actor) -> None:
    (before,) = await come(routing, 1)
    since = times.text(datetime.now(UTC))
    await come(routing, 1)
    waits = {"leads": 1, "same": 0, "waited": 1, "still_waiting": 1, "not_recorded": {}}
    assert await what_if(routing, CAPPED, since) == waits
    await learn(routing, "intake", touched(before))
    assert await what_if(routing, CAPPED, since) == {**waits, "same": 1, "still_waiting": 0}


async def test_of_whom_nobody_knows_when_they_were_touched_it_says_so(routing: Actor) -> None:
    (one, _) = await come(routing, 2)
    await learn(routing, "intake", touched(one))
    async with routing.database.transaction() as conn:
        await conn.execute("UPDATE assignment SET touched_at = NULL")  # as before that was noted
    assert (await what_if(routing, CAPPED))["not_recorded"] == {"untouched_cap": 1}
    assert (await what_if(routing, POLICY))["not_recorded"] == {}


async def test_what_a_person_gave_is_untouched_until_it_is_touched(routing: Actor) -> None:
    await put_rep(routing, "ben", role="sales")
    (by_hand,) = await come(routing, 1)
    for rep_id in ("ben", "ana"):
        said = {"rep_id": rep_id, "reason": "territory"}
        assert (await routing.http.post(f"/v1/assignments/{by_hand}/reassign", json=said)).status_code == 200
    await put_policy(routing, CAPPED)
    await come(routing, 1)
    waits = {"leads": 2, "same": 2, "waited": 1, "still_waiting": 1, "not_recorded": {}}
    assert await what_if(routing, CAPPED) == waits
    await learn(routing, "intake", touched(by_hand))
    assert await what_if(routing, CAPPED) == {**waits, "still_waiting": 0}
