"""What the deal of a lead, or of one that was merged into it, makes of the lead."""

from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone.envelope import Incoming
from handoff.events.v1 import forecast_pb2
from qualification import desk as desks
from qualification import moving
from qualification.desk import Desk
from qualification.domain import Stage
from qualification.reasons import Reasons
from qualification.store import Row

QUALIFIED: Final = "qualified"
ENDS: Final = (forecast_pb2.OpportunityWon, forecast_pb2.OpportunityLost)


def whose(event: Incoming) -> UUID:
    """Return whose deal an event tells of: it is told under the key of whoever that lead is one with."""
    message = event.message
    return UUID(message.stamp.lead_id) if isinstance(message, ENDS) else event.subject


def take_in(desk: Desk, own: Row, event: Incoming, said: Reasons) -> None:
    """Take in what became of a deal: of the lead's own, or of one of a lead that is part of it by now."""
    message = event.message
    if not isinstance(message, (*ENDS, forecast_pb2.OpportunityMoved)):
        return
    part = desk.rows[whose(event)] if own.lead_id == event.subject else own
    is_won = isinstance(message, forecast_pb2.OpportunityWon)
    if part is not own and not is_won and part.state.stage not in moving.HANDED_OVER:
        return  # The part had ended before, and its deal by that.
    is_kept = part is not own and part.closed
    if is_kept:
        # Should it leave the survivor again.
        _deal(desk, part, message, said)
        desk.changed.add(part.lead_id)
    if is_kept and is_won:
        moving.unite(desk, own, part)
    elif is_won or not message.opportunity.beside:
        _deal(desk, own, message, said)


def _deal(desk: Desk, row: Row, message: Message, said: Reasons) -> None:
    if isinstance(message, forecast_pb2.OpportunityWon):
        moving.win(desk, row, why=desks.NO_REASON)
    elif isinstance(message, forecast_pb2.OpportunityLost):
        why = said.why(message.reason)
        moving.lose(desk, row, why=why, until=said.rest_until(why.code, desk.now))
    elif isinstance(message, forecast_pb2.OpportunityMoved):
        is_confirmed = message.opportunity.stage == QUALIFIED != message.previous_stage
        if is_confirmed and row.state.stage is Stage.SRL:
            moving.confirm(desk, row, why=desks.NO_REASON)
