"""The one way in which leads are scored and change their stage, whether an event, a person or a new definition asks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import conditions, times
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import common_pb2, qualification_pb2
from qualification import domain, events, scoring, store
from qualification.domain import Stage
from qualification.scoring import Definition, Score
from qualification.store import Row
from qualification.store_definitions import Compiled


@dataclass(slots=True)
class Desk:
    """Leads of one transaction, with what is to be told of them."""

    now: datetime
    definitions: Sequence[Definition]
    rows: dict[UUID, Row]
    rescored: dict[UUID, None] = field(default_factory=dict)
    moves: list[tuple[UUID, datetime, str, str, str, str]] = field(default_factory=list)
    outgoing: list[Event] = field(default_factory=list)

    def definition_of(self, row: Row) -> Definition | None:
        """Return the definition that applies to a lead."""
        if row.fields is None:
            return None
        return scoring.applicable(self.definitions, conditions.lead_values(row.fields, row.score))

    def move(
        self,
        row: Row,
        stage: Stage,
        *,
        reason: str = "",
        by_person: bool = False,
        definition: str | None = None,
        tell: Callable[[Row, common_pb2.Qualification], Event] | None = None,
        **changes: Any,
    ) -> None:
        """Move a lead to a stage, keep why, and tell it."""
        before = row.state.stage
        row.state = replace(
            row.state,
            stage=stage,
            reason=reason,
            decided_by_person=by_person,
            definition=definition if definition is not None else row.state.definition,
            **changes,
        )
        if stage is not Stage.NURTURE or by_person:
            row.review_since = None
        qualification = events.restage(row, str(before))
        row.score = qualification
        self.moves.append((row.lead_id, self.now, str(before), str(stage), row.state.definition, reason))
        if tell is not None:
            self.outgoing.append(tell(row, qualification))

    async def finish(self, conn: Connection, outbox: Outbox) -> None:
        """Write everything and announce it."""
        if self.rows:
            await store.save(conn, list(self.rows.values()))
        if self.moves:
            await store.add_history(conn, self.moves)
        await outbox.add(conn, self.outgoing)


async def open_desk(conn: Connection, compiled: Compiled, lead_ids: Iterable[UUID]) -> Desk:
    """Load leads whose subjects are locked, with the definitions in force."""
    now = await times.now(conn)
    return Desk(now=now, definitions=await compiled.active(conn), rows=await store.load(conn, lead_ids))


async def rescore(conn: Connection, desk: Desk, *, most: int) -> None:
    """Score the leads noted in `desk.rescored`, and let the score move them."""
    wanted = [
        lead_id for lead_id in desk.rescored if desk.rows[lead_id].fields is not None and not desk.rows[lead_id].closed
    ]
    if not wanted:
        return
    did = await store.engagements(conn, wanted, most=most) if desk.definitions else {}
    for lead_id in wanted:
        row = desk.rows[lead_id]
        definition = desk.definition_of(row)
        score = _score(desk, row, definition, did.get(lead_id, []))
        _apply(desk, row, definition, score)


def _score(desk: Desk, row: Row, definition: Definition | None, did: Sequence[scoring.Engagement]) -> Score | None:
    if definition is None or row.fields is None:
        return None
    lead = conditions.lead_values(row.fields, row.score)
    # History is scored as it was when it ended: a year-old burst is no interest of today.
    return scoring.score(definition, lead, lead["lead.missing"], did, desk.now)


def _apply(desk: Desk, row: Row, definition: Definition | None, score: Score | None) -> None:
    stage, reason = domain.stage_by_score(row.state, score, now=desk.now)
    before = row.state
    if score is not None and before.definition != domain.IMPORTED:
        row.state = replace(row.state, definition=score.definition)
    elif score is None:
        row.state = replace(row.state, reason=reason)
    fresh = events.scored(row, score)
    fresh.stage, fresh.reason = str(stage), reason
    if row.score is None or _differs(row.score, fresh):
        row.score = fresh
        if score is not None:
            desk.outgoing.append(events.lead_scored(row, desk.now))
    if stage is not before.stage:
        _move_by_score(desk, row, stage, reason)
    else:
        row.state = replace(row.state, reason=reason)
    waits = domain.needs_review(row.state, score)
    row.review_since = (row.review_since or desk.now) if waits else None
    _announce_hot(desk, row, definition, score)


def _differs(old: common_pb2.Qualification, new: common_pb2.Qualification) -> bool:
    def essence(one: common_pb2.Qualification) -> tuple[Any, ...]:
        return (one.grade, one.fit, one.interest, one.action, one.definition, one.persona, list(one.missing))

    return essence(old) != essence(new)


def _move_by_score(desk: Desk, row: Row, stage: Stage, reason: str) -> None:
    at = desk.now
    before = row.state.stage

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        if stage is Stage.MQL:
            return events.qualified(moved, qualification, at)
        if stage is Stage.DISQUALIFIED:
            message: Any = qualification_pb2.LeadDisqualified(
                stamp=events.stamp(moved, at), qualification=qualification, rep_id=moved.rep_id or ""
            )
        else:
            message = qualification_pb2.LeadDemoted(stamp=events.stamp(moved, at), qualification=qualification)
        return events.event(moved, message, at)

    # From new to nurture is no demotion: nobody was told that it was more.
    silent = stage in (Stage.NURTURE, Stage.NEW) and before in (Stage.NEW, Stage.DISQUALIFIED)
    desk.move(row, stage, reason=reason, tell=None if silent else tell)


def _announce_hot(desk: Desk, row: Row, definition: Definition | None, score: Score | None) -> None:
    if definition is None or score is None or definition.hot_points is None or not row.live:
        return
    if score.burst < definition.hot_points:
        return
    if row.hot_at is not None and (desk.now - row.hot_at).total_seconds() < definition.hot_within_seconds:
        return
    row.hot_at = desk.now
    message = qualification_pb2.HotLeadDetected(
        stamp=events.stamp(row, desk.now),
        qualification=row.score,
        points=score.burst,
        within_seconds=definition.hot_within_seconds,
    )
    desk.outgoing.append(events.event(row, message, desk.now))


def recycle(desk: Desk, row: Row, *, reason: str, until: datetime | None, by_person: bool) -> None:
    """Send a lead back to nurture, in its next cycle."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        message = qualification_pb2.LeadRecycled(
            stamp=events.stamp(moved, desk.now), qualification=qualification, rep_id=moved.rep_id or ""
        )
        if until is not None:
            message.until.FromDatetime(until)
        return events.event(moved, message, desk.now)

    desk.move(
        row,
        Stage.NURTURE,
        reason=reason,
        by_person=by_person,
        tell=tell,
        cycle=row.state.cycle + 1,
        recycled_until=until,
    )


def disqualify(desk: Desk, row: Row, *, reason: str) -> None:
    """Take a lead out, by a person's word."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        message = qualification_pb2.LeadDisqualified(
            stamp=events.stamp(moved, desk.now), qualification=qualification, rep_id=moved.rep_id or ""
        )
        return events.event(moved, message, desk.now)

    desk.move(row, Stage.DISQUALIFIED, reason=reason, by_person=True, tell=tell)


def confirm(desk: Desk, row: Row) -> None:
    """Make an SRL an SQL: the sales rep said so, or moved its opportunity to `qualified`."""

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event:
        message = qualification_pb2.LeadSalesQualified(
            stamp=events.stamp(moved, desk.now),
            qualification=qualification,
            rep_id=moved.rep_id or "",
            bant=events.bant(moved),
        )
        return events.event(moved, message, desk.now)

    desk.move(row, Stage.SQL, by_person=True, tell=tell)
