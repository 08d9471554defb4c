"""Sign-in, sign-out, and the accounts that may."""

import asyncio
import secrets
from typing import Annotated, Any, Final, Literal

import argon2
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse, RedirectResponse, Response

from backbone import database, fields, idempotency, pages, security, times
from backbone.database import Connection
from backbone.problem import Problem
from console import domain, forms, signing_in, store_accounts
from console.settings import Settings

Admin = Annotated[security.Caller, Depends(security.allow("admin"))]
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")
]
Password = Annotated[str, Field(min_length=10, max_length=200)]
_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's parameters for argon2id: a sign-in takes some 30 ms of one core, and 19 MiB."""
_NOBODYS: Final = _HASHER.hash(secrets.token_urlsafe(16))
"""Checked for an unknown address, so that an answer takes as long as for a known one."""


class Account(fields.Body):
    """Who, and as what."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    role: Literal["admin", "manager", "rep", "sdr", "marketing"]
    rep_id: Annotated[str | None, Field(min_length=1, max_length=128)] = None


class NewAccount(Account):
    """An account to be made."""

    email: Email
    password: Password


class ChangedAccount(Account):
    """An account as it is to be; without a password the one it has stays."""

    password: Password | None = None


class SignIn(BaseModel):
    """What the form sends."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=1000)]
    next: Annotated[str | None, Field(max_length=2000)] = None


def router(db: database.Database, doors: signing_in.Doors, settings: Settings) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["accounts"])

    @api.post("/signin", dependencies=[Depends(security.public)])
    async def sign_in(request: Request) -> Response:
        """Sign in, by form or JSON; sets the session's cookie."""
        signing_in.check_origin(request)
        body = await forms.read(request, SignIn)
        account = await _prove(db, request, body)
        token = secrets.token_urlsafe(32)
        async with db.transaction() as conn:
            await store_accounts.open_session(
                conn, signing_in.hash_of(token), account["email"], settings.session_life_seconds
            )
            person = await signing_in.person_of(conn, account)
        goes_to = signing_in.local_path(body.next)
        response: Response
        if signing_in.wants_html(request):
            response = RedirectResponse(goes_to, 303)
        else:
            said = {"account": person.account, "role": person.role, "rep_id": person.rep_id, "name": person.name}
            response = JSONResponse({**said, "next": goes_to})
        response.set_cookie(
            signing_in.COOKIE,
            token,
            max_age=settings.session_life_seconds,
            httponly=True,
            samesite="lax",
            secure=signing_in.is_https(request),
            path="/",
        )
        return response

    @api.post("/signout", dependencies=[Depends(security.public)])
    async def sign_out(request: Request) -> Response:
        """End the session."""
        signing_in.check_origin(request)
        token = request.cookies.get(signing_in.COOKIE)
        if token:
            async with db.transaction() as conn:
                await store_accounts.close_session(conn, signing_in.hash_of(token))
        response = RedirectResponse("/signin", 303) if signing_in.wants_html(request) else Response(status_code=204)
        response.delete_cookie(signing_in.COOKIE, path="/", httponly=True, samesite="lax")
        return response

    @api.post("/v1/accounts", status_code=201)
    async def make(request: Request, caller: Admin, body: NewAccount) -> Response:
        """Let somebody sign in."""
        _check_rep(body)
        hashed = await asyncio.to_thread(_HASHER.hash, body.password)

        async def act(conn: Connection) -> idempotency.Answer:
            if not await store_accounts.add(conn, body.email, body.name, body.role, body.rep_id, hashed):
                raise Problem(
                    409, "There is one", "PUT /v1/accounts/{email} changes an account, and sets its password."
                )
            return idempotency.Answer(201, _shown({"email": body.email, **body.model_dump(include=_SHOWN)}))

        return await idempotency.answer(db, request, caller, act)

    @api.put("/v1/accounts/{email}")
    async def change(_: Admin, email: Email, body: ChangedAccount) -> dict[str, Any]:
        """Change an account, or make it where a password is given; its sessions end."""
        _check_rep(body)
        hashed = await asyncio.to_thread(_HASHER.hash, body.password) if body.password is not None else None

        async def act(conn: Connection) -> None:
            if await store_accounts.put(conn, email, body.name, body.role, body.rep_id, hashed):
                return
            if hashed is None:
                raise Problem(404, "No such account", "A password makes it; GET /v1/accounts lists those that are.")
            await store_accounts.add(conn, email, body.name, body.role, body.rep_id, hashed)

        await db.run(act)
        return _shown({"email": email, **body.model_dump(include=_SHOWN)})

    @api.get("/v1/accounts")
    async def list_accounts(_: Admin, asked: pages.Asked) -> dict[str, Any]:
        """List who may sign in."""
        async with db.reading() as conn:
            rows = await store_accounts.accounts(conn, str(asked.after[0]) if asked.after else "", asked.limit)
        items = [{**_shown(row), "made_at": times.text(row["made_at"])} for row in rows]
        return pages.answer(items, pages.cursor(rows[-1]["email"]) if len(rows) == asked.limit else None)

    @api.delete("/v1/accounts/{email}", status_code=204)
    async def remove(_: Admin, email: Email) -> None:
        """Let somebody sign in no more; the sessions end at once."""
        async with db.transaction() as conn:
            if not await store_accounts.remove(conn, email):
                raise Problem(404, "No such account", "GET /v1/accounts lists those that are.")

    return api


_SHOWN: Final = {"name", "role", "rep_id"}


def _shown(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("email", "name", "role", "rep_id")}


def _check_rep(body: Account) -> None:
    if body.role in ("rep", "sdr") and body.rep_id is None:
        raise Problem(422, "No rep", "An account of this role needs the `rep_id` whose leads it shows.")


async def _prove(db: database.Database, request: Request, body: SignIn) -> Any:
    """Return the account that the password belongs to; who fails too often waits."""
    email = body.email.strip().lower()
    address = request.client.host if request.client is not None else ""
    of_account, of_address = signing_in.hash_of(f"account {email}"), signing_in.hash_of(f"address {address}")
    async with db.reading() as conn:
        await _check_failures(conn, of_account, domain.FAILURES_ALLOWED)
        await _check_failures(conn, of_address, domain.FAILURES_FROM_ADDRESS)
        account = await store_accounts.account(conn, email)
    hashed = account["password_hash"] if account is not None else _NOBODYS
    good = await asyncio.to_thread(_verify, hashed, body.password)
    async with db.transaction() as conn:
        if account is None or not good:
            await store_accounts.fail(conn, [of_account, of_address])
        else:
            await store_accounts.forgive(conn, of_account)
    if account is None or not good:
        raise Problem(401, "Not signed in", "The address or the password is not right. Check both and try again.")
    return account


async def _check_failures(conn: Connection, who: bytes, allowed: int) -> None:
    failed, rest = await store_accounts.failures(conn, who, domain.FAILURE_WINDOW_S)
    if failed >= allowed:
        seconds = max(1, round(rest))
        raise Problem(
            429,
            "Too many tries",
            f"Wait {domain.duration(seconds)}, then try again. An admin can set a new password.",
            headers={"Retry-After": str(seconds)},
        )


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (argon2.exceptions.VerifyMismatchError, argon2.exceptions.InvalidHashError):
        return False


async def make_first(db: database.Database, settings: Settings) -> None:
    """Make the first admin that the settings name, unless the address has an account."""
    if not settings.admin_email or not settings.admin_password:
        return
    email = settings.admin_email.strip().lower()
    async with db.reading() as conn:
        if await store_accounts.account(conn, email) is not None:
            return
    hashed = await asyncio.to_thread(_HASHER.hash, settings.admin_password)
    async with db.transaction() as conn:
        await store_accounts.add(conn, email, "Admin", "admin", None, hashed)
