"""Opportunities and their moves."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, Field
from starlette.responses import Response

from backbone import database, fields, idempotency, ids, outbox, pages, reasons, security, times
from backbone.problem import Pointer, Problem
from forecast import dealing, money, store, store_leads
from forecast.domain import Category, Move, State
from forecast.money import Amount, Currency
from forecast.store import Deal

Writing = Annotated[security.Caller, Depends(security.allow("integration", "rep", "sdr", "manager"))]
Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Stage = Literal["unqualified", "qualified", "won", "lost"]
CLOCK_TOLERANCE = timedelta(minutes=5)
EXTERNAL = "external:"


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("not valid, a NUL character is in no text")
    return text


def _in_our_time(day: date) -> date:
    if not times.YEARS[0] <= day.year <= times.YEARS[1]:
        raise ValueError(f"not valid, the year has to be one of {times.YEARS[0]} to {times.YEARS[1]}")
    return day


Text = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_storable)]
Day = Annotated[date, AfterValidator(_in_our_time)]


class NewOpportunity(fields.Body):
    """A deal."""

    lead_id: UUID | None = None
    lead_external_id: Name | None = None
    connection_id: Name = "direct"
    external_id: Name | None = None
    account: Text = ""
    name: Text = ""
    owner_id: Annotated[str, Field(max_length=128), AfterValidator(_storable)] = ""
    amount: Amount | None = None
    currency: Currency | None = None
    close_date: Day | None = None
    stage: Stage = "unqualified"
    category: Category = Category.PIPELINE
    type: Literal["new", "upsell", "cross_sell", "renewal"] = "new"
    origin: Literal["marketing", "sdr", "rep", "partner", "existing_customer"] = "rep"
    occurred_at: times.Instant | None = None


class NewMove(fields.Body):
    """What changed."""

    stage: Stage | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    close_date: Day | None = None
    category: Category | None = None
    owner_id: Name | None = None
    external_id: Name | None = None
    occurred_at: times.Instant | None = None
    reason: Annotated[str, Field(max_length=500), AfterValidator(_storable)] = ""

    def changes(self) -> dict[str, Any]:
        """Return what it says of the deal, as it is kept."""
        said = self.model_dump(exclude_none=True, mode="json", exclude={"external_id", "occurred_at", "reason"})
        return {**said, **({"amount": money.kept(self.amount)} if self.amount is not None else {})}


def router(db: database.Database, out: outbox.Outbox) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["opportunities"])

    @api.post("/v1/opportunities", status_code=201)
    async def create(request: Request, caller: Writing, body: NewOpportunity) -> Response:
        """Open a deal; its external id guards against doubles."""
        if not caller.owns(body.owner_id):
            raise Problem(403, "Not your deal", "A rep opens own deals: send your own rep id as owner_id.")
        return await idempotency.answer(db, request, caller, lambda conn: _open(conn, out, body, caller))

    @api.post("/v1/opportunities/{opportunity_id}/moves", status_code=201)
    async def move(request: Request, caller: Writing, opportunity_id: str, body: NewMove) -> Response:
        """Move a deal; a move before its opening is held and applied then."""
        if not body.changes():
            fault = Pointer("/", "needs one of stage, amount, currency, close_date, category, owner_id")
            raise Problem(422, "Nothing moves", "Say what changed.", errors=[fault])
        return await idempotency.answer(
            db, request, caller, lambda conn: _move(conn, out, opportunity_id, body, caller)
        )

    @api.get("/v1/opportunities")
    async def list_deals(
        caller: Reading, asked: pages.Asked, owner_id: Name | None = None, lead_id: UUID | None = None
    ) -> dict[str, Any]:
        """List deals; a rep's own."""
        owner = (caller.rep or "") if caller.role in ("rep", "sdr") else owner_id
        (after,) = asked.since(UUID) or (None,)
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
        return {**_shown(deal), "history": [_shown_move(one) for one in history]}

    return api


async def _open(
    conn: database.Connection, out: outbox.Outbox, body: NewOpportunity, caller: security.Caller
) -> idempotency.Answer:
    now = await times.now(conn)
    opened_at = _time(body.occurred_at, now)
    opportunity_id = store.subject_of(body.external_id) if body.external_id else ids.new()
    reference = f"{body.connection_id}/{body.lead_external_id}" if body.lead_external_id else None
    lead_id = body.lead_id
    if lead_id is None and reference is not None:
        lead_id = await store_leads.of_reference(conn, reference)
    known = await dealing.lock(conn, opportunity_id, lead_id)
    if known is not None:
        if not caller.owns(known.state.owner_id):
            raise Problem(403, "Not your deal", "A deal of somebody else has this external_id.")
        return idempotency.Answer(200, _shown(known))
    opening = State(
        stage=body.stage,
        category=str(body.category),
        owner_id=body.owner_id,
        amount=body.amount,
        currency=body.currency or (await store_leads.reporting(conn)).base,
        close_date=body.close_date,
    )
    lead = await store_leads.find(conn, lead_id) if lead_id is not None else None
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
        opened_at=opened_at,
        recorded_at=now,
        opening=opening,
        state=opening,
    )
    await dealing.open_deal(conn, out, deal)
    return idempotency.Answer(201, _shown(deal))


async def _move(
    conn: database.Connection, out: outbox.Outbox, named: str, body: NewMove, caller: security.Caller
) -> idempotency.Answer:
    target = _id(named)
    known = await dealing.lock(conn, target)
    # A rep's word counts for own deals, and whose a deal will be nobody knows before it opens.
    if known is None and (not named.startswith(EXTERNAL) or caller.role in ("rep", "sdr")):
        raise _no_deal()
    if known is not None and not caller.owns(known.state.owner_id):
        raise Problem(403, "Not your deal", "A rep moves own deals only.")
    now = await times.now(conn)
    why = reasons.why(body.reason, await store.codes(conn))
    made = Move(
        move_id=ids.new(),
        occurred_at=_time(body.occurred_at, now),
        recorded_at=now,
        changes=body.changes(),
        reason=why.code,
        words=why.words,
    )
    deal, fresh = await dealing.move_deal(conn, out, target, made, external_id=body.external_id, by=caller.sub)
    if deal is None:
        outcome = "held" if fresh else "duplicate"
        return idempotency.Answer(202, {"opportunity_id": str(target), "outcome": outcome})
    if not fresh:
        return idempotency.Answer(200, {**_shown(deal), "outcome": "duplicate"})
    return idempotency.Answer(201, {**_shown(deal), "outcome": "moved"})


def _time(given: datetime | None, now: datetime) -> datetime:
    if given is None:
        return now
    if given > now + CLOCK_TOLERANCE:
        place = Pointer("/occurred_at", "not more than five minutes ahead of our clock")
        raise Problem(422, "Not valid", "Correct the time and send it again.", errors=[place])
    return min(given, now)


def _id(text: str) -> UUID:
    if text.startswith(EXTERNAL):
        external_id = text.removeprefix(EXTERNAL)
        if not 1 <= len(external_id) <= 128 or "\x00" in external_id:
            raise _no_deal()
        return store.subject_of(external_id)
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
        "amount": money.kept(state.amount) if state.amount is not None else None,
        "currency": state.currency,
        "close_date": state.close_date.isoformat() if state.close_date is not None else None,
        "stage": state.stage,
        "category": state.category,
        "type": deal.type,
        "origin": deal.origin,
        "opened_at": times.text(deal.opened_at),
        "ended_at": times.text(state.ended_at) if state.ended_at is not None else None,
        "reason": state.reason or None,
        "undated": state.amount is None or state.close_date is None,
    }


def _shown_move(move: Move) -> dict[str, Any]:
    return {
        "move_id": str(move.move_id),
        "occurred_at": times.text(move.occurred_at),
        "recorded_at": times.text(move.recorded_at),
        **dict(move.changes),
        "reason": move.reason or None,
        "words": move.words or None,
    }
