"""What a policy would have done with a queue: who waited when the span began, and for what a person chose, is in it."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from backbone import times
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import learn, put_policy, put_rep, touched, waiting
from services.routing.tests.test_what_if_untouched import POLICY, come, what_if

SAME = {"waited": 0, "still_waiting": 0, "not_recorded": {}}


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    for rep_id in ("ana", "ben"):
        await put_rep(actor, rep_id, cap=1)
    return actor


async def close(routing: Actor, lead: UUID) -> None:
    answer = await routing.http.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled"})
    assert answer.status_code == 200, answer.text


async def test_who_waited_when_the_span_began_goes_before_who_came_later(routing: Actor) -> None:
    one, two, first = await come(routing, 3)
    since = times.text(datetime.now(UTC))
    (later,) = await come(routing, 1)
    for lead in (one, two):
        await close(routing, lead)
    assert not await waiting(routing)
    assert await what_if(routing, POLICY, since) == {**SAME, "leads": 2, "same": 2, "waited": 2}
    # Who waits still, does so too; who found room at once waited for nothing in the span.
    await come(routing, 1)
    since = times.text(datetime.now(UTC))
    await close(routing, first)
    await come(routing, 1)
    assert await what_if(routing, POLICY, since) == {**SAME, "leads": 2, "same": 2, "waited": 1, "still_waiting": 1}
    assert later not in await waiting(routing)


async def test_what_waits_for_a_pool_by_a_persons_word_takes_the_room_there(routing: Actor) -> None:
    one, *_ = await come(routing, 3)
    move = {"from": "ben", "to": "sdr", "what": ["assignments"], "reason": "leaves"}
    assert (await routing.http.post("/v1/hand-over", json=move)).json()["waiting"] == 1
    await close(routing, one)
    assert not await waiting(routing)
    assert await what_if(routing, POLICY) == {**SAME, "leads": 3, "same": 3, "waited": 1}


async def test_a_lead_that_was_touched_when_it_changed_hands_is_known_to_be(routing: Actor) -> None:
    (lead,) = await come(routing, 1)
    await learn(routing, "intake", touched(lead))
    move = {"from": "ana", "to": "policy", "what": ["assignments"], "reason": "leaves"}
    assert (await routing.http.post("/v1/hand-over", json=move)).json()["moved"]["assignments"] == 1
    capped = POLICY.replace('"sdr"}', '"sdr", untouched_cap: 1}')
    assert (await what_if(routing, capped))["not_recorded"] == {}
