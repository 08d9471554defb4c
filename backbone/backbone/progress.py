"""How far a consumer is: its lag, in our metrics too, and the offsets that Kafka is told now and then.

Nothing of ours reads those, or waits for them: a consumer's own offsets are in its database.
"""

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backbone import kafka, telemetry

NOTE_EVERY_S: Final = 0.2
HINT_EVERY_S: Final = 2.0


@dataclass(slots=True)
class Applied:
    """How far a partition is applied, told without a record's own time: machines' clocks differ by minutes."""

    as_of: float = -math.inf
    """When it was that nothing of what Kafka had then was left to apply, by this loop's clock. Unknown at first."""
    end: int = 0
    """What has to be applied for that to be `heard_at`."""
    heard_at: float = -math.inf

    def note(self, position: int, end: int, heard_at: float) -> None:
        """Say what is applied, and where Kafka said last that the partition ends."""
        if position >= self.end:
            self.as_of, self.end, self.heard_at = self.heard_at, end, heard_at
        if position >= end:
            self.as_of = heard_at


class Progress:
    """Of one consumer's client."""

    def __init__(self) -> None:
        self._applied: defaultdict[kafka.Partition, Applied] = defaultdict(Applied)
        self._applying = False
        self._waits: dict[kafka.Partition, bool] = {}
        """Whether more waits in each partition, where that is known."""
        self._noted_at = 0.0
        self._hinted_at = 0.0
        self._hint: asyncio.Task[None] | None = None

    def lags(self, *, stands_still: bool) -> dict[kafka.Partition, float]:
        """Return how old, in seconds, what waits in each partition may be at most: 0 where nothing waits.

        Infinite where it is not known since when; left out where it is not known whether anything waits. While
        something is being applied, the rest may wait for that. While the group stands still, what waits is left out:
        nobody reads, and it is not said to be older for that.
        """
        now = asyncio.get_running_loop().time()
        if self._applying:
            return {partition: now - self._applied[partition].as_of for partition in self._waits}
        waiting = {partition for partition, waits in self._waits.items() if waits}
        late = {} if stands_still else {partition: now - self._applied[partition].as_of for partition in waiting}
        return {**dict.fromkeys(self._waits.keys() - waiting, 0.0), **late}

    def begin(self) -> None:
        """Say that records are being applied, however long that takes."""
        self._applying = True

    def note(self, client: kafka.Client, positions: Mapping[kafka.Partition, int]) -> None:
        """Say that nothing is being applied now, and up to where everything is; while nothing waits, now and then."""
        now = asyncio.get_running_loop().time()
        self._applying = False
        if not any(self._waits.values()) and now - self._noted_at < NOTE_EVERY_S:
            return
        self._noted_at = now
        self._waits = {}
        for partition in positions.keys() & client.assignment():
            end = client.highwater(partition)
            if end is None:
                continue
            lag = max(0, end - positions[partition])
            telemetry.LAG.labels(partition.topic, partition.partition).set(lag)
            self._waits[partition] = lag > 0
            # Both by this machine's clock: how wrong it is makes no difference.
            ago_s = max(0.0, time.time() - client.last_poll_timestamp(partition) / 1000)
            self._applied[partition].note(positions[partition], end, now - ago_s)

    def tell(self, client: kafka.Client, positions: Mapping[kafka.Partition, int]) -> None:
        """Tell Kafka now and then what is applied."""
        now = asyncio.get_running_loop().time()
        if now - self._hinted_at < HINT_EVERY_S or (self._hint is not None and not self._hint.done()):
            return
        self._hinted_at = now
        self._hint = asyncio.create_task(_tell(client, dict(positions)))

    def forget(self, gone: Iterable[kafka.Partition]) -> None:
        """Take partitions out of the metrics that somebody else reads now; what waits in the others is seen anew."""
        self._waits = {}
        for partition in gone:
            self._applied.pop(partition, None)
            with contextlib.suppress(KeyError):
                telemetry.LAG.remove(partition.topic, str(partition.partition))

    async def stop(self) -> None:
        """Stop telling."""
        self._applying = False
        if self._hint is not None:
            self._hint.cancel()
            await asyncio.gather(self._hint, return_exceptions=True)
            self._hint = None


async def _tell(client: kafka.Client, positions: dict[kafka.Partition, int]) -> None:
    try:
        await asyncio.wait_for(client.commit(positions), kafka.STOP_TIMEOUT_S)
    except (kafka.KafkaError, TimeoutError, OSError):
        return
