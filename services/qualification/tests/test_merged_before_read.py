"""What became of a lead before it was merged, read after that: the survivor is no less for it, and may be more."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, routing_pb2

STORIES = [
    ("srl", "mql", False, True, "srl"),
    ("srl", "mql", True, False, "srl"),
    ("srl", "srl", False, True, "srl"),
    ("sql", "srl", False, True, "sql"),
    ("mql", "srl", False, False, "nurture"),
]
"""What the survivor is, what the other is, whether that one had ended, whether the survivor has a deal beside the other
one's, and what the survivor is after that one is lost."""


@pytest.fixture
async def leads(company: Any, engagement: Any, stamped: Any) -> tuple[UUID, UUID]:
    """Two MQLs of ana, of which the second is merged into the first."""
    await company.activate()
    kept, lost = ids.new(), ids.new()
    for lead in (kept, lost):
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        await company.routed(lead, "ana")
    said: dict[str, Any] = {"stamp": stamped(kept), "survivor_id": str(kept), "lead": company.fields()}
    message = intake_pb2.LeadMerged(**said, merged_id=str(lost))
    await company.publish((lost, message), (kept, message))
    return kept, lost


def released(lead: UUID, stamped: Any, outcome: str) -> tuple[UUID, Any]:
    said = {"rep_id": "ana", "cycle": 1, "outcome": outcome, "released_by": "rep"}
    return lead, routing_pb2.AssignmentReleased(stamp=stamped(lead), **said)


@pytest.mark.parametrize("outcome", ["returned", "recycled", "disqualified"])
async def test_whose_rep_gave_it_back_before_is_with_the_rep_of_the_survivor(
    company: Any, stamped: Any, leads: Any, outcome: str
) -> None:
    kept, lost = leads
    await company.publish(released(lost, stamped, outcome), topic="routing")
    await company.routed(lost, "bob", cycle=2)
    state = await company.shown(kept)
    assert (state["stage"], state.get("previous_rep")) == ("mql", None)
    ana = company.actor.as_role("sdr", rep="ana")
    decided = await ana.post(f"/v1/leads/{kept}/decisions", json={"decision": "recycle", "reason": "timing"})
    assert decided.status_code == 200, decided.text


async def test_a_deal_that_was_lost_before_loses_nobody(company: Any, stamped: Any, leads: Any) -> None:
    kept, lost = leads
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="lost")
    message = forecast_pb2.OpportunityLost(stamp=stamped(lost), opportunity=deal, reason="no_budget")
    await company.publish((lost, message), topic="forecast")
    assert (await company.shown(kept))["stage"] == "mql"


@pytest.mark.parametrize(("stage", "wanted"), [("disqualified", "mql"), ("nurture", "mql"), ("srl", "srl")])
async def test_a_stage_that_it_was_posted_with_counts_where_it_is_further(
    company: Any, leads: Any, stage: str, wanted: str
) -> None:
    kept, lost = leads
    await company.publish(company.captured(lost, standing=common_pb2.Standing(stage=stage)))
    assert (await company.shown(kept))["stage"] == wanted


async def test_what_was_made_ready_before_makes_the_survivor_ready(company: Any, stamped: Any, leads: Any) -> None:
    kept, lost = leads
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="won")
    await company.publish((lost, forecast_pb2.OpportunityWon(stamp=stamped(lost), opportunity=deal)), topic="forecast")
    assert (await company.shown(kept))["stage"] == "customer"
    await company.told(kept, "LeadConverted")


@pytest.mark.parametrize(("kept_is", "lost_is", "ended", "beside", "wanted"), STORIES)
async def test_a_lost_deal_of_the_merged_lead_ends_a_survivor_that_has_no_other(
    company: Any, stamped: Any, leads: Any, kept_is: str, lost_is: str, ended: bool, beside: bool, wanted: str
) -> None:
    """Told under the survivor's key: a duplicate's deal is closed as one, and the survivor's own goes on."""
    kept, lost = leads
    said: dict[str, Any] = {"stamp": stamped(kept), "survivor_id": str(kept), "lead": company.fields()}
    apart = intake_pb2.LeadUnmerged(**said, unmerged_id=str(lost))
    again = intake_pb2.LeadMerged(**said, merged_id=str(lost))
    await company.publish((lost, apart), (kept, apart))
    for lead, stage in ((kept, kept_is), (lost, lost_is)):
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage=stage)))
    await company.publish((lost, again), (kept, again))
    if ended:
        await company.publish(released(lost, stamped, "recycled"), topic="routing")
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="lost", beside=beside)
    message = forecast_pb2.OpportunityLost(stamp=stamped(lost), opportunity=deal, reason="duplicate")
    await company.publish((kept, message), topic="forecast")
    assert (await company.shown(kept))["stage"] == wanted


@pytest.mark.parametrize("own", ["mql", "disqualified"])
async def test_what_a_merge_raised_by_what_had_ended_is_what_it_was(
    company: Any, engagement: Any, stamped: Any, own: str
) -> None:
    await company.activate()
    kept, lost = ids.new(), ids.new()
    await company.publish(company.captured(kept), engagement(kept, "demo_requested"))
    await company.routed(kept, "bob")
    if own == "disqualified":
        said = {"rep_id": "bob", "cycle": 1, "outcome": own, "released_by": "rep"}
        await company.publish((kept, routing_pb2.AssignmentReleased(stamp=stamped(kept), **said)), topic="routing")
    await company.publish(company.captured(lost, standing=common_pb2.Standing(stage="srl")))
    await company.routed(lost, "ana", role="sales")
    message = intake_pb2.LeadMerged(
        stamp=stamped(kept), survivor_id=str(kept), merged_id=str(lost), lead=company.fields()
    )
    await company.publish((lost, message), (kept, message))
    assert (await company.shown(kept))["stage"] == "srl"
    await company.publish(released(lost, stamped, "disqualified"), topic="routing")
    assert (await company.shown(kept))["stage"] == own
    await company.told(lost, "LeadDisqualified")
