"""Leads as qualification sees them, and what SDRs and sales decide."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from backbone import database, fields, idempotency, outbox, pages, security, subjects, times
from backbone.problem import Pointer, Problem
from qualification import desk as desks
from qualification import domain, moving, reading, reasons, store, store_queue
from qualification.desk import Desk
from qualification.domain import Stage
from qualification.reasons import Reasons
from qualification.store import Row
from qualification.store_definitions import Compiled

Act = Callable[[Desk, Row, Reasons], None]

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Sdr = Annotated[security.Caller, Depends(security.allow("sdr", "manager"))]
Rep = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]


class Answered(fields.Body):
    """One of the four questions."""

    answer: Literal["yes", "no", "unknown"]
    note: Annotated[str | None, Field(max_length=10_000)] = None


class Bant(fields.Body):
    """Budget, authority, need, timing; what is left out stays as it is."""

    budget: Answered | None = None
    authority: Answered | None = None
    need: Answered | None = None
    timing: Answered | None = None


class Decision(fields.Body):
    """What an SDR decides."""

    decision: Literal["accept", "disqualify", "nurture", "recycle"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    until: times.Instant | None = None


class SalesDecision(fields.Body):
    """What the sales rep decides over an SRL."""

    decision: Literal["confirm", "hand_back"]
    reason: Annotated[str | None, Field(max_length=500)] = None
    bant: Bant | None = None


class Outcome(fields.Body):
    """How it ended, said by hand; normally forecast says it."""

    outcome: Literal["sql", "won", "lost"]
    reason: Annotated[str | None, Field(max_length=500)] = None


def router(db: database.Database, out: outbox.Outbox, compiled: Compiled, *, most: int) -> APIRouter:
    """Return the routes of leads and decisions."""
    api = APIRouter(tags=["leads"])
    decide = _Decisions(db, out, compiled).decide

    @api.get("/v1/leads/{lead_id}")
    async def show(caller: Reading, lead_id: UUID) -> dict[str, Any]:
        """Show the stage, the score with its explanation as of now, BANT and the history of decisions."""
        async with db.reading() as conn:
            row = await reading.lead(conn, compiled, lead_id, most=most)
            if row is None:
                raise _no_lead()
            if not _may_see(caller, row):
                raise Problem(403, "Not your lead", "A rep sees own leads only.")
            moves = await store.history(conn, row.lead_id)
        return {**reading.shown(row), "history": [reading.shown_move(move) for move in moves]}

    @api.put("/v1/leads/{lead_id}/bant")
    async def put_bant(request: Request, caller: Rep, lead_id: UUID, body: Bant) -> Response:
        """Answer the four questions; unknown is not no."""
        return await decide(request, caller, lead_id, lambda desk, row, _: _note_bant(desk, row, body, caller))

    @api.post("/v1/leads/{lead_id}/decisions")
    async def post_decision(request: Request, caller: Sdr, lead_id: UUID, body: Decision) -> Response:
        """Confirm as SRL, disqualify, nurture or recycle; each but `accept` with a reason."""
        if body.decision != "accept":
            _need_reason(body.reason)
        return await decide(request, caller, lead_id, lambda desk, row, said: _decide(desk, row, said, body, caller))

    @api.post("/v1/leads/{lead_id}/sales-decision")
    async def post_sales_decision(request: Request, caller: Rep, lead_id: UUID, body: SalesDecision) -> Response:
        """Confirm an SRL as SQL, or hand it back to the SDR with a reason."""
        if body.decision == "hand_back":
            _need_reason(body.reason)

        def act(desk: Desk, row: Row, said: Reasons) -> None:
            _decide_sales(desk, row, said, body, caller)

        return await decide(request, caller, lead_id, act, holder_only=True)

    @api.post("/v1/leads/{lead_id}/outcome")
    async def post_outcome(request: Request, caller: Manager, lead_id: UUID, body: Outcome) -> Response:
        """Say how it ended, where no opportunity says it."""

        def act(desk: Desk, row: Row, said: Reasons) -> None:
            why = said.why(body.reason, by=caller.sub)
            if body.outcome == "lost":
                moving.lose(desk, row, why=why, until=said.rest_until(why.code, desk.now))
            elif body.outcome == "won":
                moving.win(desk, row, why=replace(why, code=""))
            elif row.state.stage not in (Stage.SQL, Stage.CUSTOMER):
                moving.confirm(desk, row, why=replace(why, code=""))

        return await decide(request, caller, lead_id, act)

    @api.get("/v1/review-queue")
    async def review_queue(caller: Sdr, asked: pages.Asked) -> dict[str, Any]:
        """List what waits for judgement, best grade first, then oldest; an SDR sees their own and nobody's."""
        after = asked.since(int, times.parse, UUID)
        rep_id = (caller.rep or "") if caller.role == "sdr" else None
        async with db.reading() as conn:
            rows = await store_queue.queue(conn, after=after, rep_id=rep_id, limit=asked.limit)
        more = None
        if len(rows) == asked.limit:
            last = rows[-1]
            more = pages.cursor(last["queue_rank"], times.text(last["queue_since"]), str(last["lead_id"]))
        return pages.answer([_queued(row) for row in rows], more)

    return api


class _Decisions:
    """A person's decisions over one lead: locked, decided, written and announced in one transaction."""

    def __init__(self, db: database.Database, out: outbox.Outbox, compiled: Compiled) -> None:
        self._db = db
        self._out = out
        self._compiled = compiled

    async def decide(
        self, request: Request, caller: security.Caller, lead_id: UUID, act: Act, *, holder_only: bool = False
    ) -> Response:
        """Do `act`; with `holder_only` a rep or an SDR has to hold the lead."""

        async def once(conn: database.Connection) -> idempotency.Answer:
            subject = (await subjects.lock(conn, [lead_id]))[lead_id]
            desk = await desks.open_desk(conn, self._compiled, [subject.subject_id])
            row = desk.rows[subject.subject_id]
            if row.fields is None or subject.erased_at is not None:
                raise _no_lead()
            if not (caller.owns(row.rep_id) if holder_only else _may_decide(caller, row)):
                raise Problem(403, "Not your lead", "A rep decides over own leads only.")
            row.recorded_at = desk.now
            try:
                act(desk, row, await reasons.load(conn))
            except domain.Refused as refused:
                raise Problem(409, "Not now", str(refused)) from None
            desk.changed.add(row.lead_id)
            await desk.finish(conn, self._out)
            return idempotency.Answer(200, reading.shown(row))

        return await idempotency.answer(self._db, request, caller, once)


def _may_decide(caller: security.Caller, row: Row) -> bool:
    """Own leads; and of what waits for judgement, what nobody has."""
    if caller.owns(row.rep_id):
        return True
    waits = row.place_in_queue()[0] is not None
    return caller.role == "sdr" and waits and row.rep_id is None


def _may_see(caller: security.Caller, row: Row) -> bool:
    return _may_decide(caller, row) or (caller.rep is not None and row.sdr_id == caller.rep)


def _need_reason(reason: str | None) -> None:
    if not reason:
        fault = Pointer("/reason", "is missing")
        raise Problem(422, "A reason is missing", "Send `reason`: a code of GET /v1/reasons, or words.", errors=[fault])


def _note_bant(desk: Desk, row: Row, body: Bant, caller: security.Caller) -> None:
    said = {
        name: {"answer": one.answer, "note": one.note, "by": caller.sub, "at": times.text(desk.now)}
        for name, one in ((question, getattr(body, question)) for question in domain.QUESTIONS)
        if one is not None
    }
    row.state = replace(row.state, bant={**row.state.bant, **said})
    desk.note_place(row, decided=True)


def _decide(desk: Desk, row: Row, said: Reasons, body: Decision, caller: security.Caller) -> None:
    why = said.why(body.reason, by=caller.sub) if body.reason else desks.Why(by=caller.sub)
    if body.decision == "accept":
        desk.check_accept(row)
        moving.accept(desk, row, sdr_id=caller.rep or row.rep_id, why=why)
    elif body.decision == "disqualify":
        domain.check_end(row.state)
        moving.disqualify(desk, row, why=why, closed=True)
    else:
        domain.check_end(row.state)
        until = body.until if body.until is not None and body.until > desk.now else None
        moving.recycle(desk, row, why=why, until=until or said.rest_until(why.code, desk.now), closed=True)


def _decide_sales(desk: Desk, row: Row, said: Reasons, body: SalesDecision, caller: security.Caller) -> None:
    if row.state.stage is not Stage.SRL:
        raise domain.Refused("Only an SRL is confirmed or handed back.")
    if body.bant is not None:
        _note_bant(desk, row, body.bant, caller)
    if body.decision == "confirm":
        moving.confirm(desk, row, why=desks.Why(by=caller.sub))
    else:
        moving.hand_back(desk, row, why=said.why(body.reason, by=caller.sub), rep_id=caller.rep)


def _no_lead() -> Problem:
    return Problem(404, "No such lead", "Send the id of a lead that was not erased; a new one takes a moment to come.")


def _queued(row: Any) -> dict[str, Any]:
    return {
        "lead_id": str(row["lead_id"]),
        "kind": row["queue_kind"],
        "grade": store.grade(row["score"]),
        "rank": row["queue_rank"],
        "waiting_since": times.text(row["queue_since"]),
        "rep_id": row["rep_id"],
        "locked_by": None,
    }
