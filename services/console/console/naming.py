"""Opens names after the batch that brought them: a lead shows at once, and its name follows.

Keys come from lead-intake, hundreds in a call. lead-intake being away delays names and nothing else.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import httpx
import msgspec
import structlog

from backbone import database, subjects, vault
from backbone.database import Connection, Database
from console import changing, store_changes, store_leads
from console.bell import Bell
from console.store_changes import NOBODY, Change

BATCH: Final = 500
REST_S: Final = 0.1
IDLE_S: Final = 1.0
AWAY_S: Final = 1.0

log = structlog.get_logger()

Opened = tuple[UUID, bytes, dict[str, Any] | None]


class Names:
    """Opens for ever."""

    def __init__(self, db: Database, keys: vault.KeyClient, bell: Bell) -> None:
        self._db = db
        self._keys = keys
        self._bell = bell

    async def run(self) -> None:
        """Open what is sealed, as it comes."""
        while True:
            seen = self._bell.seq
            try:
                opened = await self.open_some()
            except httpx.HTTPError as error:
                log.info("names follow when lead-intake answers", reason=type(error).__name__)
                await asyncio.sleep(AWAY_S)
                continue
            except Exception as error:
                if not database.is_transient(error):
                    raise
                await asyncio.sleep(AWAY_S)
                continue
            if opened:
                await asyncio.sleep(REST_S)
            else:
                await self._bell.wait(seen, IDLE_S)

    async def open_some(self) -> int:
        """Open at most a batch of names, and return how many were looked at."""
        async with self._db.reading() as conn:
            rows = await store_leads.to_open(conn, BATCH)
        if not rows:
            return 0
        keys = await self._keys.fetch({row["key_lead_id"] for row in rows})
        opened = [_open(row, keys.get(row["key_lead_id"])) for row in rows]
        await self._db.run(lambda conn: _keep(conn, opened))
        return len(rows)


def _open(row: Any, key: bytes | None) -> Opened:
    """Open one person; one whose key is destroyed, or that was sealed with another, has no name."""
    said = None
    if key is not None:
        try:
            said = vault.open_sealed(key, row["key_lead_id"], row["sealed"])
        except ValueError:
            log.warning("a person could not be opened", lead_id=str(row["lead_id"]))
        if b"\\u0000" in msgspec.json.encode(said):
            # Nothing that we take holds one, and the database cannot.
            said = None
    return row["lead_id"], row["sealed"], said if isinstance(said, dict) else None


async def _keep(conn: Connection, opened: Sequence[Opened]) -> None:
    """Keep names under their leads' locks, and tell the pages that show them."""
    leads = [lead_id for lead_id, _, _ in opened]
    await subjects.lock(conn, leads)
    assigned = await store_leads.assignments(conn, leads)
    changes = [
        Change(rep_id=changing.holder(assigned.get(lead)) or NOBODY, kind="lead", lead_id=lead, data={})
        for lead in leads
    ]
    first = await store_changes.take(conn, len(changes))
    await store_leads.keep_opened(conn, opened, first + len(changes) - 1)
    await store_changes.add(conn, changes, first)
