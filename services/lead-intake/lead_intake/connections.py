"""Connections: a marketing tool's way in, with its secrets sealed and its settings checked."""

import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backbone import database
from backbone.problem import Pointer, Problem
from lead_intake import providers
from lead_intake.vaulting import Vault

ACTIVE_SECRETS: Final = 2
"""During a rotation the old one is good for a while."""
SETTINGS: Final = frozenset({"default_source", "default_region", "mapping", "sealed_attributes"})
LATER: Final = frozenset(
    {"standard-webhooks", "hubspot", "typeform", "meta", "google-ads", "linkedin", "calendly", "segment", "rudderstack"}
    | {"marketo", "salesforce-outbound", "web-to-lead", "zapier"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A way in."""

    connection_id: str
    provider: str
    name: str
    settings: Mapping[str, Any]
    secrets: Sequence[str]


def check(provider: str, settings: Mapping[str, Any]) -> None:
    """Refuse a provider or a setting that is not here."""
    if provider not in providers.PROVIDERS:
        here = ", ".join(sorted(providers.PROVIDERS))
        words = "is planned and not here yet" if provider in LATER else "is not known"
        raise Problem(
            422,
            "No such provider",
            f"This provider {words}. Take one of: {here}.",
            errors=[Pointer("/provider", words)],
        )
    unknown = sorted(set(settings) - SETTINGS)
    if unknown:
        raise Problem(
            422,
            "Unknown setting",
            f"Settings are: {', '.join(sorted(SETTINGS))}.",
            errors=[Pointer(f"/settings/{name}", "unknown") for name in unknown],
        )
    mapping = settings.get("mapping", {})
    if not isinstance(mapping, dict) or not all(isinstance(path, str) for path in mapping.values()):
        raise Problem(
            422,
            "Not a mapping",
            "`mapping` is an object of field: path.",
            errors=[Pointer("/settings/mapping", "wrong")],
        )


def new_secret() -> str:
    """Return a secret of 256 bits."""
    return f"hs_{randomness.token_urlsafe(32)}"


async def add(conn: database.Connection, vault: Vault, connection: Connection) -> None:
    """Keep a new connection."""
    await conn.execute(
        "INSERT INTO connection (connection_id, provider, name, settings, secrets) VALUES ($1, $2, $3, $4, $5)",
        connection.connection_id,
        connection.provider,
        connection.name,
        connection.settings,
        [vault.seal_secret(secret) for secret in connection.secrets],
    )


async def find(conn: database.Connection, vault: Vault, connection_id: str) -> Connection | None:
    """Return a connection that was not deleted."""
    row = await conn.fetchrow("SELECT * FROM connection WHERE connection_id = $1 AND deleted_at IS NULL", connection_id)
    return _connection(row, vault) if row is not None else None


async def page(conn: database.Connection, vault: Vault, *, after: str, limit: int) -> list[Connection]:
    """Return connections in the order of their ids, which is that of their making."""
    rows = await conn.fetch(
        "SELECT * FROM connection WHERE deleted_at IS NULL AND connection_id > $1 ORDER BY connection_id LIMIT $2",
        after,
        limit,
    )
    return [_connection(row, vault) for row in rows]


async def change(conn: database.Connection, connection_id: str, *, name: str | None, settings: Any) -> bool:
    """Change the name or the settings; False when there is no such connection."""
    status = await conn.execute(
        "UPDATE connection SET name = coalesce($2, name), settings = coalesce($3, settings)"
        " WHERE connection_id = $1 AND deleted_at IS NULL",
        connection_id,
        name,
        settings,
    )
    return status.endswith(" 1")


async def rotate(conn: database.Connection, vault: Vault, connection_id: str, secret: str) -> bool:
    """Put a new secret before the present one, which stays good until the next rotation."""
    status = await conn.execute(
        "UPDATE connection SET secrets = (ARRAY[$2::bytea] || secrets)[1:$3::int]"
        " WHERE connection_id = $1 AND deleted_at IS NULL",
        connection_id,
        vault.seal_secret(secret),
        ACTIVE_SECRETS,
    )
    return status.endswith(" 1")


async def delete(conn: database.Connection, connection_id: str) -> bool:
    """Close a connection; what came by it stays."""
    status = await conn.execute(
        "UPDATE connection SET deleted_at = now(), secrets = '{}' WHERE connection_id = $1 AND deleted_at IS NULL",
        connection_id,
    )
    return status.endswith(" 1")


def _connection(row: Any, vault: Vault) -> Connection:
    return Connection(
        connection_id=row["connection_id"],
        provider=row["provider"],
        name=row["name"],
        settings=row["settings"],
        secrets=[vault.open_secret(sealed) for sealed in row["secrets"]],
    )
