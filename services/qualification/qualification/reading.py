"""A lead as people read it: its stage as decided, its interest decayed until this moment."""

from typing import Any
from uuid import UUID

from backbone import lead_values, times
from backbone.database import Connection
from handoff.events.v1 import common_pb2
from qualification import domain, events, scoring, store
from qualification.scoring import Point
from qualification.store import Row
from qualification.store_definitions import Compiled


async def lead(conn: Connection, compiled: Compiled, lead_id: UUID, *, most: int) -> Row | None:
    """Return a lead, or the one that it was merged into; None where there is none, or it was erased."""
    survivor = await store.survivor(conn, lead_id)
    row = (await store.load(conn, [survivor]))[survivor]
    if row.fields is None:
        return None
    await _decay(conn, compiled, row, most=most)
    return row


async def _decay(conn: Connection, compiled: Compiled, row: Row, *, most: int) -> None:
    """Bring the score to this moment, by the version that made it: fit stays as it was found."""
    if row.score is None or row.fields is None:
        return
    definition = await compiled.cited(conn, row.score.definition)
    if definition is None or definition.half_life_seconds is None:
        return
    values = lead_values.of(row.fields, row.score, live=row.live)
    did = await store.engagements(conn, [row.lead_id], most=most)
    held = scoring.facts(definition, values, values["lead.missing"], did[row.lead_id])
    held = scoring.with_fit(held, _fit(row.score))
    now = scoring.score(definition, held, await times.now(conn))
    action = row.score.action
    events.put_score(row.score, now)
    row.score.action = action


def _fit(score: common_pb2.Qualification) -> list[Point]:
    return [
        Point(rule=one.rule, part=one.part, points=one.points, ceiling=None, counted=one.counted)
        for one in score.explanation
        if one.part in scoring.FIT_PARTS
    ]


def shown(row: Row) -> dict[str, Any]:
    """Return a lead's qualification as the interface has it."""
    score = row.score
    explanation = [
        {
            "rule": point.rule,
            "points": point.points,
            **({"ceiling": point.ceiling} if point.HasField("ceiling") else {}),
            "counted": point.counted,
            "part": point.part,
        }
        for point in (score.explanation if score is not None else ())
    ]
    unknown = {"answer": "unknown", "note": None}
    return {
        "lead_id": str(row.lead_id),
        "stage": str(row.state.stage),
        "reason": row.state.reason or None,
        "missing": list(score.missing) if score is not None else [],
        "grade": (score.grade or None) if score is not None else None,
        "fit": score.fit if score is not None else 0,
        "interest": score.interest if score is not None else 0,
        "action": (score.action or None) if score is not None else None,
        "persona": (score.persona or None) if score is not None else None,
        "definition": row.state.definition or None,
        "why_passed": (score.why_passed or None) if score is not None else None,
        "explanation": explanation,
        "bant": {question: row.state.bant.get(question, unknown) for question in domain.QUESTIONS},
        "cycle": row.state.cycle,
        "recycled_until": times.text(row.state.recycled_until) if row.state.recycled_until else None,
        "previous_rep": row.previous_rep,
        "rep_id": row.rep_id,
        "sdr_id": row.sdr_id,
        "live": row.live,
    }


def shown_move(move: Any) -> dict[str, Any]:
    """Return a line of a lead's history."""
    return {
        "at": times.text(move["at"]),
        "from": move["from_stage"],
        "to": move["to_stage"],
        "definition": move["definition"],
        "reason": move["reason"],
        "words": move["words"],
        "by": move["decided_by"],
    }
