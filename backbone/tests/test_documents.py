"""Documents and conditions: what is wrong is found when it is saved, with its place."""

from typing import Any

import pytest

from backbone import conditions, documents, lead_values, times
from backbone.problem import Problem
from backbone.testing import promised
from handoff.events.v1 import common_pb2

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["order"],
    "properties": {
        "order": {"type": "integer"},
        "within": documents.DURATION,
        "rules": {"type": "array"},
        "share": {"type": "string", "pattern": r"^\d$"},
    },
}


@pytest.mark.parametrize(
    ("text", "pointer", "line", "column"),
    [
        ("order: 1\ncolour: red", "/colour", 2, 9),
        ("within: 5m", "/", 1, 1),
        ("order: one", "/order", 1, 8),
        ("order: 1\nwithin: soon", "/within", 2, 9),
        ("order: [1", "/", 1, 10),
        ("order: 1\norder: 2", "/", 2, 1),
        ('order: 1\nrules: ["a\\0b"]', "/", 2, 9),
        ("order: .nan", "/", 1, 8),
        ('order: 1\nrules: ["\\ud800"]', "/", 2, 9),
        ('order: 1\n"\\udfff": 1', "/", 2, 1),
        ('order: 1\nwithin: "5m\\n"', "/within", 2, 9),
        ("order: 1\nshare: ٥", "/share", 2, 8),
        ("order: 1\n? [a]\n: 1", "/", 2, 3),
        ("order: 1\na/b: 1", "/a~1b", 2, 6),
        ("- a", "/", 1, 1),
        ("", "/", 1, 1),
    ],
)
def test_a_wrong_document_is_refused_with_its_place(text: str, pointer: str, line: int, column: int) -> None:
    with pytest.raises(Problem) as caught:
        documents.parse(text.encode(), SCHEMA, what="policy")
    (fault,) = caught.value.errors
    assert (fault.pointer, fault.line, fault.column) == (pointer, line, column)


def said_of(text: str, schema: dict[str, Any] = SCHEMA) -> list[str]:
    with pytest.raises(Problem) as caught:
        documents.parse(text.encode(), schema, what="policy")
    return [f"{fault.pointer} {fault.detail}" for fault in caught.value.errors]


def test_each_key_that_is_missing_or_unknown_is_named_once() -> None:
    wanting: dict[str, Any] = {**SCHEMA, "required": ["within", "order", "share"]}
    missing = ["/ the key within is missing", "/ the key order is missing", "/ the key share is missing"]
    assert said_of("rules: []", wanting) == missing
    told = said_of("order: 1\nsize: 1\ncolour: red")
    assert [one.partition(";")[0] for one in told] == ["/size unknown key", "/colour unknown key"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("order: [", "bracket that closes"),
        ("rules: [a, sesame", "] at its end"),
        ("rules: {a: sesame", "} at its end"),
        ("rules: {a: sesame b: 1}", "a comma between its keys"),
        ("rules\nsesame: 1", "may lack its own"),
        ("rules: 'sesame", "a quote is not closed"),
        ('rules: "sesame\\q"', "single quotes"),
        ("order:\n\tsesame: 1", "indent with spaces"),
        ("rules: [*sesame]", "in quotes"),
        ("rules: @sesame", "in quotes"),
        ("rules: sesame: 1", "in quotes"),
        ("a: &sesame 1\nb: &sesame 2", "name each once"),
        ("order: 1\n---\nsesame: 2", "without ---"),
        ("rules:\n  - sesame\n  order: 1", "below the entries"),
        ("order: 1\nsesame\nrules: []", "lacks its colon"),
        ("rules: [1] sesame", "in quotes"),
    ],
)
def test_what_is_no_yaml_is_refused_with_what_to_do_and_without_what_was_written(text: str, remedy: str) -> None:
    (told,) = said_of(text, {})
    assert remedy in told
    assert "sesame" not in told


def test_a_whole_number_with_a_fraction_of_nothing_is_a_whole_number() -> None:
    document = documents.parse(b"order: 2.0\nrules: [1.0, 1.5]", SCHEMA, what="document")
    assert repr(document.data) == "{'order': 2, 'rules': [1, 1.5]}"


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("rules: lead.employees > x", 2, 8 + 17),
        ("rules: 'lead.employees > x'", 2, 8 + 18),
        ("rules: |\n  lead.employees >\n  x", 4, 3),
        ("rules: |\n\n  lead.employees >\n    x\nlast: 1", 5, 5),
        ("rules: >\n  lead.employees\n  >\n\n  x", 6, 3),
        ("rules: >-\n  lead.country\n  == 'x' &&  x", 4, 14),
        ("rules: lead.employees\n  > 1 &&\n   x\nlast: x", 4, 4),
        ("rules: 'lead.country == ''x''\n  && x'", 3, 6),
        ('rules: "lead.country == \\"x\\"\n  && x"', 3, 6),
        ('rules: "lead.employees > \\u0078"', 2, 9),
    ],
)
def test_a_fault_within_a_text_is_placed_in_the_document(written: str, line: int, column: int) -> None:
    document = documents.parse(f"order: 1\n{written}".encode(), {}, what="policy")
    with pytest.raises(conditions.Wrong) as caught:
        LANGUAGE.compile(document.data["rules"])
    wrong = caught.value
    fault = document.fault(("rules",), wrong.detail, line=wrong.line, column=wrong.column)
    assert (fault.line, fault.column) == (line, column)


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(8)
    )
    with pytest.raises(Problem):
        documents.parse(bomb.encode(), {}, what="policy")


def test_durations_are_seconds() -> None:
    assert [documents.duration(one) for one in ("90s", "5m", "1h", "14d")] == [90, 300, 3600, 1_209_600]
    for wrong in ("5 minutes", "5m\n"):
        with pytest.raises(ValueError, match="duration"):
            documents.duration(wrong)


LANGUAGE = conditions.Language.of(lead_values.LEAD)


def values(**fields: Any) -> dict[str, Any]:
    return lead_values.of(common_pb2.LeadFields(**fields))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('lead.email == "x"', 5),
        ('lead.employees > "a"', 16),
        ("lead.company", 1),
        ("lead. +", 7),
        ("nobody", 1),
        ('"x" == lead.attributes.message', 8),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(text: str, column: int) -> None:
    with pytest.raises(conditions.Wrong) as caught:
        LANGUAGE.compile(text)
    assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('lead.company.matches("(")', (1, 22)),
        ("lead.spam ||\n  lead.company.matches(r'(?=a)')", (2, 24)),
        ('lead.company == "" && lead.company .matches ( """[""" )', (1, 47)),
        (r'lead.company.matches("\"(")', (1, 22)),
    ],
)
def test_a_pattern_that_is_none_is_refused_where_it_is_written_and_fails_where_it_is_kept(
    text: str, place: tuple[int, int]
) -> None:
    with pytest.raises(conditions.Wrong, match="invalid regular expression") as caught:
        LANGUAGE.check(text)
    assert (caught.value.line, caught.value.column) == place
    assert not LANGUAGE.compile(text).holds(values())


@pytest.mark.parametrize(
    "text",
    [
        r'lead.company.matches(r"^A\w+") && !lead.company.matches("\\d")',
        "lead.company != \"of.matches('(')\" // nor .matches('(')",
        'lead.company.matches("A" + lead.country + "")',
        "lead.company.matches(lead.company)",
    ],
)
def test_what_is_a_pattern_or_is_no_pattern_is_not_refused(text: str) -> None:
    assert LANGUAGE.check(text).holds(values(company="Acme", country="c"))


def test_conditions_read_leads() -> None:
    lead = values(employees=200, company="Acme", revenue=2e6)
    assert LANGUAGE.compile("lead.employees >= 100 && lead.revenue > 1000000").holds(lead)
    assert LANGUAGE.compile('"email" in lead.missing && !("employees" in lead.missing)').holds(lead)
    assert not LANGUAGE.compile('lead.company == "Else"').holds(lead)


def test_a_missing_attribute_reads_as_an_empty_text_and_never_raises() -> None:
    assert LANGUAGE.compile('lead.attributes.tool == ""').holds(values())
    assert LANGUAGE.compile('lead.attributes["tool"] == ""').holds(values())
    assert not LANGUAGE.compile("lead.attributes.seconds > 10").holds(values())


def test_every_field_that_is_promised_is_read_also_where_it_is_missing() -> None:
    nobody = LANGUAGE.check(promised.OF_NOBODY)
    assert nobody.holds(values())
    assert not nobody.holds(lead_values.of(common_pb2.LeadFields(), live=True))
    assert not nobody.holds(values(owner_id="ana"))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('lead.assigned_at >= timestamp("2026-01-01T00:00:00Z")', True),
        ('lead.assigned_at == timestamp("2026-01-02T03:04:05.000006Z")', True),
        ('lead.assigned_at - timestamp("2026-01-01T00:00:00Z") > duration("48h")', False),
        ("lead.occurred_at < lead.assigned_at", True),
        ('lead.consent.exists(one, one.purpose == "news" && one.granted)', True),
        ('lead.consent.exists(one, one.purpose == "calls" && one.granted)', False),
        ('lead.consent.all(one, timestamp(one.at) >= lead.assigned_at && one.basis == "form")', True),
        ("lead.external_id == 'newer'", True),
        ('"assigned_at" in lead.missing || "consent" in lead.missing || "external_id" in lead.missing', False),
    ],
)
def test_conditions_compare_instants_and_look_into_consents(condition: str, holds: bool) -> None:
    at = times.stamp(times.parse("2026-01-02T03:04:05.000006Z"))
    lead = values(
        assigned_at=at,
        consents=[
            common_pb2.Consent(purpose=purpose, basis="form", granted=purpose == "news", at=at)
            for purpose in ("news", "calls")
        ],
        external_ids=[common_pb2.ExternalId(external_id=one) for one in ("older", "newer")],
    )
    assert LANGUAGE.check(condition).holds(lead) == holds


def test_presence_can_be_asked_for() -> None:
    asks = LANGUAGE.compile("has(lead.attributes.tool) && lead.attributes.tool != 1")
    assert not asks.holds(values())
    assert asks.holds(values(attributes={"tool": "Excel"}))


def test_what_is_sealed_is_refused_with_what_to_ask_instead() -> None:
    with pytest.raises(conditions.Wrong, match="has_email"):
        LANGUAGE.compile('lead.email == ""')


@pytest.mark.parametrize(
    "text", ["lead.revenue", "lead.revenue - lead.cost", "lead.fit + 1", "lead.live ? lead.fit : lead.interest"]
)
def test_a_condition_that_is_a_fraction_is_refused_as_any_other_number(text: str) -> None:
    with pytest.raises(conditions.Wrong, match="yes or no"):
        LANGUAGE.check(text)


@pytest.mark.parametrize(
    "text", ["lead.revenue > 5", "lead.cost / 0 > 1", "lead.attributes.vip", "lead.fit > 1 ? lead.live : false"]
)
def test_what_is_a_yes_or_no_of_some_lead_is_taken(text: str) -> None:
    assert LANGUAGE.check(text).text == text


def test_a_condition_that_takes_too_many_steps_does_not_hold() -> None:
    every = "lead.attributes.l.all(a, lead.attributes.l.all(b, lead.attributes.l.all(c, a + b + c > 0.0)))"
    assert not LANGUAGE.compile(every).holds(values(attributes={"l": [1.0] * 300}))


def test_what_a_condition_remembers_is_of_equal_values_alone() -> None:
    language = conditions.Language.of(lead_values.LEAD)
    revenue, missing = language.compile("lead.revenue == 1"), language.compile('"phone" in lead.missing')
    for _ in range(2):
        assert [revenue.holds({"lead.revenue": value}) for value in (1, True, 1.0, 2)] == [True, False, True, False]
        assert [missing.holds({"lead.missing": value}) for value in (["phone"], [])] == [True, False]
    for number in range(2 * conditions.MOST_REMEMBERED):
        assert revenue.holds({"lead.revenue": number}) == (number == 1)


def test_what_is_nested_without_end_is_refused_at_once() -> None:
    with pytest.raises(Problem):
        documents.parse(b"[" * 100_000, SCHEMA, what="document")
