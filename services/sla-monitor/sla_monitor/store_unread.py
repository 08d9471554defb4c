"""Up to when partitions are read in which more waits, as whoever reads them said."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from backbone import kafka
from backbone.database import Connection

LONGEST_S: Final = 1e9
"""For how long a partition may have waited of which nobody knows: thirty years."""


async def tell(conn: Connection, lags: Mapping[kafka.Partition, float], read: Collection[kafka.Partition]) -> None:
    """Say how old, in seconds, what waits in some partitions may be, and that others are read."""
    late = sorted(lags.items())
    await conn.execute(
        "INSERT INTO unread (topic, partition, as_of, told_at)"
        " SELECT topic, partition, now() - make_interval(secs => lag), now()"
        " FROM unnest($1::text[], $2::int[], $3::float8[]) AS v(topic, partition, lag)"
        " ON CONFLICT (topic, partition) DO UPDATE SET as_of = excluded.as_of, told_at = excluded.told_at",
        [one.topic for one, _ in late],
        [one.partition for one, _ in late],
        [min(lag, LONGEST_S) for _, lag in late],
    )
    await conn.execute(
        "DELETE FROM unread u USING unnest($1::text[], $2::int[]) AS v(topic, partition)"
        " WHERE u.topic = v.topic AND u.partition = v.partition",
        [one.topic for one in read],
        [one.partition for one in read],
    )


async def load(conn: Connection, told_within: timedelta) -> dict[kafka.Partition, datetime]:
    """Return up to when partitions are read in which more waits, by what was said of them since."""
    rows = await conn.fetch(
        "SELECT topic, partition, as_of FROM unread WHERE told_at > now() - $1::interval", told_within
    )
    return {kafka.Partition(row["topic"], row["partition"]): row["as_of"] for row in rows}
