"""Names that have a few values alone: where a condition compares one with a text that it never is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from backbone import conditions

Values = Mapping[str, Sequence[str]]
OF_LEADS: Final[Values] = {"lead.stage": ("new", "nurture", "mql", "srl", "sql", "customer", "disqualified")}
_NAME: Final = r"(?<![\w.])[a-z]+\.[a-z_]+\b(?!\s*[.(\[])"
_TEXT: Final = re.compile(r"""(?:"[^"\\\n]*"|'[^'\\\n]*')""")
_COMPARED: Final = re.compile(
    rf"//[^\n]*|(?P<name>{_NAME})\s*(?:[!=]=\s*(?P<text>{_TEXT.pattern})|in\s*(?P<list>\[[^\]]*\]))"
    rf"|(?P<before>{_TEXT.pattern})\s*[!=]=\s*(?P<after>{_NAME})"
)
"""A comparison of a name with texts; or, without groups, a comment."""


def never(text: str, values: Values) -> Iterator[tuple[str, int, int]]:
    """Yield what to say of texts that the names beside them never are, with line and column, of a condition."""
    for match in _COMPARED.finditer(text):
        name = match["name"] or match["after"]
        if name not in values:
            continue
        there_are = ", ".join(f'"{value}"' for value in values[name])
        start, end = next(match.span(part) for part in ("text", "list", "before") if match[part] is not None)
        for said in _TEXT.finditer(text, start, end):
            if said[0][1:-1] not in values[name]:
                yield f"{name} is never {said[0]}; there are {there_are}", *conditions.place(text, said.start())
