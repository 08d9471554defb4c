"""A span of the past that somebody asks about."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field, model_validator

from backbone import fields

USUAL: Final = timedelta(days=30)


class Span(fields.Body):
    """Half open; the last 30 days when not said."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    since: Annotated[fields.Instant | None, Field(alias="from")] = None
    to: fields.Instant | None = None

    @model_validator(mode="after")
    def is_in_order(self) -> "Span":
        """Refuse a span that ends before it begins."""
        if self.since is not None and self.to is not None and self.since > self.to:
            raise ValueError("from lies after to")
        return self

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the span's two ends."""
        until = self.to or now
        return self.since or until - USUAL, until
