"""What qualification publishes, made from the lead's row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import Message

from backbone import documents, ids, times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, qualification_pb2
from qualification.scoring import Score
from qualification.store import Row

REASONS: Final = ids.derived("reasons", "all")
"""What the codes in force are keyed with: one list after the other."""


def stamp(row: Row, at: datetime) -> common_pb2.Stamp:
    """Return what stands first; `live` and the times of the lead are copied."""
    made = common_pb2.Stamp(lead_id=str(row.lead_id), live=row.live)
    times.put(made.occurred_at, at)
    times.put(made.recorded_at, row.recorded_at or at)
    if row.arrived_at is not None:
        times.put(made.arrived_at, row.arrived_at)
    return made


def scored(row: Row, score: Score | None) -> common_pb2.Qualification:
    """Return the lead's qualification as it stands."""
    state = row.state
    made = common_pb2.Qualification(
        stage=str(state.stage),
        cycle=state.cycle,
        definition=state.definition,
        reason=state.reason,
        queue=row.place_in_queue()[0] or "",
    )
    if score is not None:
        put_score(made, score)
        made.definition = score.definition
    return made


def put_score(made: common_pb2.Qualification, score: Score) -> None:
    """Write a score into a qualification."""
    made.grade = score.grade
    made.fit = score.fit
    made.interest = score.interest
    made.persona = score.persona
    made.action = str(score.action)
    made.why_passed = score.why_passed
    del made.missing[:]
    made.missing.extend(score.missing)
    del made.explanation[:]
    for point in score.explanation:
        line = made.explanation.add(rule=point.rule, points=point.points, counted=point.counted, part=point.part)
        if point.ceiling is not None:
            line.ceiling = point.ceiling


def restage(row: Row, previous: str) -> common_pb2.Qualification:
    """Return the qualification with the stage, cycle, reason and place in the review queue of now."""
    made = common_pb2.Qualification()
    if row.score is not None:
        made.CopyFrom(row.score)
    made.stage = str(row.state.stage)
    made.previous_stage = previous
    made.cycle = row.state.cycle
    made.reason = row.state.reason
    made.queue = row.place_in_queue()[0] or ""
    if row.state.definition:
        made.definition = row.state.definition
    return made


def event(row: Row, message: Message, at: datetime) -> Event:
    """Wrap a message about a lead."""
    return Event(subject=row.lead_id, message=message, occurred_at=at)


def lead_scored(row: Row, at: datetime) -> Event:
    """Return LeadScored."""
    assert row.score is not None
    message = qualification_pb2.LeadScored(stamp=stamp(row, at), qualification=row.score, lead=row.fields)
    return event(row, message, at)


def qualified(row: Row, qualification: common_pb2.Qualification, at: datetime, standing: Any = None) -> Event:
    """Return LeadQualified."""
    message = qualification_pb2.LeadQualified(
        stamp=stamp(row, at),
        qualification=qualification,
        lead=row.fields,
        previous_rep_id=row.previous_rep or "",
        standing=standing,
    )
    return event(row, message, at)


def sales_qualified(row: Row, qualification: common_pb2.Qualification, at: datetime) -> Event:
    """Return LeadSalesQualified."""
    message = qualification_pb2.LeadSalesQualified(
        stamp=stamp(row, at), qualification=qualification, rep_id=row.rep_id or "", bant=bant(row)
    )
    return event(row, message, at)


def bant(row: Row) -> common_pb2.Bant:
    """Return the answers, without the notes: what people typed stays here."""
    answers = {question: said.get("answer", "unknown") for question, said in row.state.bant.items()}
    return common_pb2.Bant(**answers)


def sales_ready(row: Row, qualification: common_pb2.Qualification, at: datetime, standing: Any = None) -> Event:
    """Return LeadSalesReady."""
    message = qualification_pb2.LeadSalesReady(
        stamp=stamp(row, at),
        qualification=qualification,
        lead=row.fields,
        sdr_id=row.sdr_id or "",
        bant=bant(row),
        previous_rep_id=row.previous_rep or "",
        standing=standing,
    )
    return event(row, message, at)


def disqualified(
    row: Row, qualification: common_pb2.Qualification, at: datetime, *, closed: bool = False, by_score: bool = False
) -> Event:
    """Return LeadDisqualified."""
    message = qualification_pb2.LeadDisqualified(
        stamp=stamp(row, at),
        qualification=qualification,
        rep_id=row.rep_id or "",
        closed=closed,
        by_score=by_score,
    )
    return event(row, message, at)


def demoted(row: Row, qualification: common_pb2.Qualification, at: datetime) -> Event:
    """Return LeadDemoted."""
    return event(row, qualification_pb2.LeadDemoted(stamp=stamp(row, at), qualification=qualification), at)


def converted(row: Row, qualification: common_pb2.Qualification, at: datetime) -> Event:
    """Return LeadConverted."""
    message = qualification_pb2.LeadConverted(
        stamp=stamp(row, at), qualification=qualification, rep_id=row.rep_id or ""
    )
    return event(row, message, at)


def review_queued(row: Row, at: datetime) -> Event:
    """Return ReviewQueued."""
    message = qualification_pb2.ReviewQueued(stamp=stamp(row, at), qualification=standing(row), lead=row.fields)
    return event(row, message, at)


def review_ended(row: Row, at: datetime, *, queue: str, decided: bool) -> Event:
    """Return ReviewEnded."""
    message = qualification_pb2.ReviewEnded(
        stamp=stamp(row, at), qualification=standing(row), queue=queue, decided=decided
    )
    return event(row, message, at)


def standing(row: Row) -> common_pb2.Qualification:
    """Return the qualification as it stands between two moves."""
    return restage(row, row.score.previous_stage if row.score is not None else "")


def reasons_changed(codes: Sequence[str], at: datetime) -> Event:
    """Return ReasonsChanged."""
    message = qualification_pb2.ReasonsChanged(stamp=common_pb2.Stamp(live=True), codes=codes)
    times.put(message.stamp.occurred_at, at)
    times.put(message.stamp.recorded_at, at)
    return Event(subject=REASONS, message=message, occurred_at=at)


def promised(supply: Mapping[str, Any]) -> qualification_pb2.Supply:
    """Return what a definition promises, under its key `supply`. Leads are counted whole, and none fewer than none."""

    def leads(count: float) -> int:
        return max(0, round(count))

    made = qualification_pb2.Supply(
        per_week=leads(supply.get("per_week", 0)),
        per_month=leads(supply.get("per_month", 0)),
        per_quarter=leads(supply.get("per_quarter", 0)),
        by_source={source: leads(count) for source, count in supply.get("by_source", {}).items()},
    )
    if "handoff_within" in supply:
        made.handoff_within_seconds = documents.duration(supply["handoff_within"])
    return made
