"""What a consumer knows of its own lag, on a real broker."""

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from backbone import ids
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.testing import eventually
from backbone.testing.ledger import Ledger, touch
from backbone.testing.stage import Stage


class Slow(Ledger):
    """Says with each batch how far behind it is, and goes on when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()
        self.lags: list[tuple[float, float]] = []
        """By this loop's clock when, and what it was."""

    async def handle(self, conn: Connection, events: Sequence[Incoming]) -> None:
        assert self.consumer is not None
        self.lags.append((asyncio.get_running_loop().time(), max(self.consumer.lags.values(), default=math.inf)))
        await self.may_go_on.wait()
        await super().handle(conn, events)


@pytest.mark.parametrize("minutes", [-10, 0, 10])
async def test_how_old_what_waits_is_does_not_depend_on_whose_machine_is_right(start: Stage, minutes: int) -> None:
    book, lead, clock = Slow(), ids.new(), asyncio.get_running_loop().time
    actor = await start.bare("routing", book.compose)
    sent_at = datetime.now(UTC) + timedelta(minutes=minutes)

    async def is_known() -> None:
        await start.publish("intake", [touch(lead, "before")], sent_at=sent_at)
        await actor.settled()
        assert math.isfinite(book.lags[-1][1])

    async def batches(count: int) -> None:
        assert len(book.lags) >= count

    book.may_go_on.set()
    await eventually(is_known)
    book.may_go_on.clear()
    before = len(book.lags)
    await start.publish("intake", [touch(lead, "first")], sent_at=sent_at)
    await eventually(lambda: batches(before + 1))
    published_s = clock()
    await start.publish("intake", [touch(lead, "second")], sent_at=sent_at)
    before = len(book.lags)
    book.may_go_on.set()
    await eventually(lambda: batches(before + 1))
    await actor.settled()
    begun_s, lag_seconds = book.lags[-1]
    # It has waited for the first one at least, and for nothing like ten minutes.
    assert begun_s - published_s <= lag_seconds < timedelta(minutes=5).total_seconds()

    async def nothing_waits() -> None:
        assert book.consumer is not None
        assert not any(book.consumer.lags.values())

    await eventually(nothing_waits)
