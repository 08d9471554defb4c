"""Policies in force with their signatures, and the calendars that they name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backbone.database import Connection
from sla_monitor import policies
from sla_monitor.agreement import NO_POLICY, Policy
from sla_monitor.domain import FOR_EVER
from sla_monitor.hours import Calendars, Named

PARTIES: Final = ("marketing", "sales")


_NEWEST: Final = """
SELECT 'policy' AS what, name, max(version) AS version FROM policy GROUP BY name
UNION ALL SELECT 'calendar', name, max(version) FROM calendar GROUP BY name
UNION ALL SELECT 'zone', zone, zone_version FROM setting
ORDER BY what, name
"""


class Policies:
    """Policies in force and the calendars that they name, each made once a version."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Policy] = {}
        self._built_in = policies.built_in()
        self._calendars = Calendars()
        self._calendars_are: tuple[Any, ...] = ()

    async def in_force(self, conn: Connection, now: datetime) -> tuple[list[Policy], Calendars]:
        """Return the newest version of each name, or the built-in one while there is none; and the calendars."""
        rows = await conn.fetch(_NEWEST)
        found = [await self._version(conn, row["name"], row["version"]) for row in rows if row["what"] == "policy"]
        (zone,) = ((row["name"], row["version"]) for row in rows if row["what"] == "zone")
        wanted = (now.year, zone, *((row["name"], row["version"]) for row in rows if row["what"] == "calendar"))
        if wanted != self._calendars_are:
            # The transaction may see a newer one by now; then it is the next batch that notes it.
            self._calendars, self._calendars_are = Calendars(await versions(conn), now.year, zone), wanted
        return found or [self._built_in], self._calendars

    async def of(self, conn: Connection, reference: str) -> Policy:
        """Return the version that a fact or a clock cites, in force or not."""
        for made in (self._built_in, NO_POLICY):
            if reference == made.reference:
                return made
        name, _, version = reference.rpartition("@")
        return await self._version(conn, name, int(version))

    async def _version(self, conn: Connection, name: str, version: int) -> Policy:
        if (name, version) not in self._known:
            data = await conn.fetchval("SELECT document FROM policy WHERE name = $1 AND version = $2", name, version)
            self._known[name, version] = policies.build(name, version, data)
        return self._known[name, version]


async def in_force(conn: Connection) -> list[Any]:
    """Return name and version of each policy in force, in the order in which they are asked."""
    rows: list[Any] = await conn.fetch(
        "SELECT * FROM (SELECT DISTINCT ON (name) name, version, coalesce((document ->> 'order')::numeric, 1) AS place"
        " FROM policy ORDER BY name, version DESC) AS newest ORDER BY place, name"
    )
    return rows


async def zone(conn: Connection) -> str:
    """Return the company's time zone."""
    named: str = await conn.fetchval("SELECT zone FROM setting")
    return named


async def of_order(conn: Connection, order: float, *, but: str) -> list[str]:
    """Return the names of the policies in force that are asked in the same place as one that is put."""
    return [row["name"] for row in await in_force(conn) if row["place"] == order and row["name"] != but]


async def add(conn: Connection, name: str, text: str, document: Mapping[str, Any], made_by: str) -> int:
    """Keep the next version of a policy and return its number."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('policy ' || $1))", name)
    version: int = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy WHERE name = $1", name)
    await conn.execute(
        "INSERT INTO policy (name, version, text, document, made_by) VALUES ($1, $2, $3, $4, $5)",
        name,
        version,
        text,
        document,
        made_by,
    )
    return version


async def sign(
    conn: Connection, name: str, version: int, party: str, signer: str, decision: str, comment: str | None
) -> None:
    """Keep a party's word; a later one replaces it."""
    await conn.execute(
        "INSERT INTO policy_signature (name, version, party, signer, decision, comment)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name, version, party) DO UPDATE SET"
        " signer = excluded.signer, decision = excluded.decision, comment = excluded.comment, at = now()",
        name,
        version,
        party,
        signer,
        decision,
        comment,
    )


async def signatures(conn: Connection, name: str, version: int) -> list[Any]:
    """Return what the parties said of a version."""
    rows: list[Any] = await conn.fetch(
        "SELECT party, signer, decision, comment, at FROM policy_signature WHERE name = $1 AND version = $2"
        " ORDER BY party",
        name,
        version,
    )
    return rows


async def unsigned_by(conn: Connection) -> list[str]:
    """Return which parties have not signed every policy in force; the built-in one nobody has."""
    rows = await conn.fetch(
        "WITH in_force AS (SELECT DISTINCT ON (name) name, version FROM policy ORDER BY name, version DESC)"
        " SELECT p.party FROM unnest($1::text[]) AS p(party) WHERE NOT EXISTS (SELECT FROM in_force) OR EXISTS"
        " (SELECT FROM in_force f WHERE NOT EXISTS (SELECT FROM policy_signature s WHERE s.name = f.name"
        " AND s.version = f.version AND s.party = p.party AND s.decision = 'sign')) ORDER BY p.party",
        list(PARTIES),
    )
    return [row[0] for row in rows]


async def calendars(conn: Connection) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return the newest version of each calendar: number, document."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (name) name, version, document FROM calendar ORDER BY name, version DESC"
    )
    return {row["name"]: (row["version"], row["document"]) for row in rows}


async def versions(conn: Connection, as_of: datetime = FOR_EVER) -> list[Named]:
    """Return since when calendars were what, by what was known at an instant; of before that, the first."""
    rows = await conn.fetch(
        "SELECT made_at, name, version, document FROM calendar WHERE made_at <= $1 OR version = 1"
        " ORDER BY name, version",
        as_of,
    )
    return [(row["made_at"], row["name"], row["version"], row["document"]) for row in rows]


async def add_calendar(conn: Connection, name: str, document: Mapping[str, Any]) -> int:
    """Keep the next version of a calendar and return its number."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('calendar ' || $1))", name)
    version: int = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM calendar WHERE name = $1", name)
    await conn.execute("INSERT INTO calendar (name, version, document) VALUES ($1, $2, $3)", name, version, document)
    return version
