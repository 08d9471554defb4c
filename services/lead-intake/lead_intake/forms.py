"""A form's body as an object: `a[b]` and `a__b` become nested."""

from typing import Any, Final
from urllib.parse import parse_qsl

MOST_FIELDS: Final = 1000
DEEPEST: Final = 16


def form(body: bytes) -> dict[str, Any]:
    """Read a form's body."""
    nested: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS):
        steps = name.replace("]", "").replace("__", "[").split("[", DEEPEST)
        place = nested
        for step in steps[:-1]:
            inner = place.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = place[step] = {}
            place = inner
        place[steps[-1]] = value
    return nested
