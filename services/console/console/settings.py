"""What the console is told from outside."""

from pydantic import Field

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the console."""

    signing_key: str = Field(repr=False)
    """Path of the Ed25519 private key (PEM) that signs tokens."""
    service_keys: dict[str, str] = Field(default_factory=dict)
    """Service -> SHA-256 (hex) of its own machine key."""
    admin_email: str = ""
    admin_password: str = Field(default="", repr=False)
    """The first sign-in; empty makes none."""
    intake_url: str = "http://127.0.0.1:8101"
    qualification_url: str = "http://127.0.0.1:8102"
    routing_url: str = "http://127.0.0.1:8103"
    sla_url: str = "http://127.0.0.1:8104"
    forecast_url: str = "http://127.0.0.1:8105"
    notifications_url: str = "http://127.0.0.1:8106"
    token_life_seconds: int = 300
    """Of the tokens with which the console acts for a person."""
    session_life_seconds: int = 12 * 3600
