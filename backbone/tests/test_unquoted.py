"""A condition that YAML cannot read is told to be put in quotes, where it begins; of nothing else that is said."""

from typing import Any

import pytest

from backbone import documents, unquoted
from backbone.problem import Pointer, Problem

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "rules": {
            "type": "array",
            "items": {"type": "object", "properties": {"rule": {"type": "string"}, "when": documents.CONDITION}},
        },
    },
}
ADVICE = "this condition has to be in quotes as a whole, such as when: 'lead.country == \"DE\"'"
FLOW = """
rules: # of {all, when: they come}
  - {rule: a, when: 'lead.live'}
  - {rule: b, when: CONDITION, to: x}
  - {rule: c, when: "lead.live"}
"""
BLOCK = """
rules:
  - rule: b
    when: CONDITION
    to: x
"""


def refused(text: str) -> Pointer:
    with pytest.raises(Problem) as caught:
        documents.parse(text.encode(), SCHEMA, what="policy")
    (fault,) = caught.value.errors
    return fault


@pytest.mark.parametrize(
    "condition",
    [
        '"phone" in lead.missing',
        "'phone' in lead.missing",
        'lead.country in ["DE", "AT"]',
        "lead.country in ['DE', 'AT']",
        'lead.attributes["tool"] == "x"',
        "!lead.live",
        "!(lead.live)",
        'lead.company.contains("x: y")',
        "lead.live ? lead.spam : true",
        "`lead.live`",
        "'lead.country in ['DE', 'AT']'",
        "'lead.country == 'DE''",
        '"lead.country == "DE""',
        '"lead.country == DE',
    ],
)
def test_in_a_flow_it_is_told_where_the_condition_begins(condition: str) -> None:
    fault = refused(FLOW.replace("CONDITION", condition))
    assert (fault.detail, fault.line, fault.column) == (ADVICE, 4, 21)


@pytest.mark.parametrize(
    "condition",
    ['"phone" in lead.missing', "!(lead.live)", 'lead.company.contains("x: y")', "lead.live ? lead.spam : true"],
)
def test_in_a_block_it_is_told_where_the_condition_begins(condition: str) -> None:
    fault = refused(BLOCK.replace("CONDITION", condition))
    assert (fault.detail, fault.line, fault.column) == (ADVICE, 4, 11)
    fault = refused(BLOCK.replace("CONDITION", condition).replace("rule: b\n    ", ""))
    assert (fault.detail, fault.line, fault.column) == (ADVICE, 3, 11)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (FLOW.replace('"lead.live"}', '"lead.live"'), 6, 1),
        (FLOW.replace("to: x}", "to: [}"), 4, 37),
        (FLOW.replace("rule: b,", "rule: 'b' c,"), 4, 16),
        (FLOW.replace("to: x", "when: x"), 4, 32),
        (FLOW.replace("CONDITION", "lead.live # to"), 5, 3),
        (BLOCK.replace("    to", "  to"), 5, 3),
        ("rules: [{rule: b, when: ", 1, 25),
        (BLOCK.replace("CONDITION", '>\n      "phone" in lead.missing').replace("to: x", "to: x: y"), 6, 10),
    ],
)
def test_what_is_wrong_elsewhere_is_told_there(text: str, line: int, column: int) -> None:
    fault = refused(text)
    assert fault.detail != ADVICE
    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize("filling", ["\n", "\n ", "\n-", " ", ",", "{a: "])
def test_a_long_document_that_is_none_is_refused_as_fast_as_it_is_read(filling: str) -> None:
    """Of a time that grows with the square of its length nobody would see the end."""
    text = f"when: a{filling * (200_000 // len(filling))}"
    found = unquoted.found(text, len(text), SCHEMA["properties"]["rules"]["items"])
    assert found == (None if filling in ("\n", "\n ") else (len("when: "), ADVICE))
