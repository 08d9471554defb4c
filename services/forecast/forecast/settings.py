"""What forecast is told from outside."""

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of forecast."""
