"""Work that comes with who has it elsewhere: by an import, from whoever posts a lead, or again with news of it."""

from typing import Final

import structlog

from backbone import times
from handoff.events.v1 import common_pb2
from routing import desk as desks
from routing import parting
from routing.desk import Desk
from routing.domain import ROLES, Outcome, role_at
from routing.store import Row

OVER: Final = frozenset({"disqualified", "customer"})
"""Stages at which nobody is taken over, by an import or a merge: qualification leaves the lead there."""
IMPORTED: Final = "imported"
"""The definition of a stage that another system gave the lead."""

log = structlog.get_logger()


def stand(desk: Desk, row: Row, standing: common_pb2.Standing) -> None:
    """Take over an assignment that exists elsewhere, with its stage; or keep a lead that its rep brought, with room."""
    if not standing.owner_id or row.lead_id in desk.assignments:
        return
    rep = desk.group.index.reps.get(standing.owner_id)
    if rep is None:
        log.warning("who has the lead is no rep here: it is routed anew", lead=str(row.lead_id), rep=standing.owner_id)
        return
    if ends_work(row, standing.stage):
        # Closed work is no load; whoever closed it has it again should it come back.
        row.previous_rep, row.previous_at = rep.rep_id, desk.now
        if row.qualification is None:
            row.stage = standing.stage
        return
    if standing.keep and rep.open >= rep.cap:
        return
    row.qualification = _with_stage(row.qualification, standing.stage)
    at = times.at(standing.assigned_at) if standing.HasField("assigned_at") else None
    rule = "brought by the rep" if standing.keep else "taken over"
    outcome = Outcome.ASSIGNED if standing.keep else Outcome.TAKEN_OVER
    desk.force(row, standing.owner_id, outcome=outcome, rule=rule, starts_clocks=False, at=at)


def ends_work(row: Row, stage: str) -> bool:
    """Say whether nobody has the lead elsewhere; of one that was qualified here, qualification says what follows."""
    return stage in OVER or (row.qualification is not None and stage != "" and stage not in desks.ROUTABLE)


def _with_stage(known: common_pb2.Qualification | None, stage: str) -> common_pb2.Qualification:
    """Return what is known of the lead, with the stage that it comes with; people's word here stands against it."""
    if known is None:
        return common_pb2.Qualification(stage=stage or "new", cycle=1)
    if not stage or (known.stage in ROLES and known.definition != IMPORTED):
        return known
    made = common_pb2.Qualification()
    made.CopyFrom(known)
    made.stage = stage
    return made


def hand_to_sales(desk: Desk, row: Row, owner_id: str) -> None:
    """Let an SDR's lead that was made ready for sales leave: to who has it elsewhere, if that is one of sales.

    Else it stays with the SDR, and in that load, until somebody of the target has room.
    """
    if desk.group.roles.get(owner_id) == role_at(row.stage):
        desk.release(row, outcome=parting.CONVERTED, by="qualification")
    else:
        desk.look_for_another(row, parting.CONVERTED)
