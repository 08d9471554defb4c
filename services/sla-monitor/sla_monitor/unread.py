"""What waits to be read, as all instances know it: whoever fires a clock may be another than who reads of its lead.

An instance that is more than a second behind in a partition says up to when it has read it. Clocks of that partition's
leads that fall due after that wait, whoever fires them: a touch that waits in Kafka must not be a breach.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from backbone import kafka
from backbone.consumer import Consumer
from backbone.database import Connection, Database
from sla_monitor import raising, store_links, store_unread
from sla_monitor.store_clocks import Clock

TELL_EVERY_S: Final = 0.2


class Unread:
    """Of one instance: what it says to the others, and what they say."""

    def __init__(self, db: Database, consumer: Consumer, *, partitions: int, patience: timedelta) -> None:
        self._db, self._consumer, self._partitions = db, consumer, partitions
        self._patience = patience
        """How long after its instant a step waits at most, and how long what was said of a partition counts."""
        self.is_behind = False
        """Whether we are in any of our partitions."""
        self._said: Mapping[kafka.Partition, datetime] = {}
        self._tell_at = 0.0

    async def load(self, conn: Connection) -> None:
        """Learn what all instances say."""
        self._said = await store_unread.load(conn, self._patience)

    async def tell(self) -> None:
        """Say in which of our partitions we are behind, and which of those that somebody was behind in are read."""
        lags = self._consumer.lags
        late = {one: lag for one, lag in lags.items() if lag > raising.LATE_S}
        self.is_behind = bool(late)
        read = [one for one, lag in lags.items() if lag <= raising.LATE_S and one in self._said]
        now_s = asyncio.get_running_loop().time()
        if not read and (not late or now_s < self._tell_at):
            return
        self._tell_at = now_s + TELL_EVERY_S
        async with self._db.transaction() as conn:
            await store_unread.tell(conn, late, read)
            await self.load(conn)

    async def of(self, conn: Connection, due: Sequence[Clock], now: datetime) -> Sequence[Clock]:
        """Return those of these clocks that a fact may concern which waits to be read; not for ever."""
        read_up_to: dict[int, datetime] = {}
        for one, as_of in self._said.items():
            read_up_to[one.partition] = min(as_of, read_up_to.get(one.partition, as_of))
        asked = [clock for clock in due if now - raising.due_at(clock) < self._patience] if read_up_to else []
        if not asked:
            return ()
        members = await store_links.members(conn, {clock.lead_id for clock in asked})
        return [
            clock
            for clock in asked
            if any(
                read_up_to.get(kafka.partition_of(one.bytes, self._partitions), now) < raising.due_at(clock)
                for one in members[clock.lead_id]
            )
        ]
