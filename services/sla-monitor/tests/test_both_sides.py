"""Both sides of the agreement in one report: sales' promises beside marketing's, as people ask for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from backbone import ids, times
from backbone.testing.stage import Stage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2
from sla_monitor import reports_attainment, reports_marketing
from sla_monitor.domain import State

DAY = timedelta(days=1)
DAY_S, WEEK_S = 86_400, 7 * 86_400


async def weeks(told: Any, since: float, **asked: Any) -> list[dict[str, Any]]:
    said = {"start": told.at(since), "end": told.end, "by": "none", "as_of": told.at(30 * DAY_S), **asked}
    return (await reports_marketing.report(told.conn, reports_marketing.Asked(**said)))["weeks"]


async def test_sales_promises_stand_beside_in_the_week_in_which_they_began(told: Any) -> None:
    web, fair = await told.lead(live=True), await told.lead(source="fair", live=True)
    for cycle, (kind, state) in enumerate(
        (
            ("first_response_5m", State.MET),
            ("first_response_30m", State.BREACHED),
            ("minimum_touches", State.BREACHED),
            ("status_update", State.MET),
            ("status_update", State.CANCELLED),
            ("stale", State.BREACHED),
        )
    ):
        await told.clock(web, told.plan(kind), cycle=cycle, state=state)
    await told.clock(fair, told.plan("status_update"), -WEEK_S, state=State.MET)
    (before, week) = await weeks(told, -WEEK_S, is_now=True)
    names = ("first_response", "minimum_touches", "status_update")
    assert [before[name] for name in names] == [
        {"met": 0, "missed": 0},
        {"met": 0, "missed": 0},
        {"met": 1, "missed": 0},
    ]
    assert [week[name] for name in names] == [{"met": 1, "missed": 1}, {"met": 0, "missed": 1}, {"met": 1, "missed": 0}]
    rows = await weeks(told, -WEEK_S, by="source", is_now=True)
    assert [(one["key"], one["status_update"]["met"]) for one in rows if one["week"] == "2024-11-11"] == [
        ("fair", 0),
        ("web", 1),
    ]


async def test_sales_promises_as_of_an_instant_are_judged_by_what_was_known_then(told: Any) -> None:
    lead = await told.lead(live=True)
    await told.given(lead, 0)
    await told.touch(lead, 30, recorded=DAY_S / 2)
    await told.clock(lead, told.plan("first_response_5m", within=60), state=State.MET, met_at=told.at(30))
    # It fell due, but what fires it has not come to it yet.
    await told.clock(lead, told.plan("status_update", within=60))

    async def known(seconds: float) -> list[dict[str, int]]:
        (week,) = await weeks(told, 0, as_of=told.at(seconds))
        groups = await reports_attainment.attainment(told.conn, told.start, told.end, by="none", as_of=told.at(seconds))
        beside = {one["kind"]: {"met": one["met"], "missed": one["missed"]} for one in groups}
        found = [week["first_response"], week["status_update"]]
        assert found == [beside["first_response_5m"], beside["status_update"]]
        return found

    assert await known(30) == [{"met": 0, "missed": 0}, {"met": 0, "missed": 0}]
    assert await known(60) == [{"met": 0, "missed": 1}, {"met": 0, "missed": 1}]
    assert await known(DAY_S / 2) == [{"met": 1, "missed": 0}, {"met": 0, "missed": 1}]


async def test_the_report_is_for_marketing_and_managers_as_json_and_csv(start: Stage) -> None:
    sla = await start("sla")
    lead, at = ids.new(), datetime.now(UTC)
    stamp = common_pb2.Stamp(lead_id=str(lead), live=True)
    for field in (stamp.occurred_at, stamp.recorded_at, stamp.arrived_at):
        field.FromDatetime(at)
    fields = common_pb2.LeadFields(created_at=times.stamp(at), source="fair")
    await sla.publish("intake", [(lead, intake_pb2.LeadCaptured(stamp=stamp, lead=fields))])
    await sla.settled()
    said = common_pb2.Qualification(stage="mql", definition="saas@3", missing=["company"])
    mql = qualification_pb2.LeadQualified(stamp=stamp, qualification=said, lead=fields)
    supply = qualification_pb2.Supply(per_week=50, handoff_within_seconds=900)
    active = qualification_pb2.DefinitionActivated(
        stamp=stamp, name="saas", version=3, at=times.stamp(at), supply=supply
    )
    active.stamp.lead_id = ""
    await sla.publish("qualification", [(ids.derived("definition", "saas"), active), (lead, mql)])
    await sla.settled()
    params = {"from": times.text(at - DAY), "to": times.text(at + DAY)}
    path = "/v1/reports/marketing"
    found = (await sla.as_role("marketing").get(path, params=params)).json()
    assert {"as_of", "complete_until", "unsigned_by"} <= set(found)
    (row,) = found["totals"]
    assert (row["qualified"], row["complete"], row["handoff"]["waiting"]) == (1, 0, 1)
    # Where the span begins in the week before, nothing was promised then.
    assert found["weeks"][-1]["promised"] == 50
    week, month, quarter = found["periods"]
    assert (week["promised"], week["delivered"]) == (50, 1)
    assert (month["delivered"], quarter["by_source"][0]["key"]) == (1, "fair")
    assert times.parse(month["from"]) < at < times.parse(month["to"])
    csv = await sla.as_role("manager").get(path, params={**params, "by": "source"}, headers={"Accept": "text/csv"})
    assert csv.text.startswith("week,key,promised,qualified,history,complete,share_complete,handoff.handed,")
    assert "rejected.reasons" in csv.text.splitlines()[0]
    assert len({line.count(",") for line in csv.text.splitlines()}) == 1
    assert (await sla.as_role("rep", rep="ana").get(path, params=params)).status_code == 403
    for wrong in ({"to": params["from"]}, {"from": "1980-01-01T00:00:00Z"}, {"by": "rep"}):
        assert (await sla.as_role("manager").get(path, params={**params, **wrong})).status_code == 422
