"""What routing learns of opportunities: whose company has some open, and that one that ends ends the rep's work."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.reasons import Why
from handoff.events.v1 import forecast_pb2
from routing import store_accounts, store_queue
from routing.desk import Desk
from routing.domain import OPEN_DEALS
from routing.store import Row
from routing.store_accounts import Deal

ENDS: Final = frozenset({"won", "lost", "handed_back"})
ENDED: Final = (forecast_pb2.OpportunityWon, forecast_pb2.OpportunityLost)
_OPEN: Final = (forecast_pb2.OpportunityOpened, forecast_pb2.OpportunityMoved)


async def take_in(conn: Connection, incoming: Sequence[Incoming]) -> Mapping[UUID, Deal]:
    """Keep the deals that a batch tells of, and return them."""
    deals = {
        UUID(event.message.opportunity.opportunity_id): _deal(event)
        for event in incoming
        if isinstance(event.message, _OPEN + ENDED) and event.message.opportunity.opportunity_id
    }
    if deals:
        await store_accounts.save_deals(conn, deals)
    return deals


def _deal(event: Incoming) -> Deal:
    message: Any = event.message
    deal, lead_id = message.opportunity, message.stamp.lead_id
    return Deal(
        lead_id=UUID(lead_id) if lead_id else None,
        account=deal.account,
        owner_id=deal.owner_id,
        is_open=isinstance(message, _OPEN) and deal.stage not in ENDS,
    )


async def decide_anew(desk: Desk, conn: Connection, deals: Collection[Deal]) -> None:
    """Say of who waits that their company may have other deals open now, where the policy asks for them."""
    if OPEN_DEALS not in desk.group.reads or desk.nobody_waited:
        return
    of = {(deal.account, deal.account) for deal in deals}
    rows = [desk.rows[deal.lead_id] for deal in deals if deal.lead_id in desk.rows]
    of |= {(row.domain, row.company) for row in rows}
    found = await store_accounts.companies(conn, of, (), has_accounts=desk.group.has_accounts)
    names = {name for one in of for name in found.names(*one)}
    await store_queue.decide_company_anew(conn, names, names)


def end(desk: Desk, row: Row, message: forecast_pb2.OpportunityWon | forecast_pb2.OpportunityLost) -> None:
    """End the sales rep's assignment with the deal; one that was handed back is with an SDR by then.

    What the deal of a lead that was merged into this one means for it, qualification says.
    """
    if message.opportunity.stage == "handed_back" or message.stamp.lead_id != str(row.lead_id):
        return
    if isinstance(message, forecast_pb2.OpportunityWon):
        row.stage = "customer"
        desk.release(row, outcome="converted", by="forecast")
        desk.stop_waiting(row)
    elif row.stage in ("srl", "sql") and not message.opportunity.beside:
        desk.release(row, outcome="recycled", why=Why(message.reason), by="forecast")
        desk.stop_waiting(row)
