"""sla-monitor with its neighbours' topics in the test's hands; windows are seconds where a clock has to run out."""

import csv
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2
from tests import telling
from tests.telling import Told, captured, now, released, rep, touch

QUICK = """
clocks:
  - {kind: first_response_5m, within: 1s, from: assignment, warn: [50%]}
  - {kind: first_response_30m, within: 1h, from: assignment}
escalations:
  - {kind: first_response_5m, after: 0s, to: manager}
"""
CLOCK = "clocks: [{kind: first_response_5m, within: 5m, from: assignment"


def routed(lead: UUID, at: datetime, *, cycle: int = 1, rep_id: str = "ana") -> Told:
    hours = [common_pb2.WorkingHours(days=["mon", "tue", "wed", "thu", "fri"], start="09:00", end="18:00")]
    who = rep(rep_id, manager_id="mia", time_zone="Europe/Berlin", working_hours=hours, version=3)
    return telling.routed(lead, at, cycle=cycle, who=who)


async def clocks(sla: Actor, lead: UUID) -> dict[str, dict[str, Any]]:
    return {one["clock"]: one for one in (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()}


async def test_an_assignment_starts_the_standard_clocks(sla: Actor) -> None:
    lead, at = ids.new(), now()
    await sla.publish("routing", [routed(lead, at)])
    await sla.settled()
    found = await clocks(sla, lead)
    assert set(found) == {"first_response_5m", "first_response_30m", "first_response_1d"}
    five = found["first_response_5m"]
    assert (five["state"], five["policy"], five["calendar"], five["rep_id"]) == ("running", "standard@0", "wall", "ana")
    assert times.parse(five["due_at"]) - times.parse(five["started_at"]) == timedelta(minutes=5)


@pytest.mark.parametrize("first", ["touch", "assignment"])
async def test_a_touch_stops_the_clock_whichever_comes_first(sla: Actor, first: str) -> None:
    lead, at = ids.new(), now()
    steps = [("routing", [routed(lead, at)]), ("intake", [touch(lead, at + timedelta(seconds=30))])]
    for topic, some in steps if first == "assignment" else reversed(steps):
        await sla.publish(topic, some)
        await sla.settled()
    five = (await clocks(sla, lead))["first_response_5m"]
    assert five["state"] == "met"
    assert times.parse(five["met_at"]) == at + timedelta(seconds=30)


@pytest.mark.parametrize("fields", [{"rep_id": "ben"}, {"automated": True}], ids=["another rep's", "an automated one"])
async def test_what_does_not_count_stops_nothing(sla: Actor, fields: dict[str, Any]) -> None:
    lead, at = ids.new(), now()
    await sla.publish("routing", [routed(lead, at)])
    await sla.publish("intake", [touch(lead, at + timedelta(seconds=1), **fields)])
    await sla.settled()
    assert (await clocks(sla, lead))["first_response_5m"]["state"] == "running"


async def test_a_clock_that_runs_out_warns_breaches_and_escalates_once_each(sla: Actor, start: Stage) -> None:
    await start("sla", database_url=sla.settings.database_url)
    assert (await sla.http.put("/v1/policies/standard", content=QUICK)).status_code == 200
    leads = [ids.new() for _ in range(20)]
    at = now()
    await sla.publish("routing", [routed(lead, at) for lead in leads])
    events = await sla.published(lambda seen: sum(event.type == "SlaEscalated" for event in seen) >= 20)
    alerts = (await sla.http.get("/v1/alerts")).json()
    for lead in leads:
        levels = [alert["level"] for alert in alerts if alert["lead_id"] == str(lead)]
        assert levels == ["warning", "breach", "escalation"]
    assert len({alert["alert_id"] for alert in alerts}) == 60
    assert sum(event.type in ("SlaWarned", "SlaBreached", "SlaEscalated") for event in events) == 60


async def test_a_touch_in_time_that_arrives_late_retracts_the_breach(sla: Actor) -> None:
    await sla.http.put("/v1/policies/standard", content=QUICK)
    lead, at = ids.new(), now()
    await sla.publish("routing", [routed(lead, at)])
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    await sla.publish("intake", [touch(lead, at + timedelta(milliseconds=500))])
    await sla.published(lambda seen: any(event.type == "BreachRetracted" for event in seen))
    five = (await clocks(sla, lead))["first_response_5m"]
    assert (five["state"], five["retracted"]) == ("met", True)
    (breach,) = [one for one in (await sla.http.get("/v1/alerts")).json() if one["level"] == "breach"]
    assert breach["retracted_at"] is not None


async def test_a_late_touch_leaves_the_miss_a_miss(sla: Actor) -> None:
    await sla.http.put("/v1/policies/standard", content=QUICK)
    lead, at = ids.new(), now()
    await sla.publish("routing", [routed(lead, at)])
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    await sla.publish("intake", [touch(lead, at + timedelta(seconds=2))])
    await sla.published(lambda seen: any(event.type == "ClockMet" for event in seen))
    five = (await clocks(sla, lead))["first_response_5m"]
    assert (five["state"], five["met_at"] is not None) == ("breached", True)


async def test_a_weekend_lead_is_due_on_monday_morning_in_the_reps_hours(sla: Actor) -> None:
    policy = "clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: rep}]"
    await sla.http.put("/v1/policies/standard", content=policy)
    lead = ids.new()
    saturday = times.parse("2027-11-13T14:00:00Z")
    await sla.publish("routing", [routed(lead, saturday)])
    await sla.settled()
    clock = (await clocks(sla, lead))["first_response_30m"]
    assert (clock["due_at"], clock["calendar"]) == ("2027-11-15T08:30:00.000000Z", "ana@3")


async def test_a_release_cancels_and_a_new_cycle_starts_anew(sla: Actor) -> None:
    lead, at = ids.new(), now()
    over = released(lead, at, outcome="reassigned")
    await sla.publish("routing", [routed(lead, at), over, routed(lead, at, cycle=2, rep_id="ben")])
    await sla.settled()
    found = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
    assert {(one["cycle"], one["state"]) for one in found} == {(1, "cancelled"), (2, "running")}


async def test_history_starts_no_clock(sla: Actor) -> None:
    lead, at = ids.new(), now() - timedelta(days=400)
    await sla.publish("intake", [captured(lead, at, live=False), touch(lead, at)])
    await sla.settled()
    assert await clocks(sla, lead) == {}


async def test_of_two_policies_that_match_the_lowest_order_wins(sla: Actor) -> None:
    await sla.http.put("/v1/policies/a", content=QUICK + "order: 2")
    await sla.http.put("/v1/policies/z", content=QUICK + "order: 1")
    lead = ids.new()
    await sla.publish("routing", [routed(lead, now())])
    await sla.settled()
    assert (await clocks(sla, lead))["first_response_30m"]["policy"] == "z@1"


@pytest.fixture(scope="module")
async def refusing(start_once: Stage) -> Actor:
    """It refuses every policy that it is given."""
    return await start_once("sla")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (QUICK.replace("1s", "soon"), "/clocks/0/within"),
        (QUICK + "applies: lead.email == ''", "/applies"),
        (QUICK + "applies: lead.company.matches('(')", "/applies"),
        (QUICK.replace("from: assignment,", "from: assignment, hours: nobody,"), "/clocks/0/hours"),
        (QUICK + "colour: red", "/colour"),
        (QUICK + "order: 99999999999", "/order"),
        (QUICK.replace("from: assignment,", "from: arrival, hours: rep,"), "/clocks/0/hours"),
        (QUICK.replace("from: assignment,", "from: last_touch,"), "/clocks/0/from"),
        (QUICK.replace("warn: [50%]", "ends_when: [bored]"), "/clocks/0/ends_when/0"),
        (QUICK.replace("warn: [50%]", "warn: [2s]"), "/clocks/0/warn/0"),
        (QUICK.replace("after: 0s,", "after: 0s, clock: another,"), "/escalations/0/clock"),
        (QUICK + 'quiet_hours: {start: "20:00", end: "07:00", zone: Nowhere}', "/quiet_hours/zone"),
        (QUICK + 'quiet_hours: {start: "20:00", end: "20:00"}', "/quiet_hours"),
        ('clocks: [{kind: first_response_5m, within: "5m\\n", from: assignment}]', "/clocks/0/within"),
        (f'{CLOCK}, warn: ["50%\\n"]}}]', "/clocks/0/warn/0"),
        (f'{CLOCK}}}]\nquiet_hours: {{start: "22:00\\n", end: "08:00"}}', "/quiet_hours/start"),
        (f'{CLOCK}}}]\napplies: "\\ud800 == 1"', "/"),
        (f"{CLOCK}, clock: {'n' * 129}}}]", "/clocks/0/clock"),
        (f"{CLOCK}, touches: {{call: 1001}}}}]", "/clocks/0/touches/call"),
        (
            f"{CLOCK}}}]\nescalations: [{{kind: first_response_5m, after: 0s, to: reassign, times: 1001}}]",
            "/escalations/0/times",
        ),
    ],
)
async def test_a_bad_policy_is_refused_with_its_place(refusing: Actor, text: str, pointer: str) -> None:
    answer = await refusing.http.put("/v1/policies/standard", content=text)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_policy_with_every_kind_of_clock_is_taken_and_shows_what_was_put(sla: Actor) -> None:
    text = """
order: 1
applies: lead.source != "test"
clocks:
  - {kind: first_response_5m,  within: 5m,  from: assignment, hours: wall, warn: [50%, 1m]}
  - {kind: first_response_30m, within: 30m, from: assignment, hours: rep}
  - {kind: first_response_1d,  within: 1d,  from: arrival}
  - {kind: handoff, within: 15m, from: qualification}
  - {kind: acceptance, within: 10m, from: assignment}
  - {clock: first week, kind: minimum_touches, within: 7d, from: assignment, touches: {call: 4}, spread: 1d}
  - {clock: two weeks, kind: minimum_touches, within: 14d, from: acceptance, touches: {call: 3, email: 3},
     ends_when: [connected, meeting_booked, closed]}
  - {kind: review, within: 4h, from: queued}
  - {kind: status_update, within: 7d, from: assignment}
  - {kind: no_show_rebook, within: 1d, from: meeting_missed}
  - {kind: stale, within: 60d, from: last_touch}
  - {kind: next_step, within: 1d, from: last_touch}
counts: {outcome: [connected], kinds: [call, email], automated: false, by: team, before_start: 10s}
booking_counts: true
quiet_hours: {start: "20:00", end: "07:00"}
escalations:
  - {kind: first_response_5m,  after: 0s,  to: rep}
  - {kind: first_response_30m, after: 30m, to: reassign, times: 2}
  - {kind: minimum_touches, clock: first week, after: 1d, to: manager}
  - {kind: stale, after: 7d, to: pause}
"""
    answer = await sla.http.put("/v1/policies/full", content=text)
    assert (answer.status_code, answer.json()["unsigned_by"]) == (200, ["marketing", "sales"])
    assert (await sla.http.get("/v1/policies/full")).json()["text"] == text


async def test_a_report_as_csv_is_flat_and_carries_no_formula(sla: Actor) -> None:
    lead, event = captured(ids.new(), now())
    event.lead.source = "=1+1"
    await sla.publish("intake", [(lead, event)])
    await sla.settled()
    span = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "by": "source"}
    answer = await sla.http.get("/v1/reports/speed", params=span, headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(answer.text.splitlines())
    assert (row["key"], row["from_arrival.leads"]) == ("'=1+1", "1")


async def test_reps_see_their_own_clocks_alone(sla: Actor) -> None:
    lead = ids.new()
    await sla.publish("routing", [routed(lead, now())])
    await sla.settled()
    assert (await sla.as_role("rep", rep="ben").get(f"/v1/leads/{lead}/clocks")).status_code == 403
    assert (await sla.as_role("rep", rep="ana").get(f"/v1/leads/{lead}/clocks")).status_code == 200

    async def none() -> None:
        assert (await sla.as_role("rep", rep="ben").get("/v1/alerts")).json() == []

    await eventually(none)


async def test_policies_and_calendars_are_shown_by_name_version_and_order(sla: Actor) -> None:
    (built_in,) = (await sla.http.get("/v1/policies")).json()
    assert (built_in["name"], built_in["version"]) == ("standard", 0)
    for name, order in (("late", 2), ("early", 1), ("late", 3)):
        assert (await sla.http.put(f"/v1/policies/{name}", content=f"{QUICK}order: {order}")).status_code == 200
    assert [(one["name"], one["version"]) for one in (await sla.http.get("/v1/policies")).json()] == [
        ("early", 1),
        ("late", 2),
    ]
    assert "order: 2" in (await sla.http.get("/v1/policies/late/1")).json()["text"]
    for path in ("/v1/policies/nobodys", "/v1/policies/late/9", "/v1/calendars/nobodys"):
        assert (await sla.http.get(path)).status_code == 404
    assert (await sla.http.put("/v1/policies/schema", content=QUICK)).status_code == 422
    schema = (await sla.as_nobody().get("/v1/policies/schema")).json()
    assert schema["title"] == "An SLA policy"
    never = await sla.http.put("/v1/calendars/never", json={"time_zone": "UTC", "working_hours": []})
    assert (never.status_code, never.json()["errors"][0]["pointer"]) == (422, "/working_hours")
    days = {"days": ["mon", "tue"], "start": "09:00", "end": "24:00"}
    body = {"time_zone": "Europe/Berlin", "working_hours": [days], "closed": ["2026-12-24"]}
    await sla.http.put("/v1/calendars/firm", json=body)
    shown = (await sla.http.get("/v1/calendars/firm")).json()
    assert (shown["version"], shown["working_hours"], shown["closed"]) == (1, [days], ["2026-12-24"])
