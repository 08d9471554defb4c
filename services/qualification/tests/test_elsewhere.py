"""What qualification makes of the stage that a lead has in the system that it comes from."""

from typing import Any

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2


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


async def test_a_source_that_takes_a_lead_for_new_demotes_it(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.told(lead, "LeadQualified")
    await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="new")))
    (said,) = await company.told(lead, "LeadDemoted")
    assert said.qualification.stage == "new"


async def test_a_reason_of_another_system_is_a_code(company: Any) -> None:
    await company.activate()
    for said, wanted in {"no_budget": "no_budget", "closed by Ann": "other", "": ""}.items():
        lead = ids.new()
        standing = common_pb2.Standing(stage="disqualified", disqualified_reason=said)
        await company.publish(company.captured(lead, standing=standing))
        (out,) = await company.told(lead, "LeadDisqualified")
        assert out.qualification.reason == wanted
