"""A lead travels the whole house: webhook, qualified, routed, clock, touch, opportunity, won; on real servers."""

from typing import Any

from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage

DEFINITION = """
required: [email, company]
fit: [{rule: mid-market, when: lead.employees >= 100, points: 40}]
interest: {groups: [{group: content, rules: [{rule: webinar, kind: webinar_attended, points: 20}]}]}
buying_signals: [demo_requested]
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: nurture}
srl: {need: yes}
"""
POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: everyone, to: sdr}
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def put_rep(routing: Actor, rep_id: str, role: str) -> None:
    body = {
        "name": rep_id.title(),
        "email": f"{rep_id}@kestrel.example",
        "team": "north",
        "role": role,
        "time_zone": "Europe/Berlin",
        "working_hours": [{"days": WEEK, "start": "00:00", "end": "24:00"}],
    }
    assert (await routing.http.put(f"/v1/reps/{rep_id}", json=body)).status_code == 200


async def agree(qualification: Actor) -> None:
    await qualification.http.post("/v1/definitions/saas", content=DEFINITION)
    path = "/v1/definitions/saas/1"
    await qualification.as_role("marketing", sub="ruth").post(f"{path}/sign", json={"party": "marketing"})
    await qualification.as_role("manager", sub="tom").post(f"{path}/sign", json={"party": "sales"})
    assert (await qualification.http.post(f"{path}/activate")).status_code == 200


async def follows(trace: str, actor: Actor, kind: str) -> None:
    """Hold that the service's first event of this kind belongs to the trace."""
    events = await actor.published(lambda seen: any(event.type == kind for event in seen))
    assert next(event for event in events if event.type == kind).traceparent.split("-")[1] == trace


async def answered(actor: Actor, path: str, **expected: Any) -> dict[str, Any]:
    """Ask until the answer has these values, and return it."""

    async def check() -> dict[str, Any]:
        answer = await actor.http.get(path)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert {name: body[name] for name in expected} == expected
        return body

    return await eventually(check)


async def test_a_lead_travels_the_whole_house(start: Stage) -> None:
    intake, qualification = await start("intake"), await start("qualification")
    routing, sla, forecast = await start("routing"), await start("sla"), await start("forecast")
    notifications = await start("notifications")
    await put_rep(routing, "ana", "sdr")
    await put_rep(routing, "ben", "sales")
    assert (await routing.http.put("/v1/policy", content=POLICY)).status_code == 200
    await agree(qualification)

    # A form posts the lead, and the lead asks for a demo.
    hook = await intake.http.post("/v1/connections", json={"provider": "generic", "name": "form", "secret": "a secret"})
    path = hook.json()["hook_url"].removeprefix("http://intake.test")
    person = {"email": "amara@fintrove.example", "first_name": "Amara", "company": "Fintrove", "employees": 800}
    trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    posted = await intake.as_nobody().post(path, json=person, headers={"X-API-Key": "a secret", **trace})
    lead = posted.json()["events"][0]["lead_id"]
    await intake.http.post("/v1/engagements", json={"lead_id": lead, "kind": "demo_requested"}, headers=trace)

    # It is an MQL, with its SDR, and the clocks run.
    await answered(qualification, f"/v1/leads/{lead}", stage="mql", grade="A1", definition="saas@1", rep_id="ana")
    await answered(routing, f"/v1/leads/{lead}/assignment", rep_id="ana", state="offered")

    async def clock(name: str, state: str) -> None:
        found = {one["clock"]: one["state"] for one in (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()}
        assert found.get(name) == state

    await eventually(lambda: clock("first_response_5m", "running"))
    await follows(TRACE, intake, "LeadCaptured")
    await follows(TRACE, qualification, "LeadQualified")
    await follows(TRACE, routing, "LeadRouted")
    await follows(TRACE, sla, "ClockStarted")

    # The SDR calls: only that stops the clock.
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{lead}/accept")).json()["state"] == "accepted"
    touch = {"lead_id": lead, "rep_id": "ana", "kind": "call", "outcome": "connected"}
    assert (await intake.as_role("sdr", rep="ana").post("/v1/touches", json=touch)).status_code == 202
    await eventually(lambda: clock("first_response_5m", "met"))

    # BANT is confirmed, sales has it, and it is a deal.
    sdr = qualification.as_role("sdr", rep="ana")
    await sdr.put(f"/v1/leads/{lead}/bant", json={"need": {"answer": "yes"}})
    assert (await sdr.post(f"/v1/leads/{lead}/decisions", json={"decision": "accept"})).json()["stage"] == "srl"
    await answered(routing, f"/v1/leads/{lead}/assignment", rep_id="ben", cycle=2)
    await answered(qualification, f"/v1/leads/{lead}", rep_id="ben")
    sales = qualification.as_role("rep", rep="ben")
    assert (await sales.post(f"/v1/leads/{lead}/sales-decision", json={"decision": "confirm"})).json()["stage"] == "sql"

    async def deal() -> dict[str, Any]:
        items = (await forecast.http.get("/v1/opportunities", params={"lead_id": lead})).json()["items"]
        assert len(items) == 1
        found = items[0]
        assert (found["stage"], found["owner_id"], found["sourced_by"]) == ("qualified", "ben", "ana")
        return dict(found)

    opportunity = (await eventually(deal))["opportunity_id"]
    won = {"stage": "won", "amount": "4711.00"}
    moved = await forecast.http.post(f"/v1/opportunities/{opportunity}/moves", json=won)
    assert moved.json()["stage"] == "won"
    await answered(qualification, f"/v1/leads/{lead}", stage="customer")

    # Both reps were told.
    async def told() -> None:
        items = (await notifications.http.get("/v1/deliveries", params={"lead_id": lead})).json()["items"]
        assert {item["rep_id"] for item in items if item["kind"] == "routed"} == {"ana", "ben"}

    await eventually(told)


async def test_a_lead_that_booked_a_meeting_comes_to_its_host(start: Stage) -> None:
    intake, qualification, routing = await start("intake"), await start("qualification"), await start("routing")
    for rep_id in ("ana", "dee"):
        await put_rep(routing, rep_id, "sdr")
    rules = POLICY.replace("rules:", "rules:\n  - {rule: booked, to: host}")
    assert (await routing.http.put("/v1/policy", content=rules)).status_code == 200
    await agree(qualification)
    person = {"email": "amara@fintrove.example", "company": "Fintrove", "employees": 800}
    lead = (await intake.http.post("/v1/leads", json=person)).json()["lead_id"]
    meeting = {"lead_id": lead, "kind": "meeting_booked", "properties": {"host_email": "Dee@Kestrel.example"}}
    assert (await intake.http.post("/v1/engagements", json=meeting)).status_code == 202
    # Routing knows of the meeting before there is anything to decide.
    await intake.settled()
    await routing.settled()
    await intake.http.post("/v1/engagements", json={"lead_id": lead, "kind": "demo_requested"})
    await answered(routing, f"/v1/leads/{lead}/assignment", rep_id="dee")
    decisions = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    assert [(one["rule"], one["pool"]) for one in decisions] == [("booked", "host")]


async def test_erasure_reaches_every_service(start: Stage) -> None:
    intake = await start("intake")
    for name in ("qualification", "routing", "sla", "forecast", "notifications"):
        await start(name)
    lead = (await intake.http.post("/v1/leads", json={"email": "amara@fintrove.example"})).json()["lead_id"]
    erasure = (await intake.http.delete(f"/v1/leads/{lead}/personal-data")).json()["erasure_id"]

    async def deleted() -> None:
        services = (await intake.http.get(f"/v1/erasures/{erasure}")).json()["services"]
        assert {name for name, state in services.items() if state == "pending"} == {"console"}

    await eventually(deleted)
