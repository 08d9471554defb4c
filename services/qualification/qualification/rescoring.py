"""The one way in which leads are scored and moved by their score, whatever asks for it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from backbone import lead_values, normal_forms
from backbone.database import Connection
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, qualification_pb2
from qualification import domain, events, moving, scoring, store
from qualification.desk import NO_REASON, Desk, Why
from qualification.domain import Stage, State
from qualification.rules import Action, Definition, Engagement
from qualification.scoring import Facts, Score
from qualification.store import Row


async def rescore(conn: Connection, desk: Desk, *, most: int) -> None:
    """Score the leads in `desk.news`, the newest `most` engagements of each, and let the score move them."""
    wanted = [
        lead_id for lead_id in desk.news if desk.rows[lead_id].fields is not None and not desk.rows[lead_id].closed
    ]
    if not wanted:
        return
    did = await store.engagements(conn, wanted, most=most) if desk.definitions else {}
    for lead_id in wanted:
        row = desk.rows[lead_id]
        definition, held = evaluate(desk.definitions, row, did.get(lead_id, ()))
        _apply(desk, row, definition, held, host_email=_host(did.get(lead_id, ())))
        desk.changed.add(lead_id)


def evaluate(
    definitions: Sequence[Definition], row: Row, did: Sequence[Engagement]
) -> tuple[Definition | None, Facts | None]:
    """Return the definition that applies to a lead, and what it finds."""
    values = lead_values.of(row.fields, row.score, live=row.live)
    definition = scoring.applicable(definitions, values)
    if definition is None:
        return None, None
    return definition, scoring.facts(definition, values, values["lead.missing"], did)


def _host(did: Sequence[Engagement]) -> str:
    """Return who hosts the meeting that a lead booked last and did not call off, "" for nobody.

    The newest engagement comes first. Routing keeps the same account of meetings, but may read that the lead qualified
    before it reads the booking that made it qualify.
    """
    meetings: dict[str, str] = {}
    for one in reversed(did):
        name = normal_forms.identifier(one.properties.get("meeting_id"))
        if one.kind == "meeting_booked":
            before = meetings.pop(name, "")
            meetings[name] = str(one.properties.get("host_email") or "").lower() or before
        elif one.kind == "meeting_cancelled" and name:
            meetings.pop(name, None)
        elif one.kind == "meeting_cancelled" and meetings:
            meetings.popitem()
    return next((host for host in reversed(meetings.values()) if host), "")


def _apply(desk: Desk, row: Row, definition: Definition | None, held: Facts | None, *, host_email: str) -> None:
    score, is_hot = None, False
    standing, why = desk.standings.pop(row.lead_id, (None, NO_REASON))
    # A source that repeats its list says nothing new: neither does the lead go on by that, nor is it moved again.
    is_repeated = standing is not None and standing.stage == row.state.stage and row.state.definition != ""
    if definition is not None and held is not None:
        score = scoring.score(definition, held, desk.now, lifted=_lifted(row, definition, desk.now))
        is_hot = _turned_hot(desk, row, definition, score)
        if is_hot:
            score = scoring.score(definition, held, desk.now, lifted=_lifted(row, definition, desk.now))
        news = desk.news[row.lead_id]
        something_new = not is_repeated and ("" in news or any(definition.counts(kind) for kind in news))
        row.state = domain.reopened(row.state, now=desk.now, something_new=something_new)
    before = row.state.stage
    stage, reason = domain.stage_by_score(row.state, score, set_aside=_set_aside(row))
    if is_repeated:
        standing, stage, reason = None, before, row.state.reason
    elif standing is not None:
        stage, reason = Stage(standing.stage), why.code
    moves = standing is not None or stage is not before
    after = replace(row.state, stage=stage, reason=reason, decided_by_person=row.state.decided_by_person and not moves)
    # First of all, so that whatever is told of the lead says for what it waits.
    row.review_since = (row.review_since or desk.now) if domain.needs_review(after, score) else None
    _note_score(desk, row, score, after, host_email=host_email, imported=standing is not None)
    if standing is not None:
        _take_over(desk, row, stage, standing, why)
    elif stage is not before:
        _move(desk, row, stage, reason)
    elif row.lead_id in desk.woken and row.rep_id is None:
        _announce_again(desk, row)
    desk.note_place(row)
    row.next_score_at = _next_score_at(desk, row, definition, score)
    if is_hot and definition is not None and score is not None:
        desk.tell(_hot(desk, row, definition, score))


def _note_score(desk: Desk, row: Row, score: Score | None, after: State, *, host_email: str, imported: bool) -> None:
    state = row.state
    if score is not None and not imported and (state.definition != domain.IMPORTED or after.stage is not state.stage):
        row.state = replace(state, definition=score.definition, reason=after.reason)
    else:
        row.state = replace(state, reason=after.reason)
    moved = replace(row, state=replace(after, definition=row.state.definition))
    fresh = events.scored(moved, score)
    fresh.host_email = host_email
    if row.score is None or _differs(row.score, fresh):
        row.score = fresh
        if score is not None:
            desk.tell(events.lead_scored(row, desk.now))


def _differs(old: common_pb2.Qualification, new: common_pb2.Qualification) -> bool:
    def essence(one: common_pb2.Qualification) -> tuple[Any, ...]:
        said = (one.grade, one.fit, one.interest, one.action, one.definition, one.persona, one.host_email)
        return (*said, list(one.missing))

    return essence(old) != essence(new)


def _set_aside(row: Row) -> str:
    assert row.fields is not None
    if row.fields.spam:
        return domain.SPAM
    return domain.TEST if row.fields.test else ""


def _move(desk: Desk, row: Row, stage: Stage, reason: str) -> None:
    at, before = desk.now, row.state.stage

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event | None:
        if stage is Stage.MQL:
            return events.qualified(moved, qualification, at)
        if stage is Stage.DISQUALIFIED:
            return events.disqualified(moved, qualification, at, by_score=True)
        if before in (Stage.NEW, Stage.DISQUALIFIED):
            return None  # Nobody was told that it was more.
        return events.demoted(moved, qualification, at)

    desk.move(row, stage, why=Why(code=reason), tell=tell)


def _take_over(desk: Desk, row: Row, stage: Stage, standing: common_pb2.Standing, why: Why) -> None:
    """Take over the stage that another system gave the lead, and end the work here that it says is over."""
    if stage is Stage.NURTURE and row.state.stage is not Stage.NEW:
        moving.recycle(desk, row, why=why, definition=domain.IMPORTED)
        return
    if stage in (Stage.SRL, Stage.SQL) and row.state.stage not in (Stage.SRL, Stage.SQL):
        # Whoever has it now brought it there, not who had it before it was recycled.
        row.sdr_id = row.rep_id

    def tell(moved: Row, qualification: common_pb2.Qualification) -> Event | None:
        if stage is Stage.MQL:
            return events.qualified(moved, qualification, desk.now, standing)
        if stage in (Stage.SRL, Stage.SQL):
            return events.sales_ready(moved, qualification, desk.now, standing)
        if stage is Stage.DISQUALIFIED:
            return events.disqualified(moved, qualification, desk.now)
        if stage is Stage.CUSTOMER:
            return events.converted(moved, qualification, desk.now)
        return None  # Nobody was told that it was more.

    desk.move(row, stage, why=why, by_person=stage is not Stage.NEW, definition=domain.IMPORTED, tell=tell)
    moving.tell_confirmed(desk, row)


def _announce_again(desk: Desk, row: Row) -> None:
    """Say of a lead that was history until now what nobody acted on then."""
    assert row.score is not None
    if row.state.stage is Stage.MQL:
        desk.tell(events.qualified(row, events.restage(row, str(Stage.MQL)), desk.now))
    elif row.state.stage is Stage.SRL:
        desk.tell(events.sales_ready(row, events.restage(row, str(Stage.SRL)), desk.now))


def _lifted(row: Row, definition: Definition, now: datetime) -> Action | None:
    if not row.hot_action or row.hot_at is None or now > _cools_at(row.hot_at, definition):
        return None
    return Action(row.hot_action)


def _cools_at(hot_at: datetime, definition: Definition) -> datetime:
    """A burst speaks for a lead as long as a buying signal does."""
    return hot_at + timedelta(seconds=definition.signal_for_seconds)


def _turned_hot(desk: Desk, row: Row, definition: Definition, score: Score) -> bool:
    if definition.hot_points is None or score.burst < definition.hot_points:
        return False
    if not row.live or _set_aside(row) or (row.state.stage is Stage.DISQUALIFIED and row.state.decided_by_person):
        return False
    if row.hot_at is not None and (desk.now - row.hot_at).total_seconds() < definition.hot_within_seconds:
        return False
    row.hot_at = desk.now
    row.hot_action = str(definition.hot_unowned or "") if row.rep_id is None else ""
    return True


def _hot(desk: Desk, row: Row, definition: Definition, score: Score) -> Event:
    message = qualification_pb2.HotLeadDetected(
        stamp=events.stamp(row, desk.now),
        qualification=events.standing(row),
        points=score.burst,
        within_seconds=definition.hot_within_seconds,
    )
    return events.event(row, message, desk.now)


def _next_score_at(desk: Desk, row: Row, definition: Definition | None, score: Score | None) -> datetime | None:
    """Return when time alone may move the lead; never for those whom people moved."""
    if score is None or definition is None or row.state.stage in domain.BEYOND_SCORING:
        return None
    if row.state.decided_by_person:
        return row.state.recycled_until
    ends = [score.changes_at]
    if row.hot_action and row.hot_at is not None and _cools_at(row.hot_at, definition) >= desk.now:
        ends.append(_cools_at(row.hot_at, definition))
    return min((end for end in ends if end is not None), default=None)
