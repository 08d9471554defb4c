"""PostgreSQL: transactions that commit once and then wake the relay, and which failures are worth another try."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
import msgspec
import structlog

from backbone import pending

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
T = TypeVar("T")

LOCK_TIMEOUT_MS: Final = 2_000
IDLE_IN_TRANSACTION_MS: Final = 3_000
STATEMENT_TIMEOUT_MS: Final = 30_000
ACQUIRE_TIMEOUT_S: Final = 2.0
TRIES: Final = 3
RETRY_REST_S: Final = 0.05
CLOSE_PATIENCE_S: Final = 0.1

_RETRIED_STATES: Final = ("40001", "40P01", "55P03")
_TRANSIENT_STATES: Final = (*_RETRIED_STATES, "25P03")
_TRANSIENT_CLASSES: Final = ("08", "53", "57")

log = structlog.get_logger()


def is_transient(error: BaseException) -> bool:
    """Say whether the same work may succeed later: the fault is the database's or another transaction's."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _TRANSIENT_STATES or state[:2] in _TRANSIENT_CLASSES
    if isinstance(error, asyncpg.InterfaceError):
        # Client-side misuse has the same class as a lost connection; only the words tell them apart.
        return not isinstance(error, ValueError) and ("clos" in str(error) or "another operation" in str(error))
    return isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError)


def _was_a_collision(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _RETRIED_STATES


class Database:
    """A pool of connections to one service's own database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", url: str) -> None:
        self.pool = pool
        self.url = url
        self.after_commit: list[Callable[[], None]] = []
        self.after_events: list[Callable[[], None]] = []
        """Called after a commit that brought events."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction; commits at exit, rolls back on any exception, wakes who waits for commits.

        At its end what it gathered of subjects and events is written (`pending`).
        """
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn:
            gathered = pending.begin(conn)
            try:
                async with conn.transaction():
                    yield conn
                    await gathered.write(conn)
            finally:
                pending.end(conn)
        for wake in (*self.after_commit, *(self.after_events if gathered.publishes else ())):
            wake()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Borrow a connection without a transaction."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn:
            yield conn

    async def run(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `act` in a transaction; a collision with another transaction is tried again, three times in all."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self.transaction() as conn:
                    return await act(conn)
            except asyncpg.PostgresError as error:
                if attempt == TRIES or not _was_a_collision(error):
                    raise
                await asyncio.sleep(RETRY_REST_S * attempt)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close every connection; one that a cancelled task left in the middle of something is cut."""
        try:
            await asyncio.wait_for(self.pool.close(), CLOSE_PATIENCE_S)
        except TimeoutError:
            self.pool.terminate()


async def _prepare(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder()

    def encode(value: Any) -> bytes:
        return b"\x01" + encoder.encode(value)

    def decode(data: bytes) -> Any:
        return decoder.decode(data[1:])

    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=encode, decoder=decode, format="binary")


async def _keep(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing to reset: our code leaves no session state, and the default reset is a round trip each time."""


def server_settings(name: str) -> dict[str, str]:
    """Return the limits that every connection carries."""
    return {
        "application_name": name,
        "timezone": "UTC",
        "jit": "off",
        # What is asked for by key is in memory or on flash: at the server's default of 4 a batch scanned whole tables.
        "random_page_cost": "1.1",
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
    }


async def connect(url: str, *, name: str, size: int = 10, idle_ms: int = IDLE_IN_TRANSACTION_MS) -> Database:
    """Open a pool; OSError or PostgresError when the database is away.

    The server ends a transaction that has asked nothing for `idle_ms`, 0: never.
    """
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        init=_prepare,
        reset=_keep,
        max_inactive_connection_lifetime=0,  # A new one asks the server about its types, which costs 20 ms.
        timeout=5,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000,
        server_settings={**server_settings(name), "idle_in_transaction_session_timeout": str(idle_ms)},
    )
    return Database(pool, url)


async def connect_single(url: str, *, name: str, idle_ms: int) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection of its own; the server ends it when it has asked nothing for `idle_ms`, 0: never."""
    idle = {"idle_session_timeout": str(idle_ms), "idle_in_transaction_session_timeout": str(idle_ms)}
    limits = {**server_settings(name), **idle}
    conn = await asyncpg.connect(url, timeout=5, server_settings=limits)
    await _prepare(conn)
    return conn


async def connect_patiently(url: str, *, name: str, size: int, patience_s: float) -> Database:
    """Open a pool, waiting up to `patience_s` for the server to come."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await connect(url, name=name, size=size)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            if not is_transient(error) or asyncio.get_running_loop().time() > deadline:
                raise
            log.info("waiting for PostgreSQL", reason=type(error).__name__)
            await asyncio.sleep(0.5)
