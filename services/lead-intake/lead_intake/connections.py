"""Connections: a marketing tool's way in, with its secrets sealed and its settings checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from backbone import database, normal_forms
from backbone.problem import Pointer, Problem
from lead_intake import providers
from lead_intake.providers.shapes import OWN_FIELDS
from lead_intake.vaulting import Vault

REMEMBERED_S: Final = 0.25
"""How long a replica keeps a connection in memory: a change is answered after it, and is then in force on each."""
ACTIVE_SECRETS: Final = 2
"""During a rotation the old one is good for a while."""
SETTINGS: Final = frozenset({"default_source", "default_region", "mapping", "sealed_attributes"})
LATER: Final = frozenset(
    {"hubspot", "typeform", "meta", "google-ads", "linkedin", "calendly", "segment", "rudderstack", "marketo"}
    | {"salesforce-outbound", "web-to-lead"}
)
LONGEST_SOURCE: Final = 200


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
    wrong = [
        Pointer(f"/settings/{name}", words)
        for name, (is_right, words) in _RULES.items()
        if name in settings and not is_right(settings[name])
    ]
    if wrong or not _can_be_kept(settings):
        wrong = wrong or [Pointer("/settings", "contains a character that no text is kept with")]
        raise Problem(422, "Not valid", "Correct the settings that `errors` points at.", errors=wrong)


def _can_be_kept(settings: Mapping[str, Any]) -> bool:
    """Say whether JSON can be made of it that a database holds: no NUL, no half of a character."""
    try:
        return b"\\u0000" not in msgspec.json.encode(settings)
    except UnicodeEncodeError:
        return False


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in OWN_FIELDS and isinstance(path, str) and path for name, path in value.items()
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_source(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SOURCE and "\x00" not in value


def _is_region(value: Any) -> bool:
    return isinstance(value, str) and normal_forms.country(value) == value


_RULES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "mapping": (_is_mapping, "an object of field: path, with the fields of POST /v1/leads"),
    "sealed_attributes": (_is_names, "a list of names of attributes"),
    "default_source": (_is_source, f"a text of 1 to {LONGEST_SOURCE} characters"),
    "default_region": (_is_region, "ISO 3166-1 alpha-2, such as DE"),
}


def check_secret(provider: str, secret: str) -> None:
    """Refuse a secret that the provider's signatures cannot be made with."""
    if "\x00" in secret or not _can_be_kept({"secret": secret}) or not providers.PROVIDERS[provider].is_secret(secret):
        place = Pointer("/secret", "not of the form that this provider takes")
        raise Problem(422, "Not a secret", "Leave `secret` out, and one is made.", errors=[place])


def new_secret(provider: str) -> str:
    """Return a secret of 256 bits, as the provider writes them."""
    return providers.PROVIDERS[provider].new_secret()


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


async def every_id(conn: database.Connection) -> list[str]:
    """Return the ids of all connections, closed ones among them: what came by them stays."""
    return [row[0] for row in await conn.fetch("SELECT connection_id FROM connection")]


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
