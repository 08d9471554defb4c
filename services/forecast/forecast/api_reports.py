"""The forecast, the funnel and the four Vs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from backbone import database, security, tables, times
from backbone.problem import Pointer, Problem
from forecast import funnel, reports, store_leads, velocity

Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]


class _Span:
    def __init__(
        self, start: Annotated[times.Instant, Query(alias="from")], end: Annotated[times.Instant, Query(alias="to")]
    ) -> None:
        if end <= start:
            fault = Pointer("query/to", "has to be after `from`")
            raise Problem(422, "Not a time span", "Send `to` after `from`.", errors=[fault])
        self.start, self.end = start, end


Span = Annotated[_Span, Depends()]


def router(db: database.Database) -> APIRouter:
    """Return the routes of reports."""
    api = APIRouter(tags=["reports"])

    @api.get("/v1/forecast")
    async def show_forecast(
        request: Request,
        _: Reports,
        period: str,
        node: str | None = None,
        view: Literal["individual", "cumulative"] = "individual",
        as_of: times.Instant | None = None,
    ) -> Response:
        """Show the forecast of a period (2026-Q4, 2026-11 or 2026) from leaf counters, for a node and those beneath."""
        async with db.reading() as conn:
            now = await times.now(conn)
            try:
                found = await reports.forecast(conn, period, node, view=view, as_of=as_of, now=now)
            except ValueError:
                place = Pointer("query/period", "2026-Q4, 2026-11 or 2026")
                raise Problem(422, "No such period", "Write it like 2026-Q4.", errors=[place]) from None
            except LookupError:
                raise Problem(404, "No such node", "The nodes are those of PUT /v1/hierarchy.") from None
            return await _report(conn, request, found, reports.as_rows(found["nodes"]), as_of or now, reports.COLUMNS)

    @api.get("/v1/funnel")
    async def show_funnel(
        request: Request,
        _: Reports,
        span: Span,
        by: Literal["week", "month", "source", "definition"] | None = None,
        as_of: times.Instant | None = None,
    ) -> Response:
        """Show how far the leads created in [from, to) came; each stage counts who reached it or a later one."""
        async with db.reading() as conn:
            now = await times.now(conn)
            groups = await funnel.funnel(conn, span.start, span.end, by=by, as_of=as_of, now=now)
            rows = funnel.as_rows(groups)
            return await _report(conn, request, {"groups": groups}, rows, as_of or now, funnel.COLUMNS)

    @api.get("/v1/velocity")
    async def show_velocity(request: Request, _: Reports, span: Span) -> Response:
        """Show volume, value, velocity and conversion, and what was won by month."""
        async with db.reading() as conn:
            now = await times.now(conn)
            found = await velocity.velocity(conn, span.start, span.end, now)
            return await _report(conn, request, found, found["won_by_month"], now, velocity.WON)

    return api


async def _report(
    conn: database.Connection,
    request: Request,
    body: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    as_of: datetime,
    columns: Sequence[str],
) -> Response:
    """Answer with the report, or its rows as CSV; an `as_of` after `complete_until` is provisional."""
    complete = await store_leads.complete_until(conn)
    said: tables.Said = {
        "as_of": times.text(as_of),
        "complete_until": times.text(complete) if complete is not None else None,
        "provisional": complete is None or as_of > complete,
    }
    return tables.answer(request, body, rows, said, columns=columns)
