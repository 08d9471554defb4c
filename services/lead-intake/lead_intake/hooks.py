"""`/v1/hooks/{connection_id}`: what marketing tools post, checked the way each of them signs.

A delivery whose signature is right is never refused for what is in it: what cannot be understood is kept and `held`,
for a sender told 4xx does not come again.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backbone import clock, database, ids, problem
from backbone.problem import Problem
from lead_intake import bodies, connections, providers
from lead_intake.asks import Ask
from lead_intake.connections import Connection
from lead_intake.doors import json_response
from lead_intake.forms import form
from lead_intake.intaking import Flusher
from lead_intake.providers import Delivery, Meaning
from lead_intake.providers.shapes import Verify
from lead_intake.reading import Reader
from lead_intake.settings import Settings
from lead_intake.vaulting import Vault

_SECRET_HEADERS: Final = frozenset(
    {"authorization", "cookie", "x-api-key", "proxy-authorization", "webhook-signature", "x-hubspot-signature"}
    | {"x-hubspot-signature-v3"}
)


@dataclass(slots=True)
class _Bucket:
    """A token bucket: `rate` a second, twice as many at once."""

    rate: float
    tokens: float = field(default=0)
    filled_at: float = field(default_factory=time.monotonic)

    def take(self) -> float:
        """Take a token; returns how many seconds are missing to the next one, 0 when there was one."""
        now = time.monotonic()
        self.tokens = min(max(1.0, 2 * self.rate), self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


@dataclass(slots=True)
class Hooks:
    """The hooks of all connections."""

    settings: Settings
    db: database.Database
    vault: Vault
    flusher: Flusher
    _known: dict[str, tuple[float, Connection]] = field(default_factory=dict)
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def route(self) -> Route:
        """Return the route; who may post is told by the signature."""

        async def hook(request: Request) -> Response:
            return await self.take(request)

        hook.states_role = "the connection's signature"  # type: ignore[attr-defined]
        return Route("/v1/hooks/{connection_id}", hook, methods=["POST"])

    async def take(self, request: Request) -> Response:
        """Take one delivery."""
        # Who sends is not known yet, but only HubSpot signs like this, and its workflows read milliseconds.
        in_milliseconds = any(name.startswith("x-hubspot-signature") for name in request.headers)
        connection = await self.connection(request.path_params["connection_id"], in_milliseconds=in_milliseconds)
        provider = providers.PROVIDERS[connection.provider]
        delivery = Delivery(
            method=request.method,
            url=self.settings.public_url.rstrip("/") + _target(request),
            headers=dict(request.headers.items()),
            body=await bodies.read(request),
        )
        if not _is_signed(provider.verify, delivery, connection.secrets):
            raise Problem(
                401,
                "Wrong signature",
                "Check that the sender uses this connection's secret and its hook URL unchanged.",
            )
        # Only what is signed counts: else anybody who knows the address could keep the sender out.
        self._check_rate(connection, in_milliseconds=provider.retry_after != "1")
        delivery, unreadable = _unpacked(request, delivery)
        asks = self.asks(connection, delivery, now=clock.now(), unreadable=unreadable)
        try:
            return json_response({"events": await self._accept(asks)})
        except Problem as error:
            if error.status == 503:
                error.headers["Retry-After"] = provider.retry_after
            raise

    def _check_rate(self, connection: Connection, *, in_milliseconds: bool) -> None:
        rate = self.settings.rate_per_second
        bucket = self._buckets.setdefault(connection.connection_id, _Bucket(rate, max(1.0, 2 * rate)))
        if (missing := bucket.take()) > 0:
            after = str(max(1, math.ceil(missing * 1000 if in_milliseconds else missing)))
            raise Problem(429, "Too fast", "Send more slowly; this one again later.", headers={"Retry-After": after})

    async def _accept(self, asks: Sequence[Ask]) -> list[Mapping[str, Any]]:
        """Accept the events; one that is refused is kept instead, for its sender may never send it again."""
        answers = await self.flusher.try_take(asks)
        if away := next((one for one in answers if isinstance(one, Problem) and one.status == 503), None):
            raise away
        refused = [number for number, one in enumerate(answers) if isinstance(one, BaseException)]
        kept = await self.flusher.take([_kept_instead(asks[number], answers[number]) for number in refused])
        for number, answer in zip(refused, kept, strict=True):
            answers[number] = answer
        return [one for one in answers if not isinstance(one, BaseException)]

    async def connection(self, connection_id: str, *, in_milliseconds: bool = False) -> Connection:
        """Return a connection. Problem 404 when there is none, 503 while the database is away."""
        known = self._known.get(connection_id)
        if known is not None and known[0] >= time.monotonic():
            return known[1]
        asked_at = time.monotonic()
        try:
            async with self.db.reading() as conn:
                found = await connections.find(conn, self.vault, connection_id)
        except Exception as error:
            if not database.is_transient(error):
                raise
            away = problem.unavailable()
            away.headers["Retry-After"] = "1000" if in_milliseconds else "1"
            raise away from error
        if found is None:
            self._known.pop(connection_id, None)
            raise Problem(404, "No such connection", "Take the hook URL that POST /v1/connections answered with.")
        self._known[connection_id] = (asked_at + connections.REMEMBERED_S, found)
        return found

    def asks(
        self, connection: Connection, delivery: Delivery, *, now: datetime, unreadable: str | None = None
    ) -> list[Ask]:
        """Read a delivery that was received at `now`."""
        reader = Reader(
            vault=self.vault,
            live_window=timedelta(seconds=self.settings.live_window_seconds),
            connection_id=connection.connection_id,
            provider=connection.provider,
            settings=connection.settings,
            lenient=True,
        )
        headers = {
            name: "redacted" if name in _SECRET_HEADERS else value.replace("\x00", "")
            for name, value in delivery.headers.items()
        }
        asks: list[Ask] = []
        meanings = [Meaning(held_because=unreadable)] if unreadable else _understand(delivery, connection)
        for meaning in meanings:
            # Each event keeps its own part, so that erasing one person erases nothing of another, and all of the one.
            raw = delivery.body if len(meanings) == 1 else msgspec.json.encode(meaning.part)
            asks += _read(reader, meaning, now, raw)
        key = delivery.headers.get(providers.PROVIDERS[connection.provider].dedupe_header)
        for number, ask in enumerate(asks):
            ask.headers = headers
            if key and ask.dedupe is None and ask.held_because is None:
                ask.dedupe = f"key:{key[:255]}:{number}".replace("\x00", "")
        return asks


def _is_signed(verify: Verify, delivery: Delivery, secrets: Sequence[str]) -> bool:
    for secret in secrets:
        try:
            if verify(delivery, secret):
                return True
        except Exception:  # noqa: BLE001, S112 - whatever a malformed signature does to the check, it is not right
            continue
    return False


def _unpacked(request: Request, delivery: Delivery) -> tuple[Delivery, str | None]:
    """Return the delivery with its body unpacked, or as it is and why it cannot be."""
    try:
        return replace(delivery, body=bodies.unpacked(request, delivery.body)), None
    except Problem as error:
        if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        return delivery, "the body is in a Content-Encoding that cannot be read"


def _target(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _understand(delivery: Delivery, connection: Connection) -> list[Meaning]:
    provider = providers.PROVIDERS[connection.provider]
    try:
        if delivery.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body: Any = form(delivery.body)
        else:
            body = msgspec.json.decode(delivery.body)
        meanings = provider.translate(body, connection.settings)
        return meanings or [Meaning(ignored_because="nothing is in it")]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [Meaning(held_because="the body is not JSON in UTF-8")]
    except RecursionError:
        return [Meaning(held_because="the body is nested too deep")]
    except Exception as error:  # noqa: BLE001 - an adapter's fault must not lose what the sender sends once
        return [Meaning(held_because=f"the adapter for {connection.provider} failed: {type(error).__name__}")]


def _read(reader: Reader, meaning: Meaning, now: datetime, raw: bytes) -> list[Ask]:
    if meaning.held_because is not None or meaning.ignored_because is not None:
        return [_kept(reader, meaning, now, raw)]
    asks: list[Ask] = []
    try:
        for post in meaning.leads:
            ask = reader.lead(post, now=now, raw=raw, test=meaning.test)
            ask.dedupe = meaning.dedupe
            asks.append(ask)
        asks += [reader.engagement(post, now=now, raw=raw) for post in meaning.engagements]
        asks += [reader.touch(post, now=now, raw=raw) for post in meaning.touches]
    except Problem as error:
        return [_kept(reader, Meaning(held_because=_words(error)), now, raw)]
    except RecursionError:
        return [_kept(reader, Meaning(held_because="the body is nested too deep"), now, raw)]
    return asks


def _words(error: BaseException) -> str:
    if not isinstance(error, Problem):
        return f"it could not be stored: {type(error).__name__}"
    return ", ".join(f"{one.pointer}: {one.detail}" for one in error.errors) or error.title


def _kept(reader: Reader, meaning: Meaning, now: datetime, raw: bytes) -> Ask:
    return Ask(
        event_id=ids.new(),
        received_at=now,
        connection_id=reader.connection_id,
        provider=reader.provider,
        raw=raw,
        headers={},
        held_because=meaning.held_because,
        ignored_because=meaning.ignored_because,
    )


def _kept_instead(ask: Ask, refusal: object) -> Ask:
    words = _words(refusal) if isinstance(refusal, BaseException) else "it was refused"
    return Ask(
        event_id=ids.new(),
        received_at=ask.received_at,
        connection_id=ask.connection_id,
        provider=ask.provider,
        raw=ask.raw,
        headers=ask.headers,
        held_because=words,
    )
