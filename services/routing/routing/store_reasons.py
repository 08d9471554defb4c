"""The reason codes in force, as qualification told them."""

from collections.abc import Sequence

from backbone import reasons
from backbone.database import Connection


async def load(conn: Connection) -> frozenset[str]:
    """Return the codes in force: those shipped, until others are told."""
    return frozenset(row[0] for row in await conn.fetch("SELECT code FROM reason")) or frozenset(reasons.SHIPPED)


async def replace(conn: Connection, codes: Sequence[str]) -> None:
    """Put other codes in force."""
    await conn.execute("DELETE FROM reason")
    await conn.execute("INSERT INTO reason SELECT DISTINCT unnest($1::text[])", list(codes))
