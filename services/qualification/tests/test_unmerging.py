"""Whoever leaves the lead that it was merged into: qualified anew, unless it bought or people had given it up."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, routing_pb2


@pytest.fixture
async def leads(company: Any, engagement: Any) -> tuple[UUID, UUID]:
    """Two MQLs."""
    await company.activate()
    leads = ids.new(), ids.new()
    for lead, rep in zip(leads, ("ana", "bea"), strict=True):
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        await company.routed(lead, rep)
        assert (await company.shown(lead))["stage"] == "mql"
    return leads


async def merge(company: Any, stamped: Any, kept: UUID, lost: UUID, *, undo: bool = False) -> None:
    said: dict[str, Any] = {"stamp": stamped(kept), "survivor_id": str(kept), "lead": company.fields()}
    message = intake_pb2.LeadMerged(**said, merged_id=str(lost))
    if undo:
        message = intake_pb2.LeadUnmerged(**said, unmerged_id=str(lost))
    await company.publish((lost, message), (kept, message))


def won(of: UUID, key: UUID, stamped: Any) -> tuple[UUID, Any]:
    """Tell of a lead's deal, under the key of whoever it is one with."""
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="won")
    return key, forecast_pb2.OpportunityWon(stamp=stamped(of), opportunity=deal)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_who_bought_comes_back_as_a_customer(company: Any, stamped: Any, leads: Any, when: str) -> None:
    kept, lost = leads
    if when == "before":
        await company.publish(won(lost, lost, stamped), topic="forecast")
    await merge(company, stamped, kept, lost)
    if when == "meanwhile":
        await company.publish(won(lost, kept, stamped), topic="forecast")
    assert (await company.shown(kept))["stage"] == "customer"
    await merge(company, stamped, kept, lost, undo=True)
    assert [(await company.shown(lead))["stage"] for lead in leads] == ["mql", "customer"]
    await company.told(lost, "LeadConverted")
    await company.told(kept, "LeadQualified", count=2)


@pytest.mark.parametrize("stage", ["srl", "sql"])
async def test_what_was_sales_work_is_that_again_and_they_are_told(
    company: Any, stamped: Any, leads: Any, stage: str
) -> None:
    """Whoever had it has it no more, since it was a customer's: it goes to sales anew."""
    kept, lost = leads
    await company.publish(company.captured(kept, standing=common_pb2.Standing(stage=stage)))
    await company.publish(won(lost, lost, stamped), topic="forecast")
    await merge(company, stamped, kept, lost)
    assert (await company.shown(kept))["stage"] == "customer"
    told = len(await company.told(kept, "LeadSalesReady", count=0))
    await merge(company, stamped, kept, lost, undo=True)
    assert [(await company.shown(lead))["stage"] for lead in leads] == [stage, "customer"]
    ready = await company.told(kept, "LeadSalesReady", count=told + 1)
    assert ready[-1].qualification.stage == stage
    if stage == "sql":
        # By its source, and again: the deal that it has from then on is as far.
        await company.told(kept, "LeadSalesQualified", count=2)


async def test_who_goes_on_as_an_sql_is_told_as_one_and_stays_so(company: Any, stamped: Any, leads: Any) -> None:
    """The survivor's own deal, which it has as an SRL, is as far as the lead from then on."""
    kept, lost = leads
    for lead, stage in ((kept, "srl"), (lost, "sql")):
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage=stage)))
    await merge(company, stamped, kept, lost)
    (confirmed,) = await company.told(kept, "LeadSalesQualified")
    assert (confirmed.qualification.stage, confirmed.qualification.previous_stage) == ("sql", "srl")
    told = [name for name in await company.names(kept) if name.startswith("LeadSales")]
    assert told == ["LeadSalesReady", "LeadSalesReady", "LeadSalesQualified"]
    await merge(company, stamped, kept, lost, undo=True)
    assert (await company.shown(kept))["stage"] == "sql"


async def test_who_bought_as_well_stays_a_customer(company: Any, stamped: Any, leads: Any) -> None:
    kept, lost = leads
    await company.publish(won(lost, lost, stamped), topic="forecast")
    await merge(company, stamped, kept, lost)
    await company.publish(won(kept, kept, stamped), topic="forecast")
    await merge(company, stamped, kept, lost, undo=True)
    assert [(await company.shown(lead))["stage"] for lead in leads] == ["customer", "customer"]


@pytest.mark.parametrize(("outcome", "stage"), [("disqualified", "disqualified"), ("recycled", "nurture")])
async def test_what_people_had_given_up_stays_so(
    company: Any, stamped: Any, leads: Any, outcome: str, stage: str
) -> None:
    kept, lost = leads
    said = {"rep_id": "bea", "cycle": 1, "outcome": outcome, "released_by": "rep"}
    await company.publish((lost, routing_pb2.AssignmentReleased(stamp=stamped(lost), **said)), topic="routing")
    await merge(company, stamped, kept, lost)
    await merge(company, stamped, kept, lost, undo=True)
    assert [(await company.shown(lead))["stage"] for lead in leads] == ["mql", stage]


async def test_what_was_in_work_is_qualified_anew(company: Any, stamped: Any, leads: Any) -> None:
    kept, lost = leads
    await company.publish(company.captured(lost, standing=common_pb2.Standing(stage="srl")))
    await merge(company, stamped, kept, lost)
    await merge(company, stamped, kept, lost, undo=True)
    assert (await company.shown(lost))["stage"] == "mql"
    await company.told(lost, "LeadQualified", count=2)


@pytest.mark.parametrize(("employees", "stage"), [(500, "mql"), (1, "disqualified")])
async def test_what_was_in_work_goes_on_as_the_survivor_unless_that_ones_own_score_says_otherwise(
    company: Any, stamped: Any, employees: int, stage: str
) -> None:
    await company.activate()
    kept, lost = ids.new(), ids.new()
    await company.publish(company.captured(kept), company.captured(lost, standing=common_pb2.Standing(stage="mql")))
    assert [(await company.shown(lead))["stage"] for lead in (kept, lost)] == ["nurture", "mql"]
    fields = company.fields(employees=employees)
    message = intake_pb2.LeadMerged(stamp=stamped(kept), survivor_id=str(kept), merged_id=str(lost), lead=fields)
    await company.publish((lost, message), (kept, message))
    await company.told(kept, "LeadQualified")
    assert (await company.shown(kept))["stage"] == stage
