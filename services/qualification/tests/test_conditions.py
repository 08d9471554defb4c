"""What a definition's conditions read of a lead: all that is promised, as intake told of it."""

import json
from typing import Any

from backbone import ids, lead_values, times
from backbone.testing import promised
from handoff.events.v1 import common_pb2
from qualification import definitions

FREE_MAIL = "{rule: free mail, when: lead.email_is_free, points: -30}"


def test_a_definition_reads_every_field_that_is_promised(definition_text: str) -> None:
    text = definition_text.replace("lead.email_is_free", json.dumps(promised.OF_NOBODY))
    rules = definitions.build("whole", 1, definitions.parse(text.encode()).data).fit
    nobody = lead_values.of(common_pb2.LeadFields())
    assert [rule.holds(nobody) for rule in rules if rule.rule == "free mail"] == [True]


def test_a_rule_of_every_lead_is_written_with_quotes_or_without(definition_text: str) -> None:
    for always in ("true", "'true'"):
        text = definition_text.replace("lead.email_is_free", always)
        rules = definitions.build("whole", 1, definitions.parse(text.encode()).data).fit
        assert [rule.holds({}) for rule in rules if rule.rule == "free mail"] == [True]


async def test_a_score_sees_how_a_lead_stands_elsewhere_what_it_allowed_and_whether_it_is_news(
    company: Any, engagement: Any, definition_text: str
) -> None:
    whens = {
        "old": "!lead.live",
        "of the old system": """lead.owner_id == "ben" && lead.assigned_at < timestamp("2026-01-01T00:00:00Z")""",
        "may be called": """lead.consent.exists(one, one.purpose == "calls" && one.granted)""",
        "closed": """lead.status == "closed" || lead.disqualified_reason != "" || lead.external_id != "x-1" """,
    }
    rules = [f"{{rule: {rule}, when: {json.dumps(when)}, points: 1}}" for rule, when in whens.items()]
    await company.activate(definition_text.replace(FREE_MAIL, "\n  - ".join(rules)))
    lead, before = ids.new(), times.stamp(times.parse("2025-12-31T23:59:59Z"))
    calls = common_pb2.Consent(purpose="calls", basis="form", granted=True, at=before)
    name = common_pb2.ExternalId(connection_id="direct", external_id="x-1")
    told = {"owner_id": "ben", "assigned_at": before, "consents": [calls], "external_ids": [name]}
    await company.publish(company.captured(lead, live=False, **told))

    async def counted() -> set[str]:
        return {point["rule"] for point in (await company.shown(lead))["explanation"]} & whens.keys()

    assert await counted() == {"old", "of the old system", "may be called"}
    await company.publish(engagement(lead, "page_viewed"))
    assert await counted() == {"of the old system", "may be called"}
