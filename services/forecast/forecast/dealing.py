"""Opening a deal and moving it: the transaction step that people and events share. Its subject has to be locked."""

from dataclasses import replace
from uuid import UUID

from backbone import subjects
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from forecast import domain, events, store
from forecast.domain import Move
from forecast.store import Deal


async def open_deal(conn: Connection, outbox: Outbox, deal: Deal) -> None:
    """Open a deal, and apply the moves that came before it."""
    waiting = await store.moves(conn, deal.opportunity_id)
    outgoing = [events.opened(deal)]
    for number, move in enumerate(waiting):
        before = deal.state
        deal.state = domain.fold(deal.opening, waiting[: number + 1])
        outgoing += events.moved(deal, move, before.stage)
    await store.save(conn, deal, None)
    await _announce(conn, outbox, deal, outgoing)


async def move_deal(
    conn: Connection, outbox: Outbox, opportunity_id: UUID, move: Move, *, external_id: str | None, by: str
) -> tuple[Deal | None, bool]:
    """Apply a move, or keep it until the deal opens. Returns the deal, and whether the move was new."""
    fresh = await store.add_move(conn, opportunity_id, move, external_id=external_id, by=by)
    deal = await store.find(conn, opportunity_id)
    if deal is None or not fresh:
        return deal, fresh
    before = deal.state
    deal.state = domain.fold(deal.opening, await store.moves(conn, opportunity_id))
    await store.save(conn, deal, before)
    await _announce(conn, outbox, deal, events.moved(deal, move, before.stage))
    return deal, True


async def _announce(conn: Connection, outbox: Outbox, deal: Deal, outgoing: list[Event]) -> None:
    key = events.subject(deal)
    locked = await subjects.lock(conn, [key])
    survivor = locked[key].subject_id
    await outbox.add(conn, [replace(event, subject=survivor) for event in outgoing])
