"""A small HTTP client that costs little beside what it measures: a few connections, bodies made beforehand."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

PATIENCE_S = 120.0


class Answer(msgspec.Struct):
    """What both designs answer a lead with."""

    lead_id: str


@dataclass(slots=True)
class Load:
    """What came of a run of posts. Latencies are seconds from the moment a post was due."""

    latencies: list[float] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    """When each lead was due, by its id, in seconds since the epoch."""
    refused: int = 0


@dataclass(frozen=True)
class Door:
    """Where leads are posted to."""

    port: int
    path: str
    token: str = ""

    @cached_property
    def head(self) -> bytes:
        """Return the request line and the fields that are the same each time."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return ("\r\n".join(lines) + "\r\n").encode()


async def post_all(
    door: Door, bodies: Sequence[bytes], load: Load, *, connections: int, rate: float | None = None
) -> None:
    """Post every body: at `rate` a second whether or not answers come, else as fast as they are answered."""
    begin, epoch = time.perf_counter(), time.time()
    waiting = iter(enumerate(bodies))

    async def work() -> None:
        line = await _Line.open(door)
        for number, body in waiting:
            # A late post is measured from when it was due: a stall must not hide the requests that it held back.
            due = begin + number / rate if rate is not None else time.perf_counter()
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            status, content = await asyncio.wait_for(line.post(body), PATIENCE_S)
            load.latencies.append(time.perf_counter() - due)
            if status != 202:
                load.refused += 1
            elif rate is not None:
                load.due[msgspec.json.decode(content, type=Answer).lead_id] = epoch + (due - begin)
        line.writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))


@dataclass(slots=True)
class _Line:
    """One connection, which the server may close while nothing is asked on it."""

    door: Door
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, door: Door) -> "_Line":
        return cls(door, *await asyncio.open_connection("127.0.0.1", door.port))

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Return status and content of the answer."""
        try:
            return await self._exchange(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.writer.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.door.port)
        try:
            return await self._exchange(body)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("a server closes its connections without an answer") from error

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        self.writer.write(self.door.head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
        return int(lines[0][9:12]), await self.reader.readexactly(length)


def lead_bodies(count: int, tag: str) -> list[bytes]:
    """Return so many leads, all of them worth a rep's time."""
    return [
        msgspec.json.encode(
            {
                "email": f"{tag}.{number}@acme{number % 97}.com",
                "company": "Acme",
                "employees": 800,
                "attributes": {"current_tool": "a spreadsheet"},
            }
        )
        for number in range(count)
    ]


def since(armed: Mapping[str, float], due: Mapping[str, float]) -> list[float]:
    """Return the seconds from each lead's due moment to the commit of its clock."""
    return [armed[lead_id] - at for lead_id, at in due.items() if lead_id in armed]
