"""Nobody waits beside room: what decides over a lead may change by what happens to others, and it is let in then."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2
from routing import assigning
from services.routing.tests.desk import (
    FIELDS,
    booked,
    fields,
    holder,
    learn,
    put_policy,
    put_rep,
    qualified,
    stamp,
    waiting,
)

POOLS = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales"}
  - {pool: german, reps: rep.team == "german"}
"""


async def waits(routing: Actor, **more: Any) -> UUID:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, **more))
    assert str(lead) in await waiting(routing)
    return lead


def taken_over(lead: UUID, by: str) -> tuple[UUID, Any]:
    standing = common_pb2.Standing(owner_id=by, stage="srl")
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead), lead=FIELDS, standing=standing)


def opened(lead: UUID | None, account: str) -> tuple[UUID, Any]:
    subject = lead or ids.new()
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), account=account, owner_id="zoe", stage="qualified")
    message = forecast_pb2.OpportunityOpened(stamp=stamp(subject), opportunity=deal)
    if lead is None:
        message.stamp.lead_id = ""
    return subject, message


@pytest.mark.parametrize("by", ["more", "a meeting"])
async def test_a_lead_that_waits_with_its_rep_is_decided_over_when_it_tells_more(routing: Actor, by: str) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "sam", role="sales", cap=0)
    gert = {"role": "sales", "team": "north"} if by == "a meeting" else {"role": "sdr", "team": "german"}
    await put_rep(routing, "gert", **gert, cap=0)
    rules = """
rules:
  - {rule: german, when: lead.stage == "srl" && lead.country == "DE", to: german}
  - {rule: host, when: lead.stage == "srl", to: host}
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: rest, to: sdr}
"""
    pools = POOLS.replace('rep.role == "sales"', 'rep.rep_id == "sam"')
    await put_policy(routing, f"{pools}{rules}")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana"))
    assert (await holder(routing, lead), await waiting(routing)) == ("ana", {str(lead): "no_capacity"})
    await put_rep(routing, "gert", **gert)
    if by == "more":
        told = fields(company="Acme", country="DE")
        await learn(routing, "intake", (lead, intake_pb2.LeadUpdated(stamp=stamp(lead), lead=told)))
    else:
        await learn(routing, "intake", booked(lead, "gert@kestrel.example"))
    assert await holder(routing, lead) == "gert"


async def test_who_waits_goes_to_whoever_begins_to_work_a_colleague(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    await put_rep(routing, "zoe", role="sales")
    await put_policy(routing, f"{POOLS}rules: [{{rule: colleagues, to: account_rep}}, {{rule: rest, to: sdr}}]")
    lead, best, colleague = await waits(routing), ids.new(), ids.new()
    await learn(routing, "intake", taken_over(colleague, "zoe"))
    assert await holder(routing, lead) == "zoe"
    # The better one is decided over first, and in the same batch a colleague of it gets a rep.
    told = fields(company="Other", account_domain="other.example")
    await put_policy(
        routing,
        f"{POOLS}rules: [{{rule: colleagues, to: account_rep}}, {{rule: big, when: lead.employees > 9, to: sales}},"
        " {rule: rest, to: sdr}]",
    )
    big = fields(company="Other", account_domain="other.example", employees=10)
    other = ids.new()
    await learn(
        routing, "qualification", qualified(best, grade="A1", told=told), qualified(other, grade="C3", told=big)
    )
    assert [await holder(routing, one) for one in (best, other)] == ["zoe", "zoe"]


async def test_who_waits_goes_to_who_works_a_lead_that_turns_out_to_be_a_colleague(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_policy(
        routing, f"{POOLS}rules: [{{rule: colleagues, to: account_rep, wait: true}}, {{rule: rest, to: sdr}}]"
    )
    stranger, lead = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(stranger, told=fields(company="Who")))
    await learn(routing, "qualification", qualified(lead))
    assert await waiting(routing) == {str(lead): "no_capacity"}
    update = intake_pb2.LeadUpdated(stamp=stamp(stranger), lead=FIELDS)
    await learn(routing, "intake", (stranger, update))
    assert (await routing.http.get("/v1/waiting")).json()["items"][0]["rule"] == "colleagues"


async def test_a_named_rep_who_refused_it_or_left_is_not_waited_for(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "zoe", role="sales")
    assert (await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "zoe"})).status_code == 200
    await put_policy(routing, f"{POOLS}rules: [{{rule: own, to: owner, wait: true}}, {{rule: rest, to: sdr}}]")
    refused, left = ids.new(), ids.new()
    told = fields(company="Acme", account_domain="acme.example")
    await learn(routing, "qualification", qualified(refused, told=told))
    assert await holder(routing, refused) == "zoe"
    zoe = routing.as_role("rep", rep="zoe")
    assert (await zoe.post(f"/v1/assignments/{refused}/decline", json={"reason": "not mine"})).status_code == 200
    assert await holder(routing, refused) == "ana"
    await put_rep(routing, "zoe", role="sales", cap=0)
    await learn(routing, "qualification", qualified(left, told=told))
    assert await waiting(routing) == {str(left): "no_capacity"}
    await put_rep(routing, "zoe", role="sales", cap=0, active=False)
    await routing.settled()
    assert await holder(routing, left) == "ana"


@pytest.mark.parametrize("of", ["a lead", "the account by name"])
async def test_who_waits_is_decided_over_when_a_deal_of_the_company_opens(routing: Actor, of: str) -> None:
    await put_rep(routing, "ana", cap=0)
    await put_rep(routing, "zoe", role="sales")
    rules = "rules: [{rule: in talks, when: account.open_opportunities > 0, to: sales}, {rule: rest, to: sdr}]"
    await put_policy(routing, f"{POOLS}{rules}")
    lead, colleague = await waits(routing), ids.new()
    await learn(routing, "qualification", qualified(colleague, live=False))
    await learn(routing, "forecast", opened(colleague, "x") if of == "a lead" else opened(None, "ACME"))
    assert await holder(routing, lead) == "zoe"


@pytest.fixture
async def in_talks(routing: Actor) -> Actor:
    """Whose company is in talks goes to sales, where nobody has room; the others to ana."""
    await put_rep(routing, "ana")
    await put_rep(routing, "zoe", role="sales", cap=0)
    rules = "rules: [{rule: in talks, when: account.open_opportunities > 0, to: sales}, {rule: rest, to: sdr}]"
    await put_policy(routing, f"{POOLS}{rules}")
    return routing


@pytest.mark.parametrize("account", ["x", "ACME"])
async def test_a_leads_own_deal_does_not_stand_in_its_way(in_talks: Actor, account: str) -> None:
    await put_rep(in_talks, "ana", cap=0)
    lead = await waits(in_talks)
    await learn(in_talks, "forecast", opened(lead, account))
    assert (await in_talks.http.get("/v1/waiting")).json()["items"][0]["pool"] == "sdr"
    await put_rep(in_talks, "ana")
    await put_rep(in_talks, "ben")
    assert await holder(in_talks, lead) == "ana"
    ana = in_talks.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/decline", json={"reason": "timing"})).status_code == 200
    assert await holder(in_talks, lead) == "ben"
    # A colleague's it is, and counts.
    colleague = await waits(in_talks)
    assert (await in_talks.http.get("/v1/waiting")).json()["items"][0]["pool"] == "sales"
    assert await holder(in_talks, colleague) is None


async def test_a_deal_of_a_lead_is_its_survivors_own(in_talks: Actor) -> None:
    merged = ids.new()
    await learn(in_talks, "qualification", qualified(merged, live=False))
    await learn(in_talks, "forecast", opened(merged, "x"))
    survivor = await waits(in_talks)
    message = intake_pb2.LeadMerged(
        stamp=stamp(survivor), survivor_id=str(survivor), merged_id=str(merged), lead=FIELDS
    )
    await learn(in_talks, "intake", (survivor, message), (merged, message))
    assert await holder(in_talks, survivor) == "ana"
    ana = in_talks.as_role("sdr", rep="ana")
    await put_rep(in_talks, "ben")
    assert (await ana.post(f"/v1/assignments/{survivor}/decline", json={"reason": "timing"})).status_code == 200
    assert await holder(in_talks, survivor) == "ben"


async def test_a_deal_with_the_account_by_its_name_counts_for_leads_of_its_domain(in_talks: Actor) -> None:
    answer = await in_talks.http.put("/v1/accounts/acme.example", json={"name": "Acme Holding"})
    assert answer.status_code == 200
    lead = ids.new()
    await learn(in_talks, "forecast", opened(None, "ACME holding"))
    await learn(in_talks, "qualification", qualified(lead))
    assert (await in_talks.http.get("/v1/waiting")).json()["items"][0]["pool"] == "sales"


async def test_who_waits_is_decided_over_when_a_deal_with_the_account_by_its_name_opens(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    await put_rep(routing, "zoe", role="sales")
    assert (await routing.http.put("/v1/accounts/acme.example", json={"name": "Acme Holding"})).status_code == 200
    rules = "rules: [{rule: in talks, when: account.open_opportunities > 0, to: sales}, {rule: rest, to: sdr}]"
    await put_policy(routing, f"{POOLS}{rules}")
    lead = await waits(routing)
    await learn(routing, "forecast", opened(None, "Acme Holding"))
    assert await holder(routing, lead) == "zoe"


async def test_a_new_rep_gets_the_meetings_that_they_host_however_long_the_queue_is(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=0)
    await put_policy(routing, f"{POOLS}rules: [{{rule: host, to: host}}, {{rule: rest, to: sdr}}]")
    for _ in range(2):
        await learn(routing, "qualification", *(qualified(ids.new(), grade="A1") for _ in range(255)))
    lead = ids.new()
    await learn(routing, "intake", booked(lead, "hal@kestrel.example"))
    await learn(routing, "qualification", qualified(lead, grade="C3"))
    await put_rep(routing, "hal", role="sales")

    async def is_hosted() -> None:
        assert await holder(routing, lead) == "hal"

    await eventually(is_hosted)


async def test_who_declined_all_the_room_there_is_costs_an_arriving_lead_nothing(
    routing: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", cap=0)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    leads, ana = [ids.new() for _ in range(20)], routing.as_role("sdr", rep="ana")
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    for lead in leads:
        assert (await ana.post(f"/v1/assignments/{lead}/decline", json={})).status_code == 200
    assert set((await waiting(routing)).values()) == {"no_capacity"}
    await routing.settled()
    decided: list[UUID] = []

    def decide(lead: Any, *more: Any, **named: Any) -> Any:
        decided.append(lead.lead_id)
        return real(lead, *more, **named)

    real = assigning.decide
    monkeypatch.setattr(assigning, "decide", decide)
    fresh = ids.new()
    await learn(routing, "qualification", qualified(fresh))
    assert (await holder(routing, fresh), decided) == ("ana", [fresh])
    await put_rep(routing, "ben", cap=500)

    async def let_in() -> None:
        assert await waiting(routing) == {}

    await eventually(let_in)
    assert {await holder(routing, lead) for lead in leads} == {"ben"}


async def test_no_starvation_of_who_waits_however_many_come_after(routing: Actor) -> None:
    await put_rep(routing, "ana", cap=1)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    leads = [ids.new() for _ in range(6)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    for lead in leads:
        assert await holder(routing, lead) == "ana"
        await learn(routing, "qualification", *(qualified(ids.new()) for _ in range(3)))
        answer = await routing.http.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled"})
        assert answer.status_code == 200
