"""Leads as qualification sees them, and what SDRs and sales decide."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from backbone import database, idempotency, outbox, pages, security, subjects, times
from backbone.problem import Problem
from handoff.events.v1 import qualification_pb2
from qualification import domain, events, moving, reasons, store
from qualification.domain import Stage
from qualification.moving import Desk
from qualification.store import Row
from qualification.store_definitions import Compiled

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Sdr = Annotated[security.Caller, Depends(security.allow("sdr", "manager"))]
Rep = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]

GRADES = {grade: rank for rank, grade in enumerate(("A1", "A2", "B1", "A3", "B2", "C1", "B3", "C2", "C3"), 1)}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Answered(_Body):
    """One of the four questions."""

    answer: Literal["yes", "no", "unknown"]
    note: Annotated[str | None, Field(max_length=10_000)] = None


class Bant(_Body):
    """Budget, authority, need, timing; what is left out stays as it is."""

    budget: Answered | None = None
    authority: Answered | None = None
    need: Answered | None = None
    timing: Answered | None = None


class Decision(_Body):
    """What an SDR decides."""

    decision: Literal["accept", "disqualify", "nurture", "recycle"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    until: AwareDatetime | None = None


class SalesDecision(_Body):
    """What the sales rep decides over an SRL."""

    decision: Literal["confirm", "hand_back"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    bant: Bant | None = None


class Outcome(_Body):
    """How it ended, said by hand; normally forecast says it."""

    outcome: Literal["sql", "won", "lost"]
    reason: Annotated[str | None, Field(max_length=500)] = None


class Feedback(_Body):
    """What a rep thinks of the lead."""

    rating: Literal["good", "fair", "poor"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    note: Annotated[str | None, Field(max_length=10_000)] = None


def router(db: database.Database, out: outbox.Outbox, compiled: Compiled) -> APIRouter:
    """Return the routes of leads and decisions."""
    api = APIRouter(tags=["leads"])

    async def decide(
        request: Request,
        caller: security.Caller,
        lead_id: UUID,
        act: Callable[[Desk, Row], None],
        *,
        own: bool = True,
    ) -> Response:
        async def once(conn: database.Connection) -> idempotency.Answer:
            locked = await subjects.lock(conn, [lead_id])
            subject = locked[lead_id]
            desk = await moving.open_desk(conn, compiled, [subject.subject_id])
            row = desk.rows[subject.subject_id]
            if row.fields is None or subject.erased_at is not None:
                raise _no_lead()
            if own and not caller.owns(row.rep_id) and not (caller.role == "sdr" and row.review_since is not None):
                raise Problem(403, "Not your lead", "A rep decides over own leads only.")
            try:
                act(desk, row)
            except domain.Refused as refused:
                raise Problem(409, "Not now", str(refused)) from None
            await desk.finish(conn, out)
            return idempotency.Answer(200, shown(row))

        return await idempotency.answer(db, request, caller, once)

    @api.get("/v1/leads/{lead_id}")
    async def show(caller: Reading, lead_id: UUID) -> dict[str, Any]:
        """Show the stage, the score with its explanation, BANT and the history of decisions."""
        async with db.reading() as conn:
            survivor = await conn.fetchval("SELECT merged_into FROM subject WHERE subject_id = $1", lead_id) or lead_id
            row = (await store.load(conn, [survivor]))[survivor]
            if row.recorded_at is None:
                raise _no_lead()
            if not caller.owns(row.rep_id) and not (caller.role == "sdr" and row.review_since is not None):
                raise Problem(403, "Not your lead", "A rep sees own leads only.")
            moves = await store.history(conn, survivor)
        return {**shown(row), "history": [_move(move) for move in moves]}

    @api.put("/v1/leads/{lead_id}/bant")
    async def put_bant(request: Request, caller: Rep, lead_id: UUID, body: Bant) -> Response:
        """Answer the four questions; unknown is not no."""
        return await decide(request, caller, lead_id, lambda desk, row: _note_bant(desk, row, body, caller))

    @api.post("/v1/leads/{lead_id}/decisions")
    async def post_decision(request: Request, caller: Sdr, lead_id: UUID, body: Decision) -> Response:
        """Confirm as SRL, disqualify, nurture or recycle; each but `accept` with a reason."""
        if body.decision != "accept" and not body.reason:
            raise Problem(422, "A reason is missing", "Send `reason`: a code of GET /v1/reasons, or words.")
        return await decide(request, caller, lead_id, lambda desk, row: _decide(desk, row, body, caller))

    @api.post("/v1/leads/{lead_id}/sales-decision")
    async def post_sales_decision(request: Request, caller: Rep, lead_id: UUID, body: SalesDecision) -> Response:
        """Confirm an SRL as SQL, or hand it back to the SDR with a reason."""
        if body.decision == "hand_back" and not body.reason:
            raise Problem(422, "A reason is missing", "Send `reason`: a code of GET /v1/reasons, or words.")
        return await decide(request, caller, lead_id, lambda desk, row: _decide_sales(desk, row, body, caller))

    @api.post("/v1/leads/{lead_id}/outcome")
    async def post_outcome(request: Request, caller: Manager, lead_id: UUID, body: Outcome) -> Response:
        """Say how it ended, where no opportunity says it."""

        def act(desk: Desk, row: Row) -> None:
            if body.outcome == "sql":
                moving.confirm(desk, row)
            elif body.outcome == "won":
                desk.move(row, Stage.CUSTOMER, by_person=True)
            else:
                moving.recycle(desk, row, reason=reasons.code(body.reason), until=None, by_person=True)

        return await decide(request, caller, lead_id, act, own=False)

    @api.post("/v1/leads/{lead_id}/feedback", status_code=201)
    async def post_feedback(request: Request, caller: Rep, lead_id: UUID, body: Feedback) -> Response:
        """Say what the lead was worth."""

        async def act(conn: database.Connection) -> idempotency.Answer:
            row = (await store.load(conn, [lead_id]))[lead_id]
            if row.recorded_at is None:
                raise _no_lead()
            if not caller.owns(row.rep_id):
                raise Problem(403, "Not your lead", "A rep rates own leads only.")
            await conn.execute(
                "INSERT INTO feedback (lead_id, rep_id, rating, reason, note) VALUES ($1, $2, $3, $4, $5)",
                lead_id,
                caller.rep,
                body.rating,
                reasons.code(body.reason),
                body.note,
            )
            return idempotency.Answer(201, {"lead_id": str(lead_id), "rating": body.rating})

        return await idempotency.answer(db, request, caller, act)

    @api.get("/v1/review-queue")
    async def review_queue(caller: Sdr, asked: pages.Asked) -> dict[str, Any]:
        """List what waits for judgement, best grade first, then oldest."""
        async with db.reading() as conn:
            rows = await store.review_queue(conn, after=asked.after, limit=asked.limit)
        items = [_queued(store._row(row), row["since"]) for row in rows]
        items = [item for item in items if caller.role != "sdr" or item["rep_id"] in (None, caller.rep)]
        items.sort(key=lambda item: (item["rank"], item["waiting_since"], item["lead_id"]))
        start = asked.after[0] if asked.after else 0
        page = items[start : start + asked.limit]
        more = pages.cursor(start + asked.limit) if len(items) > start + asked.limit else None
        return pages.answer(page, more)

    return api


def _note_bant(desk: Desk, row: Row, body: Bant, caller: security.Caller) -> None:
    said = {
        name: {"answer": one.answer, "note": one.note, "by": caller.sub, "at": times.text(desk.now)}
        for name, one in ((question, getattr(body, question)) for question in domain.QUESTIONS)
        if one is not None
    }
    row.state = replace(row.state, bant={**row.state.bant, **said})


def _decide(desk: Desk, row: Row, body: Decision, caller: security.Caller) -> None:
    code = reasons.code(body.reason)
    if body.decision == "accept":
        definition = desk.definition_of(row)
        in_review = row.review_since is not None
        domain.check_accept(row.state, definition.srl if definition is not None else {}, in_review=in_review)
        row.sdr_id = caller.rep or row.rep_id or row.sdr_id
        desk.move(
            row,
            Stage.SRL,
            by_person=True,
            tell=lambda moved, qualification: events.sales_ready(moved, qualification, desk.now),
        )
    elif body.decision == "disqualify":
        moving.disqualify(desk, row, reason=code)
    else:
        moving.recycle(desk, row, reason=code, until=_later(body.until, desk.now), by_person=body.decision == "nurture")


def _later(until: datetime | None, now: datetime) -> datetime | None:
    return until if until is not None and until > now else None


def _decide_sales(desk: Desk, row: Row, body: SalesDecision, caller: security.Caller) -> None:
    if row.state.stage is not Stage.SRL:
        raise domain.Refused("Only an SRL is confirmed or handed back.")
    if body.bant is not None:
        _note_bant(desk, row, body.bant, caller)
    if body.decision == "confirm":
        moving.confirm(desk, row)
        return

    def tell(moved: Row, qualification: Any) -> Any:
        message = qualification_pb2.LeadHandedBack(
            stamp=events.stamp(moved, desk.now),
            qualification=qualification,
            lead=moved.fields,
            rep_id=moved.rep_id or caller.rep or "",
            sdr_id=moved.sdr_id or "",
        )
        return events.event(moved, message, desk.now)

    desk.move(row, Stage.MQL, reason=reasons.code(body.reason), by_person=True, tell=tell)


def _no_lead() -> Problem:
    return Problem(404, "No such lead", "Send the id of a lead that was not erased; a new one takes a moment to come.")


def _queued(row: Row, since: datetime) -> dict[str, Any]:
    grade = row.score.grade if row.score is not None else ""
    return {
        "lead_id": str(row.lead_id),
        "kind": "review" if row.review_since is not None else "bant",
        "grade": grade,
        "rank": GRADES.get(grade, len(GRADES) + 1),
        "waiting_since": times.text(since),
        "rep_id": row.rep_id,
        "locked_by": None,
    }


def _move(move: Any) -> dict[str, Any]:
    return {
        "at": times.text(move["at"]),
        "from": move["from_stage"],
        "to": move["to_stage"],
        "definition": move["definition"],
        "reason": move["reason"],
    }


def shown(row: Row) -> dict[str, Any]:
    """Return a lead's qualification as the interface has it."""
    score = row.score
    explanation = [
        {
            "rule": point.rule,
            "points": point.points,
            **({"ceiling": point.ceiling} if point.HasField("ceiling") else {}),
            "counted": point.counted,
            "part": point.part,
        }
        for point in (score.explanation if score is not None else ())
    ]
    unknown = {"answer": "unknown", "note": None}
    return {
        "lead_id": str(row.lead_id),
        "stage": str(row.state.stage),
        "reason": row.state.reason or None,
        "missing": list(score.missing) if score is not None else [],
        "grade": (score.grade or None) if score is not None else None,
        "fit": score.fit if score is not None else 0,
        "interest": score.interest if score is not None else 0,
        "action": (score.action or None) if score is not None else None,
        "persona": (score.persona or None) if score is not None else None,
        "definition": row.state.definition or None,
        "why_passed": (score.why_passed or None) if score is not None else None,
        "explanation": explanation,
        "bant": {question: row.state.bant.get(question, unknown) for question in domain.QUESTIONS},
        "cycle": row.state.cycle,
        "recycled_until": times.text(row.state.recycled_until) if row.state.recycled_until else None,
        "previous_rep": row.previous_rep,
        "rep_id": row.rep_id,
        "sdr_id": row.sdr_id,
        "live": row.live,
    }
