"""A lead with several deals: its word moves the one that its SRL opened, and only that one's end is the lead's."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from handoff.events.v1 import intake_pb2

LATER = "2026-11-11T12:00:00Z"


@pytest.fixture
async def lead(company: Any) -> UUID:
    """An SRL, for which a colleague opened a second deal."""
    made = ids.new()
    await company.tell("qualification", company.sales_ready(made))
    await company.tell("routing", company.routed(made, company.rep))
    await company.open(lead_id=str(made), name="second", owner_id="tom", stage="qualified", occurred_at=LATER)
    return made


def name(deal: dict[str, Any]) -> str:
    return "second" if deal["name"] == "second" else "own"


async def all_deals(company: Any, lead: UUID) -> list[tuple[str, str, str]]:
    return sorted((name(one), one["stage"], one["owner_id"]) for one in await company.deals(lead))


async def deals(company: Any, lead: UUID) -> dict[str, tuple[str, str]]:
    return {name(one): (one["stage"], one["owner_id"]) for one in await company.deals(lead)}


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        ("LeadSalesQualified", "qualified"),
        ("LeadHandedBack", "handed_back"),
        ("LeadDisqualified", "lost"),
        ("LeadRecycled", "lost"),
    ],
)
async def test_a_leads_word_moves_its_own_deal(company: Any, lead: UUID, said: str, stage: str) -> None:
    await company.tell("qualification", company.said(lead, said, LATER))
    assert await deals(company, lead) == {"own": (stage, company.rep), "second": ("qualified", "tom")}


async def test_a_leads_word_ends_no_deal_that_people_opened(company: Any) -> None:
    lead = ids.new()
    await company.open(lead_id=str(lead), name="second", owner_id="tom", stage="unqualified")
    await company.tell("qualification", company.said(lead, "LeadDisqualified", LATER))
    assert await deals(company, lead) == {"second": ("unqualified", "tom")}


async def test_an_srl_opens_its_own_whatever_others_the_lead_has(company: Any) -> None:
    """A renewal that sales have open is neither given to who gets the SRL nor handed back with it."""
    lead = ids.new()
    await company.open(lead_id=str(lead), name="second", owner_id="tom", stage="qualified", type="renewal")
    renewal = ("second", "qualified", "tom")
    own, back = (("own", stage, company.rep) for stage in ("unqualified", "handed_back"))
    for day, before in ((11, []), (13, [back])):
        at = f"2026-11-{day}T12:00:00Z"
        await company.tell("qualification", company.sales_ready(lead, at))
        await company.tell("routing", company.routed(lead, company.rep, at))
        assert await all_deals(company, lead) == sorted([renewal, own, *before])
        await company.tell("qualification", company.said(lead, "LeadHandedBack", f"2026-11-{day}T13:00:00Z"))
        assert await all_deals(company, lead) == sorted([renewal, back, *before])


async def test_whoever_gets_the_lead_gets_its_own_deal(company: Any, lead: UUID) -> None:
    await company.tell("routing", company.routed(lead, "uma", LATER))
    assert await deals(company, lead) == {"own": ("unqualified", "uma"), "second": ("qualified", "tom")}


async def test_what_becomes_of_a_deal_says_whether_the_lead_has_another_that_counts(company: Any, lead: UUID) -> None:
    of = {name(one): one["opportunity_id"] for one in await company.deals(lead)}
    await company.move(of["second"], amount="6000.00", currency="USD")
    await company.move(of["own"], amount="3.00", currency="USD")
    for one in ("own", "second"):
        await company.move(of[one], stage="lost", reason="competitor")
    moved = [one for one in await company.told("OpportunityMoved", lead, 5) if "owner_id" not in one.changed]
    own, second = of["own"], of["second"]
    beside = [(one.opportunity.opportunity_id, one.opportunity.beside) for one in moved]
    assert beside == [(second, True), (own, False), (own, False), (second, False)]
    lost = await company.told("OpportunityLost", lead, 2)
    assert [(one.opportunity.opportunity_id, one.opportunity.beside) for one in lost] == [(own, False), (second, False)]


async def test_of_two_srls_that_are_one_the_survivors_deal_counts(company: Any) -> None:
    kept, merged = ids.new(), ids.new()
    await company.tell("qualification", company.sales_ready(kept), company.sales_ready(merged, LATER))
    message = intake_pb2.LeadMerged(stamp=company.stamp(kept), survivor_id=str(kept), merged_id=str(merged))
    await company.tell("intake", (merged, message), (kept, message))
    await company.tell("qualification", company.said(kept, "LeadSalesQualified", LATER))
    stages = {one["lead_id"]: one["stage"] for one in await company.deals(kept)}
    assert stages == {str(kept): "qualified", str(merged): "unqualified"}


@pytest.mark.parametrize(
    ("said", "ended"), [("LeadHandedBack", "handed_back"), ("LeadDisqualified", "lost"), ("LeadRecycled", "lost")]
)
async def test_what_ends_a_lead_ends_what_the_srls_opened_that_are_one_with_it(
    company: Any, said: str, ended: str
) -> None:
    kept, merged = ids.new(), ids.new()
    await company.tell("qualification", company.sales_ready(kept), company.sales_ready(merged, LATER))
    await company.tell("intake", *company.merged(kept, merged))
    await company.tell("qualification", company.said(kept, said, LATER, reason="no_need"))
    stages = {one["lead_id"]: one["stage"] for one in await company.deals(kept)}
    assert stages == {str(kept): ended, str(merged): ended}
