"""What qualification is told from outside."""

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of qualification."""

    most_engagements: int = 500
    """Of a lead, newest first, that count for its interest."""
