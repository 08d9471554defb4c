"""What lead-intake is told from outside."""

from pydantic import Field

from backbone.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of lead-intake."""

    vault_database_url: str = Field(repr=False)
    """A database of its own for the wrapped keys of leads; its backups are kept 30 days at most."""
    master_key: str = Field(repr=False)
    """Base64 of the 32 bytes that wrap leads' keys, seal connections' secrets and key the hashes of identifiers."""
    public_url: str = "http://127.0.0.1:8080"
    """Where senders reach this service; signatures over the address are checked with it."""
    live_window_seconds: float = 24 * 3600
    """A fact older than this when it arrives is history, unless it says `live`."""
    rate_per_second: float = 500
    """Most requests a second that one connection's hook takes, on average; twice as many in a burst."""
    queue_limit: int = 5_000
    """Most requests that wait for the database; beyond it is 503."""
