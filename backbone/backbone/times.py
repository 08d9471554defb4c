"""Instants: RFC 3339 text with Z and microseconds, protobuf timestamps, and the database's clock."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AfterValidator, AwareDatetime

from backbone.database import Connection

YEARS: Final = (1900, 2200)
"""What instants may lie in: the calendars of our tools end, and their sums overflow."""
LATEST: Final = datetime(YEARS[1], 12, 31, 23, 59, 59, tzinfo=UTC)
"""Where sums of them end."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def text(instant: datetime) -> str:
    """Return RFC 3339 in UTC with `Z`, microseconds kept: `2026-11-10T13:33:31.020000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def parse(value: str) -> datetime:
    """Read RFC 3339 with a zone. ValueError without a zone, or outside the years 1900 to 2200."""
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("no zone")
    return _within(instant)


def _within(instant: datetime) -> datetime:
    if not YEARS[0] <= instant.year <= YEARS[1]:
        raise ValueError(f"the year has to be one of {YEARS[0]} to {YEARS[1]}")
    return instant.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_within)]
"""An instant as callers send it: with a zone, kept in UTC."""


def stamp(instant: datetime) -> Timestamp:
    """Return the protobuf form."""
    result = Timestamp()
    put(result, instant)
    return result


def put(timestamp: Timestamp, instant: datetime) -> None:
    """Write an instant into a message's timestamp: what FromDatetime does in three times the time."""
    since = instant - _EPOCH
    timestamp.seconds, timestamp.nanos = since.days * 86_400 + since.seconds, since.microseconds * 1_000


def at(timestamp: Timestamp) -> datetime:
    """Return the aware UTC datetime of a protobuf timestamp, to the microsecond; in a third of ToDatetime's time."""
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)


async def now(conn: Connection) -> datetime:
    """Return the database's time, the only clock that several instances share."""
    instant: datetime = await conn.fetchval("SELECT clock_timestamp()")
    return instant
