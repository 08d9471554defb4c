"""Fields that bodies of several services have, with what is refused of them: instants, zones, hours, addresses."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from backbone import calendars, public_holidays

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200


def _near(value: datetime) -> datetime:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("an IANA zone such as Europe/Berlin") from None
    return value


def _country(value: str) -> str:
    try:
        public_holidays.of(value, 2026)
    except ValueError:
        raise ValueError("a country or a part of one, such as DE or US-CA") from None
    return value


def _time_of_day(value: str) -> str:
    try:
        calendars.minutes(value)
    except ValueError:
        raise ValueError("a time of day such as 09:00, 24:00 included") from None
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_near)]
Zone = Annotated[str, AfterValidator(_zone)]
Holidays = Annotated[str, AfterValidator(_country)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""An id or a name of the caller's own; one line."""
Email = Annotated[
    str, StringConstraints(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f<>,;]+@[^@\s\x00-\x1f<>,;]+$")
]


class Body(BaseModel):
    """What a request carries; a field that is not known is refused, and so is NUL or half a character in any text.

    No database text holds them. A text that reached an event with NUL would park its lead wherever it is kept.
    """

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def can_be_kept(cls, value: Any) -> Any:
        """Refuse a field with such text in it, however deep; a body within is asked by itself."""
        if _is_no_text(value):
            raise ValueError("not valid, a NUL character or half a character is in no text")
        return value


_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


def _is_no_text(value: Any) -> bool:
    if isinstance(value, str):
        return _NO_TEXT.search(value) is not None
    if isinstance(value, dict):
        return any(map(_is_no_text, (*value, *value.values())))
    return isinstance(value, list) and any(map(_is_no_text, value))


class Hours(Body):
    """A window of the week in its owner's zone; an end before the start lies on the next day."""

    days: Annotated[list[Day], Field(min_length=1)]
    start: TimeOfDay
    end: TimeOfDay
