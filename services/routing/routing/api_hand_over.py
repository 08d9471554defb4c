"""Leavers and territory changes in one call, tried first if wanted, made at an instant if wanted."""

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response

from backbone import database, fields, idempotency, ids, outbox, security, times
from backbone.database import Connection
from backbone.problem import Problem
from routing import handing_over, store_hand_over
from routing.handing_along import HandOver
from routing.handing_over import KINDS
from routing.store_group import Cache

Manager = Annotated[security.Caller, Depends(security.allow("manager"))]


class Order(fields.Body):
    """What goes from whom to whom."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_rep: Annotated[fields.Id | None, Field(alias="from")] = None
    when: Annotated[str | None, Field(max_length=4000)] = None
    to: fields.Id
    what: Annotated[
        list[Literal["assignments", "named_accounts", "opportunities"]],
        Field(min_length=1, default_factory=lambda: list(KINDS)),
    ]
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    at: fields.Instant | None = None
    dry_run: bool = False

    @model_validator(mode="after")
    def says_whose(self) -> "Order":
        """Refuse an order that says neither or both of whose work it is, or a rep's own work to the same rep."""
        if (self.from_rep is None) == (self.when is None):
            raise ValueError("say whose work it is: from (a rep) or when (a condition)")
        if self.from_rep == self.to:
            raise ValueError("from and to are the same rep")
        return self

    def as_order(self) -> HandOver:
        """Return what is to be done."""
        return HandOver(
            from_rep=self.from_rep, when=self.when, to=self.to, what=tuple(dict.fromkeys(self.what)), reason=self.reason
        )


class _Tried(Exception):
    """Takes the answer of a dry run out of a transaction that is rolled back."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["hand-over"])

    async def tried(order: HandOver) -> dict[str, Any]:
        async def act(conn: Connection) -> None:
            raise _Tried(await handing_over.make(conn, order, out, cache))

        try:
            await db.run(act)
        except _Tried as done:
            return done.answer
        finally:
            cache.forget()
        raise AssertionError("a dry run always ends with its answer")

    @api.post("/v1/hand-over")
    async def hand_over(request: Request, caller: Manager, body: Order) -> Response:
        """Hand work over now, at an instant, or only say what would come of it.

        `stays`: accounts and deals that no lead takes along to anybody, and that `to` names nobody for (500 of each).
        """
        order = body.as_order()
        if body.dry_run:
            return JSONResponse({**await tried(order), "dry_run": True})

        async def once(conn: Connection) -> idempotency.Answer:
            if body.at is None or body.at <= await times.now(conn):
                return idempotency.Answer(200, await handing_over.make(conn, order, out, cache))
            await handing_over.check(conn, order, cache)
            hand_over_id = ids.new()
            await store_hand_over.save(conn, hand_over_id, body.at, asdict(order), caller.sub)
            return idempotency.Answer(202, {"hand_over_id": str(hand_over_id), "at": times.text(body.at)})

        answer = await idempotency.answer(db, request, caller, once)
        cache.more_wait.set()
        return answer

    @api.get("/v1/hand-over/{hand_over_id}")
    async def show(_: Manager, hand_over_id: UUID) -> dict[str, Any]:
        """Show a hand-over that was to be made at an instant, and what came of it."""
        async with db.reading() as conn:
            row = await store_hand_over.find(conn, hand_over_id)
        if row is None:
            raise Problem(404, "No such hand-over", "POST /v1/hand-over with `at` makes one.")
        order = {"from": row["body"]["from_rep"], **{key: row["body"][key] for key in ("when", "to", "what", "reason")}}
        done = {"at": times.text(row["at"]), "done": row["answer"] is not None, "answer": row["answer"]}
        return {"hand_over_id": str(hand_over_id), **order, **done}

    return api
