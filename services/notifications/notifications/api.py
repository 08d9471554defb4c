"""Recipients, the delivery log, and a message to try it with."""

import base64
import os
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from backbone import database, fields, idempotency, ids, pages, security, times
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from notifications import domain, reaching, store
from notifications.domain import Channel, Kind, State

RepId = Annotated[Id, Path()]
Own = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]


class WebhookBody(fields.Body):
    """An endpoint of the recipient's."""

    url: Annotated[str, Field(max_length=2000)]


class RecipientBody(fields.Body):
    """How somebody wants to be told; channels per kind, all that have an address when not said."""

    email: fields.Email | None = None
    webhook: WebhookBody | None = None
    channels: dict[Kind, list[Channel]] | None = None


def router(db: database.Database, *, email_on: bool, anywhere: bool) -> APIRouter:
    """Return the routes. `anywhere`: webhooks may go into our own network."""
    api = APIRouter(tags=["notifications"])

    @api.put("/v1/recipients/{rep_id}")
    async def put_recipient(caller: Own, rep_id: RepId, body: RecipientBody) -> dict[str, Any]:
        """Say how a rep is told. A webhook's secret is shown when its address changes."""
        _check_own(caller, rep_id)
        url = body.webhook.url if body.webhook is not None else None
        if url is not None:
            _check_url(url, anywhere=anywhere)
        secret = f"whsec_{base64.b64encode(os.urandom(24)).decode()}"
        channels = {str(kind): [str(one) for one in some] for kind, some in (body.channels or {}).items()}
        async with db.transaction() as conn:
            before = await conn.fetchrow(
                "SELECT webhook_url, webhook_secret FROM recipient WHERE rep_id = $1 FOR UPDATE", rep_id
            )
            kept = before is not None and before["webhook_url"] == url and url is not None
            await conn.execute(
                "INSERT INTO recipient (rep_id, email, webhook_url, webhook_secret, channels)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (rep_id) DO UPDATE SET email = excluded.email,"
                " webhook_url = excluded.webhook_url, webhook_secret = excluded.webhook_secret,"
                " channels = excluded.channels, webhook_off_at = NULL",
                rep_id,
                body.email,
                url,
                before["webhook_secret"] if kept and before is not None else secret if url else None,
                channels or None,
            )
        shown = {"rep_id": rep_id, **body.model_dump(mode="json")}
        return {**shown, **({"webhook_secret": secret} if url and not kept else {})}

    @api.get("/v1/recipients/{rep_id}")
    async def get_recipient(caller: Own, rep_id: str) -> dict[str, Any]:
        """Show how a rep is told; never a webhook's secret."""
        _check_own(caller, rep_id)
        async with db.reading() as conn:
            row = await conn.fetchrow("SELECT * FROM recipient WHERE rep_id = $1", rep_id)
        if row is None:
            raise Problem(404, "Nobody yet", "PUT /v1/recipients/{rep_id} says how a rep is told.")
        off_at = row["webhook_off_at"]
        return {
            "rep_id": rep_id,
            "email": row["email"] or row["work_email"],
            "webhook": {"url": row["webhook_url"]} if row["webhook_url"] else None,
            "webhook_off_at": times.text(off_at) if off_at is not None else None,
            "channels": row["channels"],
        }

    @api.get("/v1/deliveries")
    async def deliveries(
        caller: Own, asked: pages.Asked, lead_id: UUID | None = None, rep_id: str | None = None
    ) -> dict[str, Any]:
        """List messages with their fate, newest first."""
        if caller.role in ("rep", "sdr"):
            _check_own(caller, caller.rep or "")
            rep_id = caller.rep
        since = asked.since(UUID)
        async with db.reading() as conn:
            rows = await store.deliveries(
                conn, lead_id=lead_id, rep_id=rep_id, after=since[0] if since else None, limit=asked.limit
            )
        more = pages.cursor(str(rows[-1]["message_id"])) if len(rows) == asked.limit else None
        return pages.answer([_shown(row) for row in rows], more)

    @api.post("/v1/recipients/{rep_id}/test", status_code=202)
    async def test(request: Request, caller: Own, rep_id: RepId) -> Response:
        """Send a message over every channel of a rep."""
        _check_own(caller, rep_id)

        async def act(conn: database.Connection) -> idempotency.Answer:
            recipient = (await store.recipients(conn, [rep_id]))[rep_id]
            event_id = ids.new()
            channels = domain.channels_for(recipient, Kind.ROUTED, email_on=email_on)
            messages = [
                {
                    "message_id": ids.new(),
                    "event_id": event_id,
                    "channel": str(channel),
                    "rep_id": rep_id,
                    "lead_id": None,
                    "kind": str(Kind.ROUTED),
                    "body": {"company": "A test", "why": "somebody asked for it"},
                    "state": str(State.DELIVERED if channel is Channel.CONSOLE else State.PENDING),
                }
                for channel in channels
            ]
            await store.add(conn, messages)
            return idempotency.Answer(202, {"event_id": str(event_id), "channels": [str(one) for one in channels]})

        return await idempotency.answer(db, request, caller, act)

    return api


def _check_url(url: str, *, anywhere: bool) -> None:
    try:
        (reaching.check_form if anywhere else reaching.check_address)(url)
    except ValueError as error:
        fault = Pointer("/webhook/url", str(error))
        raise Problem(422, "Not valid", "Give another address for the webhook.", errors=[fault]) from None


def _check_own(caller: security.Caller, rep_id: str) -> None:
    if not caller.owns(rep_id):
        raise Problem(403, "Not yours", "A rep sets own notifications only.")


def _shown(row: Any) -> dict[str, Any]:
    return {
        "notification_id": str(row["message_id"]),
        "event_id": str(row["event_id"]),
        "lead_id": str(row["lead_id"]) if row["lead_id"] is not None else None,
        "rep_id": row["rep_id"],
        "channel": row["channel"],
        "kind": row["kind"],
        "state": row["state"],
        "attempts": row["attempts"],
        "reason": row["reason"],
        "made_at": times.text(row["made_at"]),
        "done_at": times.text(row["done_at"]) if row["done_at"] is not None else None,
    }
