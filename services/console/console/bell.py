"""Wakes whoever waits for changes, in every replica: NOTIFY after commits, and a poll behind it for what was missed."""

import asyncio
from typing import Any, Final

import asyncpg
import structlog

from backbone import database
from backbone.database import Database
from console import store_changes

CHANNEL: Final = "console_changes"
REST_S: Final = 0.01
POLL_S: Final = 0.25
RECONNECT_S: Final = 1.0
PATIENCE_S: Final = 5.0

log = structlog.get_logger()


class Bell:
    """Rings when something was committed, here or in another replica."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._committed = asyncio.Event()
        self._rung = asyncio.Event()
        self._seq = 0

    @property
    def seq(self) -> int:
        """Return the newest position that this process has heard of."""
        return self._seq

    def commit(self) -> None:
        """Say that this process has committed something."""
        self._committed.set()

    async def wait(self, after: int, timeout_s: float) -> None:
        """Return when there is something after this position, or when the time is over."""
        if self._seq > after:
            return
        rung = self._rung
        try:
            await asyncio.wait_for(rung.wait(), timeout_s)
        except TimeoutError:
            return

    def _hear(self, seq: int) -> None:
        if seq > self._seq:
            self._seq = seq
            self._rung.set()
            self._rung = asyncio.Event()

    async def run(self) -> None:
        """Notify, listen and poll; a lost connection is made anew."""
        while True:
            try:
                await self._ring()
            except Exception as error:
                if not database.is_transient(error):
                    raise
                log.info("streams wait for PostgreSQL", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_S)

    async def _ring(self) -> None:
        conn = await database.connect_single(self._db.url, name="console bell", idle_ms=0)
        heard = asyncio.Event()

        def listen(*_: Any) -> None:
            heard.set()

        try:
            await conn.add_listener(CHANNEL, listen)
            told = 0
            while True:
                async with asyncio.timeout(PATIENCE_S):
                    self._hear(await store_changes.last(conn))
                if self._committed.is_set():
                    self._committed.clear()
                    if self._seq > told:
                        told = self._seq
                        await conn.execute(f"NOTIFY {CHANNEL}")
                await self._rest(heard)
        finally:
            try:
                await conn.close(timeout=1)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                conn.terminate()

    async def _rest(self, heard: asyncio.Event) -> None:
        """Wait for a commit of ours or somebody's notice, at most for the poll's time, then at least for the rest."""
        waits = [asyncio.ensure_future(event.wait()) for event in (heard, self._committed)]
        try:
            await asyncio.wait(waits, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        await asyncio.sleep(REST_S)
        heard.clear()
