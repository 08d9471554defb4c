"""Assignments: what reps and managers do with them, and why each came about."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from backbone import database, fields, idempotency, outbox, reasons, security, subjects, times
from backbone.problem import Pointer, Problem
from routing import deciding, events, parting, store, transaction
from routing import desk as desks
from routing.desk import Desk
from routing.domain import SALES, Outcome, WhyNot
from routing.store import Assignment, Row
from routing.store_group import Cache

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Rep = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Words = Annotated[str | None, Field(max_length=500)]
Status = Literal["working", "contacted", "meeting_set", "waiting_for_lead", "nurturing"]


class Meant(fields.Body):
    """Which assignment is meant: an act that names a cycle is refused when the lead has moved on to another."""

    cycle: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None


class Reason(Meant):
    """Why, as a code."""

    reason: Words = None


class Reassign(Meant):
    """To whom, and why."""

    rep_id: fields.Id
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Close(Meant):
    """How it ended."""

    outcome: Literal["converted", "recycled", "disqualified", "unreachable"] | None = None
    reason: Words = None
    until: fields.Instant | None = None
    note: Annotated[str | None, Field(max_length=10_000)] = None


class Update(fields.Body):
    """How it stands, and what comes next; what is left out stays, a plan that is null is withdrawn, a status never."""

    status: Status = None  # type: ignore[assignment]  # a default is not validated, so only what is left out is None
    next_step: Words = None
    next_at: fields.Instant | None = None


Act = Callable[[Desk, Row, Assignment], None]


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes of assignments."""
    api = APIRouter(tags=["assignments"])

    async def change(
        request: Request,
        caller: security.Caller,
        lead_id: UUID,
        act: Act,
        body: Meant | None = None,
        *,
        unassigned: Callable[[Desk, Row], None] | None = None,
    ) -> Response:
        async def once(conn: database.Connection) -> idempotency.Answer:
            survivor = (await subjects.lock(conn, [lead_id]))[lead_id].subject_id
            desk = await transaction.open_desk(conn, cache, [survivor])
            row, assignment = desk.rows[survivor], desk.assignments.get(survivor)
            if assignment is not None:
                if not caller.owns(assignment.rep_id):
                    raise Problem(403, "Not your lead", "A rep acts on own assignments only.")
                if body is not None and body.cycle not in (None, assignment.cycle):
                    raise Problem(409, "Moved on", "The lead was assigned anew meanwhile. Read it again, then act.")
                act(desk, row, assignment)
            elif unassigned is not None and survivor in desk.waiting:
                unassigned(desk, row)
            else:
                raise _nobodys()
            await deciding.settle(desk, conn)
            await transaction.finish(desk, conn, out, cache)
            now_with = desk.assignments.get(survivor)
            return idempotency.Answer(200, _shown(now_with) if now_with is not None else {"lead_id": str(survivor)})

        return await idempotency.answer(db, request, caller, once)

    @api.get("/v1/leads/{lead_id}/assignment")
    async def assignment(caller: Reading, lead_id: UUID) -> dict[str, Any]:
        """Show who has the lead; 404 when nobody has."""
        async with db.reading() as conn:
            survivor = await subjects.survivor(conn, lead_id)
            found = (await store.assignments(conn, [survivor])).get(survivor)
        if found is None:
            raise _nobodys()
        if not caller.owns(found.rep_id):
            raise Problem(403, "Not your lead", "A rep sees own leads only.")
        return _shown(found)

    @api.post("/v1/assignments/{lead_id}/accept")
    async def accept(request: Request, caller: Rep, lead_id: UUID, body: Reason | None = None) -> Response:
        """Take the lead on. It stops no follow-up clock: only a touch does."""

        def act(desk: Desk, row: Row, assignment: Assignment) -> None:
            if assignment.accepted_at is None:
                assignment.accepted_at = desk.now
                desk.answered(row)
                desk.changed.add(row.lead_id)
                desk.outgoing.append(events.accepted(row, assignment, desk.now))

        return await change(request, caller, lead_id, act, body)

    @api.post("/v1/assignments/{lead_id}/decline")
    async def decline(request: Request, caller: Rep, lead_id: UUID, body: Reason | None = None) -> Response:
        """Refuse the lead before accepting; it is routed again, not to the same rep."""
        return await change(request, caller, lead_id, _again("declined", body), body)

    @api.post("/v1/assignments/{lead_id}/return")
    async def give_back(request: Request, caller: Rep, lead_id: UUID, body: Reason | None = None) -> Response:
        """Give the lead back after accepting; it is routed again, not to the same rep."""
        return await change(request, caller, lead_id, _again("returned", body), body)

    @api.post("/v1/assignments/{lead_id}/close")
    async def close(request: Request, caller: Rep, lead_id: UUID, body: Close | None = None) -> Response:
        """End the assignment with an outcome; qualification moves the stage by it.

        An SDR's lead that waits for sales is theirs: it waits on, with nobody meanwhile. So is one that is ready for
        sales, was given to an SDR, and who says yes to it. One of sales who closes an SRL as `converted` confirms it
        and is done with the lead, not with its deal; `confirm` of a sales decision leaves the lead with them.
        """
        said = body or Close()

        def act(desk: Desk, row: Row, held: Assignment) -> None:
            is_sdrs = desk.group.roles.get(held.rep_id) != SALES
            is_for_sales = parting.CONVERTED in desk.reasons(row.lead_id) or (
                is_sdrs and row.stage == "srl" and said.outcome == "converted"
            )
            desk.release(
                row,
                outcome=said.outcome or "recycled",
                why=desk.group.why(said.reason or ""),
                by="rep" if caller.rep else "manager",
                until=said.until,
                without_outcome=said.outcome is None,
            )
            if is_for_sales:
                desk.to_route[row.lead_id] = None
            else:
                # It may have waited for another rep, for want of a touch or an answer.
                desk.stop_waiting(row)

        return await change(request, caller, lead_id, act, body)

    @api.post("/v1/assignments/{lead_id}/reassign")
    async def reassign(request: Request, caller: Manager, lead_id: UUID, body: Reassign) -> Response:
        """Give the lead, also one that waits, to another rep; it may go over the cap, which is recorded."""

        def give(desk: Desk, row: Row) -> None:
            rep = desk.group.index.reps.get(body.rep_id)
            if rep is None or rep.away is WhyNot.INACTIVE:
                fault = Pointer("/rep_id", "no such rep, or one who is not active")
                raise Problem(422, "No such rep", "PUT /v1/reps/{id} makes one.", errors=[fault])
            desk.release(row, outcome="reassigned", why=desk.group.why(body.reason), by="manager")
            desk.force(row, body.rep_id, outcome=Outcome.ASSIGNED, rule="by hand", starts_clocks=True)

        def act(desk: Desk, row: Row, assignment: Assignment) -> None:
            if body.rep_id == assignment.rep_id:
                raise Problem(409, "The same rep", "The lead is with this rep already.")
            give(desk, row)

        return await change(request, caller, lead_id, act, body, unassigned=give)

    @api.patch("/v1/assignments/{lead_id}")
    async def update(request: Request, caller: Rep, lead_id: UUID, body: Update) -> Response:
        """Say how it stands and what comes next."""
        if not body.model_fields_set:
            fault = Pointer("", "status, next_step or next_at is needed")
            raise Problem(422, "Nothing to say", "Say at least one of them.", errors=[fault])

        def act(desk: Desk, row: Row, assignment: Assignment) -> None:
            desk.answered(row)
            for name in body.model_fields_set:
                setattr(assignment, name, getattr(body, name))
            desk.changed.add(row.lead_id)
            desk.outgoing.append(events.updated(row, assignment, desk.now))

        return await change(request, caller, lead_id, act)

    return api


def _again(outcome: str, body: Reason | None) -> Act:
    def act(desk: Desk, row: Row, assignment: Assignment) -> None:
        if outcome == "declined" and assignment.accepted_at is not None:
            raise Problem(409, "Accepted already", "An accepted lead is returned, not declined.")
        row.declined = row.declined | {assignment.rep_id}
        typed = body.reason if body is not None else None
        desk.release(row, outcome=outcome, why=desk.group.why(typed or reasons.OTHER), by="rep")
        if desks.is_routable(row):
            desk.to_route[row.lead_id] = None

    return act


def _nobodys() -> Problem:
    return Problem(404, "Nobody has it", "The lead is not assigned now; GET /v1/waiting says whether it waits.")


def _shown(assignment: Assignment) -> dict[str, Any]:
    return {
        "lead_id": str(assignment.lead_id),
        "rep_id": assignment.rep_id,
        "cycle": assignment.cycle,
        "assigned_at": times.text(assignment.assigned_at),
        **({"accepted_at": times.text(assignment.accepted_at)} if assignment.accepted_at is not None else {}),
        "over_cap": assignment.over_cap,
        "state": "accepted" if assignment.accepted_at is not None else "offered",
        "status": assignment.status,
        "next_step": assignment.next_step,
        "next_at": times.text(assignment.next_at) if assignment.next_at is not None else None,
    }
