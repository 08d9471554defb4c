"""The clocks of a lead, and what became of a meeting that it missed."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from backbone import database, fields, idempotency, ids, security, subjects, times
from backbone.problem import Problem
from sla_monitor import shapes, store, store_changes, store_clocks, store_marks
from sla_monitor.applying import Applying
from sla_monitor.domain import Mark, Marked
from sla_monitor.shapes import ClockShown
from sla_monitor.store_clocks import Clock
from sla_monitor.taking_in import Batch

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Working = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]


class NoShow(fields.Body):
    """What became of a meeting that the lead missed."""

    outcome: Literal["rebooked", "lost_interest", "wrong_time", "unreachable"]
    note: Annotated[str | None, Field(max_length=2000)] = None


def router(db: database.Database, applying: Applying) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["clocks"])

    @api.get("/v1/leads/{lead_id}/clocks")
    async def clocks(caller: Reading, lead_id: UUID, own: bool = False) -> list[ClockShown]:
        """Show every clock of a lead; whoever had the lead before sees those of that time.

        Of a merged lead those of the survivor; with `own` those that it had itself, as the merge left them.
        """
        async with db.reading() as conn:
            survivor = await subjects.survivor(conn, lead_id)
            return await _shown(conn, caller, survivor, of=lead_id if own else survivor)

    @api.post("/v1/leads/{lead_id}/no-show", responses={200: {"model": list[shapes.Clock]}})
    async def no_show(request: Request, caller: Working, lead_id: UUID, body: NoShow) -> Response:
        """Say what became of a missed meeting: it meets the clock of its re-booking."""

        async def once(conn: database.Connection) -> idempotency.Answer:
            survivor = (await subjects.lock(conn, [lead_id]))[lead_id].subject_id
            rows = await store.load(conn, [survivor])
            if rows[survivor].known_at is None:
                raise Problem(404, "No such lead", "Nobody told of a lead with this id yet.")
            if not caller.owns(await store.holder(conn, survivor)):
                raise Problem(403, "Not your lead", "A rep says it of own leads only.")
            now = await times.now(conn)
            said = Mark(mark_id=ids.new(), kind=Marked.NO_SHOW, at=now, word=body.outcome, rep_id=caller.rep or "")
            await applying.apply(conn, Batch(marks=[(lead_id, said, now)], news={survivor}), rows)
            if body.note:
                await store_marks.annotate(conn, said.mark_id, body.note)
            return idempotency.Answer(200, await _shown(conn, caller, survivor, of=survivor))

        return await idempotency.answer(db, request, caller, once)

    return api


async def _shown(
    conn: database.Connection, caller: security.Caller, survivor: UUID, *, of: UUID
) -> list[dict[str, Any]]:
    found = (await store_clocks.clocks(conn, [of])).get(of, [])
    if not caller.owns(await store.holder(conn, survivor)):
        found = [one for one in found if caller.owns(one.terms.rep_id)]
        if not found:
            raise Problem(403, "Not your lead", "A rep sees own leads only.")
    moved: dict[tuple[str, int, int], list[Any]] = {}
    for row in await store_changes.changes(conn, of):
        moved.setdefault((row["clock"], row["cycle"], row["round"]), []).append(row)
    return [_clock(one, moved.get((one.clock, one.cycle, one.round), ())) for one in found]


def _clock(one: Clock, moved: Sequence[Any]) -> dict[str, Any]:
    return {
        "clock": one.clock,
        "kind": one.terms.kind,
        "cycle": one.cycle,
        "round": one.round,
        "rep_id": one.terms.rep_id or None,
        "started_at": times.text(one.terms.started_at),
        "due_at": times.text(one.terms.due_at),
        "state": str(one.state),
        **({"met_at": times.text(one.met_at)} if one.met_at is not None else {}),
        **({"breached_at": times.text(one.breached_at)} if one.breached_at is not None else {}),
        **({"retracted": True} if one.retracted else {}),
        **({"reason": one.reason} if one.reason else {}),
        **({"touches": {"done": dict(one.done), "needed": dict(one.terms.needs)}} if one.terms.needs else {}),
        "policy": one.policy,
        "calendar": one.calendar,
        **({"moved": [_move(row) for row in moved]} if moved else {}),
    }


def _move(row: Any) -> dict[str, Any]:
    """What a changed calendar made of the deadline."""
    return {
        "at": times.text(row["at"]),
        "calendar": row["calendar"],
        "calendar_before": row["calendar_before"],
        "due_at": times.text(row["due_at"]),
        "due_before": times.text(row["due_before"]),
    }
