"""What came in, as it came, and reading it once more after an adapter was mended."""

import base64
from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backbone import database, security, times
from backbone.problem import Problem
from lead_intake import bodies, erasing, reparsing, store_events
from lead_intake.hooks import Hooks
from lead_intake.vaulting import Vault

Marketing = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]


class Span(BaseModel):
    """Which of a connection's events to read again."""

    model_config = ConfigDict(extra="forbid")

    connection_id: Annotated[str, Field(max_length=128)]
    begin: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]


def router(db: database.Database, vault: Vault, hooks: Hooks) -> APIRouter:
    """Return the routes of events."""
    api = APIRouter(prefix="/v1/events", tags=["events"])

    @api.get("/{event_id}")
    async def show(_: Marketing, event_id: UUID) -> dict[str, Any]:
        """Show an accepted request as it came, with secrets redacted."""
        async with db.reading() as conn:
            row = await store_events.event(conn, event_id)
        if row is None:
            raise _no_event()
        return {
            "event_id": str(row["event_id"]),
            "connection_id": row["connection_id"],
            "lead_id": str(row["lead_id"]) if row["lead_id"] else None,
            "outcome": row["outcome"],
            "reason": row["reason"],
            "received_at": times.text(row["received_at"]),
            "headers": row["headers"],
            **_shown(await erasing.opened(vault, row)),
        }

    @api.post("/{event_id}/reparse")
    async def read_again(_: Marketing, event_id: UUID) -> dict[str, Any]:
        """Read what came once more, as of when it came."""
        async with db.reading() as conn:
            row = await store_events.event(conn, event_id)
        if row is None:
            raise _no_event()
        return {"events": await reparsing.reparse(hooks, row)}

    @api.post("/reparse")
    async def read_many_again(_: Marketing, body: Span) -> dict[str, int]:
        """Read again what a connection sent and nobody could read; call once more while `left` is not 0."""
        begin, end = body.begin.astimezone(UTC), body.end.astimezone(UTC)
        async with db.reading() as conn:
            rows, left = await store_events.held(conn, body.connection_id, begin, end, limit=reparsing.MOST_AT_ONCE)
        counts = {"read": 0, "held": 0, "left": left}
        for row in rows:
            answers = await reparsing.reparse(hooks, row)
            counts["held" if any(one["outcome"] == "held" for one in answers) else "read"] += 1
        return counts

    return api


def _shown(body: bytes | None) -> dict[str, str | None]:
    """Show a body as text, and what is no text in base64 beside it."""
    said = bodies.as_json(body) if body is not None else None
    if body is None or isinstance(said, str):
        return {"body": said if isinstance(said, str) else None}
    return {"body": body.decode(errors="replace"), "body_base64": base64.b64encode(body).decode()}


def _no_event() -> Problem:
    return Problem(404, "No such event", "Send an event_id that a post was answered with.")
