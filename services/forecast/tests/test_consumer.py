"""What forecast makes of what its neighbours tell it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from handoff.events.v1 import common_pb2, console_pb2, intake_pb2


@pytest.mark.parametrize("routed_first", [False, True])
async def test_an_srl_opens_a_deal_owned_by_its_sales_rep(company: Any, routed_first: bool) -> None:
    lead = ids.new()
    await company.tell("routing", company.routed(lead, "old", "2026-11-01T00:00:00Z"))
    steps = [
        ("qualification", company.sales_ready(lead)),
        ("routing", company.routed(lead, company.rep, "2026-11-10T12:00:01Z")),
    ]
    for topic, event in reversed(steps) if routed_first else steps:
        await company.tell(topic, event, twice=True)
        if not routed_first and topic == "qualification":
            (deal,) = await company.deals(lead)
            assert deal["owner_id"] == ""  # not whom the lead had before
    (deal,) = await company.deals(lead)
    assert (deal["stage"], deal["category"], deal["owner_id"], deal["sourced_by"]) == (
        "unqualified",
        "pipeline",
        company.rep,
        "ana",
    )
    assert (deal["amount"], deal["close_date"], deal["undated"]) == (None, None, True)
    (opened,) = await company.told("OpportunityOpened", lead)
    assert opened.opportunity.opportunity_id == deal["opportunity_id"]


async def test_an_sdrs_assignment_makes_no_owner_unless_it_is_of_the_srl(company: Any) -> None:
    lead = ids.new()
    await company.tell("qualification", company.sales_ready(lead))
    await company.tell("routing", company.routed(lead, "ana", role="sdr"))
    assert [deal["owner_id"] for deal in await company.deals(lead)] == [""]
    _, given = company.routed(lead, "ana", role="sdr")
    given.qualification.stage = "srl"
    await company.tell("routing", (lead, given))
    assert [deal["owner_id"] for deal in await company.deals(lead)] == ["ana"]


async def test_a_leavers_deals_change_hands_once_and_an_ended_one_keeps_its_owner(company: Any) -> None:
    going, over = (await company.open(), await company.open())
    await company.move(over["opportunity_id"], stage="lost", reason="no_budget")
    for deal in (going, over):
        await company.tell("routing", company.handed_over(UUID(deal["opportunity_id"]), "heir"), twice=True)
    owners = {
        deal["opportunity_id"]: (await company.http.get(f"/v1/opportunities/{deal['opportunity_id']}")).json()
        for deal in (going, over)
    }
    assert owners[going["opportunity_id"]]["owner_id"] == "heir"
    assert owners[over["opportunity_id"]]["owner_id"] == company.rep
    await company.check_counters()


async def test_what_becomes_of_the_lead_becomes_of_its_deal(company: Any) -> None:
    confirmed, back, out, less = (ids.new() for _ in range(4))
    await company.tell("qualification", *(company.sales_ready(lead) for lead in (confirmed, back, out, less)))
    later = "2026-11-11T12:00:00Z"
    await company.tell(
        "qualification",
        company.said(confirmed, "LeadSalesQualified", later, rep_id="ben"),
        company.said(back, "LeadHandedBack", later, reason="no_budget"),
        company.said(out, "LeadDisqualified", later, reason="competitor"),
        # Its source says that it is no more sales'.
        company.said(less, "LeadQualified", later, previous_stage="srl"),
    )
    stages = [
        [(deal["stage"], deal["reason"]) for deal in await company.deals(lead)] for lead in (confirmed, back, out, less)
    ]
    ended = [("qualified", None)], [("handed_back", "no_budget")], [("lost", "competitor")], [("handed_back", None)]
    assert stages == list(map(list, ended))
    await company.tell("qualification", company.sales_ready(back, "2026-11-12T12:00:00Z"))
    assert sorted(deal["stage"] for deal in await company.deals(back)) == ["handed_back", "unqualified"]


@pytest.mark.parametrize("ended", ["LeadDisqualified", "LeadRecycled"])
async def test_a_deal_that_is_qualified_ends_by_sales_own_word(company: Any, ended: str) -> None:
    lead = ids.new()
    at = "2026-11-1{}T12:00:00Z".format
    await company.tell(
        "qualification", company.sales_ready(lead, at(0)), company.said(lead, "LeadSalesQualified", at(1), rep_id="ben")
    )
    await company.tell("qualification", company.said(lead, ended, at(2), reason="timing"))
    assert [deal["stage"] for deal in await company.deals(lead)] == ["qualified"]
    await company.tell("qualification", company.said(lead, ended, at(3), reason="no_budget", closed=True))
    assert [(deal["stage"], deal["reason"]) for deal in await company.deals(lead)] == [("lost", "no_budget")]


async def test_who_is_parted_from_a_merge_is_qualified_anew_and_its_deal_is_handed_back(company: Any) -> None:
    kept, parted = ids.new(), ids.new()
    at = "2026-11-1{}T12:00:00Z".format
    await company.tell("intake", company.captured(kept, at(0)), company.captured(parted, at(0)))
    await company.tell(
        "qualification",
        *(company.sales_ready(one, at(1)) for one in (kept, parted)),
        company.said(parted, "LeadSalesQualified", at(2), rep_id="ben"),
    )
    await company.tell("intake", *company.merged(kept, parted, at(3)))
    await company.tell("intake", *company.unmerged(kept, parted, at(4)))
    stages = [[deal["stage"] for deal in await company.deals(one)] for one in (kept, parted)]
    assert stages == [["unqualified"], ["handed_back"]]
    await company.tell("qualification", company.sales_ready(parted, at(5)))
    assert sorted(deal["stage"] for deal in await company.deals(parted)) == ["handed_back", "unqualified"]


async def test_who_goes_on_as_an_sql_has_a_qualified_deal_of_its_own(company: Any) -> None:
    kept, merged = ids.new(), ids.new()
    at = "2026-11-1{}T12:00:00Z".format
    await company.tell("intake", company.captured(kept, at(0)), company.captured(merged, at(0)))
    ready = [company.sales_ready(one, at(1)) for one in (kept, merged)]
    await company.tell("qualification", *ready, company.said(merged, "LeadSalesQualified", at(2)))
    await company.tell("intake", *company.merged(kept, merged, at(3)))
    further = company.sales_ready(kept, at(3), previous_stage="srl"), company.said(kept, "LeadSalesQualified", at(3))
    await company.tell("qualification", *further)
    await company.tell("intake", *company.unmerged(kept, merged, at(4)))
    stages = [[deal["stage"] for deal in await company.deals(one)] for one in (kept, merged)]
    assert stages == [["qualified"], ["handed_back"]]
    # What made it an SQL had ended before, as is read after, or its source says so: it is an SRL again.
    await company.tell("qualification", company.sales_ready(kept, at(5), previous_stage="sql"))
    assert [deal["stage"] for deal in await company.deals(kept)] == ["unqualified"]


async def test_a_deal_finds_its_lead_whichever_comes_first(company: Any) -> None:
    for deal_first in (True, False):
        lead, name = ids.new(), f"crm-{ids.new()}"
        known = company.captured(lead, external_ids=[common_pb2.ExternalId(connection_id="direct", external_id=name)])
        if not deal_first:
            await company.tell("intake", known)
        deal = await company.open(lead_external_id=name)
        await company.tell("intake", known)
        assert [one["opportunity_id"] for one in await company.deals(lead)] == [deal["opportunity_id"]]


async def test_a_lead_is_told_of_the_deal_that_was_there_before_it(company: Any) -> None:
    lead, name = ids.new(), f"late-{ids.new()}"
    named = f"crm-{ids.new()}"
    await company.move(f"external:{named}", stage="won", amount="10", occurred_at="2026-11-12T08:00:00Z")
    before = datetime.now(UTC)
    await company.open(external_id=named, lead_external_id=name, occurred_at="2026-11-11T08:00:00Z")
    known = company.captured(lead, external_ids=[common_pb2.ExternalId(connection_id="direct", external_id=name)])
    await company.tell("intake", known)
    (opened,), (won,) = await company.told("OpportunityOpened", lead), await company.told("OpportunityWon", lead)
    assert (opened.opportunity.stage, won.opportunity.amount) == ("won", "10")
    assert won.stamp.occurred_at.ToDatetime(UTC) == datetime(2026, 11, 12, 8, tzinfo=UTC)
    # Whose it is nobody knew before; nor, of the deal itself, what was told of it before it was opened.
    told = [opened, won, *await company.told("OpportunityMoved", UUID(opened.opportunity.opportunity_id))]
    assert min(one.stamp.recorded_at.ToDatetime(UTC) for one in told) > before


async def test_a_merged_leads_deal_follows_it(company: Any) -> None:
    a, b = ids.new(), ids.new()
    await company.tell("intake", company.captured(a), company.captured(b))
    await company.tell("qualification", company.sales_ready(b))
    merged = intake_pb2.LeadMerged(stamp=company.stamp(a), survivor_id=str(a), merged_id=str(b))
    merged.lead.CopyFrom(company.captured(a)[1].lead)
    await company.tell("intake", (b, merged), (a, merged))
    await company.tell("qualification", company.said(a, "LeadSalesQualified", "2026-11-12T12:00:00Z"))
    assert [deal["stage"] for deal in await company.deals(a)] == ["qualified"]


async def funnel(company: Any, **params: Any) -> dict[str, Any]:
    """Return the stages of the one group."""
    answer = await company.http.get("/v1/funnel", params=params)
    assert answer.status_code == 200, answer.text
    (group,) = answer.json()["groups"]
    return {stage["stage"]: stage for stage in group["stages"]}


async def test_the_funnel_counts_how_far_each_cohort_came_and_as_of_what_was_known(company: Any) -> None:
    leads = [ids.new() for _ in range(10)]
    day = "2026-03-02T12:00:00Z"
    span = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
    await company.tell("intake", *(company.captured(lead, day, source="fair") for lead in leads))
    await company.tell(
        "qualification", *(company.said(lead, "LeadQualified", "2026-03-03T12:00:00Z") for lead in leads[:8])
    )
    await company.tell("qualification", *(company.sales_ready(lead, "2026-03-04T12:00:00Z") for lead in leads[:2]))
    await company.tell("qualification", company.said(leads[0], "LeadSalesQualified", "2026-03-05T12:00:00Z"))
    await company.tell("qualification", company.said(leads[2], "LeadDisqualified", "2026-03-05T12:00:00Z"))
    (deal,) = await company.deals(leads[0])
    await company.move(deal["opportunity_id"], stage="won", amount="100", occurred_at="2026-03-09T00:00:00Z")
    stages = await funnel(company, **span)
    assert [stages[name]["count"] for name in ("lead", "mql", "srl", "sql", "won")] == [10, 8, 2, 1, 1]
    srl = stages["srl"]
    assert (srl["conversion_from_previous"], srl["conversion_from_all"], srl["verdict"]) == (0.25, 0.2, "in band")
    assert (srl["band"], srl["censored"], stages["sql"]["verdict"], stages["won"]["amount"]) == (
        [0.2, 0.4],
        5,
        "below",
        "100.00",
    )
    assert stages["won"]["conversion_from_qualified"] == 0.125
    for by, key in (("source", "fair"), ("month", "2026-03"), ("week", "2026-03-02")):
        answer = (await company.http.get("/v1/funnel", params={**span, "by": by})).json()
        assert [group["key"] for group in answer["groups"]] == [key]
    by_definition = (await company.http.get("/v1/funnel", params={**span, "by": "definition"})).json()["groups"]
    assert {group["key"]: group["stages"][0]["count"] for group in by_definition} == {"": 2, "saas@1": 8}
    # What was not known then is not in it, and what was known stays.
    known = [
        [
            (await funnel(company, **span, as_of=f"2026-03-0{day}T13:00:00Z"))[name]["count"]
            for name in ("mql", "srl", "won")
        ]
        for day in (3, 4, 5)
    ]
    assert known == [[8, 0, 0], [8, 2, 0], [8, 2, 0]]
    # Merged leads are one lead; apart again they are two.
    survivor, merged_away = leads[0], leads[9]
    for message in (intake_pb2.LeadMerged, intake_pb2.LeadUnmerged):
        name = "merged_id" if message is intake_pb2.LeadMerged else "unmerged_id"
        event = message(stamp=company.stamp(survivor, day), survivor_id=str(survivor), **{name: str(merged_away)})
        event.lead.CopyFrom(company.captured(survivor, day, source="fair")[1].lead)
        await company.tell("intake", (merged_away, event), (survivor, event))
        stages = await funnel(company, **span)
        assert stages["lead"]["count"] == (9 if name == "merged_id" else 10)
        assert stages["won"]["count"] == 1
    table = await company.http.get("/v1/funnel", params=span, headers={"Accept": "text/csv"})
    assert table.text.splitlines()[0].startswith("key,amount,stage,count")


async def test_another_zone_counts_months_anew(company: Any) -> None:
    deal = await company.open(amount="5", stage="won", occurred_at="2026-02-01T02:00:00Z")
    assert (deal["stage"], deal["category"]) == ("won", "closed")
    assert (await company.sums("2026-02"))["closed"] == "5.00"
    try:
        for zone, month in (("America/New_York", "2026-01"), ("UTC", "2026-02")):
            said = console_pb2.SettingsChanged(zone=zone, base_currency="USD", week_starts="sun")
            await company.tell("console", (ids.new(), said))
            assert (await company.sums(month))["closed"] == "5.00"
            await company.check_counters()
    finally:
        await company.tell("console", (ids.new(), console_pb2.SettingsChanged(zone="UTC", base_currency="USD")))


async def test_an_erased_leads_deal_loses_its_name_and_stays_in_the_sums(company: Any) -> None:
    lead = ids.new()
    await company.tell("intake", company.captured(lead))
    await company.open(
        lead_id=str(lead), name="Jane Doe", amount="3", close_date="2026-07-01", occurred_at="2026-06-01T00:00:00Z"
    )
    erased = intake_pb2.PersonalDataErased(stamp=company.stamp(lead), erasure_id=str(ids.new()))
    await company.tell("intake", (lead, erased))
    (deal,) = await company.deals(lead)
    assert (deal["name"], (await company.sums("2026-07"))["pipeline"]) == ("", "3.00")
    (answer,) = await company.told("PersonalDataDeleted", lead)
    assert (answer.erasure_id, answer.service) == (erased.erasure_id, "forecast")


async def test_what_was_said_of_a_lead_before_it_was_merged_ends_no_deal_of_the_survivor(company: Any) -> None:
    kept, lost = ids.new(), ids.new()
    await company.tell("qualification", company.sales_ready(kept))
    await company.tell("routing", company.routed(kept, company.rep))
    message = intake_pb2.LeadMerged(stamp=company.stamp(kept), survivor_id=str(kept), merged_id=str(lost))
    await company.tell("intake", (kept, message), (lost, message))
    await company.tell("qualification", company.said(lost, "LeadRecycled"), company.sales_ready(lost))
    await company.tell("routing", company.routed(lost, "somebody"))
    (deal,) = await company.deals(kept)
    assert (deal["stage"], deal["owner_id"]) == ("unqualified", company.rep)
