"""/openapi.json says what every answer looks like, and answers look like that."""

from typing import Any

from pydantic import TypeAdapter

from backbone import ids
from backbone.testing import eventually
from backbone.testing.stage import Actor
from sla_monitor import shapes, shapes_reports
from tests.telling import captured, learn, now, routed, touch

OF_EVERY_SERVICE = ("/livez", "/readyz", "/v1/parked")
ANY_OBJECT = ("/v1/policies/schema",)
"""A JSON Schema is an object of any fields."""
POLICY = """
clocks:
  - {kind: first_response_5m, within: 1s, from: assignment, warn: [50%]}
  - {kind: minimum_touches, within: 1d, from: assignment, touches: {call: 2}}
"""
SPAN = {"from": "2020-01-01T00:00:00Z", "to": "2029-12-28T00:00:00Z"}


def says_nothing(schema: dict[str, Any]) -> bool:
    """Say whether a schema lets any value by, or any object."""
    if schema.get("type") == "array":
        return says_nothing(schema.get("items", {}))
    return not schema or (schema.get("type") == "object" and not schema.get("properties"))


async def test_every_answer_has_a_schema(sla: Actor) -> None:
    described = (await sla.http.get("/openapi.json")).json()
    seen = set()
    for path, methods in described["paths"].items():
        if path.startswith(OF_EVERY_SERVICE):
            continue
        for method, operation in methods.items():
            content = operation["responses"]["200"]["content"]
            assert content, (method, path)
            for kind, one in content.items():
                seen.add(kind)
                assert path in ANY_OBJECT or not says_nothing(one["schema"]), (method, path, kind)
    assert seen == {"application/json", "text/csv", "text/event-stream"}
    assert {"Clock", "Alert", "Policy", "Calendar", "MarketingReport"} <= set(described["components"]["schemas"])
    where = described["paths"]["/v1/alerts/stream"]["get"]["parameters"]
    assert {(one["name"], one["in"], one["required"]) for one in where} == {
        ("Last-Event-ID", "header", False),
        ("after", "query", False),
    }


async def test_answers_have_the_shapes_that_are_published(sla: Actor) -> None:
    lead = ids.new()
    policy = await sla.http.put("/v1/policies/standard", content=POLICY)
    await learn(sla, "intake", captured(lead, now()))
    await learn(sla, "routing", routed(lead, now()))

    async def breached() -> None:
        assert len((await sla.http.get("/v1/alerts")).json()) == 2

    await eventually(breached)
    await learn(sla, "intake", touch(lead, now()))
    signed = await sla.http.post("/v1/policies/standard/1/sign", json={"party": "sales", "comment": "fine"})
    week = [{"days": ["mon"], "start": "09:00", "end": "24:00"}]
    calendar = {"time_zone": "UTC", "working_hours": week, "closed": ["2026-01-01"]}
    answers = [
        (shapes.Put, policy),
        (shapes.Policy, signed),
        (shapes.Valid, await sla.http.put("/v1/policies/draft", params={"dry_run": True}, content=POLICY)),
        (list[shapes.Policy], await sla.http.get("/v1/policies")),
        (shapes.Calendar, await sla.http.put("/v1/calendars/office", json=calendar)),
        (shapes.Calendar, await sla.http.get("/v1/calendars/office")),
        (list[shapes.Clock], await sla.http.get(f"/v1/leads/{lead}/clocks")),
        (list[shapes.Clock], await sla.http.post(f"/v1/leads/{lead}/no-show", json={"outcome": "rebooked"})),
        (list[shapes.Alert], await sla.http.get("/v1/alerts")),
    ]
    assert (await sla.http.get("/v1/policies/draft")).status_code == 404, "it was a draft"
    for name in ("speed", "attainment", "persistence", "meetings", "leaks", "conversion", "marketing"):
        shape = getattr(shapes_reports, f"{name.capitalize()}Report")
        answers.append((shape, await sla.http.get(f"/v1/reports/{name}", params=SPAN)))
    for shape, answer in answers:
        assert answer.status_code == 200
        assert TypeAdapter(shape).validate_python(answer.json(), extra="forbid")
