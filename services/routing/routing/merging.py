"""Two leads that are one: who has it from then on, and what it waits for."""

from handoff.events.v1 import common_pb2
from routing import desk as desks
from routing import parting, taking_over
from routing.desk import Desk
from routing.domain import ROLES, SALES, Outcome
from routing.store import Assignment, Row


def merge(desk: Desk, survivor: Row | None, merged: Row | None) -> None:
    """Keep the survivor's assignment and end the other's; the only one there is becomes the survivor's."""
    if merged is None or merged.closed:
        return
    merged.closed = True
    reasons, only_pool = desk.reasons(merged.lead_id), desk.named_pool(merged.lead_id)
    desk.stop_waiting(merged)
    held = desk.assignments.get(merged.lead_id)
    desk.release(merged, outcome="merged", by="intake")
    if survivor is None or survivor is merged:
        return
    survivor.in_work = survivor.in_work or merged.in_work
    if merged.refused_by:
        survivor.brought[str(merged.lead_id)] = sorted(merged.refused_by)
    if held is None:
        return
    if _is_further(desk, merged, held, survivor):
        desk.release(survivor, outcome=parting.CONVERTED, by="qualification")
    elif survivor.lead_id in desk.assignments or survivor.stage in taking_over.OVER:
        return
    if survivor.stage not in (ROLES if merged.stage in ROLES else desks.ROUTABLE):
        survivor.own_stage = survivor.stage
        survivor.stage, survivor.qualification = merged.stage, merged.qualification
    survivor.touched = survivor.touched or held.touched
    desk.force(
        survivor,
        held.rep_id,
        outcome=Outcome.ASSIGNED,
        rule="merged",
        starts_clocks=held.starts_clocks and not survivor.touched,
        of=held,
    )
    for why in reasons:
        desk.look_for_another(survivor, why)
        desk.only_pool[survivor.lead_id] = only_pool


def go_back(desk: Desk, survivor: Row, *, outcome: str) -> None:
    """Let a survivor be what it is itself: what it went on as had ended before the merge, as is learned after it."""
    if survivor.own_stage is None:
        return
    survivor.stage, survivor.own_stage = survivor.own_stage, None
    survivor.in_work = survivor.in_work and survivor.stage in desks.ROUTABLE
    if survivor.qualification is not None:
        known = common_pb2.Qualification()
        known.CopyFrom(survivor.qualification)
        known.stage = survivor.stage
        survivor.qualification = known
    desk.stop_waiting(survivor)
    desk.release(survivor, outcome=outcome, by="qualification")
    if desks.is_routable(survivor):
        desk.to_route[survivor.lead_id] = None


def _is_further(desk: Desk, merged: Row, held: Assignment, survivor: Row) -> bool:
    """Say whether one of sales has the merged lead as theirs, and nobody of sales has the survivor."""
    roles, own = desk.group.roles, desk.assignments.get(survivor.lead_id)
    is_sales = merged.stage in ROLES and roles.get(held.rep_id) == SALES and survivor.stage != "customer"
    return is_sales and (own is None or roles.get(own.rep_id) != SALES)
