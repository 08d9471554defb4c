"""Who may sign in, who is signed in, and who tried in vain."""

from typing import Any

from backbone.database import Connection


async def account(conn: Connection, email: str) -> Any:
    """Return an account with its rep's name and zone, None for nobody's address."""
    return await conn.fetchrow(
        "SELECT a.email, a.password_hash, a.role, a.rep_id, a.name, r.value AS rep FROM account a"
        " LEFT JOIN rep r ON r.rep_id = a.rep_id WHERE a.email = $1",
        email,
    )


async def rep(conn: Connection, rep_id: str) -> bytes | None:
    """Return what is known of a rep."""
    value: bytes | None = await conn.fetchval("SELECT value FROM rep WHERE rep_id = $1", rep_id)
    return value


async def accounts(conn: Connection, after: str, limit: int) -> list[Any]:
    """List accounts by address."""
    rows: list[Any] = await conn.fetch(
        "SELECT email, name, role, rep_id, made_at FROM account WHERE email > $1 ORDER BY email LIMIT $2", after, limit
    )
    return rows


async def add(conn: Connection, email: str, name: str, role: str, rep_id: str | None, password_hash: str) -> bool:
    """Make an account; False when the address has one."""
    status = await conn.execute(
        "INSERT INTO account (email, name, role, rep_id, password_hash) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        email,
        name,
        role,
        rep_id,
        password_hash,
    )
    return status.endswith(" 1")


async def put(
    conn: Connection, email: str, name: str, role: str, rep_id: str | None, password_hash: str | None
) -> bool:
    """Change an account and end its sessions; False when there is none. Without a hash the password stays."""
    status = await conn.execute(
        "UPDATE account SET name = $2, role = $3, rep_id = $4, password_hash = coalesce($5, password_hash)"
        " WHERE email = $1",
        email,
        name,
        role,
        rep_id,
        password_hash,
    )
    await end_sessions(conn, email)
    return status.endswith(" 1")


async def remove(conn: Connection, email: str) -> bool:
    """Delete an account with its sessions."""
    return (await conn.execute("DELETE FROM account WHERE email = $1", email)).endswith(" 1")


# Sessions


async def open_session(conn: Connection, token_hash: bytes, email: str, life_s: int) -> None:
    """Sign an account in."""
    await conn.execute(
        "INSERT INTO session (token_hash, email, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))",
        token_hash,
        email,
        life_s,
    )


async def session(conn: Connection, token_hash: bytes) -> Any:
    """Return whose session it is, with the rep's row, None when it is over."""
    return await conn.fetchrow(
        "SELECT a.email, a.role, a.rep_id, a.name, r.value AS rep FROM session s JOIN account a USING (email)"
        " LEFT JOIN rep r ON r.rep_id = a.rep_id WHERE s.token_hash = $1 AND s.expires_at > now()",
        token_hash,
    )


async def close_session(conn: Connection, token_hash: bytes) -> None:
    """Sign out."""
    await conn.execute("DELETE FROM session WHERE token_hash = $1", token_hash)


async def end_sessions(conn: Connection, email: str) -> None:
    """Sign an account out everywhere."""
    await conn.execute("DELETE FROM session WHERE email = $1", email)


# Tries in vain


async def failures(conn: Connection, who: bytes, window_s: int) -> tuple[int, float]:
    """Return how often somebody failed within the window, and in how many seconds the oldest of these is forgotten."""
    row = await conn.fetchrow(
        "SELECT count(*), coalesce(extract(epoch FROM min(at) - now()) + $2, 0)::float FROM signin_failure"
        " WHERE who = $1 AND at > now() - make_interval(secs => $2)",
        who,
        window_s,
    )
    assert row is not None
    return row[0], row[1]


async def fail(conn: Connection, who: list[bytes]) -> None:
    """Note a try in vain."""
    await conn.execute("INSERT INTO signin_failure (who) SELECT unnest($1::bytea[])", who)


async def forgive(conn: Connection, who: bytes) -> None:
    """Forget the tries of somebody who signed in."""
    await conn.execute("DELETE FROM signin_failure WHERE who = $1", who)


async def sweep(conn: Connection, window_s: int) -> None:
    """Delete what is over."""
    await conn.execute("DELETE FROM session WHERE expires_at < now()")
    await conn.execute("DELETE FROM signin_failure WHERE at < now() - make_interval(secs => $1)", window_s)


async def zone(conn: Connection) -> str:
    """Return the zone that reports count in: people who are no rep read times in it."""
    return str(await conn.fetchval("SELECT coalesce((SELECT zone FROM reporting), 'UTC')"))
