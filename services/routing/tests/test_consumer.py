"""What happens to leads when events meet: hand-over, merge, erasure, history, queue, each in one transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, subjects
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, qualification_pb2
from routing import deciding
from services.routing.tests.desk import (
    FIELDS,
    booked,
    escalated,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    stamp,
    touched,
    waiting,
)

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr" && rep.team == "north", fallback: night}
  - {pool: night, reps: rep.team == "night"}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: named accounts, to: owner}
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: everyone, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    return actor


async def told(routing: Actor, lead: UUID, kinds: Sequence[str]) -> list[Any]:
    """Wait for these events about the lead, in this order."""

    def about(seen: Sequence[Any]) -> list[Any]:
        return [event for event in seen if event.subject == lead and event.type != "LeadWaiting"]

    events = about(await routing.published(lambda seen: len(about(seen)) >= len(kinds)))
    assert [event.type for event in events] == list(kinds)
    return [event.message for event in events]


async def test_a_better_lead_that_waits_goes_before_one_that_arrives_with_the_room(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    held, best, late = ids.new(), ids.new(), ids.new()
    await learn(routing, "qualification", qualified(held))
    await learn(routing, "qualification", qualified(best, grade="A1"))
    gone = qualification_pb2.LeadDisqualified(
        stamp=stamp(held), qualification=common_pb2.Qualification(stage="disqualified", reason="spam")
    )
    # One batch frees the place and brings a lead that is worse than the one that waits.
    await learn(routing, "qualification", (held, gone), qualified(late, grade="C1"))
    assert await holder(routing, best) == "ana"
    assert await waiting(routing) == {str(late): "no_capacity"}


async def test_room_in_a_fallback_or_with_an_owner_lets_in_who_waits_elsewhere(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_rep(routing, "nia", team="night", cap=1)
    first, second, third = ids.new(), ids.new(), ids.new()
    for lead in (first, second, third):
        await learn(routing, "qualification", qualified(lead))
    assert (await waiting(routing)) == {str(third): "no_capacity"}
    nights = first if await holder(routing, first) == "nia" else second
    nia = routing.as_role("sdr", rep="nia")
    assert (await nia.post(f"/v1/assignments/{nights}/close", json={"outcome": "recycled"})).status_code == 200
    assert await holder(routing, third) == "nia"
    fourth = ids.new()
    await put_rep(routing, "zoe", team="south", cap=0)
    await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "zoe"})
    await learn(routing, "qualification", qualified(fourth))
    assert str(fourth) in await waiting(routing)
    await put_rep(routing, "zoe", team="south", cap=1)
    assert await holder(routing, fourth) == "zoe"


async def test_a_queue_longer_than_a_transaction_takes_is_drained_to_the_end(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    leads = [ids.new() for _ in range(deciding.DRAINED_AT_ONCE + 30)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    await put_rep(routing, "ana", cap=1000)

    async def drained() -> None:
        assert await loads(routing) == {"ana": len(leads)}

    await eventually(drained)
    assert await waiting(routing) == {}


async def test_a_lead_that_another_transaction_holds_is_let_in_by_that_one(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    held, waits = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(held))
    await learn(routing, "qualification", qualified(waits))
    async with routing.database.transaction() as conn:
        await subjects.lock(conn, [waits])
        ana = routing.as_role("sdr", rep="ana")
        assert (await ana.post(f"/v1/assignments/{held}/close", json={"outcome": "recycled"})).status_code == 200
        assert await holder(routing, waits) is None

    async def routed() -> None:
        assert await holder(routing, waits) == "ana"

    await eventually(routed)


async def test_an_srl_stays_with_its_sdr_until_somebody_in_sales_has_room(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    assert (await holder(routing, lead), await waiting(routing)) == ("ana", {str(lead): "no_capacity"})
    assert await loads(routing) == {"ana": 1, "sam": 0}
    await put_rep(routing, "sam", role="sales", cap=1)
    assert (await holder(routing, lead), await waiting(routing)) == ("sam", {})
    assert await loads(routing) == {"ana": 0, "sam": 1}
    first, released, second = await told(routing, lead, ["LeadRouted", "AssignmentReleased", "LeadRouted"])
    assert (released.outcome, released.cycle, second.cycle, second.sourced_by) == ("converted", 1, 2, "ana")
    assert first.rep_id == "ana"


async def test_a_missed_sla_takes_the_lead_away_once_and_only_in_its_own_cycle(routing: Actor) -> None:
    await put_rep(routing, "ana")
    lead, saved = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(lead), qualified(saved))
    await learn(routing, "sla", escalated(lead, cycle=7))
    assert await waiting(routing) == {}
    await learn(routing, "sla", escalated(lead, cycle=1), escalated(saved, cycle=1))
    # Nobody else has room: better late than with nobody.
    assert (await holder(routing, lead), await holder(routing, saved)) == ("ana", "ana")
    await learn(routing, "intake", touched(saved))
    await put_rep(routing, "ben")
    assert (await holder(routing, lead), await holder(routing, saved)) == ("ben", "ana")
    released = (await told(routing, lead, ["LeadRouted", "AssignmentReleased", "LeadRouted"]))[1]
    assert (released.outcome, released.reason, released.released_by) == ("reassigned", "sla_missed", "sla")


async def test_a_lead_that_is_closed_while_another_rep_is_looked_for_goes_to_nobody(routing: Actor) -> None:
    await put_rep(routing, "ana")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "sla", escalated(lead, cycle=1))
    assert list(await waiting(routing)) == [str(lead)]
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/close", json={"outcome": "unreachable"})).status_code == 200
    await put_rep(routing, "ben")
    assert (await holder(routing, lead), await waiting(routing)) == (None, {})


async def test_an_escalation_can_take_a_rep_offline(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    missed = await holder(routing, lead)
    await learn(routing, "sla", escalated(lead, cycle=1, to="pause", rep_id=missed or ""))
    more = [ids.new() for _ in range(4)]
    await learn(routing, "qualification", *(qualified(one) for one in more))
    assert {await holder(routing, one) for one in more} == {"ana", "ben"} - {missed}
    assert (await routing.http.get(f"/v1/reps/{missed}")).json()["paused"] is True
    events = await routing.published(lambda seen: any(event.message.rep.paused for event in changes(seen)))
    assert [event.message.rep.rep_id for event in changes(events) if event.message.rep.paused] == [missed]
    await routing.http.post(f"/v1/reps/{missed}/resume")
    assert (await routing.http.get(f"/v1/reps/{missed}/load")).json()["available"] is True


def changes(seen: Sequence[Any]) -> list[Any]:
    return [event for event in seen if event.type == "RepChanged"]


async def test_a_merge_keeps_the_survivors_assignment_or_moves_the_only_one(routing: Actor) -> None:
    await put_rep(routing, "ana")
    kept, lost, bare, moved = (ids.new() for _ in range(4))
    await learn(routing, "qualification", qualified(kept), qualified(lost), qualified(moved))
    assert await loads(routing) == {"ana": 3}
    for survivor, merged in ((kept, lost), (bare, moved)):
        message = intake_pb2.LeadMerged(
            stamp=stamp(survivor), survivor_id=str(survivor), merged_id=str(merged), lead=FIELDS
        )
        await learn(routing, "intake", (survivor, message), (merged, message))
    assert await loads(routing) == {"ana": 2}
    assert await holder(routing, bare) == "ana"
    # A merged lead is asked for by its old id too.
    assert (await holder(routing, moved), await holder(routing, lost)) == ("ana", "ana")
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{moved}/accept")).json()["lead_id"] == str(bare)


async def test_a_merge_into_a_disqualified_lead_gives_nobody_a_lead_that_is_out(routing: Actor) -> None:
    await put_rep(routing, "ana")
    out, lost = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(out), qualified(lost))
    seen = common_pb2.Qualification(stage="disqualified")
    gone = qualification_pb2.LeadDisqualified(stamp=stamp(out), qualification=seen)
    await learn(routing, "qualification", (out, gone))
    message = intake_pb2.LeadMerged(stamp=stamp(out), survivor_id=str(out), merged_id=str(lost), lead=FIELDS)
    await learn(routing, "intake", (out, message), (lost, message))
    assert (await loads(routing), await holder(routing, out), await waiting(routing)) == ({"ana": 0}, None, {})


async def test_an_erased_lead_frees_its_room_and_is_never_assigned_again(routing: Actor) -> None:
    await put_rep(routing, "ana")
    lead, half_merged = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(lead), qualified(half_merged))
    await learn(routing, "intake", booked(lead, "host@kestrel.example"))
    erased = intake_pb2.PersonalDataErased(
        stamp=stamp(lead), erasure_id=str(ids.new()), merged_lead_ids=[str(half_merged)]
    )
    await learn(routing, "intake", (lead, erased))
    late = ids.new()
    await learn(routing, "intake", (late, intake_pb2.PersonalDataErased(stamp=stamp(late), erasure_id="e")))
    await learn(routing, "qualification", qualified(lead), qualified(late), qualified(half_merged))
    assert (await loads(routing), await waiting(routing)) == ({"ana": 0}, {})
    async with routing.database.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM decision WHERE inputs IS NOT NULL") == 0
        assert await conn.fetchval("SELECT host_email FROM lead WHERE lead_id = $1", lead) is None
    # It cannot be made again; what was thought of the reps is kept.
    decided = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    assert decided[0]["considered"] == [{"rep_id": "ana", "chosen": True, "reason": "chosen"}]


async def test_a_deal_that_is_handed_back_leaves_the_lead_with_its_sdr(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    back = qualification_pb2.LeadHandedBack(
        stamp=stamp(lead), qualification=common_pb2.Qualification(stage="mql", cycle=1), lead=FIELDS, sdr_id="ana"
    )
    lost = forecast_pb2.OpportunityLost(
        stamp=stamp(lead), opportunity=forecast_pb2.Opportunity(stage="handed_back", owner_id="sam")
    )
    # The deal's end may be read before the lead's, or after it.
    await learn(routing, "forecast", (lead, lost))
    assert await holder(routing, lead) == "sam"
    await learn(routing, "qualification", (lead, back))
    assert await holder(routing, lead) == "ana"
    await learn(routing, "forecast", (lead, lost))
    assert await holder(routing, lead) == "ana"


async def test_history_that_becomes_news_is_routed_and_history_is_not(routing: Actor) -> None:
    await put_rep(routing, "ana")
    lead, old = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(lead, live=False), qualified(old, live=False))
    assert await loads(routing) == {"ana": 0}
    await learn(routing, "intake", (lead, intake_pb2.LeadUpdated(stamp=stamp(lead), lead=FIELDS)))
    assert (await holder(routing, lead), await holder(routing, old)) == ("ana", None)


async def test_decisions_are_made_again_from_what_they_saw(routing: Actor) -> None:
    for number in range(25):
        await put_rep(routing, f"rep{number:02}", cap=2, weight=1 + number % 3)
    leads = [ids.new() for _ in range(52)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    # Everything that a decision read is another by now.
    for number in range(0, 25, 2):
        await put_rep(routing, f"rep{number:02}", active=False)
    await routing.http.put("/v1/policy", content=POLICY.replace("to: sdr}", "to: night}"))
    seen = []
    for lead in leads[::3]:
        decision = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"][-1]
        again = (await routing.http.post(f"/v1/decisions/{decision['decision_id']}/replay")).json()
        assert (again["same"], again["rep_id"]) == (True, decision["rep_id"])
        assert len(decision["considered"]) == 25
        seen.append(decision["rep_id"])
    assert len(set(seen)) > 10
