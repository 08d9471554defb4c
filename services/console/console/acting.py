"""What people do with leads: carried to the service that decides, in their name, with what they were shown.

An action names the cycle of the assignment that was read: a lead that has moved on meanwhile is refused, with who has
it now. Accepting stops no clock; only a touch does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from backbone import calling, ids, tokens
from backbone.database import Connection, Database
from backbone.idempotency import HEADER, LONGEST_KEY
from backbone.problem import Problem, unavailable
from console import forms, signing_in, store_lead
from console.views import Person

TIMEOUT_S: Final = 5.0
_RAN_INTO: Final = (403, 404, 409)

Cycle = Annotated[int, Field(ge=1, le=2**31 - 1)]
Words = Annotated[str | None, Field(max_length=500)]


class _Act(BaseModel):
    """`back`: where a form without a script goes afterwards; `key`: its Idempotency-Key."""

    back: Annotated[str | None, Field(max_length=2000)] = None
    key: Annotated[str | None, Field(min_length=1, max_length=LONGEST_KEY)] = None


class Shown(_Act):
    """Which assignment was read."""

    cycle: Cycle


class Reasoned(Shown):
    """Why, as a code."""

    reason: Words = None


class Close(Reasoned):
    """How it ended."""

    outcome: Literal["converted", "recycled", "disqualified", "unreachable"]
    until: AwareDatetime | None = None


class Reassign(Shown):
    """To whom, and why."""

    rep_id: Annotated[str, Field(min_length=1, max_length=128)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Touch(_Act):
    """What was done towards the lead."""

    cycle: Cycle | None = None
    kind: Literal["call", "email", "meeting", "message"]
    outcome: Literal["attempted", "connected"]
    note: Annotated[str | None, Field(max_length=10_000)] = None
    next_step: Words = None
    next_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Hands:
    """Calls other services as a person."""

    key: Ed25519PrivateKey
    life_s: int
    routing: httpx.AsyncClient
    intake: httpx.AsyncClient

    @classmethod
    def of(cls, key: Ed25519PrivateKey, life_s: int, routing_url: str, intake_url: str) -> "Hands":
        """Return hands that reach these addresses."""
        routing = calling.client(base_url=routing_url, timeout=TIMEOUT_S)
        return cls(key, life_s, routing, calling.client(base_url=intake_url, timeout=TIMEOUT_S))

    async def close(self) -> None:
        """Close the connections."""
        await self.routing.aclose()
        await self.intake.aclose()

    def token(self, person: Person) -> str:
        """Return a short-lived token for what a person does."""
        return tokens.signed(self.key, sub=person.account, role=person.role, rep=person.rep_id, lasts_s=self.life_s)

    async def post(
        self, client: httpx.AsyncClient, person: Person, path: str, body: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        """Post, and return the answer; a refusal is passed on in the service's own words."""
        headers = {"Authorization": f"Bearer {self.token(person)}", HEADER: key}
        try:
            response = await client.post(path, json=body, headers=headers)
        except httpx.HTTPError:
            raise unavailable("The service that decides this does not answer now. Send the same again.") from None
        if response.is_success:
            said = response.json() if response.content else {}
            return said if isinstance(said, dict) else {}
        if response.status_code >= 500 or response.status_code == 401:
            # 401: it has not fetched our key yet.
            raise unavailable("The service that decides this cannot do it now. Send the same again.")
        raise _refusal(response)


def _refusal(response: httpx.Response) -> Problem:
    try:
        said = response.json()
        title, detail = str(said["title"]), str(said["detail"])
    except (ValueError, KeyError, TypeError):
        title, detail = "Refused", "The service that decides this refused it."
    passed = {"Retry-After": value} if (value := response.headers.get("retry-after")) else {}
    return Problem(response.status_code, title, detail, headers=passed)


def router(db: Database, doors: signing_in.Doors, hands: Hands) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["actions"])
    rep = Annotated[Person, Depends(doors.allow("rep", "sdr", "manager"))]
    manager = Annotated[Person, Depends(doors.allow("manager"))]

    async def act(request: Request, person: Person, lead_id: UUID, verb: str, body: Shown) -> Response:
        async with db.reading() as conn:
            survivor = await _still_theirs(conn, person, lead_id, body.cycle, verb)
        sent = body.model_dump(mode="json", exclude={"back", "key"}, exclude_none=True)
        try:
            path = f"/v1/assignments/{survivor}/{verb}"
            said = await hands.post(hands.routing, person, path, sent, _key(request, body))
        except Problem as refusal:
            if refusal.status in _RAN_INTO:
                async with db.reading() as conn:
                    await _still_theirs(conn, person, lead_id, body.cycle, verb)
            raise
        return _done(request, body, {"lead_id": str(survivor), "did": verb, **said}, f"/leads/{survivor}")

    async def accept(request: Request, person: rep, lead_id: UUID) -> Response:
        """Take the lead on. It stops no clock: only a touch does."""
        return await act(request, person, lead_id, "accept", await forms.read(request, Shown))

    async def decline(request: Request, person: rep, lead_id: UUID) -> Response:
        """Refuse the lead before accepting it."""
        return await act(request, person, lead_id, "decline", await forms.read(request, Reasoned))

    async def give_back(request: Request, person: rep, lead_id: UUID) -> Response:
        """Give the lead back after accepting it."""
        return await act(request, person, lead_id, "return", await forms.read(request, Reasoned))

    async def close(request: Request, person: rep, lead_id: UUID) -> Response:
        """End the assignment with an outcome."""
        return await act(request, person, lead_id, "close", await forms.read(request, Close))

    async def reassign(request: Request, person: manager, lead_id: UUID) -> Response:
        """Give the lead to another rep."""
        return await act(request, person, lead_id, "reassign", await forms.read(request, Reassign))

    async def touch(request: Request, person: rep, lead_id: UUID) -> Response:
        """Log what was done towards the lead; this is what stops its clocks."""
        body = await forms.read(request, Touch)
        rep_id = _own_rep(person)
        async with db.reading() as conn:
            survivor = await _still_theirs(conn, person, lead_id, body.cycle, "touch")
        sent = body.model_dump(mode="json", exclude={"back", "key", "cycle"}, exclude_none=True)
        sent |= {"lead_id": str(survivor), "rep_id": rep_id}
        said = await hands.post(hands.intake, person, "/v1/touches", sent, _key(request, body))
        return _done(request, body, {**said, "lead_id": str(survivor), "did": "touch"}, f"/leads/{survivor}")

    async def pause(request: Request, person: rep) -> Response:
        """Get no new leads until resumed."""
        return await _set_paused(request, person, "pause")

    async def resume(request: Request, person: rep) -> Response:
        """Get new leads again."""
        return await _set_paused(request, person, "resume")

    async def _set_paused(request: Request, person: Person, verb: str) -> Response:
        body = await forms.read(request, _Act)
        path = f"/v1/reps/{_own_rep(person)}/{verb}"
        said = await hands.post(hands.routing, person, path, {}, _key(request, body))
        return _done(request, body, {**said, "did": verb}, "/inbox")

    for path, route in (
        ("/leads/{lead_id}/accept", accept),
        ("/leads/{lead_id}/decline", decline),
        ("/leads/{lead_id}/return", give_back),
        ("/leads/{lead_id}/close", close),
        ("/leads/{lead_id}/reassign", reassign),
        ("/leads/{lead_id}/touch", touch),
        ("/me/pause", pause),
        ("/me/resume", resume),
    ):
        api.post(path)(route)
    return api


def _own_rep(person: Person) -> str:
    if person.rep_id is None:
        raise Problem(403, "Not a rep", "Only who is a rep logs touches and pauses new leads.")
    return person.rep_id


def _key(request: Request, body: _Act) -> str:
    return request.headers.get(HEADER) or body.key or str(ids.new())


def _done(request: Request, body: _Act, said: dict[str, Any], otherwise: str) -> Response:
    if signing_in.wants_html(request):
        return RedirectResponse(signing_in.local_path(body.back or otherwise), 303)
    return JSONResponse(said)


async def _still_theirs(conn: Connection, person: Person, lead_id: UUID, cycle: int | None, verb: str) -> UUID:
    """Return the lead as it is called by now; 409 when it is no longer what was shown, 403 when it never was theirs."""
    held = await store_lead.holder(conn, lead_id)
    if held is None and not await store_lead.is_known(conn, lead_id):
        raise Problem(404, "No such lead", "Search for it, or open it from the inbox.")
    if not person.sees(held["rep_id"] if held is not None else None):
        if not await store_lead.was_with(conn, lead_id, person.rep_id):
            raise Problem(403, "Not your lead", "A rep acts on own leads only.")
        raise _moved_on(person, held, verb)
    if held is None or (cycle is not None and held["cycle"] != cycle):
        raise _moved_on(person, held, verb)
    return UUID(str(held["lead_id"]))


_NOT_DONE: Final = {
    "accept": "Not accepted",
    "decline": "Not declined",
    "return": "Not returned",
    "close": "Not closed",
    "reassign": "Not reassigned",
    "touch": "Not logged",
}


def _moved_on(person: Person, held: Any, verb: str) -> Problem:
    if held is None:
        return Problem(409, _NOT_DONE[verb], "Nobody has this lead now. Open it to see what happened.")
    at = _clock_time(held["assigned_at"], person.zone)
    if held["rep_id"] == person.rep_id:
        return Problem(409, _NOT_DONE[verb], f"You were given this lead again at {at}. Look at it, then do it again.")
    return Problem(409, _NOT_DONE[verb], f"{held['rep_name']} took this lead at {at}.")


def _clock_time(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S")
