"""Lists in pages: `?limit=&cursor=` in, `{items, next_cursor}` out."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Query

from backbone.problem import Pointer, Problem

DEFAULT: Final = 50
MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Page:
    """What the caller asked for: how many, and after what (the sort values of the last item that they have)."""

    limit: int
    after: tuple[Any, ...] | None

    def since(self, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """Return `after`, each value read by its reader, such as UUID. Problem 422 when one cannot be."""
        if self.after is None:
            return None
        try:
            return tuple(read(value) for read, value in zip(readers, self.after, strict=True))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise _no_cursor() from error


def page(
    limit: Annotated[int, Query(ge=1, le=MOST)] = DEFAULT, cursor: Annotated[str | None, Query(max_length=2000)] = None
) -> Page:
    """Read the query. A cursor is only what an answer of the same list gave."""
    if cursor is None:
        return Page(limit, None)
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(after, list):
            raise ValueError
    except ValueError as error:
        raise _no_cursor() from error
    return Page(limit, tuple(after))


def text(value: Any) -> str:
    """Read a text of a cursor. TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _no_cursor() -> Problem:
    fault = Pointer("query/cursor", "not a cursor of this list")
    return Problem(422, "Not a cursor", "Send `next_cursor` of the page before, unchanged.", errors=[fault])


Asked = Annotated[Page, Depends(page)]


def cursor(*after: Any) -> str:
    """Return a cursor for what comes after these sort values (JSON values)."""
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode()


def answer(items: list[Any], next_cursor: str | None = None) -> dict[str, Any]:
    """Return a page's body."""
    return {"items": items, "next_cursor": next_cursor}
