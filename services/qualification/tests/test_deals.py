"""What becomes of a lead's deals becomes of the lead, where it is the deal by which the lead stands where it does."""

from typing import Any

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, forecast_pb2, routing_pb2


@pytest.mark.parametrize(
    ("said", "previous", "stage"),
    [
        ({"stage": "qualified"}, "unqualified", "sql"),
        ({"stage": "qualified", "beside": True}, "unqualified", "srl"),
        # Its amount was changed, or who has it.
        ({"stage": "qualified"}, "qualified", "srl"),
        ({"stage": "lost"}, "unqualified", "nurture"),
        ({"stage": "lost", "beside": True}, "unqualified", "srl"),
        ({"stage": "won"}, "unqualified", "customer"),
        ({"stage": "won", "beside": True}, "unqualified", "customer"),
    ],
)
async def test_a_deal_moves_its_lead(
    company: Any, stamped: Any, said: dict[str, Any], previous: str, stage: str
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="srl")))
    deal: dict[str, Any] = {
        "stamp": stamped(lead),
        "opportunity": forecast_pb2.Opportunity(opportunity_id=str(ids.new()), **said),
    }
    ends = {"lost": forecast_pb2.OpportunityLost, "won": forecast_pb2.OpportunityWon}
    moved = forecast_pb2.OpportunityMoved(**deal, changed=["stage"], previous_stage=previous)
    told = [(lead, moved)] + [(lead, make(**deal)) for end, make in ends.items() if said["stage"] == end]
    await company.publish(*told, topic="forecast")
    assert (await company.shown(lead))["stage"] == stage


@pytest.mark.parametrize(("outcome", "told"), [("disqualified", "LeadDisqualified"), ("unreachable", "LeadRecycled")])
async def test_it_is_told_whether_whoever_had_a_lead_closed_it_or_something_else_took_it(
    company: Any, stamped: Any, outcome: str, told: str
) -> None:
    await company.activate()
    by = {"rep": ids.new(), "forecast": ids.new()}
    for who, lead in by.items():
        await company.publish(company.captured(lead, standing=common_pb2.Standing(stage="srl")))
        message = routing_pb2.AssignmentReleased(
            stamp=stamped(lead), rep_id="sam", cycle=1, outcome=outcome, released_by=who
        )
        await company.publish((lead, message), topic="routing")
    assert {who: [one.closed for one in await company.told(lead, told)] for who, lead in by.items()} == {
        "rep": [True],
        "forecast": [False],
    }
