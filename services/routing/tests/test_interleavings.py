"""Who waits is never lost, and nobody waits beside room, whatever meets in one batch or one transaction."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, qualification_pb2
from routing import reps, store_group
from routing.domain import Policy, WhyNot
from services.routing.tests.desk import (
    FIELDS,
    decision,
    escalated,
    fields,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
    touched,
    waiting,
)

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: everyone, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    return actor


async def comes_to(routing: Actor, lead: UUID, *names: str) -> None:
    async def is_there() -> None:
        assert await holder(routing, lead) in names

    await eventually(is_there)


async def sales_ready(routing: Actor, lead: UUID) -> None:
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))


async def confirmed(routing: Actor, lead: UUID) -> None:
    seen = common_pb2.Qualification(stage="sql", cycle=1)
    message = qualification_pb2.LeadSalesQualified(stamp=stamp(lead), qualification=seen)
    await learn(routing, "qualification", (lead, message))


async def test_room_that_a_changing_hand_leaves_is_filled(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_rep(routing, "sam", role="sales")
    held, waits = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(held))
    await learn(routing, "qualification", qualified(waits))
    assert await waiting(routing) == {str(waits): "no_capacity"}
    await sales_ready(routing, held)
    assert await holder(routing, held) == "sam"
    await comes_to(routing, waits, "ana")


async def test_who_stops_and_begins_to_wait_in_one_batch_waits(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", recycled(lead), qualified(lead))
    assert await waiting(routing) == {str(lead): "no_capacity"}
    await put_rep(routing, "ana", cap=1)
    assert await holder(routing, lead) == "ana"


async def test_a_lost_deal_takes_no_mql_out_of_the_queue(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), account="Acme", owner_id="sam", stage="lost")
    await learn(routing, "forecast", (lead, forecast_pb2.OpportunityLost(stamp=stamp(lead), opportunity=deal)))
    assert await waiting(routing) == {str(lead): "no_capacity"}


async def test_a_lost_deal_beside_the_leads_own_takes_nothing_from_its_rep(routing: Actor) -> None:
    await put_rep(routing, "zoe", role="sales")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, stage="srl"))
    for beside in (True, False):
        assert await holder(routing, lead) == "zoe"
        deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="lost", beside=beside)
        await learn(routing, "forecast", (lead, forecast_pb2.OpportunityLost(stamp=stamp(lead), opportunity=deal)))
    assert await holder(routing, lead) is None


async def test_a_decision_after_a_pause_in_its_batch_is_made_again_the_same(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "cam"):
        await put_rep(routing, rep_id)
    leads = [ids.new() for _ in range(12)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    had = {lead: await holder(routing, lead) for lead in leads}
    missed = next(lead for lead in leads if had[lead] == "ana")
    of_cam = [lead for lead in leads if had[lead] == "cam"]
    pause = escalated(missed, cycle=1, to="pause", rep_id="ana")
    await learn(routing, "sla", pause, *(escalated(lead, cycle=1) for lead in of_cam))
    for lead in of_cam:
        assert await holder(routing, lead) == "ben"
        found = await decision(routing, lead)
        again = (await routing.http.post(f"/v1/decisions/{found['decision_id']}/replay")).json()
        assert (again["same"], again["rep_id"]) == (True, "ben")


async def test_a_fallback_is_wider_than_what_it_falls_back_from(routing: Actor) -> None:
    rule = (
        '{rule: german, when: lead.country == "DE", reps: \'"de" in rep.languages\', to: sdr, fallback: sdr, after: 1s}'
    )
    await put_policy(routing, f'pools: [{{pool: sdr, reps: rep.role == "sdr"}}]\nrules: [{rule}]')
    await put_rep(routing, "ana", languages=["en"])
    await put_rep(routing, "gert", languages=["de"], cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, told=fields(country="DE")))
    assert await waiting(routing) == {str(lead): "no_capacity"}
    await comes_to(routing, lead, "ana")


@pytest.mark.parametrize("by", ["hand-over", "reassign"])
async def test_an_srl_that_waits_for_sales_does_so_with_another_sdr_too(routing: Actor, by: str) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales", cap=0)
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await sales_ready(routing, lead)
    await put_rep(routing, "ben")
    order: dict[str, Any] = {"from": "ana", "to": "ben"} if by == "hand-over" else {"rep_id": "ben"}
    path = "/v1/hand-over" if by == "hand-over" else f"/v1/assignments/{lead}/reassign"
    assert (await routing.http.post(path, json={**order, "reason": "left"})).status_code == 200
    assert (await holder(routing, lead), await waiting(routing)) == ("ben", {str(lead): "no_capacity"})
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, lead) == "sam"


async def test_an_srl_that_waits_for_sales_does_so_after_a_merge(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales", cap=0)
    survivor, merged = sorted([ids.new(), ids.new()])
    await learn(routing, "qualification", qualified(merged))
    await sales_ready(routing, merged)
    message = intake_pb2.LeadMerged(
        stamp=stamp(survivor), survivor_id=str(survivor), merged_id=str(merged), lead=FIELDS
    )
    await learn(routing, "intake", (survivor, message), (merged, message))
    assert await holder(routing, survivor) == "ana"
    await put_rep(routing, "sam", role="sales")
    assert await holder(routing, survivor) == "sam"


async def test_what_a_person_named_ends_when_the_lead_is_sales_work(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", cap=0)
    await put_rep(routing, "sam", role="sales")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await routing.http.post("/v1/hand-over", json={"from": "ana", "to": "sdr", "reason": "left"})
    await sales_ready(routing, lead)
    assert await holder(routing, lead) == "sam"


@pytest.mark.parametrize("by", ["return", "hand-over"])
async def test_an_sql_that_is_given_back_stays_sales_work(routing: Actor, by: str) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, stage="srl"))
    await confirmed(routing, lead)
    await put_rep(routing, "sue", role="sales")
    if by == "return":
        sam = routing.as_role("rep", rep="sam")
        await sam.post(f"/v1/assignments/{lead}/accept")
        assert (await sam.post(f"/v1/assignments/{lead}/return", json={"reason": "timing"})).status_code == 200
    else:
        await routing.http.post("/v1/hand-over", json={"from": "sam", "to": "policy", "reason": "left"})
    assert (await holder(routing, lead), (await loads(routing))["ana"]) == ("sue", 0)


async def test_what_an_sdr_touched_is_untouched_by_sales(routing: Actor) -> None:
    await put_policy(routing, POLICY.replace("least_loaded}", "least_loaded, untouched_cap: 1}"))
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales")
    first, second = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(first), qualified(second))
    await learn(routing, "intake", touched(first), touched(second))
    await sales_ready(routing, first)
    await sales_ready(routing, second)
    assert (await holder(routing, first), await holder(routing, second)) == ("sam", "ana")
    await learn(routing, "intake", touched(first, "sam"))
    assert await holder(routing, second) == "sam"


async def test_every_decision_of_a_batch_in_which_all_wait_is_looked_back_at(routing: Actor) -> None:
    for _ in range(3):
        await learn(routing, "qualification", *(qualified(ids.new()) for _ in range(450)))
    found = (await routing.http.post("/v1/policy/simulate", json={"policy": POLICY})).json()
    assert (found["leads"], found["still_waiting"]) == (1350, 1350)


def test_who_is_looked_at_just_before_they_come_or_go_does_so_on_time() -> None:
    hours = [{"days": ["tue"], "start": "09:00", "end": "17:00"}]
    texts = dict.fromkeys(("name", "team", "kind", "email"), "x")
    document = {**texts, "role": "sdr", "time_zone": "UTC", "working_hours": hours, "weight": 1.0, "active": True}
    row = {"rep_id": "ana", "document": document, "version": 1, "paused": False, "joined_at": None, "cap": 1}
    counts = {"performance": 1.0, "open": 0, "untouched": 0, "turns": {}, "last_assigned_at": None}
    found = reps.rep_of({**row, **counts})
    policy = Policy(version=1, pools={}, rules=[], pairs={})
    group = store_group.made({"ana": reps.known_of({**row, **counts}, [], 2026)}, {"ana": found}, policy, 2026)
    opens, closes = datetime(2026, 11, 10, 9, tzinfo=UTC), datetime(2026, 11, 10, 17, tzinfo=UTC)
    a_little = timedelta(milliseconds=300)
    seen = []
    for at in (opens - a_little, opens, closes - a_little, closes + a_little):
        store_group.set_availability(group, at)
        seen.append(found.away)
    assert seen == [WhyNot.OFF_HOURS, None, None, WhyNot.OFF_HOURS]
