"""What notifications is told from outside."""

from pydantic import Field

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of notifications."""

    smtp_url: str = Field(default="", repr=False)
    """smtp://user:password@host:port, or smtps:// for TLS from the first byte; empty sends no e-mail."""
    sender: str = "Handoff <handoff@localhost>"
    intake_url: str = ""
    """Where leads' keys come from; empty: messages go without names."""
    console_public_url: str = "http://127.0.0.1:8100"
    allow_private_webhooks: bool = False
    """Let webhooks go to loopback and private addresses: for tests and machines of one's own."""
    senders: int = 32
    """Messages that are on their way at once."""
    lease_seconds: float = 30
    """After so long a message that was claimed and not reported is taken for lost with its sender."""
