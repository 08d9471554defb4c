"""A small HTTP client that costs little beside what it measures: one connection a worker, bodies made beforehand."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """What came of a run of posts. Latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0


async def post_all(
    port: int, path: str, token: str, bodies: Sequence[bytes], *, connections: int, rate: float | None = None
) -> Load:
    """Post all bodies over so many connections; at `rate` a second when given, else as fast as they are answered."""
    load = Load()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    begin = time.perf_counter()
    fields = (f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Type: application/json")
    head = ("\r\n".join(fields) + "\r\n").encode()
    for number, body in enumerate(bodies):
        due = begin + number / rate if rate is not None else begin
        waiting.put_nowait((due, body))
    await asyncio.gather(*(_work(port, head, waiting, load) for _ in range(connections)))
    load.seconds = time.perf_counter() - begin
    return load


async def _work(port: int, head: bytes, waiting: "asyncio.Queue[tuple[float, bytes]]", load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not waiting.empty():
        due, body = waiting.get_nowait()
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        started = time.perf_counter()
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        status = await _answer(reader)
        load.latencies.append(time.perf_counter() - max(started, due))
        load.statuses[status] = load.statuses.get(status, 0) + 1
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    raw = await reader.readuntil(b"\r\n\r\n")
    lines = raw.split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0][9:12])


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile, 0 for nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
