"""What sla-monitor is told from outside."""

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of sla-monitor."""

    catch_up_seconds: float = 60
    """How long an instance that starts reads its backlog at most before it fires anything."""
