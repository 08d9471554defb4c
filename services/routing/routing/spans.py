"""A span of the past that somebody asks about."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from backbone import fields

USUAL: Final = timedelta(days=30)


class Span(fields.Body):
    """Half open; the last 30 days when not said."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    since: Annotated[fields.Instant | None, Field(alias="from")] = None
    to: fields.Instant | None = None

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the span's two ends."""
        until = self.to or now
        return self.since or until - USUAL, until
