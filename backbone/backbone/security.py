"""Who is calling: JWTs signed by the console and machine keys (hk_…), verified from our own database.

Keys are kept where the service runs and refreshed every four seconds, so that callers can be verified while the console
is away; a revocation takes five seconds at most. Every route states its role, or that it is public.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import asyncpg
import httpx
import jwt
import structlog
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from jwt.types import Options
from starlette.routing import BaseRoute, Mount, Route

from backbone import calling, clock
from backbone.database import Connection, Database
from backbone.problem import Problem
from backbone.tokens import ALGORITHM, ISSUER

ROLES: Final = ("admin", "manager", "rep", "sdr", "marketing", "integration", "service")
KEY_PREFIX: Final = "hk_"
REFRESH_EVERY_S: Final = 3.0
"""Together with the longest fetch five seconds: so long a revocation may take to be in force."""
FETCH_TIMEOUT_S: Final = 2.0
CALLED_FOR_REST_S: Final = 0.5
CALLER_PATIENCE_S: Final = 3.0
CACHED_CALLERS: Final = 10_000
CACHED_FOR_S: Final = 60.0

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who is calling. `rep` is set where the caller is one: they see their own leads only."""

    sub: str
    role: str
    rep: str | None = None

    def owns(self, rep_id: str | None) -> bool:
        """Say whether they may touch what belongs to `rep_id`: reps and SDRs their own, all other roles everything."""
        return self.role not in ("rep", "sdr") or (rep_id is not None and rep_id == self.rep)


class _Trusts(Protocol):
    async def identify(self, token: str) -> Caller | None: ...


@dataclass(frozen=True, slots=True)
class Allow:
    """A dependency that lets some roles in. 401 without a valid token, 403 with another role."""

    roles: frozenset[str]

    async def __call__(self, request: Request) -> Caller:
        """Return the caller."""
        return await self.admit(request)

    async def admit(self, request: Request) -> Caller:
        """Return the caller; also for plain Starlette routes."""
        access: _Trusts = request.app.state.access
        caller = await access.identify(bearer(request))
        if caller is None:
            raise _unknown_caller()
        if caller.role not in self.roles:
            wanted = ", ".join(sorted(self.roles))
            raise Problem(403, "Not yours to do", f"This needs one of these roles: {wanted}.")
        return caller


def allow(*roles: str) -> Allow:
    """Let these roles in, and admins; a route for `service` alone is closed to admins as well."""
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise ValueError(f"no such role: {sorted(unknown)}")
    return Allow(frozenset(roles) if set(roles) == {"service"} else frozenset({*roles, "admin"}))


async def public() -> None:
    """State that a route is for everybody."""


async def is_still(request: Request, caller: Caller) -> bool:
    """Say whether a request that is answered for long is that caller's still: a token ends, a key is revoked."""
    access: _Trusts = request.app.state.access
    return await access.identify(bearer(request)) == caller


def bearer(request: Request) -> str:
    """Return the token of `Authorization: Bearer`, empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unknown_caller() -> Problem:
    return Problem(
        401,
        "Who are you",
        "Send `Authorization: Bearer` with a token of this system or an API key that is not revoked.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def hash_key(key: str) -> str:
    """Return what is stored of a machine key. Keys are random, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def check_routes(app: FastAPI) -> None:
    """Raise LookupError for a route that states no role: nobody gets in by omission."""
    silent = [route.path for route in _routes(app.routes) if not _states_role(route)]
    if silent:
        raise LookupError(f"routes without a stated role: {', '.join(sorted(set(silent)))}")


def _routes(routes: Iterable[BaseRoute]) -> list[Route]:
    found: list[Route] = []
    for route in routes:
        if isinstance(route, Route):
            found.append(route)
        elif not isinstance(route, Mount):
            found.extend(_routes(getattr(route, "routes", [])))
    return found


def _states_role(route: Route) -> bool:
    if isinstance(route, APIRoute):
        return _dependant_states_role(route.dependant)
    if route.path in ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"):
        return True
    return isinstance(getattr(route.endpoint, "states_role", None), Allow | str)


def _dependant_states_role(dependant: Dependant) -> bool:
    if isinstance(dependant.call, Allow) or dependant.call is public:
        return True
    return any(_dependant_states_role(inner) for inner in dependant.dependencies)


@dataclass(slots=True)
class Access:
    """The keys that this service trusts, in memory and in its database."""

    _jwks: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _machines: dict[str, Caller] = field(default_factory=dict)
    _callers: dict[str, tuple[float, Caller]] = field(default_factory=dict)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _refreshed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _refreshes: bool = False
    _begun: int = 0
    _done: int = 0

    async def identify(self, token: str) -> Caller | None:
        """Return who the token belongs to, None for nobody; a key not known yet is looked for once."""
        if not token:
            return None
        cached = self._callers.get(token)
        if cached is not None and cached[0] > clock.now().timestamp():
            return cached[1]
        caller = self._verify(token)
        if caller is None and self._refreshes and self._is_plausible(token):
            await self._look_again()
            caller = self._verify(token)
        return caller

    async def _look_again(self) -> None:
        """Wait until the console's keys were fetched anew; a fetch that is under way may have begun too early."""
        wanted = self._begun + 1
        self._asked.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALLER_PATIENCE_S), self._refreshed:
                await self._refreshed.wait_for(lambda: self._done >= wanted)

    def _is_plausible(self, token: str) -> bool:
        if token.startswith(KEY_PREFIX):
            return True
        try:
            return jwt.get_unverified_header(token).get("kid") not in self._jwks
        except jwt.InvalidTokenError:
            return False

    def _verify(self, token: str) -> Caller | None:
        if token.startswith(KEY_PREFIX):
            return self._machines.get(hash_key(token))
        try:
            key = self._jwks.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                return None
            # When it ends is ours to say: the library asks this machine for the time, which may be minutes off.
            options: Options = {"require": ["exp", "sub", "role"], "verify_exp": False}
            claims = jwt.decode(token, key.key, algorithms=[ALGORITHM], issuer=ISSUER, options=options)
            ends, now = int(claims["exp"]), clock.now().timestamp()
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
            return None
        if ends <= now:
            return None
        if claims["role"] not in ROLES or claims["role"] == "service":
            return None
        caller = Caller(sub=claims["sub"], role=claims["role"], rep=claims.get("rep"))
        if len(self._callers) >= CACHED_CALLERS:
            self._callers.clear()
        self._callers[token] = (min(ends, now + CACHED_FOR_S), caller)
        return caller

    def trust(self, jwks: Iterable[Mapping[str, Any]], machines: Iterable[Mapping[str, str]]) -> None:
        """Trust these token keys (JWKs with `kid`) and machine keys ({hash, name, role}), and no others."""
        self._jwks = {key["kid"]: jwt.PyJWK(dict(key), algorithm=ALGORITHM) for key in jwks}
        self._machines = {machine["hash"]: Caller(sub=machine["name"], role=machine["role"]) for machine in machines}
        self._callers.clear()

    async def load(self, database: Database) -> None:
        """Trust what the database has."""
        async with database.reading() as conn:
            await self._load(conn)

    async def _load(self, conn: Connection) -> None:
        jwks = await conn.fetch("SELECT jwk FROM trusted_key")
        machines = await conn.fetch("SELECT key_hash AS hash, name, role FROM machine_key")
        self.trust([row["jwk"] for row in jwks], [dict(row) for row in machines])

    async def refresh_forever(self, database: Database, console_url: str, service_key: str) -> None:
        """Fetch the console's keys every few seconds, and when somebody comes with an unknown one."""
        self._refreshes = True
        known: object = None
        async with calling.client(base_url=console_url, timeout=FETCH_TIMEOUT_S) as client:
            while True:
                self._asked.clear()
                self._begun += 1
                try:
                    async with asyncio.timeout(FETCH_TIMEOUT_S):
                        fetched = await _fetch(client, service_key)
                    if fetched != known:
                        await database.run(lambda conn, keys=fetched: _store(conn, *keys))  # type: ignore[misc]
                        self.trust(*fetched)
                        known = fetched
                except (httpx.HTTPError, KeyError, ValueError, OSError) as error:
                    log.info("the console's keys could not be fetched", reason=type(error).__name__)
                except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.info("the console's keys could not be stored", reason=type(error).__name__)
                async with self._refreshed:
                    self._done = self._begun
                    self._refreshed.notify_all()
                await asyncio.sleep(CALLED_FOR_REST_S)
                try:
                    await asyncio.wait_for(self._asked.wait(), REFRESH_EVERY_S - CALLED_FOR_REST_S)
                except TimeoutError:
                    continue


async def _fetch(client: httpx.AsyncClient, service_key: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    jwks = await client.get("/.well-known/jwks.json")
    jwks.raise_for_status()
    hashes = await client.get("/v1/keys/hashes", headers={"Authorization": f"Bearer {service_key}"})
    hashes.raise_for_status()
    return jwks.json()["keys"], hashes.json()["items"]


async def _store(conn: Connection, jwks: list[dict[str, Any]], machines: list[dict[str, str]]) -> None:
    # Replicas fetch at the same moment; one after the other, or they would insert the same rows.
    await conn.execute("LOCK TABLE trusted_key, machine_key IN SHARE ROW EXCLUSIVE MODE")
    await conn.execute("DELETE FROM trusted_key")
    await conn.execute("DELETE FROM machine_key")
    await conn.executemany("INSERT INTO trusted_key VALUES ($1, $2)", [(key["kid"], key) for key in jwks])
    await conn.executemany(
        "INSERT INTO machine_key VALUES ($1, $2, $3)",
        [(machine["hash"], machine["name"], machine["role"]) for machine in machines],
    )
