"""A consumer's process that sends itself a signal at a named step of its first batch.

Run as `python -m tests.failures.victim '{"step": …, "signal": …, "settings": {…}}'`; it is built of what every service
is built of, and the steps are reached through its own subclasses: nothing in backbone knows of them.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from backbone import pending, process, relay, telemetry
from backbone.batches import Batches
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.settings import ServiceSettings
from backbone.testing.ledger import Ledger

FETCHED: Final = "the batch is fetched"
OFFSETS_SET: Final = "the offsets are set"
STATE_WRITTEN: Final = "the state is written"
BEFORE_COMMIT: Final = "everything but the commit is done"
COMMITTED: Final = "the batch is committed, and nothing else"
ACKNOWLEDGED: Final = "the broker has the events, the outbox too"


class Fate:
    """Strikes once."""

    def __init__(self, step: str, number: int) -> None:
        self._step, self._number = step, number
        self.applied = False

    def reach(self, step: str) -> None:
        """Say that the process is here."""
        if step == self._step:
            self._step = ""
            os.kill(os.getpid(), self._number)


@dataclass(frozen=True, kw_only=True)
class Doomed(Batches):
    """The transaction of a batch, with steps."""

    fate: Fate

    async def apply(self, conn: Connection, records: Sequence[Any], believed: Mapping[Any, int]) -> None:
        self.fate.reach(FETCHED)
        await Batches.apply(self, conn, records, believed)
        self.fate.applied = True

    async def _take(self, conn: Connection, *given: Any) -> None:
        await Batches._take(self, conn, *given)
        self.fate.reach(OFFSETS_SET)


def composed(fate: Fate) -> process.Compose[ServiceSettings]:
    """Return a ledger that meets its fate."""
    book = Ledger()

    async def handle(conn: Connection, events: Sequence[Incoming]) -> None:
        await book.handle(conn, events)
        fate.reach(STATE_WRITTEN)

    def committed() -> None:
        if fate.applied:
            fate.reach(COMMITTED)

    async def compose(service: process.Service[ServiceSettings]) -> None:
        await book.compose(service)
        assert book.consumer is not None
        known = {one.name: getattr(book.consumer.applier.batches, one.name) for one in fields(Batches)}
        book.consumer.applier.batches = Doomed(**{**known, "handle": handle}, fate=fate)
        service.database.after_commit.insert(0, committed)
        _watch_the_writing(fate)
        _watch_the_relay(fate.reach)

    return compose


def _watch_the_writing(fate: Fate) -> None:
    write = pending.Pending.write

    async def watched(self: pending.Pending, conn: Connection) -> None:
        await write(self, conn)
        if fate.applied:
            fate.reach(BEFORE_COMMIT)

    pending.Pending.write = watched  # type: ignore[method-assign]


def _watch_the_relay(reach: Callable[[str], None]) -> None:
    send = relay.Relay._send

    async def watched(self: relay.Relay, producer: Any, rows: Any) -> None:
        await send(self, producer, rows)
        reach(ACKNOWLEDGED)

    relay.Relay._send = watched  # type: ignore[method-assign]


async def live(settings: ServiceSettings, fate: Fate) -> None:
    """Run until SIGTERM, or until the end."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    listener = socket.create_server(("127.0.0.1", 0))
    async with process.running("routing", settings, composed(fate), listener=listener, stopping=stopping):
        await stopping.wait()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    telemetry.configure_logs("victim", "INFO")
    asyncio.run(live(ServiceSettings(**given["settings"]), Fate(given["step"], given["signal"])))
