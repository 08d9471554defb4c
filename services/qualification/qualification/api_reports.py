"""What reps think of the leads that they get, and whether marketing delivers what it promised."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from backbone import database, fields, idempotency, security, subjects, tables, times
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2
from qualification import reasons, reports, store, store_reports
from qualification.reports import Passed
from qualification.store_definitions import Compiled

Rep = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]
Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]


class Feedback(fields.Body):
    """What a rep thinks of the lead."""

    model_config = ConfigDict(extra="forbid")
    rating: Literal["good", "fair", "poor"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    note: Annotated[str | None, Field(max_length=10_000)] = None


class Span:
    """From when to when; the end does not belong to it."""

    def __init__(
        self,
        start: Annotated[times.Instant, Query(alias="from")],
        end: Annotated[times.Instant, Query(alias="to")],
    ) -> None:
        if end <= start:
            fault = Pointer("query/to", "has to be after `from`")
            raise Problem(422, "Not a time span", "Send `to` after `from`.", errors=[fault])
        self.start, self.end = start, end


def router(db: database.Database, compiled: Compiled) -> APIRouter:
    """Return the routes of reports and feedback."""
    api = APIRouter(tags=["reports"])

    @api.post("/v1/leads/{lead_id}/feedback", status_code=201)
    async def post_feedback(request: Request, caller: Rep, lead_id: UUID, body: Feedback) -> Response:
        """Say what the lead was worth."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            survivor = (await subjects.lock(conn, [lead_id]))[lead_id].subject_id
            row = (await store.load(conn, [survivor]))[survivor]
            if row.fields is None:
                raise Problem(404, "No such lead", "Send the id of a lead that was not erased.")
            if not caller.owns(row.rep_id) and not (caller.rep and caller.rep in (row.previous_rep, row.sdr_id)):
                raise Problem(403, "Not your lead", "A rep rates own leads only.")
            said = (await reasons.load(conn)).why(body.reason) if body.reason else None
            await store_reports.add_feedback(
                conn,
                survivor,
                rep_id=caller.rep,
                rating=body.rating,
                reason=said.code if said is not None else None,
                note=body.note or (said.words if said is not None else None),
            )
            return idempotency.Answer(201, {"lead_id": str(survivor), "rating": body.rating})

        return await idempotency.answer(db, request, caller, act)

    @api.get("/v1/reports/feedback")
    async def feedback(
        request: Request,
        _: Reports,
        span: Annotated[Span, Depends()],
        by: Literal["source", "campaign", "definition", "grade", "rep"] = "source",
    ) -> Response:
        """Report what reps said of the MQLs of [from, to)."""
        async with db.reading() as conn:
            leads = [_passed(row) for row in await store_reports.passed(conn, span.start, span.end)]
            return _report(request, "groups", reports.feedback(leads, by=by), times.text(await times.now(conn)))

    @api.get("/v1/reports/supply")
    async def supply(request: Request, _: Reports, span: Annotated[Span, Depends()]) -> Response:
        """Report week by week what marketing delivered of what it promised in the definition."""
        async with db.reading() as conn:
            zone = await store_reports.zone(conn)
            promise = next((one.supply for one in await compiled.active(conn) if one.supply), {})
            leads = [_passed(row) for row in await store_reports.passed(conn, span.start, span.end)]
            weeks = reports.supply(leads, promise=promise, start=span.start, end=span.end, zone=zone)
            return _report(request, "weeks", weeks, times.text(await times.now(conn)))

    return api


def _report(request: Request, name: str, rows: list[dict[str, Any]], as_of: str) -> Response:
    said = {"as_of": as_of, "complete_until": as_of}
    return tables.answer(request, {name: rows}, rows, said, columns=reports.COLUMNS[name])


def _passed(row: Any) -> Passed:
    fields = common_pb2.LeadFields.FromString(row["fields"]) if row["fields"] is not None else common_pb2.LeadFields()
    score = common_pb2.Qualification.FromString(row["score"]) if row["score"] is not None else None
    disqualified = row["stage"] == "disqualified" and row["decided_by_person"]
    given = {row["rated_for"], row["reason"] if disqualified else None} - {None, ""}
    return Passed(
        at=row["at"],
        source=fields.first_touch.source or fields.source,
        campaign=fields.first_touch.campaign or fields.campaign,
        definition=row["definition"],
        grade=score.grade if score is not None else "",
        rep=row["rep_id"] or "",
        complete=score is not None and not score.missing,
        handed_at=row["handed_at"],
        rating=row["rating"],
        reasons=sorted(given),
        declined=row["declined"] > 0,
        disqualified=disqualified,
    )
