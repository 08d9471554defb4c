"""Machine keys, accounts and settings."""

from typing import Any
from uuid import UUID

from backbone.database import Connection


async def add_key(conn: Connection, key_id: UUID, name: str, role: str, key_hash: str, by: str) -> None:
    """Keep a key's hash."""
    await conn.execute(
        "INSERT INTO issued_key (key_id, name, role, key_hash, made_by) VALUES ($1, $2, $3, $4, $5)",
        key_id,
        name,
        role,
        key_hash,
        by,
    )


async def count_active(conn: Connection, name: str) -> int:
    """Return how many keys of the name are good, and keep others from adding one meanwhile."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('key ' || $1))", name)
    return int(await conn.fetchval("SELECT count(*) FROM issued_key WHERE name = $1 AND revoked_at IS NULL", name))


async def revoke_key(conn: Connection, key_id: UUID) -> bool:
    """Revoke a key; False when there is no such good one."""
    status = await conn.execute(
        "UPDATE issued_key SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL", key_id
    )
    return status.endswith(" 1")


async def keys(conn: Connection) -> list[Any]:
    """Return the keys that are good."""
    rows: list[Any] = await conn.fetch(
        "SELECT key_id, name, role, key_hash, made_at FROM issued_key WHERE revoked_at IS NULL ORDER BY key_id"
    )
    return rows


async def reporting(conn: Connection) -> dict[str, Any]:
    """Return how reports count, as it is set or by default."""
    row = await conn.fetchrow("SELECT zone, week_starts, base_currency, version FROM reporting")
    return dict(row) if row is not None else {"zone": "UTC", "week_starts": "mon", "base_currency": "USD", "version": 0}


async def knows_zone(conn: Connection, zone: str) -> bool:
    """Say whether databases can count in this zone; some names mean something to one machine alone."""
    known: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)", zone)
    return known


async def set_reporting(conn: Connection, zone: str, week_starts: str, base_currency: str) -> int:
    """Set how reports count and return the version."""
    return int(
        await conn.fetchval(
            "INSERT INTO reporting (zone, week_starts, base_currency, version) VALUES ($1, $2, $3, 1)"
            " ON CONFLICT (only_one) DO UPDATE SET zone = excluded.zone, week_starts = excluded.week_starts,"
            " base_currency = excluded.base_currency, version = reporting.version + 1 RETURNING version",
            zone,
            week_starts,
            base_currency,
        )
    )
