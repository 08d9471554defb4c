"""What is told of the review queue: who came into it, who left it and whether somebody judged; and what is promised."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2

ALL_YES = {question: {"answer": "yes"} for question in ("budget", "authority", "need", "timing")}


async def waiting(company: Any, engagement: Any) -> UUID:
    """Return a lead that waits for review."""
    lead = ids.new()
    await company.publish(company.captured(lead, employees=50), engagement(lead, "demo_requested"))
    return lead


async def test_who_waits_for_review_is_told_once_and_who_is_lifted_out_of_it_was_not_judged(
    company: Any, engagement: Any
) -> None:
    await company.activate()
    lead = await waiting(company, engagement)
    await company.names(lead)
    (queued,) = await company.told(lead, "ReviewQueued")
    scored = (await company.told(lead, "LeadScored"))[-1]
    assert (queued.stamp.live, queued.lead.company, queued.qualification.queue) == (True, "Acme", "review")
    assert (queued.qualification.grade, scored.qualification.queue) == ("C1", "review")
    await company.publish(engagement(lead, "webinar_attended"))
    assert (await company.names(lead)).count("ReviewQueued") == 1
    grown = intake_pb2.LeadUpdated(stamp=company.captured(lead)[1].stamp, lead=company.fields(), changed=["employees"])
    await company.publish((lead, grown))
    (ended,) = await company.told(lead, "ReviewEnded")
    (qualified,) = await company.told(lead, "LeadQualified")
    assert (ended.queue, ended.decided, ended.qualification.queue) == ("review", False, "bant")
    assert qualified.qualification.queue == "bant"
    names = await company.names(lead)
    assert (await company.told(lead, "LeadScored"))[-1].qualification.queue == "bant"
    assert [name for name in names if name != "LeadScored"] == ["ReviewQueued", "ReviewEnded", "LeadQualified"]


@pytest.mark.parametrize("decision", ["accept", "disqualify", "nurture", "recycle"])
async def test_a_decision_ends_the_review(company: Any, engagement: Any, decision: str) -> None:
    await company.activate()
    lead = await waiting(company, engagement)
    http = company.actor.http
    assert (await http.put(f"/v1/leads/{lead}/bant", json=ALL_YES)).status_code == 200
    assert "ReviewEnded" not in await company.names(lead)
    body = {"decision": decision, **({} if decision == "accept" else {"reason": "timing"})}
    assert (await http.post(f"/v1/leads/{lead}/decisions", json=body)).status_code == 200
    (ended,) = await company.told(lead, "ReviewEnded")
    assert (ended.queue, ended.decided, ended.qualification.queue) == ("review", True, "")
    assert ended.stamp.recorded_at == ended.stamp.occurred_at
    assert (await company.names(lead)).count("ReviewEnded") == 1


async def test_the_last_answer_ends_the_wait_for_bant_and_is_a_judgement(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    (qualified,) = await company.told(lead, "LeadQualified")
    assert qualified.qualification.queue == "bant"
    path = f"/v1/leads/{lead}/bant"
    await company.actor.http.put(path, json={**ALL_YES, "timing": {"answer": "unknown"}})
    assert "ReviewEnded" not in await company.names(lead)
    await company.actor.http.put(path, json={"timing": {"answer": "no"}})
    (ended,) = await company.told(lead, "ReviewEnded")
    assert (ended.queue, ended.decided, ended.qualification.queue) == ("bant", True, "")
    await company.actor.http.post(f"/v1/leads/{lead}/decisions", json={"decision": "accept"})
    names = await company.names(lead)
    assert names.count("ReviewEnded") == 1
    assert "ReviewQueued" not in names


async def test_who_leaves_and_comes_again_is_told_of_in_that_order(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    body = {"decision": "recycle", "reason": "timing"}
    await company.actor.http.post(f"/v1/leads/{lead}/decisions", json=body)
    await company.publish(engagement(lead, "demo_requested"))
    names = [name for name in await company.names(lead) if name != "LeadScored"]
    assert names == ["LeadQualified", "ReviewEnded", "LeadRecycled", "LeadQualified"]


async def test_a_merge_ends_in_silence_what_waited_and_an_erasure_without_a_judgement(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    kept, lost = await waiting(company, engagement), await waiting(company, engagement)
    fields = company.fields(employees=50)
    merged = intake_pb2.LeadMerged(stamp=stamped(kept), survivor_id=str(kept), merged_id=str(lost), lead=fields)
    await company.publish((lost, merged), (kept, merged))
    apart = intake_pb2.LeadUnmerged(stamp=stamped(kept), survivor_id=str(kept), unmerged_id=str(lost), lead=fields)
    await company.publish((kept, apart), (lost, apart))
    assert len(await company.told(lost, "ReviewQueued", count=2)) == 2
    assert "ReviewEnded" not in await company.names(kept)
    assert "ReviewEnded" not in await company.names(lost)
    await company.publish((kept, intake_pb2.PersonalDataErased(stamp=stamped(kept), erasure_id=str(ids.new()))))
    (ended,) = await company.told(kept, "ReviewEnded")
    assert (ended.queue, ended.decided, ended.qualification.grade) == ("review", False, "")


async def test_who_becomes_an_srl_by_a_merge_was_not_judged_here(company: Any, engagement: Any, stamped: Any) -> None:
    await company.activate()
    kept, further = await waiting(company, engagement), ids.new()
    await company.publish(company.captured(further, standing=common_pb2.Standing(owner_id="ben", stage="srl")))
    fields = company.fields(employees=50)
    merged = intake_pb2.LeadMerged(stamp=stamped(kept), survivor_id=str(kept), merged_id=str(further), lead=fields)
    await company.publish((further, merged), (kept, merged))
    (ended,) = await company.told(kept, "ReviewEnded")
    assert (ended.queue, ended.decided, ended.qualification.stage) == ("review", False, "srl")
    (ready,) = await company.told(kept, "LeadSalesReady")
    assert ready.qualification.stage == "srl", "or nobody would have it"


async def test_history_waits_for_no_review_until_it_lives(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    past = engagement(lead, "demo_requested", live=False)
    await company.publish(company.captured(lead, live=False, employees=50), past)
    assert "ReviewQueued" not in await company.names(lead)
    await company.publish(engagement(lead, "page_viewed"))
    (queued,) = await company.told(lead, "ReviewQueued")
    assert (queued.stamp.live, queued.qualification.queue) == (True, "review")


async def test_a_burst_of_interest_says_that_it_waits(company: Any, engagement: Any, definition_text: str) -> None:
    await company.activate(f"{definition_text}hot: {{points: 30, within: 10m}}\n")
    lead = ids.new()
    burst = [engagement(lead, "pricing_viewed", seconds=20) for _ in range(2)]
    await company.publish(company.captured(lead, employees=50), *burst)
    (hot,) = await company.told(lead, "HotLeadDetected")
    (queued,) = await company.told(lead, "ReviewQueued")
    assert (hot.qualification.queue, queued.qualification.queue) == ("review", "review")


async def test_a_definition_in_force_tells_what_marketing_promises(company: Any, definition_text: str) -> None:
    promise = "supply: {per_month: 200, handoff_within: 15m, by_source: {webinar: 50}}\n"
    await company.activate(definition_text + promise)
    (said,) = await company.told(ids.derived("definition", company.name), "DefinitionActivated")
    assert (said.supply.per_week, said.supply.per_month, said.supply.per_quarter) == (0, 200, 0)
    assert (said.supply.handoff_within_seconds, dict(said.supply.by_source)) == (900, {"webinar": 50})
    assert list(said.required) == ["email", "company"]
    await company.activate()
    said = (await company.told(ids.derived("definition", company.name), "DefinitionActivated", count=2))[-1]
    assert (said.supply.per_month, said.supply.handoff_within_seconds) == (0, 0)
    for _ in range(2):
        answer = await company.actor.http.post(f"/v1/definitions/{company.name}/{said.version}/retire")
        assert answer.is_success, answer.text
    (over,) = await company.told(ids.derived("definition", company.name), "DefinitionRetired")
    assert (over.name, over.version) == (company.name, said.version)


async def test_who_becomes_an_srl_by_a_merge_goes_back_to_the_sdr_who_made_the_other_one(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    kept, further = ids.new(), ids.new()
    for lead, sdr in ((kept, "bea"), (further, "cleo")):
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        await company.routed(lead, sdr)
    http = company.actor.http
    assert (await http.put(f"/v1/leads/{further}/bant", json=ALL_YES)).status_code == 200
    assert (await http.post(f"/v1/leads/{further}/decisions", json={"decision": "accept"})).status_code == 200
    merged = intake_pb2.LeadMerged(
        stamp=stamped(kept), survivor_id=str(kept), merged_id=str(further), lead=company.fields()
    )
    await company.publish((further, merged), (kept, merged))
    (ready,) = await company.told(kept, "LeadSalesReady")
    assert ready.sdr_id == "cleo"


async def test_an_srl_that_is_given_to_another_sdr_goes_back_to_the_one_who_made_it(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    http = company.actor.http
    assert (await http.put(f"/v1/leads/{lead}/bant", json=ALL_YES)).status_code == 200
    assert (await http.post(f"/v1/leads/{lead}/decisions", json={"decision": "accept"})).status_code == 200
    given = routing_pb2.LeadRouted(
        stamp=stamped(lead),
        rep_id="bob",
        cycle=2,
        rep=common_pb2.Rep(rep_id="bob", role="sdr"),
        qualification=common_pb2.Qualification(stage="srl"),
    )
    await company.publish((lead, given), topic="routing")
    bob, back = company.actor.as_role("sdr", rep="bob"), {"decision": "hand_back", "reason": "timing"}
    answer = await bob.post(f"/v1/leads/{lead}/sales-decision", json=back)
    assert answer.status_code == 200, answer.text
    (told,) = await company.told(lead, "LeadHandedBack")
    assert told.sdr_id == "ana"
