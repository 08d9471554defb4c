"""Bodies: what no database text holds is refused at the door, with its place."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from backbone import fields


class Inner(fields.Body):
    """A body within a body."""

    word: str = ""


class Outer(fields.Body):
    """A body with texts in every place."""

    note: str | None = None
    words: list[str] = Field(default_factory=list)
    anything: dict[str, Any] = Field(default_factory=dict)
    inner: list[Inner] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"note": "a\x00b"}, ("note",)),
        ({"words": ["a", "\x00"]}, ("words",)),
        ({"anything": {"a": "\ud800"}}, ("anything",)),
        ({"anything": {"a": [{"b\x00": 1}]}}, ("anything",)),
        ({"inner": [{}, {"word": "\x00"}]}, ("inner", 1, "word")),
    ],
)
def test_nul_is_refused_however_deep_it_lies(body: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(body)
    assert place in [error["loc"] for error in caught.value.errors()]


def test_other_text_passes_as_it_is() -> None:
    assert Outer(note="a\nb\t\\u0000", anything={"a": None}).note == "a\nb\t\\u0000"
