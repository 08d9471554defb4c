"""Reports: how fast leads were followed up, and which promises were kept."""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backbone import database, fields, kafka, security, tables, times
from backbone.consumer import Consumer
from backbone.problem import Pointer, Problem
from sla_monitor import reports, store_policies

Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]

ENDS_TIMEOUT_S: Final = 1.0


class _Span:
    """From when to when, by what, as of when."""

    def __init__(
        self,
        start: Annotated[fields.Instant, Query(alias="from")],
        end: Annotated[fields.Instant, Query(alias="to")],
        by: Literal["none", "rep", "team", "source", "hour", "week"] = "none",
        as_of: fields.Instant | None = None,
    ) -> None:
        if end <= start:
            fault = Pointer("query/to", "has to be after `from`")
            raise Problem(422, "Not a span", "Give a time after `from`.", errors=[fault])
        self.start, self.end, self.by, self.as_of = start, end, by, as_of


Span = Annotated[_Span, Depends()]


def router(db: database.Database, consumer: Consumer) -> APIRouter:
    """Return the routes. The consumer says how far the facts are known."""
    api = APIRouter(tags=["reports"])

    @api.get("/v1/reports/speed")
    async def speed(request: Request, _: Reports, asked: Span) -> Response:
        """Report speed to lead of those that arrived in [from, to), history included."""
        async with db.reading() as conn:
            as_of = asked.as_of or await times.now(conn)
            complete_until = await _complete_until(conn, consumer)
            groups = await reports.speed(conn, asked.start, asked.end, by=asked.by, as_of=as_of)
            return await _report(conn, request, groups, as_of, complete_until)

    @api.get("/v1/reports/attainment")
    async def attainment(request: Request, _: Reports, asked: Span) -> Response:
        """Report how many promises were kept, as known now."""
        async with db.reading() as conn:
            as_of = await times.now(conn)
            complete_until = await _complete_until(conn, consumer)
            groups = await reports.attainment(conn, asked.start, asked.end, by=asked.by)
            return await _report(conn, request, groups, as_of, complete_until)

    return api


async def _complete_until(conn: database.Connection, consumer: Consumer) -> datetime | None:
    """Return until when every fact is known: now, when all topics are read to their ends; else what was read last."""
    now = await times.now(conn)
    try:
        ends = await asyncio.wait_for(consumer.ends(), ENDS_TIMEOUT_S)
    except (kafka.KafkaError, TimeoutError, OSError):
        ends = None
    if ends is not None and await consumer.have_read(conn, ends):
        return now
    return await reports.last_recorded(conn)


async def _report(
    conn: database.Connection,
    request: Request,
    groups: list[dict[str, Any]],
    as_of: datetime,
    complete_until: datetime | None,
) -> Response:
    if "text/csv" in request.headers.get("accept", ""):
        return Response(tables.as_csv(reports.flat(groups)), media_type="text/csv")
    body = {
        "groups": groups,
        "as_of": times.text(as_of),
        "complete_until": times.text(complete_until) if complete_until is not None else None,
        "unsigned_by": await store_policies.unsigned_by(conn),
    }
    return Response(json.dumps(body), media_type="application/json")
