"""Where topics end: asked over a connection of its own.

Over the one that reads, a question waits behind the fetch that waits for more to come, up to half a second.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from backbone import kafka
from backbone.settings import ServiceSettings


class Ends:
    """Connects with the first question; `close` ends the connection."""

    def __init__(self, settings: ServiceSettings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._all = [kafka.Partition(topic, number) for topic in topics for number in range(settings.partitions)]
        self._client: kafka.Client | None = None
        self._connecting = asyncio.Lock()

    async def read(
        self, of: Collection[kafka.Partition] | None = None, *, before: datetime | None = None
    ) -> Mapping[kafka.Partition, int]:
        """Return where partitions (None: all) end now, or with what was sent before an instant.

        The topics have to exist. KafkaError while Kafka is away.
        """
        asked = self._all if of is None else list(of)
        client = await self._connected()
        if before is None:
            return dict(await client.end_offsets(asked))
        since = dict.fromkeys(asked, int(before.timestamp() * 1000))
        ends, found = await asyncio.gather(client.end_offsets(asked), client.offsets_for_times(since))
        return {one: found[one].offset if found[one] is not None else ends[one] for one in asked}

    async def kept(self, of: Collection[kafka.Partition]) -> Mapping[kafka.Partition, tuple[int, int]]:
        """Return the first offset that each of the partitions still has, and the one that the next record gets."""
        if not of:
            return {}
        client = await self._connected()
        begins, ends = await asyncio.gather(client.beginning_offsets(list(of)), client.end_offsets(list(of)))
        return {one: (begins[one], ends[one]) for one in of}

    async def close(self) -> None:
        """End the connection, if there is one."""
        async with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            await kafka.stop(client.stop())

    async def _connected(self) -> kafka.Client:
        async with self._connecting:
            if self._client is None:
                client = kafka.consumer(self._settings, group=None)
                try:
                    await client.start()
                except BaseException:
                    await kafka.stop(client.stop())
                    raise
                # It knows the leaders of what it is assigned, and fetches nothing of what is paused.
                client.assign(self._all)
                client.pause(*self._all)
                self._client = client
            return self._client
