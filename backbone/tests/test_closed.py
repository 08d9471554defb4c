"""A comparison of what has a few values with another is found where it stands, and nothing else is."""

import pytest

from backbone import closed

STAGES = '"new", "nurture", "mql", "srl", "sql", "customer", "disqualified"'


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('lead.stage == "SRL"', [(1, 15)]),
        ("lead.live &&\n  lead.stage != 'SRL'", [(2, 17)]),
        ('"SRL" == lead.stage', [(1, 1)]),
        ('lead.stage in ["mql", "SQL", "Won"]', [(1, 23), (1, 30)]),
        ('lead.stage == ""', [(1, 15)]),
        ('lead.stage == "srl" || "mql" == lead.stage || lead.stage in ["new", "sql"]', []),
        ('lead.country == "SRL" && lead.attributes.stage == "SRL" && lead.stage.contains("SRL")', []),
        ('lead.attributes["x"] == lead.stage || lead.stage == lead.country', []),
        ('lead.live // lead.stage == "SRL"', []),
    ],
)
def test_texts_that_a_name_never_is_are_found(text: str, places: list[tuple[int, int]]) -> None:
    assert [(line, column) for _, line, column in closed.never(text, closed.OF_LEADS)] == places


def test_the_values_there_are_are_told() -> None:
    ((words, *_),) = closed.never('lead.stage == "SRL"', closed.OF_LEADS)
    assert words == f'lead.stage is never "SRL"; there are {STAGES}'
