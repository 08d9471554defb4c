"""What the deal of a lead, or of one that was merged into it, makes of the lead."""

from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone.database import Connection
from backbone.envelope import Incoming
from handoff.events.v1 import forecast_pb2
from qualification import desk as desks
from qualification import moving, store
from qualification.desk import Desk
from qualification.domain import Stage
from qualification.reasons import Reasons
from qualification.store import Row

ENDS: Final = (forecast_pb2.OpportunityWon, forecast_pb2.OpportunityLost)


def whose(event: Incoming) -> UUID:
    """Return whose deal an event tells of: it is told under the key of whoever that lead is one with."""
    message = event.message
    return UUID(message.stamp.lead_id) if isinstance(message, ENDS) else event.subject


async def take_in(conn: Connection, desk: Desk, own: Row, event: Incoming, said: Reasons) -> None:
    """Take in what became of a deal: of the lead's own, or of one of a lead that is part of it by now."""
    message = event.message
    if not isinstance(message, (*ENDS, forecast_pb2.OpportunityMoved)):
        return
    part = desk.rows[whose(event)] if own.lead_id == event.subject else own
    if part is own:
        _deal(desk, own, message, said)
        return
    is_won = isinstance(message, forecast_pb2.OpportunityWon)
    if not is_won and part.state.stage not in moving.HANDED_OVER:
        return  # The part had ended before, and its deal by that.
    goes_on = not is_won and await _is_with_sales_itself(conn, desk, own)
    if part.closed:
        # Kept, should it leave the survivor again.
        _deal(desk, part, message, said)
        desk.changed.add(part.lead_id)
    if part.closed and is_won:
        moving.unite(desk, own, part)
    elif not goes_on:
        _deal(desk, own, message, said)


async def _is_with_sales_itself(conn: Connection, desk: Desk, survivor: Row) -> bool:
    """Say whether sales have the survivor by more than what was merged into it: then its own deal goes on."""
    if survivor.state.stage not in moving.WITH_SALES:
        return False
    for move in reversed(desk.moves):
        if (
            move.lead_id == survivor.lead_id
            and move.after in moving.WITH_SALES
            and move.before not in moving.WITH_SALES
        ):
            return move.reason != moving.MERGED
    return await store.reason_of_handover(conn, survivor.lead_id) != moving.MERGED


def _deal(desk: Desk, row: Row, message: Message, said: Reasons) -> None:
    if isinstance(message, forecast_pb2.OpportunityWon):
        moving.win(desk, row, why=desks.NO_REASON)
    elif isinstance(message, forecast_pb2.OpportunityLost):
        why = said.why(message.reason)
        moving.lose(desk, row, why=why, until=said.rest_until(why.code, desk.now))
    elif (
        isinstance(message, forecast_pb2.OpportunityMoved)
        and message.opportunity.stage == "qualified"
        and row.state.stage is Stage.SRL
    ):
        moving.confirm(desk, row, why=desks.NO_REASON)
