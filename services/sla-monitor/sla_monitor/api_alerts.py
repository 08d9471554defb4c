"""Alerts, in the order in which they fired, by position and as a stream."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from backbone import database, security, times
from backbone.problem import Pointer, Problem
from sla_monitor import store_alerts, store_links
from sla_monitor.shapes import AlertShown

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]

STREAM_POLL_S: Final = 0.1
KEEP_ALIVE_S: Final = 15.0
AT_ONCE: Final = 500
_POSITION: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class _Events(StreamingResponse):
    """Server-sent events, and described as such."""

    media_type = "text/event-stream"


def router(db: database.Database, stopping: asyncio.Event) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["alerts"])

    @api.get("/v1/alerts")
    async def alerts(
        caller: Reading,
        after: Annotated[str | None, Query(max_length=64)] = None,
        lead_id: UUID | None = None,
        rep_id: str | None = None,
        kind: str | None = None,
        limit: Annotated[int, Query(ge=1, le=AT_ONCE)] = AT_ONCE,
    ) -> list[AlertShown]:
        """List alerts in the order in which they fired; `after` is an alert_id or a position.

        Those of a lead are also of the leads that were merged into it.
        """
        mine = _whose(caller)
        if mine is not None and rep_id not in (None, mine):
            return []
        async with db.reading() as conn:
            position = await _position(conn, after)
            leads = (await store_links.members(conn, [lead_id]))[lead_id] if lead_id is not None else None
            rows = await store_alerts.after(
                conn, position, lead_ids=leads, rep_id=mine or rep_id, kind=kind, limit=limit
            )
        return [_alert(row) for row in rows]

    @api.get("/v1/alerts/stream", response_class=_Events)
    async def stream(
        request: Request,
        caller: Reading,
        given: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Send alerts as they fire (server-sent events); `Last-Event-ID` goes on where the last connection ended.

        `after` says where the first one begins, an alert_id or a position as `/v1/alerts` gives it; without, now. It
        ends with the token, or with the key that is revoked.

        An event `alert` is a new one. One that turns out to be wrong comes again as `retracted`, at a new position and
        with `retracted_at`; and as `restored`, without it, should it have been right after all.
        """
        mine = _whose(caller)
        async with db.reading() as conn:
            position = await _begins(conn, given, after)

        async def goes_on() -> bool:
            return not stopping.is_set() and await security.is_still(request, caller)

        return _Events(_stream(db, position, mine, goes_on))

    return api


def _whose(caller: security.Caller) -> str | None:
    """Return whose alerts alone the caller sees, None for everybody's."""
    if caller.role not in ("rep", "sdr"):
        return None
    if not caller.rep:
        raise Problem(403, "Not a rep", "This token names no rep whose alerts it could show.")
    return caller.rep


async def _begins(conn: database.Connection, given: str | None, after: str | None) -> int:
    """Return after which position a stream begins: the last one where nothing is asked for."""
    newest = await store_alerts.newest(conn)
    if not (given or after):
        return newest
    # Whoever comes from beyond the end has seen a database that was restored to before that.
    return min(await _position(conn, given or after, "header/Last-Event-ID" if given else "query/after"), newest)


async def _position(conn: database.Connection, after: str | None, where: str = "query/after") -> int:
    if not after:
        return 0
    if _POSITION.fullmatch(after):
        return int(after)
    try:
        seq = await store_alerts.position_of(conn, UUID(after))
    except ValueError:
        seq = None
    if seq is None:
        name = where.rpartition("/")[2]
        fault = Pointer(where, "no alert, and no position")
        raise Problem(422, "Not a position", f"`{name}` is an alert_id or a position of this list.", errors=[fault])
    return seq


def _alert(row: Any) -> dict[str, Any]:
    return {
        "alert_id": str(row["alert_id"]),
        "position": row["seq"],
        "at": times.text(row["at"]),
        "clock": row["clock"],
        "kind": row["kind"],
        "level": row["level"],
        "lead_id": str(row["lead_id"]),
        "rep_id": row["rep_id"] or None,
        "to": row["goes_to"],
        "due_at": times.text(row["due_at"]),
        "late_by_seconds": row["late_by_seconds"],
        **({"late": True} if row["late"] else {}),
        "cycle": row["cycle"],
        "retracted_at": times.text(row["retracted_at"]) if row["retracted_at"] is not None else None,
    }


def _event(row: Any) -> str:
    if not row["is_change"]:
        return "alert"
    return "retracted" if row["retracted_at"] is not None else "restored"


async def _stream(
    db: database.Database, position: int, rep_id: str | None, goes_on: Callable[[], Awaitable[bool]]
) -> AsyncIterator[str]:
    """Yield alerts after a position, from the database alone, so that any replica serves any client.

    While it is quiet it says where it stands: whose connection breaks before the first alert goes on from there too.
    """
    yield ": connected\n\n"
    quiet = 0.0
    while await goes_on():
        async with db.reading() as conn:
            found = await store_alerts.news(conn, position, rep_id=rep_id, limit=AT_ONCE)
        for one in found:
            position = one["position"]
            data = json.dumps({**_alert(one), "position": position})
            yield f"id: {position}\nevent: {_event(one)}\ndata: {data}\n\n"
        quiet = 0.0 if found else quiet + STREAM_POLL_S
        if quiet >= KEEP_ALIVE_S:
            quiet = 0.0
            yield f": still here\nid: {position}\n\n"
        await asyncio.sleep(STREAM_POLL_S)
