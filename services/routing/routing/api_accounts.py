"""Accounts: how companies stand with us, and whose they are."""

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import AfterValidator

from backbone import database, fields, normal_forms, outbox, security
from backbone.database import Connection
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from routing import events, store_accounts
from routing.changing import Changing
from routing.desk import Desk
from routing.store_group import Cache

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]


_DOMAIN: Final = re.compile(r"(?=.{1,253}$)([^\W_]([\w-]{0,61}[^\W_])?\.)+[^\W_]([\w-]{0,61}[^\W_])?")


def _domain(said: str) -> str:
    """Return a company's domain as leads have it: in small letters, without www., xn-- and the dot at its end."""
    found = normal_forms.readable_domain(said.lower().removesuffix(".").removeprefix("www."))
    if _DOMAIN.fullmatch(found) is None:
        raise ValueError("the domain of a company, such as acme.example")
    return found


Domain = Annotated[Id, Path(), AfterValidator(_domain)]


class Account(fields.Body):
    """A company's standing."""

    name: Id | None = None
    status: Literal["prospect", "customer", "former", "partner", "competitor", "blocked"] = "prospect"
    rep_id: Id | None = None
    parent_domain: Annotated[Id, AfterValidator(_domain)] | None = None
    segment: Id | None = None
    target: Id | None = None


class Owner(fields.Body):
    """Who owns a named account."""

    rep_id: Id


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["accounts"])
    changing = Changing(db, out, cache)

    @api.put("/v1/accounts/{domain}")
    async def put_account(_: Manager, domain: Domain, body: Account) -> dict[str, Any]:
        """Say how a company stands with us."""
        return await save(domain, body.model_dump())

    @api.put("/v1/named-accounts/{domain}")
    async def put_owner(_: Manager, domain: Domain, body: Owner) -> dict[str, Any]:
        """Give a named account its owner."""
        return await save(domain, {"rep_id": body.rep_id}, keeps_the_rest=True)

    async def save(
        domain: str, said: dict[str, Any], *, keeps_the_rest: bool = False, must_exist: bool = False
    ) -> dict[str, Any]:
        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            if said.get("rep_id") is not None and said["rep_id"] not in desk.group.index.reps:
                fault = Pointer("/rep_id", "no such rep")
                raise Problem(422, "No such rep", "PUT /v1/reps/{id} makes one.", errors=[fault])
            stored = await conn.fetchval("SELECT document FROM account WHERE domain = $1", domain)
            if stored is None and must_exist:
                raise _no_account()
            before = stored if keeps_the_rest else None
            document = {**Account().model_dump(), **(before or {}), **said}
            await store_accounts.save_account(conn, domain, document)
            desk.outgoing.append(events.account_changed(domain, document, desk.now))
            return {"domain": domain, **document}

        return await changing.make(change, locks=[events.account_subject(domain)], concerns_all=True)

    @api.get("/v1/accounts/{domain}")
    @api.get("/v1/named-accounts/{domain}")
    async def get_account(_: Reading, domain: Domain) -> dict[str, Any]:
        """Show an account."""
        async with db.reading() as conn:
            document = await conn.fetchval("SELECT document FROM account WHERE domain = $1", domain)
        if document is None:
            raise _no_account()
        return {"domain": domain, **document}

    @api.delete("/v1/accounts/{domain}", status_code=204)
    async def delete_account(_: Manager, domain: Domain) -> None:
        """Forget an account."""

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            if await conn.execute("DELETE FROM account WHERE domain = $1", domain) == "DELETE 0":
                raise _no_account()
            desk.outgoing.append(events.account_changed(domain, {}, desk.now, deleted=True))
            return {}

        await changing.make(change, locks=[events.account_subject(domain)], concerns_all=True)

    @api.delete("/v1/named-accounts/{domain}", status_code=204)
    async def delete_owner(_: Manager, domain: Domain) -> None:
        """Take a named account from its owner; how the company stands with us is kept."""
        await save(domain, {"rep_id": None}, keeps_the_rest=True, must_exist=True)

    return api


def _no_account() -> Problem:
    return Problem(404, "No such account", "PUT /v1/accounts/{domain} makes one.")
