"""Marketing's side of the agreement, weekly, with sales' beside it."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from backbone import database, fields, security, tables, times
from backbone.consumer import Consumer
from backbone.problem import Pointer, Problem
from sla_monitor import completeness, reports, reports_marketing, store_policies

Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]

LONGEST: Final = timedelta(days=3_660)
"""Ten years: each week in between has its row."""


class _Span:
    """From when to when, by what, as of when."""

    def __init__(
        self,
        start: Annotated[fields.Instant, Query(alias="from")],
        end: Annotated[fields.Instant, Query(alias="to")],
        by: Literal["none", "source"] = "none",
        as_of: fields.Instant | None = None,
    ) -> None:
        if not start < end <= start + LONGEST:
            fault = Pointer("query/to", f"has to be after `from`, by at most {LONGEST.days} days")
            raise Problem(422, "Not a span", "Give a time after `from`, within ten years of it.", errors=[fault])
        self.start, self.end, self.by, self.as_of = start, end, by, as_of


Span = Annotated[_Span, Depends()]


def router(db: database.Database, consumer: Consumer) -> APIRouter:
    """Return the route. The consumer says how far the facts are known."""
    api = APIRouter(tags=["reports"])

    @api.get("/v1/reports/marketing")
    async def marketing(request: Request, _: Reports, span: Span) -> Response:
        """Report the leads that qualified in [from, to) beside what marketing promised, and sales' promises beside.

        As CSV: the weeks.
        """
        async with db.reading() as conn:
            as_of = span.as_of or await times.now(conn)
            complete_until = await completeness.until(conn, consumer)
            asked = reports_marketing.Asked(start=span.start, end=span.end, by=span.by, as_of=as_of)
            found = await reports_marketing.report(conn, asked)
            unsigned = await store_policies.unsigned_by(conn)
        if "text/csv" in request.headers.get("accept", ""):
            return Response(tables.as_csv(reports.flat(found["weeks"])), media_type="text/csv")
        return JSONResponse(
            {
                **{name: [_written(row) for row in rows] for name, rows in found.items()},
                "as_of": times.text(as_of),
                "complete_until": times.text(complete_until) if complete_until is not None else None,
                "unsigned_by": unsigned,
            }
        )

    return api


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return {name: times.text(value) if isinstance(value, datetime) else value for name, value in row.items()}
