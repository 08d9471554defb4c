"""What forecast publishes."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import times
from backbone.outbox import Event
from forecast.domain import LOST, WON, Move
from forecast.store import Deal
from handoff.events.v1 import common_pb2, forecast_pb2


def subject(deal: Deal) -> UUID:
    """Return the key of events about a deal: its lead, where it has one."""
    return deal.lead_id or deal.opportunity_id


def _stamp(deal: Deal, at: datetime, recorded_at: datetime) -> common_pb2.Stamp:
    made = common_pb2.Stamp(lead_id=str(deal.lead_id or ""), live=deal.live)
    times.put(made.occurred_at, at)
    times.put(made.recorded_at, recorded_at)
    return made


def opportunity(deal: Deal) -> forecast_pb2.Opportunity:
    """Return a deal as it stands."""
    state = deal.state
    return forecast_pb2.Opportunity(
        opportunity_id=str(deal.opportunity_id),
        external_id=deal.external_id or "",
        account=deal.account,
        name=deal.name,
        owner_id=state.owner_id,
        sourced_by=deal.sourced_by,
        amount=str(state.amount) if state.amount is not None else "",
        currency=state.currency,
        close_date=state.close_date.isoformat() if state.close_date is not None else "",
        stage=state.stage,
        category=state.category,
        type=deal.type,
        origin=deal.origin,
    )


def opened(deal: Deal) -> Event:
    """Return OpportunityOpened."""
    stamp = _stamp(deal, deal.opened_at, deal.recorded_at)
    message = forecast_pb2.OpportunityOpened(stamp=stamp, opportunity=opportunity(deal))
    return Event(subject=subject(deal), message=message, occurred_at=deal.opened_at)


def moved(deal: Deal, move: Move, previous_stage: str) -> list[Event]:
    """Return OpportunityMoved, and Won or Lost where that is what the deal came to."""
    message = forecast_pb2.OpportunityMoved(
        # What was told of it before it was opened is known since it is.
        stamp=_stamp(deal, move.occurred_at, max(move.recorded_at, deal.recorded_at)),
        opportunity=opportunity(deal),
        move_id=str(move.move_id),
        changed=sorted(move.changes),
        previous_stage=previous_stage,
        reason=move.reason,
    )
    made = [Event(subject=subject(deal), message=message, occurred_at=move.occurred_at)]
    return made if deal.state.stage == previous_stage else made + ended(deal, move)


def linked(deal: Deal, at: datetime) -> list[Event]:
    """Return what is told of a deal when it turns out whose it is: that it was opened, and its end if it has one."""
    known = replace(deal, recorded_at=at)
    return [opened(known), *ended(replace(known, opened_at=deal.state.ended_at or deal.opened_at))]


def ended(deal: Deal, move: Move | None = None) -> list[Event]:
    """Return OpportunityWon or OpportunityLost where the deal stands there, by a move or from its opening."""
    at = move.occurred_at if move is not None else deal.opened_at
    recorded_at = max(move.recorded_at, deal.recorded_at) if move is not None else deal.recorded_at
    move_id = str(move.move_id) if move is not None else ""
    stamp, said = _stamp(deal, at, recorded_at), opportunity(deal)
    message: Any = None
    if deal.state.stage == WON:
        message = forecast_pb2.OpportunityWon(stamp=stamp, opportunity=said, move_id=move_id)
    elif deal.state.stage == LOST:
        reason = move.reason if move is not None else deal.state.reason
        message = forecast_pb2.OpportunityLost(stamp=stamp, opportunity=said, move_id=move_id, reason=reason)
    return [Event(subject=subject(deal), message=message, occurred_at=at)] if message is not None else []


def deleted(stamp: common_pb2.Stamp, erasure_id: str, lead_id: UUID) -> Event:
    """Return this service's answer to an erasure."""
    message = common_pb2.PersonalDataDeleted(stamp=stamp, erasure_id=erasure_id, service="forecast")
    return Event(subject=lead_id, message=message)
