"""Definitions with their versions and signatures.

A version is in force from `active_from` until `active_until`, when the next one of its name takes over.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from qualification import definitions
from qualification.rules import Definition


class Compiled:
    """Compiled definitions by version; a version never changes, so it is compiled once a process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Definition] = {}

    async def active(self, conn: Connection) -> list[Definition]:
        """Return the definitions in force now, as this transaction sees them."""
        return (await self.now(conn))[1]

    async def now(self, conn: Connection) -> tuple[datetime, list[Definition]]:
        """Return the database's time and the definitions in force, in one question: every batch asks both."""
        row = await conn.fetchrow(
            "SELECT clock_timestamp(), array_agg(name ORDER BY name, version),"
            " array_agg(version ORDER BY name, version) FROM definition WHERE state = 'active' AND active_from <= now()"
            " AND (active_until IS NULL OR active_until > now())"
        )
        assert row is not None
        found = zip(row[1] or (), row[2] or (), strict=True)
        return row[0], [await self.version(conn, name, version) for name, version in found]

    async def version(self, conn: Connection, name: str, version: int) -> Definition:
        """Return a version, compiled."""
        if (name, version) not in self._known:
            data = await conn.fetchval(
                "SELECT document FROM definition WHERE name = $1 AND version = $2", name, version
            )
            self._known[name, version] = definitions.build(name, version, data)
        return self._known[name, version]

    async def cited(self, conn: Connection, reference: str) -> Definition | None:
        """Return the version that a decision cites as name@version; None where it cites none."""
        name, _, version = reference.rpartition("@")
        return await self.version(conn, name, int(version)) if name and version.isdigit() else None


async def add(conn: Connection, name: str, text: str, document: Mapping[str, Any], by: str) -> int:
    """Keep a draft as the name's next version."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('definition ' || $1))", name)
    version: int = await conn.fetchval(
        "INSERT INTO definition (name, version, text, document, made_by)"
        " SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4 FROM definition WHERE name = $1 RETURNING version",
        name,
        text,
        dict(document),
        by,
    )
    return version


async def find(conn: Connection, name: str, version: int) -> Any:
    """Return a version with its text, locked against a change of state; None when there is none."""
    return await conn.fetchrow(
        "SELECT *, now() FROM definition WHERE name = $1 AND version = $2 FOR UPDATE", name, version
    )


async def page(conn: Connection, *, after: tuple[str, int], limit: int) -> list[Any]:
    """Return versions without their texts."""
    rows: list[Any] = await conn.fetch(
        "SELECT name, version, state, active_from, active_until, made_at, made_by, now() FROM definition"
        " WHERE (name, version) > ($1, $2) ORDER BY name, version LIMIT $3",
        after[0],
        after[1],
        limit,
    )
    return rows


async def signatures(conn: Connection, name: str, version: int) -> list[Any]:
    """Return who signed or refused."""
    rows: list[Any] = await conn.fetch(
        "SELECT party, signer, decision, comment, at FROM signature WHERE name = $1 AND version = $2 ORDER BY party",
        name,
        version,
    )
    return rows


async def sign(
    conn: Connection, name: str, version: int, *, party: str, signer: str, decision: str, comment: str | None
) -> None:
    """Record one party's decision; a later one replaces it."""
    await conn.execute(
        "INSERT INTO signature (name, version, party, signer, decision, comment) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (name, version, party) DO UPDATE SET signer = excluded.signer, decision = excluded.decision,"
        " comment = excluded.comment, at = now()",
        name,
        version,
        party,
        signer,
        decision,
        comment,
    )


async def lock(conn: Connection, name: str) -> None:
    """Let versions of a name come and go one after the other; before any of them is looked at."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('definition ' || $1))", name)


async def activate(conn: Connection, name: str, version: int, at: datetime, *, began_at: datetime) -> None:
    """Put a version in force from an instant on, at which the one before it ends.

    What was to begin later than this never does. One that is in force already began when it did: at `began_at`.
    """
    await conn.execute(
        "UPDATE definition SET state = 'retired', active_from = NULL, active_until = NULL"
        " WHERE name = $1 AND version <> $2 AND state = 'active' AND active_from >= $3",
        name,
        version,
        at,
    )
    await conn.execute(
        "UPDATE definition SET state = 'active', active_from = $3, active_until = NULL"
        " WHERE name = $1 AND version = $2",
        name,
        version,
        began_at,
    )
    await conn.execute(_FOLLOW, name)


async def retire(conn: Connection, name: str, version: int) -> None:
    """Take a version out of force. One that had not begun yet never does, and leaves the one before it in force."""
    await conn.execute(
        "UPDATE definition SET state = 'retired',"
        " active_from = CASE WHEN active_from <= now() THEN active_from END,"
        " active_until = CASE WHEN active_from <= now() THEN least(active_until, now()) END"
        " WHERE name = $1 AND version = $2 AND state <> 'retired'",
        name,
        version,
    )
    await conn.execute(_FOLLOW, name)


_FOLLOW: Final = """
UPDATE definition d SET active_until = o.next FROM (
    SELECT version, lead(active_from) OVER (ORDER BY active_from) AS next
    FROM definition WHERE name = $1 AND state = 'active'
) o WHERE d.name = $1 AND d.version = o.version AND (d.active_until IS NULL OR d.active_until > now())
"""
"""Of those that are in force or will be: each until the next one takes over. What is over stays so."""
