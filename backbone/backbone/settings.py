"""What every service is told from outside: one frozen class, read once in `main`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Settings that all services share; each adds its own. The environment's names begin with HANDOFF_."""

    model_config = SettingsConfigDict(env_prefix="HANDOFF_", frozen=True, extra="ignore")

    database_url: str = Field(repr=False)
    """postgresql://user:password@host:port/database of this service alone."""
    kafka: str
    """Bootstrap servers, host:port separated by commas."""
    namespace: str = "handoff"
    """First part of every topic's and group's name."""
    partitions: int = 12
    """Of each topic; the same for all, and not to be changed while events are on the way."""
    replication_factor: int = 1
    """Of each topic that a service creates; 3 in production."""
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int | None = 9464
    """None serves no metrics."""
    console_url: str = ""
    """Where token keys and machine keys are fetched; empty: whoever is in the database stays trusted."""
    service_key: str = Field(default="", repr=False)
    """This service's own machine key (hk_…), role `service`."""
    log_level: str = "INFO"
    otlp_endpoint: str = ""
    """Address of an OpenTelemetry collector (OTLP over HTTP); empty sends no traces."""
    session_timeout_ms: int = 10_000
    """How long Kafka waits for a silent consumer before its partitions go to another."""
    pool_size: int = 10
    """Most connections to PostgreSQL per process, beside the relay's own."""
