"""Work that comes with who has it elsewhere: by an import, from whoever posts a lead, or again with news of it."""

from typing import Final

import structlog

from backbone import times
from handoff.events.v1 import common_pb2
from routing import desk as desks
from routing import parting
from routing.desk import Desk
from routing.domain import ROLES, SALES, Outcome, WhyNot
from routing.store import Row

OVER: Final = frozenset({"disqualified", "customer"})
"""Stages at which nobody is taken over, by an import or a merge: qualification leaves the lead there."""
IMPORTED: Final = "imported"
"""The definition of a stage that another system gave the lead."""

log = structlog.get_logger()


def stand(desk: Desk, row: Row, standing: common_pb2.Standing) -> None:
    """Take over an assignment that exists elsewhere, with its stage; or keep a lead that its rep brought, with room.

    Whoever has the lead here keeps it, but an SDR who has it only until sales do. Who gave it back in this cycle does
    not get it by a list, nor does anybody who is not active: the lead is routed as if nobody had been named.
    """
    if not standing.owner_id or (row.lead_id in desk.assignments and not _is_theirs_now(desk, row, standing)):
        return
    if standing.owner_id in row.refused_by and not ends_work(standing.stage):
        return
    rep = desk.group.index.reps.get(standing.owner_id)
    if rep is None:
        log.warning("who has the lead is no rep here: it is routed anew", lead=str(row.lead_id), rep=standing.owner_id)
        return
    if ends_work(standing.stage) and (row.qualification is not None or standing.stage in OVER):
        # Closed work is no load; whoever closed it has it again should it come back.
        if row.qualification is None:
            row.stage = standing.stage
        elif row.stage not in desks.ROUTABLE:
            return  # It is over here, too: whoever had it last is known.
        row.previous_rep, row.previous_at = rep.rep_id, desk.now
        return
    if not _is_work(row) or (standing.keep and rep.open >= rep.cap):
        return
    if rep.away is WhyNot.INACTIVE:
        log.warning("who has the lead is not active: it is routed anew", lead=str(row.lead_id), rep=rep.rep_id)
        return
    desk.release(row, outcome=parting.CONVERTED, by="qualification")
    row.qualification = _with_stage(row.qualification, standing.stage)
    at = times.at(standing.assigned_at) if standing.HasField("assigned_at") else None
    rule = "brought by the rep" if standing.keep else "taken over"
    outcome = Outcome.ASSIGNED if standing.keep else Outcome.TAKEN_OVER
    desk.force(row, standing.owner_id, outcome=outcome, rule=rule, starts_clocks=False, at=at)
    desk.assignments[row.lead_id].status = standing.status or None
    if row.stage in ROLES and rep.role != SALES:
        desk.look_for_another(row, parting.CONVERTED)


def _is_theirs_now(desk: Desk, row: Row, standing: common_pb2.Standing) -> bool:
    """Say whether a lead that waits for sales with an SDR is with one of sales elsewhere."""
    is_of_sales = desk.group.roles.get(standing.owner_id) == SALES and standing.stage in ("", "new", *ROLES)
    return parting.CONVERTED in desk.reasons(row.lead_id) and is_of_sales


def _is_work(row: Row) -> bool:
    """Say whether an owner elsewhere has an open lead: one that is over here is so until qualification says more."""
    return row.stage in desks.ROUTABLE or (row.qualification is None and row.stage not in OVER)


def ends_work(stage: str) -> bool:
    """Say whether it is a stage at which nobody works a lead that is known here; qualification says what follows."""
    return stage == "nurture" or stage in OVER


def _with_stage(known: common_pb2.Qualification | None, stage: str) -> common_pb2.Qualification:
    """Return what is known of the lead, with the stage that it comes with; people's word here stands against it."""
    if known is None:
        return common_pb2.Qualification(stage=stage or "new", cycle=1)
    if stage not in desks.ROUTABLE or (known.stage in ROLES and known.definition != IMPORTED):
        return known
    made = common_pb2.Qualification()
    made.CopyFrom(known)
    made.stage = stage
    return made


def is_sales_work(desk: Desk, row: Row) -> bool:
    """Say whether the lead is sales' work by what is known so far: theirs, or on its way to them."""
    held = desk.assignments.get(row.lead_id)
    if held is None:
        return row.stage in ROLES
    was_told = row.qualification is not None and row.qualification.stage in ROLES
    is_theirs = desk.group.roles.get(held.rep_id) == SALES and was_told
    return is_theirs or parting.CONVERTED in desk.reasons(row.lead_id)


def pass_on(desk: Desk, row: Row) -> None:
    """Let whoever has a lead that is ready for sales pass it on, in a cycle of its own.

    An SDR has it, and in that load, until somebody of sales has room, as has one of sales who left; another one of
    sales keeps it.
    """
    held = desk.assignments.get(row.lead_id)
    if held is None or not desks.is_routable(row):
        return
    rep = desk.group.index.reps[held.rep_id]
    if rep.role != SALES or rep.away is WhyNot.INACTIVE:
        desk.look_for_another(row, parting.CONVERTED)
        return
    clocks = held.starts_clocks and not held.touched
    desk.release(row, outcome=parting.CONVERTED, by="qualification")
    desk.force(row, held.rep_id, outcome=Outcome.ASSIGNED, rule="with sales already", starts_clocks=clocks, of=held)
