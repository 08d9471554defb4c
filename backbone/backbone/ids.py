"""Identifiers: time-ordered ones for what is new, derived ones for what has a name already."""

from typing import Final
from uuid import UUID, uuid5

import uuid_utils
from asyncpg.pgproto.pgproto import UUID as QuickUUID

_NAMESPACE: Final = UUID("5f0cbb0a-6bd6-4b0e-9c2f-2f9c1f8f6f11")


def new() -> UUID:
    """Return a UUIDv7: ids made later sort later."""
    return of_bytes(uuid_utils.uuid7().bytes)


def of_bytes(value: bytes) -> UUID:
    """Return the UUID of 16 bytes, ValueError for others.

    It is the database driver's own kind, as its rows have: a UUID like any other, made, compared and written in a tenth
    of the time, and each event has half a dozen of them.
    """
    return QuickUUID(value)


def parse(text: str) -> UUID:
    """Return the UUID of its text, ValueError for anything else; of the quick kind, as `of_bytes`."""
    return QuickUUID(text)


def derived(*parts: str) -> UUID:
    """Return the UUIDv5 of `parts`: the same parts give the same id everywhere, such as `derived("rep", rep_id)`."""
    return uuid5(_NAMESPACE, "\x1f".join(parts))
