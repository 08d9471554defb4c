"""What qualification makes of the stage that a lead has in the system that it comes from."""

from typing import Any

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, routing_pb2


async def test_a_stage_from_elsewhere_is_taken_over(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    standing = common_pb2.Standing(owner_id="ben", stage="srl")
    await company.publish(company.captured(lead, employees=1, standing=standing))
    state = await company.shown(lead)
    assert (state["stage"], state["definition"], state["history"][-1]["definition"]) == ("srl", "imported", "imported")
    (ready,) = await company.told(lead, "LeadSalesReady")
    assert ready.standing.owner_id == "ben"


@pytest.mark.parametrize(
    ("stage", "type_", "cycle"),
    [("disqualified", "LeadDisqualified", 1), ("customer", "LeadConverted", 1), ("nurture", "LeadRecycled", 2)],
)
async def test_work_that_is_over_at_its_source_is_over_here(
    company: Any, engagement: Any, stage: str, type_: str, cycle: int
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.told(lead, "LeadQualified")
    again = company.captured(lead, standing=common_pb2.Standing(stage=stage, disqualified_reason="Spoke to Ann Smith"))
    await company.publish(again)
    (said,) = await company.told(lead, type_)
    assert (said.qualification.stage, said.qualification.reason, said.qualification.cycle) == (stage, "other", cycle)
    state = await company.shown(lead)
    assert (state["stage"], state["definition"], state["cycle"]) == (stage, "imported", cycle)
    assert (state["history"][-1]["reason"], state["history"][-1]["words"]) == ("other", "Spoke to Ann Smith")


@pytest.mark.parametrize("before", ["disqualified", "customer"])
async def test_what_was_over_and_is_in_nurture_at_its_source_is_told_as_recycled(company: Any, before: str) -> None:
    await company.activate()
    lead = ids.new()
    for stage in (before, "nurture"):
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage=stage)))
    (back,) = await company.told(lead, "LeadRecycled")
    assert (back.qualification.stage, back.qualification.cycle) == ("nurture", 1)


@pytest.mark.parametrize("has_it", [True, False])
async def test_an_srl_from_elsewhere_is_the_work_of_who_has_it_not_of_who_recycled_it(
    company: Any, stamped: Any, engagement: Any, has_it: bool
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    said = {"rep_id": "ana", "cycle": 1, "outcome": "recycled", "released_by": "rep"}
    await company.publish((lead, routing_pb2.AssignmentReleased(stamp=stamped(lead), **said)), topic="routing")
    await company.publish(engagement(lead, "demo_requested"))
    if has_it:
        await company.routed(lead, "bea", cycle=2)
    await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="srl")))
    (ready,) = await company.told(lead, "LeadSalesReady")
    assert ready.sdr_id == ("bea" if has_it else "")


@pytest.mark.parametrize("stage", ["mql", "new", "nurture", "disqualified"])
async def test_a_source_that_repeats_its_list_says_nothing_new(company: Any, engagement: Any, stage: str) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.told(lead, "LeadQualified")
    seen = []
    for title in ("VP Sales", "CEO", "VP Sales"):
        again = company.captured(lead, job_title=title, standing=common_pb2.Standing(stage=stage))
        await company.publish(again)
        state = await company.shown(lead)
        seen.append((state["stage"], len(state["history"])))
    kept = "mql" if stage == "new" else stage
    assert [said for said, _ in seen] == [kept] * 3, "what a source takes for new says nothing of a lead that went on"
    assert len({moves for _, moves in seen}) == 1


async def test_of_what_a_source_says_twice_at_once_the_last_counts(company: Any, engagement: Any) -> None:
    await company.activate()
    for first in ("disqualified", "srl", "nurture", "customer"):
        lead = ids.new()
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        await company.told(lead, "LeadQualified")
        twice = [company.captured(lead, standing=common_pb2.Standing(stage=stage)) for stage in (first, "mql")]
        await company.publish(*twice)
        assert (await company.shown(lead))["stage"] == "mql"


async def test_what_is_in_nurture_at_its_source_is_so_until_it_does_something(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    come = company.captured(lead, standing=common_pb2.Standing(stage="nurture"))
    await company.publish(come, engagement(lead, "demo_requested", days_ago=1))
    assert (await company.shown(lead))["stage"] == "nurture"
    await company.publish(engagement(lead, "demo_requested"))
    assert (await company.shown(lead))["stage"] == "mql"


async def test_a_reason_of_another_system_is_a_code(company: Any) -> None:
    await company.activate()
    for said, wanted in {"no_budget": "no_budget", "closed by Ann": "other", "": ""}.items():
        lead = ids.new()
        standing = common_pb2.Standing(stage="disqualified", disqualified_reason=said)
        await company.publish(company.captured(lead, standing=standing))
        (out,) = await company.told(lead, "LeadDisqualified")
        assert out.qualification.reason == wanted


@pytest.mark.parametrize("stage", ["mql", "nurture", "disqualified"])
async def test_what_people_decide_here_of_a_lead_that_was_imported_stands(
    company: Any, stamped: Any, stage: str
) -> None:
    cited = await company.activate()
    won, back = ids.new(), ids.new()
    for lead in (won, back):
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="srl")))
        await company.routed(lead, "sam", role="sales")
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="won")
    await company.publish((won, forecast_pb2.OpportunityWon(stamp=stamped(won), opportunity=deal)), topic="forecast")
    said = {"rep_id": "sam", "cycle": 1, "outcome": "recycled", "released_by": "rep"}
    released = routing_pb2.AssignmentReleased(stamp=stamped(back), **said)
    await company.publish((back, released), topic="routing")
    for lead, kept in ((won, "customer"), (back, "nurture")):
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage=stage)))
        state = await company.shown(lead)
        assert (state["stage"], state["definition"]) == (kept, cited)


@pytest.mark.parametrize("standing", [{"stage": "new"}, {"owner_id": "ana"}, {"stage": "new", "status": "open"}])
async def test_a_list_wakes_nobody_whom_people_recycled(
    company: Any, engagement: Any, stamped: Any, standing: dict[str, str]
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    said = {"rep_id": "ana", "cycle": 1, "outcome": "recycled", "released_by": "rep"}
    await company.publish((lead, routing_pb2.AssignmentReleased(stamp=stamped(lead), **said)), topic="routing")
    message = intake_pb2.LeadUpdated(
        stamp=stamped(lead), lead=company.fields(), standing=common_pb2.Standing(**standing), changed=["owner_id"]
    )
    await company.publish((lead, message))
    assert (await company.shown(lead))["stage"] == "nurture"
    message.changed.append("job_title")
    await company.publish((lead, message))
    assert (await company.shown(lead))["stage"] == "mql", "who tells more of itself is news"


async def test_who_has_a_lead_has_it_when_another_of_theirs_turns_out_to_be_the_same(
    company: Any, stamped: Any
) -> None:
    lead, lost = ids.new(), ids.new()
    for one in (lead, lost):
        await company.publish(company.captured(one))
        await company.routed(one, "ana")
    link = {"survivor_id": str(lead), "merged_id": str(lost)}
    merged = [(one, intake_pb2.LeadMerged(stamp=stamped(lead), lead=company.fields(), **link)) for one in (lead, lost)]
    await company.publish(*merged)
    said = {"rep_id": "ana", "cycle": 1, "outcome": "merged", "released_by": "intake"}
    await company.publish((lost, routing_pb2.AssignmentReleased(stamp=stamped(lost), **said)), topic="routing")
    async with company.actor.database.reading() as conn:
        assert await conn.fetchval("SELECT rep_id FROM lead WHERE lead_id = $1", lead) == "ana"


@pytest.mark.parametrize("outcome", ["recycled", "disqualified"])
async def test_who_bought_is_a_customer_whatever_people_here_thought_would_come_of_it(
    company: Any, engagement: Any, stamped: Any, outcome: str
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    said = {"rep_id": "ana", "cycle": 1, "outcome": outcome, "released_by": "rep"}
    await company.publish((lead, routing_pb2.AssignmentReleased(stamp=stamped(lead), **said)), topic="routing")
    await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="customer")))
    state = await company.shown(lead)
    assert (state["stage"], state["definition"]) == ("customer", "imported")
    await company.told(lead, "LeadConverted")
    await company.publish(engagement(lead, "demo_requested"))
    assert (await company.shown(lead))["stage"] == "customer"
