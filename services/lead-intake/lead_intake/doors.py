"""The routes that take everything in: raw bodies, decoded by msgspec, answered when durable.

Plain Starlette routes, answered in front of FastAPI: its layers cost more CPU than all that a lead needs here.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backbone import clock, idempotency, security
from backbone.problem import Pointer, Problem
from lead_intake import bodies, payloads, repeating
from lead_intake.asks import Ask, BatchKey
from lead_intake.intaking import Flusher
from lead_intake.payloads import EngagementPost, LeadPost, TouchPost
from lead_intake.reading import Reader
from lead_intake.settings import Settings
from lead_intake.vaulting import Vault

_TOOLS: Final = security.allow("integration")
_PEOPLE_TOO: Final = security.allow("integration", "rep", "sdr")
_encode: Final = msgspec.json.Encoder().encode
_NESTED: Final = msgspec.json.Decoder(dict[str, list[Any]])

Read = Callable[[Reader, Any, datetime, bytes], Ask]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a route takes."""

    plural: str
    posters: security.Allow
    post: type[msgspec.Struct]
    decoder: "msgspec.json.Decoder[Any]"
    read: Read


_SHAPES: Final = (
    _Shape(
        "leads",
        _PEOPLE_TOO,
        LeadPost,
        msgspec.json.Decoder(LeadPost),
        lambda r, p, now, raw: r.lead(p, now=now, raw=raw),
    ),
    _Shape(
        "engagements",
        _TOOLS,
        EngagementPost,
        msgspec.json.Decoder(EngagementPost),
        lambda r, p, now, raw: r.engagement(p, now=now, raw=raw),
    ),
    _Shape(
        "touches",
        _PEOPLE_TOO,
        TouchPost,
        msgspec.json.Decoder(TouchPost),
        lambda r, p, now, raw: r.touch(p, now=now, raw=raw),
    ),
)


def routes(settings: Settings, vault: Vault, flusher: Flusher) -> list[Route]:
    """Return the posts of direct callers, one by one and in batches."""
    reader = Reader(
        vault=vault, live_window=timedelta(seconds=settings.live_window_seconds), settings={"default_region": None}
    )
    made: list[Route] = []
    for shape in _SHAPES:
        made.append(_route(f"/v1/{shape.plural}", shape, _single(shape, reader, flusher)))
        made.append(_route(f"/v1/{shape.plural}/batch", shape, _batch(shape, reader, flusher)))
    return made


def _route(path: str, shape: _Shape, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    endpoint.states_role = shape.posters  # type: ignore[attr-defined]
    return Route(path, endpoint, methods=["POST"])


def json_response(body: Any, status: int = 202) -> Response:
    """Return a JSON answer."""
    return Response(_encode(body), status, media_type="application/json")


async def read_body(request: Request) -> bytes:
    """Read the whole body, unpacked."""
    return bodies.unpacked(request, await bodies.read(request))


def _single(shape: _Shape, reader: Reader, flusher: Flusher) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        caller = await shape.posters.admit(request)
        raw = await read_body(request)
        ask = shape.read(reader, payloads.decode(raw, shape.decoder), clock.now(), raw)
        _check_caller(caller, ask)
        if (key := request.headers.get(idempotency.HEADER)) is not None:
            ask.dedupe = _dedupe(caller, request, key)
            ask.body_hash = idempotency.body_hash(caller.sub, raw)
        return json_response(await flusher.take_one(ask))

    return post


def _batch(shape: _Shape, reader: Reader, flusher: Flusher) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        caller = await shape.posters.admit(request)
        raw = await read_body(request)
        items = payloads.decode(raw, _NESTED).get(shape.plural)
        if items is None or not 1 <= len(items) <= payloads.MOST_IN_A_BATCH:
            place = Pointer(f"/{shape.plural}", f"a list of 1 to {payloads.MOST_IN_A_BATCH}")
            raise payloads.invalid(place)
        whole = _batch_key(caller, request, raw)
        now = clock.now()
        results: list[Any] = [None] * len(items)
        asks: dict[int, Ask] = {}
        for number, item in enumerate(items):
            try:
                one = _encode(item)
                ask = shape.read(reader, payloads.convert(item, shape.post), now, one)
                _check_caller(caller, ask)
            except Problem as error:
                results[number] = {"error": error.as_json()}
                continue
            if whole is not None:
                ask.dedupe = f"{_dedupe(caller, request, whole.key)}:{number}"
                ask.body_hash = whole.body_hash
                ask.batch_key = whole
            asks[number] = ask
        given = await flusher.try_take(list(asks.values()))
        for number, answer in zip(asks, given, strict=True):
            results[number] = _in_place(answer)
        return json_response({"results": results})

    return post


def _in_place(answer: Mapping[str, Any] | BaseException) -> Mapping[str, Any]:
    if isinstance(answer, Problem):
        if answer.status == 503 or answer.title == repeating.another_body().title:
            raise answer
        return {"error": answer.as_json()}
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _batch_key(caller: security.Caller, request: Request, raw: bytes) -> BatchKey | None:
    key = request.headers.get(idempotency.HEADER)
    if key is None:
        return None
    _dedupe(caller, request, key)
    return BatchKey(caller.sub, f"POST {request.url.path}", key, idempotency.body_hash(caller.sub, raw))


def _dedupe(caller: security.Caller, request: Request, key: str) -> str:
    if not key or len(key) > idempotency.LONGEST_KEY or "\x00" in key:
        raise Problem(422, "Not a key", f"Idempotency-Key is a text of 1 to {idempotency.LONGEST_KEY} characters.")
    return f"key:{caller.sub}:{request.url.path}:{key}"


def _check_caller(caller: security.Caller, ask: Ask) -> None:
    """Refuse what a rep may not post: a touch of somebody else, a lead without its source."""
    if caller.role not in ("rep", "sdr"):
        return
    if ask.fact is not None and ask.fact.what == "touch" and ask.fact.details["rep_id"] != caller.rep:
        raise Problem(403, "Not your touch", "A rep logs own touches: send your own rep_id.")
    if ask.capture is not None and not ask.capture.known.get("source"):
        raise payloads.invalid(Pointer("/source", "required from a rep: where the lead comes from"))
    if ask.said.get("keep"):
        ask.said = {**ask.said, "owner_id": caller.rep}
