"""What routing is told from outside."""

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of routing."""
