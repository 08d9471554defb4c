"""What a definition's conditions read of a lead: all that is promised, as intake told of it."""

import json
from typing import Any

import pytest

from backbone import closed, conditions, ids, lead_values, times
from backbone.testing import promised
from handoff.events.v1 import common_pb2
from qualification import definitions, domain

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


def doubted(definition_text: str, condition: str) -> list[str]:
    text = definition_text.replace("lead.employees >= 100 && lead.employees < 5000", json.dumps(condition))
    return [one.detail for one in definitions.warnings(definitions.parse(text.encode())) if one.pointer[:4] == "/fit"]


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ("lead.employees < 100", "employees"),
        ('lead.employees < 100 && lead.country == "DE"', "employees"),
        ('lead.email_domain != "gmail.com"', "email_domain"),
        ('lead.attributes.tool != "sheet"', "attributes.tool"),
        ('!("employees" in lead.missing) && lead.employees < 100', None),
        ('has(lead.attributes.tool) && lead.attributes.tool != "sheet"', None),
        ('lead.country == "DE" || lead.employees > 100', None),
        ("!lead.has_email", None),
        ('lead.assigned_at <= timestamp("2026-01-01T00:00:00Z")', "assigned_at"),
        ('!("assigned_at" in lead.missing) && lead.assigned_at < timestamp("2026-01-01T00:00:00Z")', None),
        ('lead.occurred_at < timestamp("2026-01-01T00:00:00Z")', None),
        ("lead.cycle == 1", None),
    ],
)
def test_a_condition_that_holds_for_want_of_a_field_is_doubted(
    definition_text: str, condition: str, field: str | None
) -> None:
    found = doubted(definition_text, condition)
    assert bool(found) == (field is not None)
    assert all(f"where {field} is missing" in detail for detail in found)


def test_a_condition_on_a_stage_that_there_is_not_is_doubted(definition_text: str) -> None:
    (detail,) = doubted(definition_text, 'lead.stage == "MQL"')
    assert detail.partition(";")[0] == 'lead.stage is never "MQL"'
    assert set(closed.OF_LEADS["lead.stage"]) == set(domain.Stage)


def test_a_condition_that_costs_too_much_does_not_hold() -> None:
    numbers = "[" + ",".join("1" for _ in range(300)) + "]"
    costly = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c > 0)))"
    assert not conditions.Language.of(lead_values.LEAD).compile(costly).holds(lead_values.of(common_pb2.LeadFields()))
