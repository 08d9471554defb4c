"""Keys that everybody trusts, machine keys, and the company's settings."""

import base64
import hashlib
import secrets
from typing import Annotated, Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends, Request
from pydantic import Field, field_validator
from starlette.responses import Response

from backbone import database, fields, idempotency, ids, outbox, security, subjects, times, tokens, vault
from backbone.problem import Pointer, Problem
from console import domain, events, store

Admin = Annotated[security.Caller, Depends(security.allow("admin"))]
Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager", "integration"))]
OtherService = Annotated[security.Caller, Depends(security.allow("service"))]
_ANSWERS: Final = ids.derived("answers", "keys")


class NewKey(fields.Body):
    """For whom, and what it may."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    role: Literal["admin", "manager", "marketing", "integration"]
    """A machine is nobody's rep, and services get their keys from the deployment."""


class Reporting(fields.Body):
    """How reports count days, weeks and money."""

    zone: str
    week_starts: Literal["mon", "sun"] = "mon"
    base_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"

    @field_validator("zone")
    @classmethod
    def is_zone(cls, value: str) -> str:
        """Refuse an unknown zone."""
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("an IANA zone such as Europe/Berlin") from None
        return value


def router(
    db: database.Database, out: outbox.Outbox, access: security.Access, key: Ed25519PrivateKey, services: dict[str, str]
) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["keys and settings"])
    jwks = [tokens.public_jwk(key)]

    sealing = hashlib.sha256(b"handoff answers with keys" + key.private_bytes_raw()).digest()

    def close(body: Any) -> str:
        return base64.b64encode(vault.seal(sealing, _ANSWERS, body)).decode()

    def reopen(kept: str) -> Any:
        try:
            return vault.open_sealed(sealing, _ANSWERS, base64.b64decode(kept))
        except ValueError:
            raise Problem(
                409, "Not shown again", "The console's signing key has changed since. Revoke that key, issue another."
            ) from None

    async def hashes(conn: database.Connection) -> list[dict[str, str]]:
        issued = [{"hash": row["key_hash"], "name": row["name"], "role": row["role"]} for row in await store.keys(conn)]
        return [{"hash": value, "name": name, "role": "service"} for name, value in sorted(services.items())] + issued

    async def trust(conn: database.Connection) -> None:
        access.trust(jwks, await hashes(conn))

    @api.get("/.well-known/jwks.json", dependencies=[Depends(security.public)])
    async def well_known() -> dict[str, Any]:
        """Return the public keys that tokens are signed with."""
        return {"keys": jwks}

    @api.get("/v1/keys/hashes")
    async def key_hashes(_: OtherService) -> dict[str, Any]:
        """Return the hashes of machine keys that are good, for services alone."""
        async with db.reading() as conn:
            return {"items": await hashes(conn)}

    @api.post("/v1/keys", status_code=201)
    async def issue(request: Request, caller: Admin, body: NewKey) -> Response:
        """Issue a machine key. It is shown in this answer alone."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            if not domain.may_issue(await store.count_active(conn, body.name)):
                raise Problem(409, "Two already", "Two keys of this name are good. Revoke one, then issue another.")
            made, key_id = f"{security.KEY_PREFIX}{secrets.token_urlsafe(32)}", ids.new()
            await store.add_key(conn, key_id, body.name, body.role, security.hash_key(made), caller.sub)
            return idempotency.Answer(201, {"id": str(key_id), "name": body.name, "role": body.role, "key": made})

        answer = await idempotency.answer(db, request, caller, act, close=close, reopen=reopen)
        async with db.reading() as conn:
            await trust(conn)
        return answer

    @api.get("/v1/keys")
    async def list_keys(_: Admin) -> dict[str, Any]:
        """List the keys that are good, without the keys."""
        async with db.reading() as conn:
            rows = await store.keys(conn)
        items = [
            {"id": str(row["key_id"]), "name": row["name"], "role": row["role"], "made_at": times.text(row["made_at"])}
            for row in rows
        ]
        return {"items": items, "next_cursor": None}

    @api.delete("/v1/keys/{key_id}", status_code=204)
    async def revoke(_: Admin, key_id: UUID) -> None:
        """Revoke a key; every service refuses it within five seconds."""
        async with db.transaction() as conn:
            if not await store.revoke_key(conn, key_id):
                raise Problem(404, "No such key", "GET /v1/keys lists those that are good.")
            await trust(conn)

    @api.get("/v1/settings/reporting")
    async def get_reporting(_: Reading) -> dict[str, Any]:
        """Show how reports count."""
        async with db.reading() as conn:
            return await store.reporting(conn)

    @api.put("/v1/settings/reporting")
    async def put_reporting(_: Admin, body: Reporting) -> dict[str, Any]:
        """Set how reports count; every service learns of it."""

        async def act(conn: database.Connection) -> dict[str, Any]:
            if not await store.knows_zone(conn, body.zone):
                fault = Pointer("/zone", "an IANA zone such as Europe/Berlin")
                raise Problem(422, "No such zone", "Send the name of a zone that reports can count in.", errors=[fault])
            await subjects.lock(conn, [events.SETTINGS_SUBJECT])
            version = await store.set_reporting(conn, body.zone, body.week_starts, body.base_currency)
            said = {**body.model_dump(), "version": version}
            await out.add(conn, [events.settings_changed(said, await times.now(conn))])
            return said

        return await db.run(act)

    return api
