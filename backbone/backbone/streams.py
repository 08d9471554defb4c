"""Positions in what is read with `after=` or `Last-Event-ID`: commit order is position order."""

from backbone.database import Connection


async def take(conn: Connection, stream: str, count: int = 1) -> int:
    """Take `count` positions of a stream and return the first; the row stays locked until the commit.

    Take them last in the transaction: everything that is locked after waits for everybody who takes from the stream.
    """
    first: int = await conn.fetchval(
        "INSERT INTO stream_counter (stream, last) VALUES ($1, $2)"
        " ON CONFLICT (stream) DO UPDATE SET last = stream_counter.last + $2 RETURNING last - $2 + 1",
        stream,
        count,
    )
    return first
