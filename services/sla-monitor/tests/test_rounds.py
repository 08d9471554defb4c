"""Promises that begin anew within an assignment: the status that is to be kept, the next step that a rep names."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor
from tests.shown import put
from tests.telling import captured, learn, now, released, rep, routed, touch, updated

STATUS = "clocks: [{kind: status_update, within: 7d, from: assignment}]"
ELSEWHERE = 'applies: lead.source == "elsewhere"\nclocks: [{kind: first_response_5m, within: 5m, from: assignment}]'
FIVE = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]"
Shown = list[tuple[int, str, datetime]]


async def rounds(sla: Actor, lead: UUID, kind: str) -> Shown:
    """Return cycle, state and deadline of each clock of a kind."""
    found: list[dict[str, Any]] = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
    return [(one["cycle"], one["state"], times.parse(one["due_at"])) for one in found if one["kind"] == kind]


async def given(sla: Actor, at: datetime) -> UUID:
    lead = ids.new()
    await learn(sla, "intake", captured(lead, at))
    await learn(sla, "routing", routed(lead, at))
    return lead


async def test_an_updated_status_is_to_be_updated_again(sla: Actor) -> None:
    await put(sla, STATUS)
    at, week = now() - timedelta(days=1), timedelta(days=7)
    lead = await given(sla, at)
    first, second = at + timedelta(hours=1), at + timedelta(hours=2)
    await learn(sla, "routing", updated(lead, first), updated(lead, second))
    assert await rounds(sla, lead, "status_update") == [
        (1, "met", at + week),
        (1, "met", first + week),
        (1, "running", second + week),
    ]
    over = at + timedelta(hours=3)
    await learn(sla, "routing", released(lead, over, outcome="reassigned"), routed(lead, over, cycle=2, who=rep("ben")))
    assert (await rounds(sla, lead, "status_update"))[2:] == [
        (1, "cancelled", second + week),
        (2, "running", over + week),
    ]


async def test_each_round_that_nobody_keeps_is_told_of_once(sla: Actor) -> None:
    await put(sla, STATUS.replace("7d", "1s"))
    at = now() - timedelta(hours=2)
    lead = await given(sla, at)

    async def alerts() -> list[str]:
        return [one["alert_id"] for one in (await sla.http.get(f"/v1/alerts?lead_id={lead}")).json()]

    async def told(count: int) -> None:
        assert len(set(await alerts())) == len(await alerts()) == count

    await eventually(lambda: told(1))
    await learn(sla, "routing", updated(lead, at + timedelta(hours=1)))
    await eventually(lambda: told(2))
    assert [state for _, state, _ in await rounds(sla, lead, "status_update")] == ["breached", "breached"]


@pytest.mark.parametrize("policy", [FIVE, ELSEWHERE], ids=["a policy without the line", "no policy that applies"])
async def test_a_next_step_that_a_rep_names_is_met_by_the_next_touch(sla: Actor, policy: str) -> None:
    await put(sla, policy)
    at = now() - timedelta(hours=1)
    lead = await given(sla, at)
    assert await rounds(sla, lead, "next_step") == []
    soon, later = at + timedelta(days=2), at + timedelta(days=3)
    # Said with the status, then put off, then kept by a touch that names the one after it.
    await learn(sla, "routing", updated(lead, at + timedelta(minutes=1), next_at=soon))
    assert await rounds(sla, lead, "next_step") == [(1, "running", soon)]
    await learn(sla, "routing", updated(lead, at + timedelta(minutes=2), next_at=later))
    assert await rounds(sla, lead, "next_step") == [(1, "cancelled", soon), (1, "running", later)]
    last = at + timedelta(days=5)
    await learn(sla, "intake", touch(lead, at + timedelta(minutes=3), next_at=last))
    assert (await rounds(sla, lead, "next_step"))[1:] == [(1, "met", later), (1, "running", last)]
    await learn(sla, "intake", touch(lead, at + timedelta(minutes=4)))
    assert (await rounds(sla, lead, "next_step"))[2:] == [(1, "met", last)]


async def test_a_next_step_that_is_forgotten_is_told_to_its_rep(sla: Actor) -> None:
    await put(sla, FIVE)
    at = now()
    lead = await given(sla, at)
    await learn(sla, "intake", touch(lead, at + timedelta(milliseconds=1), next_at=at + timedelta(seconds=1)))

    async def breached() -> None:
        found = (await sla.http.get(f"/v1/alerts?lead_id={lead}&kind=next_step")).json()
        assert [(one["level"], one["rep_id"], one["to"]) for one in found] == [("breach", "ana", "rep")]

    await eventually(breached)


async def test_a_line_of_the_policy_decides_what_a_next_step_is(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: next_step, within: 1d, from: last_touch}]")
    at = now()
    lead = await given(sla, at)
    await learn(sla, "routing", updated(lead, at, next_at=at + timedelta(days=2)))
    assert await rounds(sla, lead, "next_step") == [(1, "running", at + timedelta(days=3))]


async def test_an_update_that_only_repeats_when_to_go_on_plans_nothing(sla: Actor) -> None:
    await put(sla, FIVE)
    at = now() - timedelta(hours=1)
    lead, told = await given(sla, at), await given(sla, at)
    soon, later = at + timedelta(days=2), at + timedelta(days=3)
    minutes = [at + timedelta(minutes=number) for number in range(4)]
    # An assignment keeps what was said, and each update of it says it again.
    await learn(sla, "routing", *(updated(one, minutes[1], next_at=soon) for one in (lead, told)))
    await learn(sla, "intake", touch(lead, minutes[2]), touch(told, minutes[2], next_at=later))
    await learn(sla, "routing", *(updated(one, minutes[3], next_at=soon, status="contacted") for one in (lead, told)))
    assert await rounds(sla, lead, "next_step") == [(1, "met", soon)]
    assert await rounds(sla, told, "next_step") == [(1, "met", soon), (1, "running", later)]


async def test_a_plan_that_is_withdrawn_is_waited_for_no_longer(sla: Actor) -> None:
    await put(sla, FIVE)
    at = now() - timedelta(hours=1)
    lead, soon = await given(sla, at), at + timedelta(days=2)
    await learn(sla, "routing", updated(lead, at + timedelta(minutes=1), next_at=soon))
    await learn(sla, "routing", updated(lead, at + timedelta(minutes=2)), updated(lead, at + timedelta(minutes=3)))
    assert await rounds(sla, lead, "next_step") == [(1, "cancelled", soon)]
    await put(sla, "clocks: [{kind: next_step, within: 1d, from: last_touch}]")
    other, over = await given(sla, at), at + timedelta(minutes=2)
    await learn(sla, "routing", updated(other, at, next_at=soon), updated(other, over))
    assert await rounds(sla, other, "next_step") == [(1, "running", over + timedelta(days=1))]


async def test_a_plan_undoes_no_breach_and_is_its_own_reps_alone(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: next_step, within: 1h, from: last_touch}]")
    at = now() - timedelta(days=1)
    lead, hour = await given(sla, at), timedelta(hours=1)
    await learn(sla, "intake", touch(lead, at))
    over = at + 5 * hour
    await learn(sla, "routing", released(lead, over, outcome="reassigned"), routed(lead, over, cycle=2, who=rep("ben")))

    async def breached() -> None:
        assert [state for _, state, _ in await rounds(sla, lead, "next_step")] == ["breached"]

    await eventually(breached)
    # What ben plans is not ana's; and what comes after her deadline closes no gap.
    await learn(sla, "routing", updated(lead, over + hour, cycle=2, rep_id="ben", next_at=now() + hour))
    await learn(sla, "routing", updated(lead, at + 4 * hour, next_at=at + 20 * hour))
    assert await rounds(sla, lead, "next_step") == [
        (1, "breached", at + 21 * hour),
        (2, "running", (await rounds(sla, lead, "next_step"))[1][2]),
    ]
