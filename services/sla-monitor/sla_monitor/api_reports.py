"""Reports: how fast and how doggedly leads were followed up, which promises were kept, and where leads are lost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from backbone import database, fields, kafka, security, tables, times
from backbone.consumer import Consumer
from backbone.problem import Pointer, Problem
from sla_monitor import (
    reports,
    reports_attainment,
    reports_conversion,
    reports_leaks,
    reports_marketing,
    reports_meetings,
    reports_persistence,
    store_policies,
)
from sla_monitor import shapes_reports as shapes
from sla_monitor.shapes_reports import described

Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]
By = Literal["none", "rep", "team", "source", "hour", "weekday", "week"]
_TABLES: Final[Mapping[str, Sequence[str]]] = {
    "weeks": shapes.WEEKS,
    "periods": tables.columns(shapes.Period),
    "totals": tables.columns(shapes.Delivery),
}
Table = Annotated[
    Literal["weeks", "periods", "totals"], Query(description="Which of them a table (text/csv) shows; JSON has all.")
]

ENDS_TIMEOUT_S: Final = 1.0
AGES_S: Final = tuple(2**power for power in range(21))
"""How long ago all that was sent by then may have been read: from a second to twelve days, when topics forget."""
LONGEST: Final = timedelta(days=3_660)


class _Span:
    """From when to when, as of when."""

    def __init__(
        self,
        start: Annotated[fields.Instant, Query(alias="from")],
        end: Annotated[fields.Instant, Query(alias="to")],
        as_of: fields.Instant | None = None,
    ) -> None:
        if end <= start:
            fault = Pointer("query/to", "has to be after `from`")
            raise Problem(422, "Not a span", "Give a time after `from`.", errors=[fault])
        self.start, self.end, self.as_of = start, end, as_of


Span = Annotated[_Span, Depends()]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What a report says, and the same as rows of a table."""

    body: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[str]


Make = Callable[[database.Connection, datetime], Awaitable[_Found]]
"""Makes a report as of an instant."""


def router(db: database.Database, consumer: Consumer) -> APIRouter:
    """Return the routes. The consumer says how far the facts are known."""
    api = APIRouter(tags=["reports"])

    async def answer(request: Request, span: _Span, make: Make) -> Response:
        async with db.reading() as conn:
            now = await times.now(conn)
            # Nothing is known yet of what is to come.
            as_of = min(span.as_of or now, now)
            complete_until = await _complete_until(conn, consumer)
            return await _report(conn, request, await make(conn, as_of), as_of, complete_until)

    @api.get("/v1/reports/speed", responses=described(shapes.SpeedReport))
    async def speed(request: Request, _: Reports, span: Span, by: By = "none") -> Response:
        """Report speed to lead of those that arrived in [from, to), history included."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            groups = await reports.speed(conn, span.start, span.end, by=by, as_of=as_of)
            return _groups(groups, shapes.Speed)

        return await answer(request, span, make)

    @api.get("/v1/reports/attainment", responses=described(shapes.AttainmentReport))
    async def attainment(request: Request, _: Reports, span: Span, by: By = "none") -> Response:
        """Report how many promises that began in [from, to) were kept; with `as_of` by what was known then."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            then = as_of if span.as_of is not None else None
            groups = await reports_attainment.attainment(conn, span.start, span.end, by=by, as_of=then)
            return _groups(groups, shapes.Attainment)

        return await answer(request, span, make)

    @api.get("/v1/reports/persistence", responses=described(shapes.PersistenceReport))
    async def persistence(request: Request, _: Reports, span: Span, by: By = "none") -> Response:
        """Report how often leads that arrived in [from, to) were tried, and which were given up too soon."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            groups = await reports_persistence.persistence(conn, span.start, span.end, by=by, as_of=as_of)
            return _groups(groups, shapes.Persistence)

        return await answer(request, span, make)

    @api.get("/v1/reports/meetings", responses=described(shapes.MeetingsReport))
    async def meetings(request: Request, _: Reports, span: Span, by: By = "none") -> Response:
        """Report what became of the meetings that were booked in [from, to)."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            groups = await reports_meetings.meetings(conn, span.start, span.end, by=by, as_of=as_of)
            return _groups(groups, shapes.Meetings)

        return await answer(request, span, make)

    @api.get("/v1/reports/conversion", responses=described(shapes.ConversionReport))
    async def conversion(request: Request, _: Reports, span: Span, by: By = "none") -> Response:
        """Report what a minute costs: what became of leads that arrived in [from, to), by response time."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            groups = await reports_conversion.conversion(conn, span.start, span.end, by=by, as_of=as_of)
            body = {"groups": groups, "note": reports_conversion.NOTE}
            return _Found(body=body, rows=reports_conversion.as_rows(groups), columns=shapes.CONVERSION)

        return await answer(request, span, make)

    @api.get("/v1/reports/leaks", responses=described(shapes.LeaksReport))
    async def leaks(request: Request, _: Reports, span: Span) -> Response:
        """Report where leads that arrived in [from, to) are lost, with the leads behind each number."""

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            items = await reports_leaks.leaks(conn, span.start, span.end, as_of=as_of)
            return _Found(body={"items": items}, rows=items, columns=tables.columns(shapes.Leak))

        return await answer(request, span, make)

    @api.get("/v1/reports/marketing", responses=described(shapes.MarketingReport))
    async def marketing(
        request: Request, _: Reports, span: Span, by: Literal["none", "source"] = "none", table: Table = "weeks"
    ) -> Response:
        """Report leads that qualified in [from, to) beside marketing's promises, sales' too; as CSV a `table` of it."""
        if span.end - span.start > LONGEST:
            fault = Pointer("query/to", f"at most {LONGEST.days} days after `from`: each week in between has its row")
            raise Problem(422, "Too long a span", "Give a time within ten years of `from`.", errors=[fault])

        async def make(conn: database.Connection, as_of: datetime) -> _Found:
            asked = reports_marketing.Asked(
                start=span.start, end=span.end, by=by, as_of=as_of, is_now=span.as_of is None
            )
            found = await reports_marketing.report(conn, asked)
            body = {name: [_written(row) for row in rows] for name, rows in found.items()}
            rows = reports_marketing.by_key(body[table]) if table == "periods" else body[table]
            return _Found(body=body, rows=reports.flat(rows), columns=_TABLES[table])

        return await answer(request, span, make)

    return api


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: times.text(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _groups(groups: list[dict[str, Any]], shape: type[BaseModel]) -> _Found:
    return _Found(body={"groups": groups}, rows=reports.flat(groups), columns=tables.columns(shape))


async def _complete_until(conn: database.Connection, consumer: Consumer) -> datetime | None:
    """Return until when every fact is known, whichever partition is furthest behind: now, or an age before it.

    By when facts were sent, which is right after they were recorded; what is parked is not known yet. None while Kafka
    does not say.
    """
    now = await times.now(conn)
    for ends in await _told(consumer.ends()):
        if await consumer.have_applied(conn, ends):
            return now
    earlier = [now - timedelta(seconds=age) for age in AGES_S]
    for until, ends in zip(earlier, await _told(*map(consumer.ends, earlier)), strict=False):
        if await consumer.have_applied(conn, ends):
            return until
    return None


async def _told(*asking: Awaitable[Mapping[kafka.Partition, int]]) -> Sequence[Mapping[kafka.Partition, int]]:
    """Return what Kafka says, nothing when it is away; asked at once, since each question waits behind a fetch."""
    try:
        async with asyncio.timeout(ENDS_TIMEOUT_S):
            return await asyncio.gather(*asking)
    except (kafka.KafkaError, TimeoutError, OSError):
        return ()


async def _report(
    conn: database.Connection, request: Request, found: _Found, as_of: datetime, complete_until: datetime | None
) -> Response:
    said: tables.Said = {
        "as_of": times.text(as_of),
        "complete_until": times.text(complete_until) if complete_until is not None else None,
        "unsigned_by": await store_policies.unsigned_by(conn),
    }
    return tables.answer(request, found.body, found.rows, said, columns=found.columns)
