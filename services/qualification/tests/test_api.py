"""qualification with its neighbours' topics in the test's hands."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2

DEFINITION = """
order: 1
required: [email, company]
exclude:
  - {rule: too small, when: '!("employees" in lead.missing) && lead.employees < 10', reason: too_small, action: drop}
fit:
  - {rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}
  - {rule: free mail, when: lead.email_is_free, points: -30}
interest:
  ceiling: 100
  groups:
    - group: content
      ceiling: 30
      rules:
        - {rule: webinar, kind: webinar_attended, points: 15, ceiling: 30}
        - {rule: pricing, kind: pricing_viewed, when: engagement.properties.seconds > 10, points: 20}
buying_signals: [demo_requested]
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: nurture}
srl: {need: yes, at_least_yes: 2, never_no: [budget]}
"""


@pytest.fixture
async def qualification(start: Stage) -> Actor:
    return await start("qualification")


async def activate(actor: Actor, text: str = DEFINITION) -> None:
    version = (await actor.http.post("/v1/definitions/saas", content=text)).json()["version"]
    path = f"/v1/definitions/saas/{version}"
    assert (await actor.http.post(f"{path}/activate")).status_code == 409
    await actor.as_role("marketing", sub="ruth").post(f"{path}/sign", json={"party": "marketing"})
    await actor.as_role("manager", sub="tom").post(f"{path}/sign", json={"party": "sales"})
    assert (await actor.http.post(f"{path}/activate")).status_code == 200


def stamp(lead: UUID, *, live: bool = True) -> common_pb2.Stamp:
    now = times.stamp(times.parse("2026-11-10T12:00:00Z"))
    return common_pb2.Stamp(lead_id=str(lead), live=live, occurred_at=now, recorded_at=now, arrived_at=now)


def captured(lead: UUID, **fields: Any) -> tuple[UUID, Any]:
    given = {"has_email": True, "company": "Acme", "employees": 500, **fields}
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead), lead=common_pb2.LeadFields(**given))


def engaged(lead: UUID, kind: str, **properties: Any) -> tuple[UUID, Any]:
    message = intake_pb2.EngagementRecorded(
        stamp=stamp(lead), engagement_id=str(ids.new()), kind=kind, original_lead_id=str(lead)
    )
    message.stamp.occurred_at.GetCurrentTime()
    message.properties.update(properties)
    return lead, message


async def shown(actor: Actor, lead: UUID) -> dict[str, Any]:
    answer = await actor.http.get(f"/v1/leads/{lead}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def told(actor: Actor, name: str) -> list[Any]:
    """Wait for an event of this name, and return the messages of all that came."""
    events = await actor.published(lambda seen: any(event.type == name for event in seen))
    return [event.message for event in events if event.type == name]


async def test_without_a_definition_a_lead_stays_new(qualification: Actor) -> None:
    lead = ids.new()
    await qualification.publish("intake", [captured(lead)])
    await qualification.settled()
    state = await shown(qualification, lead)
    assert (state["stage"], state["reason"]) == ("new", "no_definition")


async def test_interest_makes_an_mql_whose_points_add_up(qualification: Actor) -> None:
    await activate(qualification)
    lead = ids.new()
    await qualification.publish("intake", [captured(lead), engaged(lead, "webinar_attended")])
    await qualification.publish(
        "intake", [engaged(lead, "pricing_viewed", seconds=20), engaged(lead, "pricing_viewed", seconds=3)]
    )
    (said,) = await told(qualification, "LeadQualified")
    assert said.qualification.definition == "saas@1"
    assert said.lead.company == "Acme"
    assert said.stamp.live
    await qualification.settled()
    state = await shown(qualification, lead)
    assert (state["stage"], state["grade"], state["fit"], state["interest"]) == ("mql", "A2", 40, 30)
    assert sum(point["counted"] for point in state["explanation"]) == state["fit"] + state["interest"]
    assert [move["to"] for move in state["history"]] == ["nurture", "mql"]


async def test_a_required_field_that_is_missing_is_named_and_keeps_a_lead_from_mql(qualification: Actor) -> None:
    await activate(qualification)
    lead = ids.new()
    await qualification.publish("intake", [captured(lead, company=""), engaged(lead, "demo_requested")])
    await qualification.settled()
    state = await shown(qualification, lead)
    assert (state["stage"], state["missing"]) == ("nurture", ["company"])


async def test_an_exclusion_comes_before_points(qualification: Actor) -> None:
    await activate(qualification)
    lead = ids.new()
    await qualification.publish("intake", [captured(lead, employees=5), engaged(lead, "demo_requested")])
    await qualification.settled()
    state = await shown(qualification, lead)
    assert (state["stage"], state["reason"]) == ("disqualified", "too_small")


async def test_an_sdr_confirms_bant_and_the_lead_is_sales_ready(qualification: Actor) -> None:
    await activate(qualification)
    lead = ids.new()
    await qualification.publish("intake", [captured(lead), engaged(lead, "demo_requested")])
    routed = routing_pb2.LeadRouted(
        stamp=stamp(lead), rep_id="ana", cycle=1, rep=common_pb2.Rep(rep_id="ana", role="sdr")
    )
    await qualification.publish("routing", [(lead, routed)])
    await qualification.settled()
    ana = qualification.as_role("sdr", rep="ana")
    accept = {"decision": "accept"}
    refused = await ana.post(f"/v1/leads/{lead}/decisions", json=accept)
    assert (refused.status_code, "need" in refused.json()["detail"]) == (409, True)
    bant = {"need": {"answer": "yes", "note": "now"}, "timing": {"answer": "yes"}}
    assert (await ana.put(f"/v1/leads/{lead}/bant", json=bant)).status_code == 200
    assert (await qualification.as_role("sdr", rep="ben").put(f"/v1/leads/{lead}/bant", json=bant)).status_code == 403
    accepted = await ana.post(f"/v1/leads/{lead}/decisions", json=accept)
    assert accepted.json()["stage"] == "srl"
    (ready,) = await told(qualification, "LeadSalesReady")
    assert (ready.sdr_id, ready.bant.need) == ("ana", "yes")

    routed = routing_pb2.LeadRouted(
        stamp=stamp(lead), rep_id="cem", cycle=2, rep=common_pb2.Rep(rep_id="cem", role="sales")
    )
    await qualification.publish("routing", [(lead, routed)])
    await qualification.settled()
    cem = qualification.as_role("rep", rep="cem")
    back = await cem.post(f"/v1/leads/{lead}/sales-decision", json={"decision": "hand_back", "reason": "no_budget"})
    assert (back.json()["stage"], back.json()["reason"]) == ("mql", "no_budget")
    (handed_back,) = await told(qualification, "LeadHandedBack")
    assert handed_back.sdr_id == "ana"


async def test_the_review_queue_holds_what_the_matrix_sends_there(qualification: Actor) -> None:
    await activate(qualification)
    lead = ids.new()
    await qualification.publish("intake", [captured(lead, employees=50), engaged(lead, "demo_requested")])
    await qualification.settled()
    (item,) = (await qualification.http.get("/v1/review-queue")).json()["items"]
    assert (item["lead_id"], item["kind"], item["grade"]) == (str(lead), "review", "C1")


async def test_a_new_version_scores_known_leads_anew_and_is_cited(qualification: Actor) -> None:
    lead = ids.new()
    await qualification.publish("intake", [captured(lead), engaged(lead, "demo_requested")])
    await qualification.settled()
    await activate(qualification)

    async def is_mql() -> None:
        state = await shown(qualification, lead)
        assert (state["stage"], state["definition"]) == ("mql", "saas@1")

    await eventually(is_mql)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (("lead.email_is_free", "lead.email == ''"), "/fit/1/when"),
        (("A1: pass", "A1: later"), "/matrix/A1"),
        (("points: 40", "points: forty"), "/fit/0/points"),
        (("order: 1", "order: 1\ncolour: red"), "/colour"),
        (("B3: nurture, ", ""), "/matrix"),
    ],
)
async def test_a_wrong_definition_is_refused_with_its_place(
    qualification: Actor, change: tuple[str, str], pointer: str
) -> None:
    answer = await qualification.http.post("/v1/definitions/saas", content=DEFINITION.replace(*change))
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["pointer"] == pointer
    assert error["line"] > 1


async def test_one_person_cannot_sign_for_both(qualification: Actor) -> None:
    await qualification.http.post("/v1/definitions/saas", content=DEFINITION)
    path = "/v1/definitions/saas/1/sign"
    assert (await qualification.http.post(path, json={"party": "marketing"})).status_code == 200
    assert (await qualification.http.post(path, json={"party": "sales"})).status_code == 409


async def test_a_merge_counts_what_both_did(qualification: Actor) -> None:
    await activate(qualification)
    a, b = ids.new(), ids.new()
    await qualification.publish(
        "intake", [captured(a), captured(b), engaged(a, "webinar_attended"), engaged(b, "webinar_attended")]
    )
    fields = common_pb2.LeadFields(has_email=True, company="Acme", employees=500)
    merged = intake_pb2.LeadMerged(stamp=stamp(a), survivor_id=str(a), merged_id=str(b), lead=fields)
    await qualification.publish("intake", [(b, merged), (a, merged)])
    await qualification.settled()
    assert (await shown(qualification, a))["interest"] == 30
    assert (await shown(qualification, b))["lead_id"] == str(a)
