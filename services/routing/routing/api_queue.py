"""Who waits, who has how much, why a decision was made, and the same decision made again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from backbone import database, fields, pages, security, subjects, tables, times
from backbone.database import Connection
from backbone.problem import Pointer, Problem
from routing import assigning, fairness, replaying, store, store_group, store_queue
from routing.domain import Considered, Rep
from routing.spans import Span

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]


class Question(Span):
    """About which pool, and which time."""

    pool: fields.Id


def router(db: database.Database) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["queue, load, decisions"])

    @api.get("/v1/leads/{lead_id}/decisions")
    async def decisions(caller: Reading, lead_id: UUID, asked: pages.Asked) -> dict[str, Any]:
        """Show every decision over the lead, newest first, with a reason for each rep, and how what it gave ended."""
        after = asked.since(datetime.fromisoformat, UUID)
        async with db.reading() as conn:
            survivor = await subjects.survivor(conn, lead_id)
            rows = await store.decisions(conn, survivor, after=after, limit=asked.limit)
            held = (await store.assignments(conn, [survivor])).get(survivor)
            if not caller.owns(held.rep_id if held is not None else None):
                raise Problem(403, "Not your lead", "A rep sees own leads only.")
            last = rows[-1] if len(rows) == asked.limit else None
            more = pages.cursor(last["at"].isoformat(), str(last["decision_id"])) if last else None
            ended = await store.ended(conn, survivor, {row["cycle"] for row in rows})
            return pages.answer([await _decision(conn, row, ended.get(row["cycle"])) for row in rows], more)

    @api.post("/v1/decisions/{decision_id}/replay")
    async def replay(_: Manager, decision_id: UUID) -> dict[str, Any]:
        """Make a decision again from what it saw; nothing is written."""
        async with db.reading() as conn:
            row = await store.decision(conn, decision_id)
            if row is None:
                raise Problem(404, "No such decision", "GET /v1/leads/{id}/decisions lists them.")
            again = await replaying.again(conn, row)
        if again is None:
            # The lead was erased: there is nothing to compute it from.
            return {"same": True, "rep_id": row["rep_id"], "considered": _considered(_kept(row))}
        return {
            "same": again.decision.rep_id == row["rep_id"],
            "rep_id": again.decision.rep_id,
            "considered": _considered(again.considered),
        }

    @api.get("/v1/fairness", responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}})
    async def fair(request: Request, _: Manager, asked: Annotated[Question, Query()]) -> Response:
        """Say who of a pool should have got how many leads, who did, and why not exactly that."""
        async with db.reading() as conn:
            since, until = asked.bounds(await times.now(conn))
            report = await fairness.report(conn, asked.pool, since, until)
            if not report["decisions"] and not await _is_pool(conn, asked.pool):
                fault = Pointer("query/pool", "no pool of the policy, nor one that gave a lead in that time")
                raise Problem(422, "No such pool", "GET /v1/policy shows the pools.", errors=[fault])
        span = {"from": times.text(since), "to": times.text(until)}
        return tables.answer(request, report, report["reps"], span, columns=fairness.COLUMNS)

    @api.get("/v1/waiting")
    async def waiting(_: Manager, asked: pages.Asked) -> dict[str, Any]:
        """List who waits, best, then oldest, with the reason."""
        after = asked.since(int, datetime.fromisoformat, UUID)
        async with db.reading() as conn:
            rows = await store_queue.page(conn, after=after, limit=asked.limit)
        last = rows[-1] if len(rows) == asked.limit else None
        more = pages.cursor(last["rank"], last["created_at"].isoformat(), str(last["lead_id"])) if last else None
        return pages.answer([_waiting(row) for row in rows], more)

    @api.get("/v1/load")
    async def load(_: Manager, asked: pages.Asked) -> dict[str, Any]:
        """Show every rep's open load."""
        (after,) = asked.since(pages.text) or ("",)
        async with db.reading() as conn:
            found = await store_group.loads(conn, await times.now(conn), after=after, limit=asked.limit)
        more = pages.cursor(found[-1][0].rep_id) if len(found) == asked.limit else None
        return pages.answer([_load(rep) for rep, _known in found], more)

    @api.get("/v1/reps/{rep_id}/load")
    async def load_of(caller: Reading, rep_id: str) -> dict[str, Any]:
        """Show a rep's open load, and when they are available next."""
        if not caller.owns(rep_id):
            raise Problem(403, "Not yours", "A rep sees the own load only.")
        async with db.reading() as conn:
            found = await store_group.loads(conn, await times.now(conn), only=rep_id)
        if not found:
            raise Problem(404, "No such rep", "GET /v1/load lists them.")
        return _load(found[0][0])

    return api


async def _decision(conn: Connection, row: Any, ended: Any) -> dict[str, Any]:
    again = await replaying.again(conn, row)
    names = ("cycle", "outcome", "rule", "pool", "strategy", "rep_id", "over_cap", "policy_version")
    return {
        "decision_id": str(row["decision_id"]),
        "at": times.text(row["at"]),
        **{name: row[name] for name in names},
        "reason_code": row["reason_code"] or None,
        "considered": _considered(again.considered if again is not None else _kept(row)),
        "ended": _ended(ended) if ended is not None and row["rep_id"] is not None else None,
    }


def _ended(row: Any) -> dict[str, Any]:
    """Return how an assignment ended, with what a person typed where that is no code."""
    said = {name: row[name] or None for name in ("reason", "words")}
    return {"at": times.text(row["ended_at"]), "outcome": row["outcome"], **said}


def _kept(row: Any) -> list[Considered]:
    """Return what was kept of what was thought, for a decision that cannot be made again."""
    return msgspec.json.decode(row["considered"], type=list[Considered])


def _considered(reps: Iterable[Considered]) -> list[dict[str, Any]]:
    return [one._asdict() for one in reps]


def _waiting(row: Any) -> dict[str, Any]:
    return {
        "lead_id": str(row["lead_id"]),
        "pool": row["pool"],
        "rule": row["rule"],
        "reason_code": row["reason_code"],
        "waiting_since": times.text(row["since"]),
        "retry_at": times.text(row["retry_at"]) if row["retry_at"] else None,
    }


def _load(rep: Rep) -> dict[str, Any]:
    return {
        "rep_id": rep.rep_id,
        "open": rep.open,
        "cap": rep.cap,
        "over_cap": rep.open > rep.cap,
        "untouched": rep.untouched,
        "available": rep.away is None,
        "reason": str(rep.away) if rep.away is not None else None,
        "next_available_at": times.text(rep.back_at) if rep.back_at is not None else None,
    }


async def _is_pool(conn: Connection, name: str) -> bool:
    policy = await store_group.policy_in_force(conn, {})
    return policy is not None and assigning.pool_of(policy, name) is not None
