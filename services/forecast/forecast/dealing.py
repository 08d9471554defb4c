"""Opening a deal and moving it: the transaction step that people and events share.

Leads are locked first, then opportunities, then the settings and the counters.
"""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from backbone import subjects
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from forecast import domain, events, store, store_leads
from forecast.domain import Move
from forecast.store import Deal


async def lock(conn: Connection, opportunity_id: UUID, lead_id: UUID | None = None) -> Deal | None:
    """Lock a deal behind its lead, and return it; `lead_id` is the lead's where the deal may not be there yet."""
    seen = await store.find(conn, opportunity_id)
    lead_id = seen.lead_id if seen is not None else lead_id
    if lead_id is not None:
        await subjects.lock(conn, [lead_id])
    await subjects.lock(conn, [opportunity_id])
    return await store.find(conn, opportunity_id)


async def open_deal(conn: Connection, outbox: Outbox, deal: Deal) -> None:
    """Open a deal whose subject is locked, and apply the moves that came before it."""
    waiting = await store.moves(conn, deal.opportunity_id)
    deal.state = deal.fold(())
    outgoing = [events.opened(deal), *events.ended(deal)]
    for number, move in enumerate(waiting):
        before = deal.state
        deal.state = deal.fold(waiting[: number + 1])
        outgoing += events.moved(deal, move, before.stage)
    await store.save(conn, deal, None, (await store_leads.reporting(conn, lock=True)).tz)
    await announce(conn, outbox, deal, outgoing)


async def move_deal(
    conn: Connection, outbox: Outbox, opportunity_id: UUID, move: Move, *, external_id: str | None, by: str
) -> tuple[Deal | None, bool]:
    """Apply a move to a locked deal, or keep it until the deal opens. Returns the deal, and whether it was new."""
    fresh = await store.add_move(conn, opportunity_id, move, external_id=external_id, by=by)
    deal = await store.find(conn, opportunity_id)
    if deal is None or not fresh:
        return deal, fresh
    before = deal.state
    deal.state = deal.fold(await store.moves(conn, opportunity_id))
    await store.save(conn, deal, before, (await store_leads.reporting(conn, lock=True)).tz)
    await announce(conn, outbox, deal, events.moved(deal, move, before.stage))
    return deal, True


def that_counts(deals: Iterable[Deal], lead_id: UUID) -> Deal | None:
    """Return the deal by which a lead stands where it does, None of none.

    What its SRL opened comes before what people did, its own before that of a lead that was merged into it.
    """
    return max(
        deals,
        key=lambda deal: (deal.by_srl, deal.lead_id == lead_id, deal.opened_at, deal.opportunity_id),
        default=None,
    )


async def announce(conn: Connection, outbox: Outbox, deal: Deal, outgoing: list[Event]) -> None:
    """Tell of a deal under its lead's key, or that of whoever the lead is one with."""
    key = events.subject(deal)
    locked = await subjects.lock(conn, [key])
    survivor = locked[key].subject_id
    if deal.lead_id is not None and await _is_beside(conn, deal, survivor):
        for event in outgoing:
            event.message.opportunity.beside = True  # type: ignore[attr-defined]
    await outbox.add(conn, [replace(event, subject=survivor) for event in outgoing])


async def _is_beside(conn: Connection, deal: Deal, lead_id: UUID) -> bool:
    """Say whether the lead has another deal open by which it stands where it does."""
    others = [one for one in await store.of_lead(conn, lead_id) if one.opportunity_id != deal.opportunity_id]
    still_open = [one for one in others if one.state.stage in domain.OPEN]
    return that_counts([*still_open, deal], lead_id) is not deal
