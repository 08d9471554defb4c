"""Who is asking: a session's cookie or a bearer token, and what the role lets them see.

A request that changes something with a cookie has to come from our own pages (`Sec-Fetch-Site`, else `Origin`): the
cookie alone proves nothing about who made the browser send it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from fastapi import Request

from backbone import security, times
from backbone.database import Connection, Database
from backbone.problem import Problem
from console import domain, shaping, store_accounts
from console.views import Availability, Person
from handoff.events.v1 import common_pb2

COOKIE: Final = "handoff_session"
THEME: Final = "theme"
_THEMES: Final[Mapping[str, Literal["light", "dark"]]] = {"light": "light", "dark": "dark"}
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_PERSONS: Final = ("admin", "manager", "rep", "sdr", "marketing")


class NotSignedIn(Problem):
    """Nobody is signed in. Where HTML is wanted it is answered by the way to the sign-in page."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "Not signed in",
            "Sign in at /signin, or send `Authorization: Bearer` with a token of this system.",
            headers={"WWW-Authenticate": "Bearer"},
        )


@dataclass(frozen=True, slots=True)
class AllowPerson(security.Allow):
    """A dependency that lets people of some roles in and returns the Person."""

    doors: "Doors"

    async def __call__(self, request: Request) -> Person:  # type: ignore[override]  # more than a Caller
        """Return who is asking."""
        person = await self.doors.person(request)
        request.state.person = person
        if person.role not in self.roles:
            wanted = ", ".join(sorted(self.roles))
            raise Problem(403, "Not yours to see", f"This needs one of these roles: {wanted}.")
        return person


@dataclass(frozen=True, slots=True, eq=False)
class Doors:
    """Knows people by what their requests carry."""

    db: Database
    access: security.Access

    def allow(self, *roles: str) -> AllowPerson:
        """Let these roles in, and admins; without roles everybody who is signed in."""
        return AllowPerson(frozenset({*(roles or _PERSONS), "admin"}), self)

    async def person(self, request: Request) -> Person:
        """Return who is asking. NotSignedIn for nobody, Problem 403 for a form that another site sent."""
        token = request.cookies.get(COOKIE)
        bearer = security.bearer(request)
        async with self.db.reading() as conn:
            if bearer:
                person = await self._by_token(conn, bearer)
            else:
                person = await self._by_session(conn, token) if token else None
                if person is not None:
                    check_origin(request)
        if person is None:
            raise NotSignedIn
        return replace(person, theme=_THEMES.get(request.cookies.get(THEME, ""), ""))

    async def _by_token(self, conn: Connection, bearer: str) -> Person | None:
        caller = await self.access.identify(bearer)
        if caller is None:
            return None
        if caller.role not in _PERSONS:
            raise Problem(403, "For people", "These pages and actions are for people; machines call the services.")
        value = await store_accounts.rep(conn, caller.rep) if caller.rep else None
        return await _person(conn, caller.sub, caller.role, caller.rep, "", value, by_session=False)

    async def _by_session(self, conn: Connection, token: str) -> Person | None:
        found = await store_accounts.session(conn, hash_of(token))
        if found is None:
            return None
        return await person_of(conn, found)


async def person_of(conn: Connection, account: Any) -> Person:
    """Return the person of an account's row."""
    return await _person(
        conn, account["email"], account["role"], account["rep_id"], account["name"], account["rep"], by_session=True
    )


async def _person(
    conn: Connection, account: str, role: Any, rep_id: str | None, name: str, value: bytes | None, *, by_session: bool
) -> Person:
    rep = common_pb2.Rep.FromString(value) if value is not None else None
    availability: Availability | None = None
    if rep is not None:
        availability = shaping.availability(rep, await times.now(conn))
    return Person(
        account=account,
        role=role,
        rep_id=rep_id,
        name=name or (rep.name if rep is not None else "") or account,
        zone=(rep.time_zone if rep is not None else "") or await store_accounts.zone(conn),
        may=domain.pages_of(role),
        by_session=by_session,
        availability=availability,
    )


def hash_of(token: str) -> bytes:
    """Return what is stored of a session's token or of a name: tokens are random, so that a plain hash will do."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def check_origin(request: Request) -> None:
    """Refuse a changing request that another site made the browser send. Who is no browser says nothing of a site."""
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    elif origin is not None:
        ours = urlsplit(origin).netloc == request.headers.get("host", "")
    else:
        ours = True
    if not ours:
        raise Problem(403, "Sent from another site", "Forms are taken from this console's own pages alone.")


def wants_html(request: Request) -> bool:
    """Say whether a person's browser asks for a page, and not a script for data."""
    if request.headers.get("hx-request"):
        return False
    return "text/html" in request.headers.get("accept", "")


def is_https(request: Request) -> bool:
    """Say whether the browser speaks https with us, or with the proxy before us."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"


def local_path(path: str | None) -> str:
    """Return where to go, only ever within this console."""
    if path and path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path and "\r" not in path:
        return path
    return "/"


def sign_in_path(wanted: str) -> str:
    """Return the way to the sign-in page, and on to what was wanted."""
    return "/signin" if wanted in ("", "/") else f"/signin?{urlencode({'next': wanted})}"
