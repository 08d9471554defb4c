"""What sla-monitor is told from outside."""

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of sla-monitor."""

    catch_up_seconds: float = 60
    """How long at most an instance that starts reads its backlog before it fires anything; and how long, after its
    instant, a step waits for facts that are known to wait to be read."""
