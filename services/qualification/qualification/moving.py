"""How leads change their stage by a person's word or by what happened to their deal."""

from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, qualification_pb2
from qualification import domain, events
from qualification.desk import Desk, Why
from qualification.domain import Stage
from qualification.store import Row

MERGED: Final = "merged"
HANDED_OVER: Final = frozenset({Stage.MQL, Stage.SRL, Stage.SQL})
"""Stages from which a lead comes back: its next cycle begins."""
WITH_SALES: Final = frozenset({Stage.SRL, Stage.SQL})


def recycle(
    desk: Desk,
    row: Row,
    *,
    why: Why,
    until: datetime | None = None,
    definition: str | None = None,
    closed: bool = False,
) -> None:
    """Send a lead back to nurture; one that somebody worked begins its next cycle.

    `closed`: by people here.
    """

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        message = qualification_pb2.LeadRecycled(
            stamp=events.stamp(moved, desk.now), qualification=qualification, rep_id=moved.rep_id or "", closed=closed
        )
        if until is not None:
            times.put(message.until, until)
        return events.event(moved, message, desk.now)

    cycle = row.state.cycle + (row.state.stage in HANDED_OVER)
    after = {"cycle": cycle, "recycled_until": until}
    desk.move(row, Stage.NURTURE, why=why, by_person=True, definition=definition, tell=tell, **after)


def disqualify(desk: Desk, row: Row, *, why: Why, closed: bool = False) -> None:
    """Take a lead out; `closed`: by people here."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        return events.disqualified(moved, qualification, desk.now, closed=closed)

    desk.move(row, Stage.DISQUALIFIED, why=why, by_person=True, tell=tell, recycled_until=None)


def accept(desk: Desk, row: Row, *, sdr_id: str | None, why: Why) -> None:
    """Make a lead an SRL: BANT is what the definition asks for."""
    row.sdr_id = sdr_id or row.sdr_id
    desk.move(
        row,
        Stage.SRL,
        why=why,
        by_person=True,
        tell=lambda moved, qualification: events.sales_ready(moved, qualification, desk.now),
        recycled_until=None,
    )


def confirm(desk: Desk, row: Row, *, why: Why) -> None:
    """Make an SRL an SQL: the sales rep said so, or moved its opportunity to `qualified`."""
    desk.move(
        row,
        Stage.SQL,
        why=why,
        by_person=True,
        tell=lambda moved, qualification: events.sales_qualified(moved, qualification, desk.now),
    )


def tell_confirmed(desk: Desk, row: Row) -> None:
    """Say of an SQL that was told as ready for sales that it is confirmed: its own deal is as far as the lead."""
    if row.state.stage is Stage.SQL and row.score is not None:
        desk.tell(events.sales_qualified(row, row.score, desk.now))


def hand_back(desk: Desk, row: Row, *, why: Why, rep_id: str | None) -> None:
    """Make an SRL an MQL again, for the SDR who made it."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        message = qualification_pb2.LeadHandedBack(
            stamp=events.stamp(moved, desk.now),
            qualification=qualification,
            lead=moved.fields,
            rep_id=moved.rep_id or rep_id or "",
            sdr_id=moved.sdr_id or "",
        )
        return events.event(moved, message, desk.now)

    desk.move(row, Stage.MQL, why=why, by_person=True, tell=tell)


def win(desk: Desk, row: Row, *, why: Why) -> None:
    """Make a lead a customer."""
    row.ended = "won"
    if row.state.stage is Stage.CUSTOMER:
        return

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        return events.converted(moved, qualification, desk.now)

    desk.move(row, Stage.CUSTOMER, why=why, by_person=True, tell=tell, recycled_until=None)


def lose(desk: Desk, row: Row, *, why: Why, until: datetime | None) -> None:
    """Send a lead back whose deal was lost."""
    row.ended = "lost"
    desk.changed.add(row.lead_id)
    if row.state.stage in HANDED_OVER:
        recycle(desk, row, why=why, until=until)


def merge(desk: Desk, survivor_id: UUID, merged_id: UUID) -> None:
    """Close the merged lead; what people decided over it, the survivor keeps where it is the further."""
    survivor, merged = desk.rows[survivor_id], desk.rows[merged_id]
    if merged.closed:
        return
    merged.closed, merged.review_since, merged.next_score_at = True, None, None
    unite(desk, survivor, merged)


def unite(desk: Desk, survivor: Row, merged: Row) -> None:
    """Let the survivor be what people made of the merged lead, where that is further."""
    # Back to an SDR it goes to whoever made it what it is.
    brings_further = domain.is_further(stage := merged.state.stage, survivor.state.stage)
    survivor.sdr_id = (brings_further and merged.sdr_id) or survivor.sdr_id or merged.sdr_id
    if merged.ended != "won":
        survivor.ended = survivor.ended or merged.ended  # Who won by another is a customer while they are one.
    survivor.live = survivor.live or merged.live
    survivor.state = domain.united(survivor.state, merged.state)
    if brings_further:

        def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
            shape = events.converted if stage is Stage.CUSTOMER else events.sales_ready
            return shape(moved, qualification, desk.now)

        desk.move(survivor, stage, why=Why(code=MERGED), by_person=True, tell=tell)
        tell_confirmed(desk, survivor)
    elif stage is Stage.MQL and survivor.state.stage in (Stage.NEW, Stage.NURTURE):
        # Somebody has it, or it waits for somebody: who survives goes on so, unless its own score says otherwise.
        desk.move(
            survivor,
            stage,
            why=Why(code=MERGED),
            by_person=merged.state.decided_by_person,
            definition=merged.state.definition,
            tell=lambda moved, qualification: events.qualified(moved, qualification, desk.now),
            recycled_until=None,
        )
    desk.changed |= {survivor.lead_id, merged.lead_id}


def lower(desk: Desk, survivor: Row, stage: Stage) -> None:
    """Let a survivor be again what it was before a lead was merged into it that had ended by then."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        if stage is Stage.MQL:
            return events.qualified(moved, qualification, desk.now)
        if stage in WITH_SALES:
            return events.sales_ready(moved, qualification, desk.now)
        shape = events.disqualified if stage is Stage.DISQUALIFIED else events.demoted
        return shape(moved, qualification, desk.now)

    desk.move(survivor, stage, why=Why(code=MERGED), by_person=stage is Stage.DISQUALIFIED, tell=tell)
    tell_confirmed(desk, survivor)
    desk.score_anew(survivor.lead_id)


def unmerge(desk: Desk, row: Row) -> None:
    """Open a lead again that was merged: qualified and routed anew, unless it bought or people had given it up."""
    row.closed = False
    row.rep_id, row.review_since = None, None
    why, stage = Why(code="unmerged"), row.state.stage
    given_up = stage in (Stage.NURTURE, Stage.DISQUALIFIED) and row.state.decided_by_person
    if row.ended == "won" or stage is Stage.CUSTOMER:
        win(desk, row, why=why)
    elif stage is not Stage.NEW and not given_up:
        desk.move(row, Stage.NEW, why=why)
