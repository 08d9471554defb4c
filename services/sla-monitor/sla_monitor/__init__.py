"""sla-monitor: the clock that both sides of the agreement trust."""
