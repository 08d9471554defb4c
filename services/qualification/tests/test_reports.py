"""What reps say of leads, and what came of marketing's promise, week by week as the company counts them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backbone import ids, times
from backbone.weeks import Zone
from handoff.events.v1 import console_pb2


async def test_reps_rate_leads_and_marketing_reads_it(company: Any, engagement: Any) -> None:
    cited = await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    body = {"rating": "poor", "reason": "student"}
    path = f"/v1/leads/{lead}/feedback"
    assert (await company.actor.as_role("sdr", rep="ben").post(path, json=body)).status_code == 403
    assert (await company.actor.as_role("sdr", rep="ana").post(path, json=body)).status_code == 201
    span = {"from": times.text(datetime.now(UTC) - timedelta(days=1)), "to": times.text(datetime.now(UTC))}
    marketing = company.actor.as_role("marketing")
    report = (await marketing.get("/v1/reports/feedback", params={**span, "by": "definition"})).json()
    (group,) = [one for one in report["groups"] if one["key"] == cited]
    assert (group["passed"], group["rated"], group["poor"], group["share_poor"]) == (1, 1, 1, 1)
    assert group["reasons"] == {"student": 1}
    csv = await marketing.get("/v1/reports/feedback", params=span, headers={"Accept": "text/csv"})
    assert csv.text.startswith("key,passed")
    nothing = {"from": "1999-01-01T00:00:00Z", "to": "1999-02-01T00:00:00Z", "by": "rep"}
    empty = await marketing.get("/v1/reports/feedback", params=nothing, headers={"Accept": "text/csv"})
    assert empty.text.splitlines() == csv.text.splitlines()[:1]
    assert csv.headers["handoff-as-of"] == csv.headers["handoff-complete-until"]
    supply = (await marketing.get("/v1/reports/supply", params=span)).json()["weeks"]
    assert sum(week["mqls"] for week in supply) >= 1


@pytest.mark.parametrize("zone", [Zone("Asia/Tokyo", "sun"), Zone("UTC")])
async def test_weeks_are_those_that_the_company_counts_in(company: Any, engagement: Any, zone: Zone) -> None:
    said = console_pb2.SettingsChanged(zone=zone.name, week_starts=zone.week_starts, base_currency="USD")
    await company.publish((ids.new(), said), topic="console")
    await company.activate()
    lead = ids.new()
    captured = company.captured(lead, created_at=times.stamp(datetime.now(UTC)))
    await company.publish(captured, engagement(lead, "demo_requested"))
    (told,) = await company.told(lead, "LeadQualified")
    came = times.at(told.stamp.occurred_at).astimezone(ZoneInfo(zone.name)).date()
    this = came - timedelta(days=came.isoweekday() % 7 if zone.week_starts == "sun" else came.weekday())
    # From the first instant of the week before to now.
    first = datetime.combine(this - timedelta(days=7), datetime.min.time(), ZoneInfo(zone.name))
    span = {"from": times.text(first.astimezone(UTC)), "to": times.text(datetime.now(UTC) + timedelta(seconds=1))}
    weeks = (await company.actor.http.get("/v1/reports/supply", params=span)).json()["weeks"]
    assert [one["week"] for one in weeks] == [(this - timedelta(days=7)).isoformat(), this.isoformat()]
    assert weeks[1]["mqls"] >= 1
    path = f"/v1/definitions/{company.name}/{await company.put()}/simulate"
    report = (await company.actor.http.post(path, json=span)).json()
    assert {one["week"] for one in report["weeks"]} == {this.isoformat()}
