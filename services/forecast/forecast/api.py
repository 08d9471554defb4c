"""Opportunities and their moves, the hierarchy, and reports."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from backbone import database, idempotency, ids, outbox, pages, security, subjects, times
from backbone.problem import Pointer, Problem
from forecast import dealing, reports, store
from forecast.domain import Category, Move, State
from forecast.store import Deal

Writing = Annotated[security.Caller, Depends(security.allow("integration", "rep", "sdr", "manager"))]
Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Stage = Literal["unqualified", "qualified", "won", "lost"]
Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
CLOCK_TOLERANCE = timedelta(minutes=5)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewOpportunity(_Body):
    """A deal."""

    lead_id: UUID | None = None
    lead_external_id: Name | None = None
    connection_id: Name = "direct"
    external_id: Name | None = None
    account: Annotated[str, Field(max_length=200)] = ""
    name: Annotated[str, Field(max_length=200)] = ""
    owner_id: Annotated[str, Field(max_length=128)] = ""
    amount: Amount | None = None
    currency: Currency | None = None
    close_date: date | None = None
    stage: Stage = "unqualified"
    category: Category = Category.PIPELINE
    type: Literal["new", "upsell", "cross_sell", "renewal"] = "new"
    origin: Literal["marketing", "sdr", "rep", "partner", "existing_customer"] = "rep"
    occurred_at: AwareDatetime | None = None


class NewMove(_Body):
    """What changed."""

    stage: Stage | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    close_date: date | None = None
    category: Category | None = None
    owner_id: Name | None = None
    external_id: Name | None = None
    occurred_at: AwareDatetime | None = None
    reason: Annotated[str, Field(max_length=500)] = ""


class Node(_Body):
    """A place in the hierarchy."""

    node_id: Name
    parent_id: Name | None = None
    rep_id: Name | None = None
    name: Name


class Target(_Body):
    """What is to be reached."""

    node_id: Name
    period: str
    amount: Amount


class Rate(_Body):
    """How many units of the base currency one unit is worth, from a day on."""

    currency: Currency
    starts: Annotated[date, Field(alias="from")]
    rate: Annotated[Decimal, Field(gt=0)]


class _Span:
    def __init__(
        self, start: Annotated[AwareDatetime, Query(alias="from")], end: Annotated[AwareDatetime, Query(alias="to")]
    ) -> None:
        self.start, self.end = start, end


def router(db: database.Database, out: outbox.Outbox) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["forecast"])

    @api.post("/v1/opportunities", status_code=201)
    async def create(request: Request, caller: Writing, body: NewOpportunity) -> Response:
        """Open a deal; its external id guards against doubles."""
        if not caller.owns(body.owner_id):
            raise Problem(403, "Not your deal", "A rep opens own deals: send your own rep id as owner_id.")
        now = datetime.now(UTC)
        opportunity_id = store.subject_of(body.external_id) if body.external_id else ids.new()

        async def act(conn: database.Connection) -> idempotency.Answer:
            reference = f"{body.connection_id}/{body.lead_external_id}" if body.lead_external_id else None
            lead_id = body.lead_id or (await store.lead_of(conn, reference) if reference else None)
            await subjects.lock(conn, [opportunity_id])
            known = await store.find(conn, opportunity_id)
            if known is not None:
                return idempotency.Answer(200, _shown(known))
            _, base = await store.settings(conn)
            opening = State(
                stage=body.stage,
                category=str(body.category),
                owner_id=body.owner_id,
                amount=body.amount,
                currency=body.currency or base,
                close_date=body.close_date,
            )
            lead = await store.lead(conn, lead_id) if lead_id is not None else None
            deal = Deal(
                opportunity_id=opportunity_id,
                external_id=body.external_id,
                lead_id=lead_id,
                lead_reference=reference,
                account=body.account,
                name=body.name,
                type=body.type,
                origin=body.origin,
                sourced_by=(lead["sdr_id"] or "") if lead is not None else "",
                live=bool(lead["live"]) if lead is not None else False,
                opened_at=_time(body.occurred_at, now),
                recorded_at=now,
                opening=opening,
                state=opening,
            )
            await dealing.open_deal(conn, out, deal)
            return idempotency.Answer(201, _shown(deal))

        return await idempotency.answer(db, request, caller, act)

    @api.post("/v1/opportunities/{opportunity_id}/moves", status_code=201)
    async def move(request: Request, caller: Writing, opportunity_id: str, body: NewMove) -> Response:
        """Move a deal; a move before its opening is held and applied then."""
        now = datetime.now(UTC)
        target = _id(opportunity_id)
        said = body.model_dump(exclude_none=True, mode="json", exclude={"external_id", "occurred_at", "reason"})
        if not said:
            raise Problem(422, "Nothing moves", "Send at least one of stage, amount, close_date, category, owner_id.")
        made = Move(
            move_id=ids.new(),
            occurred_at=_time(body.occurred_at, now),
            recorded_at=now,
            changes=said,
            reason=body.reason,
        )

        async def act(conn: database.Connection) -> idempotency.Answer:
            await subjects.lock(conn, [target])
            known = await store.find(conn, target)
            if known is None and not opportunity_id.startswith("external:"):
                raise _no_deal()
            if known is not None and not caller.owns(known.state.owner_id):
                raise Problem(403, "Not your deal", "A rep moves own deals only.")
            deal, fresh = await dealing.move_deal(conn, out, target, made, external_id=body.external_id, by=caller.sub)
            if deal is None:
                outcome = "held" if fresh else "duplicate"
                return idempotency.Answer(202, {"opportunity_id": str(target), "outcome": outcome})
            return idempotency.Answer(201, {**_shown(deal), "outcome": "moved" if fresh else "duplicate"})

        return await idempotency.answer(db, request, caller, act)

    @api.get("/v1/opportunities")
    async def list_deals(
        caller: Reading, asked: pages.Asked, owner_id: str | None = None, lead_id: UUID | None = None
    ) -> dict[str, Any]:
        """List deals."""
        owner = caller.rep if caller.role in ("rep", "sdr") else owner_id
        after = UUID(asked.after[0]) if asked.after else None
        async with db.reading() as conn:
            deals = await store.page(conn, owner_id=owner, lead_id=lead_id, after=after, limit=asked.limit)
        more = pages.cursor(str(deals[-1].opportunity_id)) if len(deals) == asked.limit else None
        return pages.answer([_shown(deal) for deal in deals], more)

    @api.get("/v1/opportunities/{opportunity_id}")
    async def show(caller: Reading, opportunity_id: str) -> dict[str, Any]:
        """Show a deal with its history."""
        target = _id(opportunity_id)
        async with db.reading() as conn:
            deal = await store.find(conn, target)
            history = await store.moves(conn, target)
        if deal is None:
            raise _no_deal()
        if not caller.owns(deal.state.owner_id):
            raise Problem(403, "Not your deal", "A rep sees own deals only.")
        return {**_shown(deal), "history": [_move(one) for one in history]}

    @api.get("/v1/forecast")
    async def forecast(
        _: Reports,
        period: str,
        node: str | None = None,
        view: Literal["individual", "cumulative"] = "individual",
    ) -> dict[str, Any]:
        """Show the forecast of a period (2026-Q4, 2026-11 or 2026) from leaf counters, for a node and those beneath."""
        async with db.reading() as conn:
            try:
                found = await reports.forecast(conn, period, node, view=view)
            except ValueError:
                place = Pointer("query/period", "2026-Q4, 2026-11 or 2026")
                raise Problem(422, "No such period", "Write it like 2026-Q4.", errors=[place]) from None
            return {**found, "as_of": times.text(await times.now(conn))}

    @api.get("/v1/funnel")
    async def funnel(
        _: Reports,
        span: Annotated[_Span, Depends()],
        by: Literal["week", "month", "source", "definition"] | None = None,
    ) -> dict[str, Any]:
        """Show how far the leads created in [from, to) came."""
        async with db.reading() as conn:
            groups = await reports.funnel(conn, span.start, span.end, by=by)
            return {"groups": groups, "as_of": times.text(await times.now(conn))}

    @api.get("/v1/velocity")
    async def velocity(_: Reports, span: Annotated[_Span, Depends()]) -> dict[str, Any]:
        """Show volume, value, velocity and conversion, and what was won by month."""
        async with db.reading() as conn:
            return await reports.velocity(conn, span.start, span.end)

    @api.put("/v1/hierarchy")
    async def hierarchy(_: Manager, body: list[Node]) -> list[dict[str, Any]]:
        """Replace the hierarchy."""
        _check_tree(body)
        async with db.transaction() as conn:
            await conn.execute("DELETE FROM node")
            await conn.executemany(
                "INSERT INTO node VALUES ($1, $2, $3, $4)",
                [(one.node_id, one.parent_id, one.rep_id, one.name) for one in body],
            )
        return [one.model_dump() for one in body]

    @api.put("/v1/targets")
    async def targets(_: Manager, body: list[Target]) -> list[dict[str, Any]]:
        """Set targets."""
        async with db.transaction() as conn:
            await conn.executemany(
                "INSERT INTO target VALUES ($1, $2, $3)"
                " ON CONFLICT (node_id, period) DO UPDATE SET amount = excluded.amount",
                [(one.node_id, one.period, one.amount) for one in body],
            )
        return [one.model_dump(mode="json") for one in body]

    @api.put("/v1/rates")
    async def rates(_: Manager, body: list[Rate]) -> list[dict[str, Any]]:
        """Set rates of exchange."""
        async with db.transaction() as conn:
            await conn.executemany(
                "INSERT INTO rate VALUES ($1, $2, $3)"
                " ON CONFLICT (currency, starts) DO UPDATE SET rate = excluded.rate",
                [(one.currency, one.starts, one.rate) for one in body],
            )
        return [one.model_dump(mode="json", by_alias=True) for one in body]

    return api


def _check_tree(nodes: list[Node]) -> None:
    parents = {node.node_id: node.parent_id for node in nodes}
    for number, node in enumerate(nodes):
        seen, above = {node.node_id}, node.parent_id
        while above is not None:
            if above not in parents or above in seen:
                place = Pointer(f"/{number}/parent_id", "no such node" if above not in parents else "goes in a circle")
                raise Problem(422, "Not a tree", "Every parent is a node of this list.", errors=[place])
            seen.add(above)
            above = parents[above]


def _time(given: datetime | None, now: datetime) -> datetime:
    if given is None:
        return now
    if given > now + CLOCK_TOLERANCE or given.year < 1900:
        place = Pointer("/occurred_at", "not more than five minutes ahead of our clock")
        raise Problem(422, "Not valid", "Correct the time and send it again.", errors=[place])
    return min(given, now)


def _id(text: str) -> UUID:
    if text.startswith("external:"):
        return store.subject_of(text.removeprefix("external:"))
    try:
        return UUID(text)
    except ValueError:
        raise _no_deal() from None


def _no_deal() -> Problem:
    return Problem(404, "No such opportunity", "Send its id, or external: and the external id it was opened with.")


def _shown(deal: Deal) -> dict[str, Any]:
    state = deal.state
    return {
        "opportunity_id": str(deal.opportunity_id),
        "external_id": deal.external_id,
        "lead_id": str(deal.lead_id) if deal.lead_id is not None else None,
        "account": deal.account,
        "name": deal.name,
        "owner_id": state.owner_id,
        "sourced_by": deal.sourced_by or None,
        "amount": str(state.amount) if state.amount is not None else None,
        "currency": state.currency,
        "close_date": state.close_date.isoformat() if state.close_date is not None else None,
        "stage": state.stage,
        "category": state.category,
        "type": deal.type,
        "origin": deal.origin,
        "opened_at": times.text(deal.opened_at),
        "ended_at": times.text(state.ended_at) if state.ended_at is not None else None,
        "undated": state.amount is None or state.close_date is None,
    }


def _move(move: Move) -> dict[str, Any]:
    return {
        "move_id": str(move.move_id),
        "occurred_at": times.text(move.occurred_at),
        "recorded_at": times.text(move.recorded_at),
        **dict(move.changes),
        "reason": move.reason or None,
    }
