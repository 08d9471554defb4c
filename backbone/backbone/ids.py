"""Identifiers: time-ordered ones for what is new, derived ones for what has a name already."""

from typing import Final
from uuid import UUID, uuid5

import uuid_utils

_NAMESPACE: Final = UUID("5f0cbb0a-6bd6-4b0e-9c2f-2f9c1f8f6f11")


def new() -> UUID:
    """Return a UUIDv7: ids made later sort later."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def derived(*parts: str) -> UUID:
    """Return the UUIDv5 of `parts`: the same parts give the same id everywhere, such as `derived("rep", rep_id)`."""
    return uuid5(_NAMESPACE, "\x1f".join(parts))
