"""How far a consumer is, as tools see it: the lag in our metrics, and the offsets that Kafka is told now and then.

Nothing of ours reads either, or waits for it: a consumer's own offsets are in its database.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from backbone import kafka, telemetry

NOTE_EVERY_S: Final = 0.2
HINT_EVERY_S: Final = 2.0


class Progress:
    """Of one consumer's client."""

    def __init__(self) -> None:
        self._lag_seconds = 0.0
        self._applies_since: float | None = None
        """When the oldest of the records was sent that are being applied now, by this loop's clock."""
        self._noted_at = 0.0
        self._hinted_at = 0.0
        self._hint: asyncio.Task[None] | None = None

    @property
    def lag_seconds(self) -> float:
        """Age of the records that are being applied, or were last while more waited; else 0."""
        if self._applies_since is None:
            return self._lag_seconds
        return max(self._lag_seconds, asyncio.get_running_loop().time() - self._applies_since)

    def begin(self, records: Sequence[Any]) -> None:
        """Say that these records are being applied, however long that takes."""
        self._applies_since = asyncio.get_running_loop().time() - _age_s(records)

    def note(self, client: kafka.Client, positions: Mapping[kafka.Partition, int], applied: Sequence[Any]) -> None:
        """Say how much waits behind the records just applied, and tell Kafka; while nothing waits, now and then."""
        now = asyncio.get_running_loop().time()
        self._applies_since = None
        if not self._lag_seconds and now - self._noted_at < NOTE_EVERY_S:
            return
        self._noted_at = now
        behind = 0
        for partition in positions.keys() & client.assignment():
            end = client.highwater(partition)
            if end is not None:
                lag = max(0, end - positions[partition])
                behind += lag
                telemetry.LAG.labels(partition.topic, partition.partition).set(lag)
        self._lag_seconds = _age_s(applied) if behind else 0.0
        if now - self._hinted_at < HINT_EVERY_S or (self._hint is not None and not self._hint.done()):
            return
        self._hinted_at = now
        self._hint = asyncio.create_task(_tell(client, dict(positions)))

    def forget(self, gone: Iterable[kafka.Partition]) -> None:
        """Take partitions out of the metrics that somebody else reads from now on."""
        for partition in gone:
            with contextlib.suppress(KeyError):
                telemetry.LAG.remove(partition.topic, str(partition.partition))

    async def stop(self) -> None:
        """Stop telling."""
        self._applies_since = None
        if self._hint is not None:
            self._hint.cancel()
            await asyncio.gather(self._hint, return_exceptions=True)
            self._hint = None


def _age_s(records: Sequence[Any]) -> float:
    oldest: int = min(record.timestamp for record in records)
    return max(0.0, time.time() - oldest / 1000)


async def _tell(client: kafka.Client, positions: dict[kafka.Partition, int]) -> None:
    try:
        await asyncio.wait_for(client.commit(positions), kafka.STOP_TIMEOUT_S)
    except (kafka.KafkaError, TimeoutError, OSError):
        return
