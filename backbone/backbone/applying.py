"""Applies what was read, however often it takes.

Faults of the database are waited out. A batch that fails for another reason is split until the record that fails is
alone; that one is parked, and when there are too many of them the group stands still until a person has looked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from backbone import batches, database, kafka, parking, telemetry
from backbone.batches import Batches, Displaced
from backbone.database import Connection, Database
from backbone.envelope import Poison

TRIES_ALONE: Final = 3
FIRST_BACKOFF_S: Final = 0.1
LONGEST_BACKOFF_S: Final = 2.0
HALT_POLL_S: Final = 1.0
FRAMES: Final = 3

log = structlog.get_logger()


class Ending(Exception):
    """The process is to end while something is waited for."""


class Applier:
    """Applies for one member of a group."""

    def __init__(self, db: Database, of_group: Batches, *, stopping: asyncio.Event) -> None:
        self.batches = of_group
        self.positions: dict[kafka.Partition, int] = {}
        """The next offset of each partition that this member owns, as stored in the database."""
        self.halted = False
        self._db = db
        self._stopping = stopping

    async def apply(self, records: Sequence[Any]) -> None:
        """Apply records in order. Displaced when they turn out not to be ours, Ending when the process is to end."""
        failures = 0
        backoff = FIRST_BACKOFF_S
        while True:
            try:
                await self._commit(lambda conn: self.batches.apply(conn, records, self.positions), records)
                return
            except (Displaced, Ending):
                raise
            except Exception as error:
                if database.is_transient(error):
                    log.warning("the database is not at hand", reason=type(error).__name__, rest_seconds=backoff)
                    await self.rest(backoff)
                    if self._stopping.is_set():
                        raise Ending from error
                    backoff = min(backoff * 2, LONGEST_BACKOFF_S)
                    continue
                failures += 1
                if len(records) > 1:
                    middle = len(records) // 2
                    await self.apply(records[:middle])
                    await self.apply(records[middle:])
                    return
                if isinstance(error, Poison) or failures >= TRIES_ALONE:
                    if batches.kind_of(records[0]) != batches.NEVER_PARKED:
                        await self._park(records[0], error)
                        return
                    await self._insist(error)

    async def _park(self, record: Any, error: Exception) -> None:
        reason = parking.reason_of(error)
        # Where it happened, and nothing of what an exception's text may carry.
        places = telemetry.where(error, FRAMES)
        log.error("a record is parked", reason=reason, topic=record.topic, partition=record.partition, where=places)
        await self.wait_while(_may_not_park)
        await self._commit(
            lambda conn: self.batches.park(conn, record, reason, self.positions), [record], patiently=True
        )
        telemetry.PARKED.labels(type(error).__name__).inc()

    async def _insist(self, error: Exception) -> None:
        """An erasure that fails is tried until it succeeds; it holds everything up, so that somebody looks."""
        log.error("an erasure fails, and is tried again", where=telemetry.where(error, FRAMES))
        self._set_halted(True)
        await self.rest(HALT_POLL_S)
        self._set_halted(False)
        if self._stopping.is_set():
            raise Ending from error

    async def wait_while(self, holds: Callable[[Connection, str], Awaitable[bool]]) -> None:
        """Stand still, not ready, until a person has acted. Ending when the process is to end before."""
        while await self.patiently(lambda conn: holds(conn, self.batches.group)):
            self._set_halted(True)
            log.error("too many leads were parked within a minute: see `handoff parked list`, then resume")
            await self.rest(HALT_POLL_S)
            if self._stopping.is_set():
                raise Ending
        self._set_halted(False)

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond the process's end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _set_halted(self, halted: bool) -> None:
        self.halted = halted
        telemetry.HALTED.labels(self.batches.group).set(halted)

    async def _commit(
        self, act: Callable[[Connection], Awaitable[None]], records: Sequence[Any], *, patiently: bool = False
    ) -> None:
        if patiently:
            await self.patiently(act)
        else:
            async with self._db.transaction() as conn:
                await act(conn)
        for record in records:
            self.positions[kafka.Partition(record.topic, record.partition)] = record.offset + 1

    async def patiently(self, act: Callable[[Connection], Awaitable[Any]]) -> Any:
        """Do `act` in a transaction until the database lets it; other faults than the database's rise."""
        while True:
            try:
                return await self._db.run(act)
            except Exception as error:
                if not database.is_transient(error):
                    raise
                await self.rest(LONGEST_BACKOFF_S / 4)
                if self._stopping.is_set():
                    raise Ending from error


async def _may_not_park(conn: Connection, group: str) -> bool:
    return not await parking.may_park(conn, group)
