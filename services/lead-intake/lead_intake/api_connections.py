"""Connections: made, shown, changed, closed, and their secrets rotated."""

import asyncio
import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, Field
from starlette.responses import Response

from backbone import database, fields, idempotency, ids, pages, security
from backbone.problem import Problem
from lead_intake import connections
from lead_intake.settings import Settings
from lead_intake.vaulting import Vault

Marketing = Annotated[security.Caller, Depends(security.allow("marketing"))]
Reading = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]


class NewConnection(fields.Body):
    """A way in for a marketing tool."""

    provider: str
    name: Name
    secret: Annotated[str | None, Field(min_length=1, max_length=500)] = None
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]


class ChangedConnection(fields.Body):
    """What may be changed of it."""

    name: Name | None = None
    settings: dict[str, Any] | None = None


def router(settings: Settings, db: database.Database, vault: Vault) -> APIRouter:
    """Return the routes of connections."""
    api = APIRouter(prefix="/v1/connections", tags=["connections"])

    def shown(connection: connections.Connection, *, secret: bool = False) -> dict[str, Any]:
        return {
            "id": connection.connection_id,
            "provider": connection.provider,
            "name": connection.name,
            "settings": connection.settings,
            "hook_url": f"{settings.public_url.rstrip('/')}/v1/hooks/{connection.connection_id}",
            **({"secret": connection.secrets[0]} if secret else {}),
        }

    def close(body: Any) -> str:
        return base64.b64encode(vault.seal_json(body)).decode()

    def reopen(kept: str) -> Any:
        return vault.open_json(base64.b64decode(kept))

    @api.post("", status_code=201)
    async def create(request: Request, caller: Marketing, body: NewConnection) -> Response:
        """Make a connection. The secret is shown in this answer alone."""
        connections.check(body.provider, body.settings)
        if body.secret is not None:
            connections.check_secret(body.provider, body.secret)
        made = connections.Connection(
            connection_id=str(ids.new()),
            provider=body.provider,
            name=body.name,
            settings=body.settings,
            secrets=[body.secret or connections.new_secret(body.provider)],
        )

        async def act(conn: database.Connection) -> idempotency.Answer:
            await connections.add(conn, vault, made)
            return idempotency.Answer(201, shown(made, secret=True))

        return await idempotency.answer(db, request, caller, act, close=close, reopen=reopen)

    @api.get("")
    async def list_all(_: Reading, asked: pages.Asked) -> dict[str, Any]:
        """List connections, without secrets."""
        (after,) = asked.since(pages.text) or ("",)
        async with db.reading() as conn:
            found = await connections.page(conn, vault, after=after, limit=asked.limit)
        more = pages.cursor(found[-1].connection_id) if len(found) == asked.limit else None
        return pages.answer([shown(one) for one in found], more)

    @api.get("/{connection_id}")
    async def show(_: Reading, connection_id: str) -> dict[str, Any]:
        """Show a connection, without its secret."""
        async with db.reading() as conn:
            found = await connections.find(conn, vault, connection_id)
        if found is None:
            raise _no_connection()
        return shown(found)

    @api.patch("/{connection_id}")
    async def change(_: Marketing, connection_id: str, body: ChangedConnection) -> dict[str, Any]:
        """Change a connection's name or settings, on every replica by the time of the answer."""
        async with db.transaction() as conn:
            found = await connections.find(conn, vault, connection_id)
            if found is None:
                raise _no_connection()
            if body.settings is not None:
                connections.check(found.provider, body.settings)
            await connections.change(conn, connection_id, name=body.name, settings=body.settings)
            changed = await connections.find(conn, vault, connection_id)
        await asyncio.sleep(connections.REMEMBERED_S)
        assert changed is not None
        return shown(changed)

    @api.delete("/{connection_id}", status_code=204)
    async def delete(_: Marketing, connection_id: str) -> None:
        """Close a connection, on every replica by the time of the answer."""
        async with db.transaction() as conn:
            if not await connections.delete(conn, connection_id):
                raise _no_connection()
        await asyncio.sleep(connections.REMEMBERED_S)

    @api.post("/{connection_id}/rotate-secret")
    async def rotate(request: Request, caller: Marketing, connection_id: str) -> Response:
        """Make a new secret; the present one stays good until the next rotation."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            found = await connections.find(conn, vault, connection_id)
            if found is None:
                raise _no_connection()
            secret = connections.new_secret(found.provider)
            await connections.rotate(conn, vault, connection_id, secret)
            return idempotency.Answer(200, {"id": connection_id, "secret": secret})

        answer = await idempotency.answer(db, request, caller, act, close=close, reopen=reopen)
        await asyncio.sleep(connections.REMEMBERED_S)
        return answer

    return api


def _no_connection() -> Problem:
    return Problem(404, "No such connection", "GET /v1/connections lists them.")
