"""Reading and correcting leads, erasure, and the keys for those who must show a person."""

import base64
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from backbone import clock, database, fields, idempotency, normal_forms, outbox, pages, security
from backbone.problem import Problem
from lead_intake import connections, erasing, hygiene, joining, payloads, showing, store, store_identity
from lead_intake.doors import json_response, read_body
from lead_intake.identity import Identifier, Kind
from lead_intake.intaking import Flusher
from lead_intake.payloads import Correction
from lead_intake.reading import DIRECT, Reader
from lead_intake.settings import Settings
from lead_intake.vaulting import Vault

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Marketing = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]
Admin = Annotated[security.Caller, Depends(security.allow("admin"))]
OtherService = Annotated[security.Caller, Depends(security.allow("service"))]


class OtherLead(fields.Body):
    """The lead to merge or to part from."""

    other_lead_id: UUID


class LeadIds(fields.Body):
    """Whose keys are wanted."""

    lead_ids: Annotated[list[UUID], Field(max_length=500)]


def router(settings: Settings, db: database.Database, vault: Vault, out: outbox.Outbox, flusher: Flusher) -> APIRouter:
    """Return the routes of leads."""
    api = APIRouter(tags=["leads"])
    window = timedelta(seconds=settings.live_window_seconds)
    reader = Reader(vault=vault, live_window=window, settings={})

    @api.get("/v1/leads/{lead_id}")
    async def show(caller: Reading, lead_id: UUID) -> dict[str, Any]:
        """Show a lead; a merged one too, with `merged_into`."""
        async with db.reading() as conn:
            return (await showing.shown(conn, vault, [await _own(conn, lead_id, caller)]))[0]

    @api.get("/v1/leads")
    async def find(
        caller: Reading,
        asked: pages.Asked,
        email: Annotated[str | None, Query(max_length=500)] = None,
        phone: Annotated[str | None, Query(max_length=100)] = None,
        external_id: Annotated[str | None, Query(max_length=128)] = None,
        connection_id: Annotated[str | None, Query(max_length=128)] = None,
        updated_since: Annotated[str | None, Query(max_length=40)] = None,
        spam: bool | None = None,
    ) -> dict[str, Any]:
        """Find leads by one of their identifiers, or list them in the order of their changes; a rep finds own ones."""
        async with db.reading() as conn:
            identifiers = await _asked_identifiers(conn, vault, email, phone, external_id, connection_id)
            if identifiers is not None:
                rows = await store.rows(conn, await store_identity.find(conn, identifiers), rep_id=_rep(caller))
                return pages.answer(await showing.shown(conn, vault, rows))
            rows = await store.page(
                conn,
                rep_id=_rep(caller),
                after_seq=(asked.since(int) or (0,))[0],
                updated_since=payloads.instant(updated_since, "updated_since"),
                spam=spam,
                limit=asked.limit,
            )
            items = await showing.shown(conn, vault, rows)
        return pages.answer(items, pages.cursor(rows[-1]["seq"]) if len(rows) == asked.limit else None)

    @api.patch("/v1/leads/{lead_id}")
    async def correct(request: Request, caller: Reading, lead_id: UUID) -> Response:
        """Correct a lead: what a person says is kept as verified, field by field."""
        async with db.reading() as conn:
            await _own(conn, lead_id, caller)
        raw = await read_body(request)
        post = payloads.decode(raw, _CORRECTION)
        ask = reader.lead(post, now=clock.now(), raw=raw, verified=True)
        ask.lead_id = lead_id
        await flusher.take([ask])
        async with db.reading() as conn:
            return json_response((await showing.shown(conn, vault, [await _own(conn, lead_id, caller)]))[0], 200)

    @api.post("/v1/leads/{lead_id}/merge")
    async def merge(request: Request, caller: Marketing, lead_id: UUID, body: OtherLead) -> Response:
        """Merge another lead into this one."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            await joining.merge(conn, vault, out, lead_id, body.other_lead_id)
            return idempotency.Answer(200, {"lead_id": str(lead_id), "merged": str(body.other_lead_id)})

        return await idempotency.answer(db, request, caller, act)

    @api.post("/v1/leads/{lead_id}/unmerge")
    async def unmerge(request: Request, caller: Marketing, lead_id: UUID, body: OtherLead) -> Response:
        """Undo a merge."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            await joining.unmerge(conn, vault, out, lead_id, body.other_lead_id)
            return idempotency.Answer(200, {"lead_id": str(lead_id), "unmerged": str(body.other_lead_id)})

        return await idempotency.answer(db, request, caller, act)

    @api.delete("/v1/leads/{lead_id}/personal-data", status_code=202)
    async def erase(_: Admin, lead_id: UUID) -> dict[str, str]:
        """Erase a person's data everywhere; GET /v1/erasures/{id} says how far it is."""
        erasure_id = await erasing.erase(db, vault, out, lead_id)
        return {"erasure_id": str(erasure_id)}

    @api.get("/v1/erasures/{erasure_id}")
    async def erasure(_: Admin, erasure_id: UUID) -> dict[str, Any]:
        """Say which services have deleted what they held."""
        async with db.reading() as conn:
            return await erasing.report(conn, erasure_id)

    @api.post("/v1/vault/keys")
    async def keys(_: OtherService, body: LeadIds) -> dict[str, Any]:
        """Give another service the keys of leads that it has to show or to address."""
        found = await vault.serve(body.lead_ids)
        return {"keys": {str(lead_id): base64.b64encode(key).decode() for lead_id, key in found.items()}}

    return api


_CORRECTION: Final = msgspec.json.Decoder(Correction)


async def _asked_identifiers(
    conn: database.Connection,
    vault: Vault,
    email: str | None,
    phone: str | None,
    external_id: str | None,
    connection_id: str | None,
) -> list[Identifier] | None:
    """Return what to look for, None when nothing was named; an external id without its connection means any."""
    if email is not None:
        return [Identifier(Kind.EMAIL, vault.digest(Kind.EMAIL, normal_forms.email(email) or email))]
    if phone is not None:
        # A plus sign that nobody escaped arrives as a space.
        text = f"+{phone.strip()}" if phone.startswith(" ") else phone
        return [Identifier(Kind.PHONE, vault.digest(Kind.PHONE, hygiene.phone(text, None) or text))]
    if external_id is None:
        return None
    those = [connection_id] if connection_id is not None else [DIRECT, *await connections.every_id(conn)]
    kinds = [f"{Kind.EXTERNAL}:{one}" for one in those]
    return [Identifier(kind, vault.digest(kind, external_id)) for kind in kinds]


async def _own(conn: database.Connection, lead_id: UUID, caller: security.Caller) -> Any:
    """Return the row of a lead that the caller may see. Problem 404 or 403 for another."""
    row = await store.row(conn, lead_id)
    if row is None:
        raise Problem(404, "No such lead", "Send the id that POST /v1/leads answered with.")
    if not caller.owns(await store.owner(conn, row["merged_into"] or lead_id)):
        raise Problem(403, "Not your lead", "A rep sees own leads only.")
    return row


def _rep(caller: security.Caller) -> str | None:
    """Return whose leads alone the caller sees, None for all."""
    return (caller.rep or "") if caller.role in ("rep", "sdr") else None
