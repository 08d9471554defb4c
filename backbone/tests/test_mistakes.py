"""The usual mistakes in conditions and documents are told with what to write instead."""

import pytest

from backbone import conditions, documents, lead_values, mistakes
from backbone.problem import Problem

LANGUAGE = conditions.Language.of(lead_values.LEAD)
CONDITION = "a condition, in quotes, such as 'lead.country == \"DE\"', 'true'"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("lead.sourc == 'x'", "did you mean lead.source"),
        ("rep.team == 'x'", "there are lead.company"),
        ("lead.source == 5", "in quotes"),
        ('lead.stage = "mql"', 'with ==, such as lead.stage == "mql"'),
        ('lead.stage="mql"', 'with ==, such as lead.stage == "mql"'),
        ("lead.live and lead.spam", "and is written &&"),
        ("lead.live && (lead.spam OR lead.test)", "or is written ||"),
        ("lead.live & lead.spam", "and is written &&"),
        ("lead.live && not lead.spam", "not is written !"),
        ("not (lead.spam)", "not is written !"),
        ('lead.country not in ["DE"]', 'such as !(lead.country in ["DE"])'),
        ("lead.employees >", "ends too early: something is missing here"),
        ("(lead.employees > 5", "ends too early: ) is missing"),
        ("lead.employees > 5)", ") does not belong here"),
        ("lead.employees > 5;", "; does not belong here"),
        ("lead.country == “DE”", "straight quotes"),
        ("lead.country == 'DE", "the text that begins here does not end"),
        ("lead.country == DE", "there is no DE: texts stand in quotes, and there are lead.company"),
        ('lead.country in "DE"', 'such as lead.country in ["DE", "AT"]'),
        ('lead.country in ("DE", "AT")', 'such as lead.country in ["DE", "AT"]'),
        ('lead.missing == "phone"', 'such as "phone" in lead.missing'),
        ("!lead.country", 'such as lead.country == ""'),
        ("!lead.employees", "such as lead.employees == 0"),
        ("lead.live && lead.country", "&& stands between conditions"),
        ('lead.assigned_at > "2026-01-01"', 'such as timestamp("2026-01-01T00:00:00Z")'),
        ('"2026-01-01" < lead.assigned_at', 'such as timestamp("2026-01-01T00:00:00Z")'),
        ("lead.employees > 1.5", "one side is a whole number"),
        ("lead.country == null", "nothing is null"),
        ('lead.company.lower() == "acme"', "there is no function lower here: texts have .contains"),
        ('lead.live ||\n  lower(lead.company) == "acme"', "there is no function lower here"),
        ("5 in lead.missing", "in does not take a whole number and a list"),
        ("lead.country.size > 3", "such as lead.company.size() > 3"),
        ("country == 'DE'", "did you mean lead.country?"),
        ("lead.Country == 'DE'", "did you mean lead.country?"),
        ("lead.nowhere == 'DE'", "there is no lead.nowhere: there are lead.company"),
        ("lead.employees => 5", "at least is written >="),
        ("lead.employees =< 5", "and at most <="),
        ("lead.employees > = 5", "at least is written >="),
        ("lead.country is null", 'a text that is missing is "", a number 0, such as lead.country == ""'),
        ("lead.country IS NOT NULL", 'or lead.country != ""'),
        ("lead.country != None", 'or lead.country != ""'),
        ('lead.country is "DE"', 'with ==, such as lead.stage == "mql"'),
        ('lead.country equals "DE"', 'with ==, such as lead.stage == "mql"'),
        ('lead.country is not "DE"', 'with !=, such as lead.stage != "mql"'),
        ('lead.country <> "DE"', 'with !=, such as lead.stage != "mql"'),
        ('lead.country !== "DE"', 'with !=, such as lead.stage != "mql"'),
        ('lead.missing != "phone"', 'such as "phone" in lead.missing'),
        ("lead.live == yes", "is true or false, without quotes, or stands alone, such as lead.live or !lead.live"),
        ("lead.live == No", "is true or false, without quotes"),
        ('lead.live == "true"', "is true or false, without quotes"),
        ("lead.live == 1", "is true or false, without quotes"),
        ('lead.company like "%GmbH"', 'such as lead.company.contains("GmbH")'),
        ('lead.company contains "GmbH"', 'such as lead.company.contains("GmbH")'),
        ('lead.company =~ "GmbH"', 'such as lead.company.contains("GmbH")'),
        ('lead.company.startsWith "A"', 'functions have brackets, such as lead.company.contains("GmbH")'),
        ('lead.missing.contains("phone")', 'such as "phone" in lead.missing'),
        ("lead.employees between 1 and 5", "such as lead.employees > 1 && lead.employees < 5"),
        ("1 < lead.employees < 5", "each comparison has two sides, such as lead.employees > 1 && lead.employees < 5"),
        ("lead.employees > 1 && < 5", "each comparison has two sides"),
        ("if lead.live then true", "there is no if: a condition is one expression, such as lead.employees > 100"),
        ("lead.live then true", "there is no if"),
        ('lead.assigned_at > timestamp("2026-01-01")', 'is no instant, such as timestamp("2026-01-01T00:00:00Z")'),
        ('lead.assigned_at - lead.occurred_at > duration("2d")', "is no duration in hours, minutes and seconds"),
        ('duration("99999999999h") > duration("1h")', "or too long a one"),
        ("lead.emp > 5", "did you mean lead.employees?"),
        ('lead.domain == "x"', "there is no lead.domain: there are"),
        ('lead.company == "}" }', "} does not belong here"),
    ],
)
def test_the_usual_mistakes_are_told_with_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(conditions.Wrong) as caught:
        LANGUAGE.check(text)
    assert advice in caught.value.detail


OF_REPS = conditions.Language.of(
    {
        **{f"rep.{name}": conditions.TEXT for name in ("rep_id", "role", "team", "manager_id", "time_zone")},
        **{f"rep.{name}": conditions.TEXTS for name in ("skills", "languages")},
        "rep.cap": conditions.WHOLE,
        "rep.active": conditions.FLAG,
    }
)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('rep.role = "sdr"', 'such as rep.role == "sdr"'),
        ("rep.team is null", 'such as rep.team == ""'),
        ("not rep.active", 'such as !(rep.team in ["north"])'),
        ('rep.skills == "german"', 'such as "german" in rep.skills'),
        ("!rep.cap", "such as rep.cap == 0"),
        ("1 < rep.cap < 5", "such as rep.cap > 1 && rep.cap < 5"),
        ("rep.cap", "such as rep.cap > 100"),
        ('rep.id == "ana"', "did you mean rep.rep_id?"),
        ('"de" in rep.langs', "did you mean rep.languages?"),
        ('rep.zone == "UTC"', "did you mean rep.time_zone?"),
        ('rep.group == "x"', "there is no rep.group: there are rep.rep_id"),
    ],
)
def test_mistakes_in_conditions_of_reps_are_told_with_examples_of_reps(text: str, advice: str) -> None:
    with pytest.raises(conditions.Wrong) as caught:
        OF_REPS.check(text)
    assert advice in caught.value.detail
    assert "lead." not in caught.value.detail


def test_a_name_of_other_conditions_is_told_where_it_belongs() -> None:
    language = conditions.Language.of(lead_values.LEAD, {"rep.": "reps stand under `reps`"})
    with pytest.raises(conditions.Wrong, match=r"there is no rep\.team here: reps stand under `reps`"):
        language.check('rep.team == "north"')


def test_of_very_many_names_the_first_are_listed() -> None:
    told = mistakes.instead("x", [f"pool {number}" for number in range(mistakes.MOST_LISTED + 2)])
    assert told.startswith("there are pool 0, pool 1, ")
    assert told.endswith(f"pool {mistakes.MOST_LISTED - 1} and 2 more")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("when: true", f"has to be {CONDITION}"),
        ("when: [lead.live]", f"has to be {CONDITION}"),
        ("within: 5", "is not written as it should be, such as 90s, 5m, 1h, 14d"),
        ("warn: 50%", "has to be a list, such as [90s]"),
        ("kinds: call", "has to be a list, such as [email]"),
        ("order: one", "has to be a whole number"),
        ("either: 5", "has to be a text, in quotes or true or false"),
        ("when:", f"is empty; has to be {CONDITION}; or leave when out"),
        ("when: ''", f"is empty; has to be {CONDITION}; or leave when out"),
        ("kinds: [email, '']", "has to be one of: email, call"),
        ("needs: ['']", "is empty; has to be a text, in quotes"),
        ("within: 99999999999s", "is too long a time"),
        ("after: 0d", "has to be longer than nothing"),
        ("share: 5m", "is not written as it should be, such as 25%"),
        ("{when: size(lead.missing, 5) > 1}", "unknown key; a text with a comma has to be in quotes as a whole"),
        ("colour:", "unknown key; known are after, either, kinds, needs, order, share, warn, when, within"),
    ],
)
def test_what_is_of_another_kind_is_told_what_belongs_there(text: str, detail: str) -> None:
    properties = {
        "when": documents.CONDITION,
        "within": documents.DURATION,
        "warn": {"type": "array", "items": documents.DURATION},
        "kinds": {"type": "array", "items": {"enum": ["email", "call"]}},
        "order": documents.ORDER,
        "either": {"type": ["string", "boolean"]},
        "needs": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "after": {"type": "string", "pattern": "^[1-9][0-9]{0,3}d$"},
        "share": {"type": "string", "pattern": "^[0-9]+%$", "examples": ["25%"]},
    }
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    with pytest.raises(Problem) as caught:
        documents.parse(text.encode(), schema, what="policy")
    assert [fault.detail for fault in caught.value.errors] == [detail]


def test_what_is_empty_and_has_to_be_there_is_not_told_to_be_left_out() -> None:
    schema = {"type": "object", "required": ["when"], "properties": {"when": documents.CONDITION}}
    with pytest.raises(Problem) as caught:
        documents.parse(b"when:", schema, what="policy")
    assert [fault.detail for fault in caught.value.errors] == [f"is empty; has to be {CONDITION}"]
