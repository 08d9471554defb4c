"""Leads as qualification sees them: loaded and saved by the batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from qualification import domain
from qualification.domain import Stage, State
from qualification.rules import Engagement

_COLUMNS = (
    "lead_id, fields, live, occurred_at, recorded_at, arrived_at, stage, cycle, reason, definition, decided_by_person,"
    " recycled_until, bant, score, review_since, rep_id, assignment_cycle, sdr_id, previous_rep, hot_at, closed,"
    " stage_since, hot_action, next_score_at, ended, handed_at, declined, queue_kind"
)


@dataclass(slots=True)
class Row:
    """A lead while a transaction works on it."""

    lead_id: UUID
    state: State = field(default_factory=State)
    fields: common_pb2.LeadFields | None = None
    live: bool = False
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None
    """When the newest fact about it was first accepted, by whichever service."""
    arrived_at: datetime | None = None
    score: common_pb2.Qualification | None = None
    review_since: datetime | None = None
    rep_id: str | None = None
    assignment_cycle: int = 0
    sdr_id: str | None = None
    previous_rep: str | None = None
    hot_at: datetime | None = None
    closed: bool = False
    """Merged into another lead: its facts count there."""
    stage_since: datetime | None = None
    hot_action: str = ""
    """What its last burst lifted it to, while nobody had it: review or pass."""
    next_score_at: datetime | None = None
    """When time alone may change its grade, or a person's word ends."""
    ended: str = ""
    """won or lost, once it is over."""
    handed_at: datetime | None = None
    """When it was first given to a rep."""
    declined: int = 0
    queue: str | None = None
    """The kind of judgement that it waits for as far as it was told."""

    def place_in_queue(self) -> tuple[str | None, datetime | None]:
        """Return the kind of judgement it waits for, and since when."""
        if not self.live or self.closed or self.fields is None:
            return None, None
        if self.review_since is not None:
            return "review", self.review_since
        if self.state.stage is Stage.MQL and domain.bant_is_open(self.state):
            return "bant", self.stage_since or self.arrived_at
        return None, None


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Return the leads; one that is not known yet is new. Their subjects have to be locked."""
    wanted = list(lead_ids)
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM lead WHERE lead_id = ANY($1::uuid[])", wanted)  # noqa: S608
    found = {row["lead_id"]: _row(row) for row in rows}
    return {lead_id: found.get(lead_id) or Row(lead_id) for lead_id in wanted}


def _row(row: Any) -> Row:
    return Row(
        lead_id=row["lead_id"],
        state=State(
            stage=Stage(row["stage"]),
            cycle=row["cycle"],
            reason=row["reason"],
            definition=row["definition"],
            decided_by_person=row["decided_by_person"],
            recycled_until=row["recycled_until"],
            bant=row["bant"],
        ),
        fields=common_pb2.LeadFields.FromString(row["fields"]) if row["fields"] is not None else None,
        live=row["live"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        arrived_at=row["arrived_at"],
        score=common_pb2.Qualification.FromString(row["score"]) if row["score"] is not None else None,
        review_since=row["review_since"],
        rep_id=row["rep_id"],
        assignment_cycle=row["assignment_cycle"],
        sdr_id=row["sdr_id"],
        previous_rep=row["previous_rep"],
        hot_at=row["hot_at"],
        closed=row["closed"],
        stage_since=row["stage_since"],
        hot_action=row["hot_action"],
        next_score_at=row["next_score_at"],
        ended=row["ended"],
        handed_at=row["handed_at"],
        declined=row["declined"],
        queue=row["queue_kind"],
    )


def grade(score: bytes | None) -> str:
    """Return the grade of a stored score."""
    return common_pb2.Qualification.FromString(score).grade if score is not None else ""


_SAVE = """
INSERT INTO lead (lead_id, fields, live, occurred_at, recorded_at, arrived_at, stage, cycle, reason, definition,
                  decided_by_person, recycled_until, bant, score, review_since, rep_id, assignment_cycle, sdr_id,
                  previous_rep, hot_at, closed, stage_since, hot_action, next_score_at, ended, handed_at, declined,
                  queue_kind, queue_since, queue_rank)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::boolean[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
                     $7::text[], $8::int[], $9::text[], $10::text[], $11::boolean[], $12::timestamptz[], $13::jsonb[],
                     $14::bytea[], $15::timestamptz[], $16::text[], $17::int[], $18::text[], $19::text[],
                     $20::timestamptz[], $21::boolean[], $22::timestamptz[], $23::text[], $24::timestamptz[],
                     $25::text[], $26::timestamptz[], $27::int[], $28::text[], $29::timestamptz[], $30::int[])
ON CONFLICT (lead_id) DO UPDATE SET
    fields = excluded.fields, live = excluded.live, occurred_at = excluded.occurred_at,
    recorded_at = excluded.recorded_at, arrived_at = excluded.arrived_at, stage = excluded.stage,
    cycle = excluded.cycle, reason = excluded.reason, definition = excluded.definition,
    decided_by_person = excluded.decided_by_person, recycled_until = excluded.recycled_until, bant = excluded.bant,
    score = excluded.score, review_since = excluded.review_since, rep_id = excluded.rep_id,
    assignment_cycle = excluded.assignment_cycle, sdr_id = excluded.sdr_id, previous_rep = excluded.previous_rep,
    hot_at = excluded.hot_at, closed = excluded.closed, stage_since = excluded.stage_since,
    hot_action = excluded.hot_action, next_score_at = excluded.next_score_at, ended = excluded.ended,
    handed_at = excluded.handed_at, declined = excluded.declined, queue_kind = excluded.queue_kind,
    queue_since = excluded.queue_since, queue_rank = excluded.queue_rank
"""


async def save(conn: Connection, rows: Sequence[Row]) -> None:
    """Write whole leads."""
    queued = [row.place_in_queue() for row in rows]
    await conn.execute(
        _SAVE,
        [row.lead_id for row in rows],
        [row.fields.SerializeToString() if row.fields is not None else None for row in rows],
        [row.live for row in rows],
        [row.occurred_at for row in rows],
        [row.recorded_at for row in rows],
        [row.arrived_at for row in rows],
        [str(row.state.stage) for row in rows],
        [row.state.cycle for row in rows],
        [row.state.reason for row in rows],
        [row.state.definition for row in rows],
        [row.state.decided_by_person for row in rows],
        [row.state.recycled_until for row in rows],
        [dict(row.state.bant) for row in rows],
        [row.score.SerializeToString() if row.score is not None else None for row in rows],
        [row.review_since for row in rows],
        [row.rep_id for row in rows],
        [row.assignment_cycle for row in rows],
        [row.sdr_id for row in rows],
        [row.previous_rep for row in rows],
        [row.hot_at for row in rows],
        [row.closed for row in rows],
        [row.stage_since for row in rows],
        [row.hot_action for row in rows],
        [row.next_score_at for row in rows],
        [row.ended for row in rows],
        [row.handed_at for row in rows],
        [row.declined for row in rows],
        [kind for kind, _ in queued],
        [since for _, since in queued],
        [domain.rank(row.score.grade) if row.score is not None else domain.LAST_RANK for row in rows],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Did:
    """Something a lead did, as it is kept: under the lead that it was recorded for."""

    engagement_id: UUID
    lead_id: UUID
    kind: str
    at: datetime
    properties: Mapping[str, Any]


async def add_engagements(conn: Connection, done: Sequence[Did]) -> None:
    """Keep what leads did."""
    if not done:
        return
    await conn.execute(
        "INSERT INTO engagement (engagement_id, lead_id, kind, at, properties)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::jsonb[])"
        " ON CONFLICT DO NOTHING",
        [one.engagement_id for one in done],
        [one.lead_id for one in done],
        [one.kind for one in done],
        [one.at for one in done],
        [one.properties for one in done],
    )


async def engagements(conn: Connection, lead_ids: Iterable[UUID], *, most: int) -> dict[UUID, list[Engagement]]:
    """Return what each lead, and every lead merged into it, did; the newest `most` of each."""
    wanted = list(lead_ids)
    rows = await conn.fetch(
        "WITH RECURSIVE part AS (SELECT v AS survivor, v AS lead_id FROM unnest($1::uuid[]) AS v UNION"
        " SELECT p.survivor, s.subject_id FROM part p JOIN subject s ON s.merged_into = p.lead_id)"
        " SELECT p.survivor, e.kind, e.at, e.properties FROM part p CROSS JOIN LATERAL"
        " (SELECT engagement_id, kind, at, properties FROM engagement WHERE lead_id = p.lead_id"
        " ORDER BY at DESC, engagement_id LIMIT $2) AS e ORDER BY e.at DESC, e.engagement_id",
        wanted,
        most,
    )
    found: dict[UUID, list[Engagement]] = {lead_id: [] for lead_id in wanted}
    for row in rows:
        found[row["survivor"]].append(Engagement(kind=row["kind"], at=row["at"], properties=row["properties"]))
    return {lead_id: did[:most] for lead_id, did in found.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A lead's step from a stage to another, or a decision that left it where it was."""

    lead_id: UUID
    at: datetime
    before: Stage
    after: Stage
    definition: str
    reason: str
    words: str | None
    decided_by: str | None
    """Whose decision it was, where a person's."""


async def last_move(conn: Connection, lead_id: UUID) -> tuple[Stage, str] | None:
    """Return at which stage a lead was before its last step, and why it took that; None where it took none."""
    row = await conn.fetchrow(
        "SELECT from_stage, reason FROM history WHERE lead_id = $1 ORDER BY history_id DESC LIMIT 1", lead_id
    )
    return (Stage(row["from_stage"]), row["reason"]) if row is not None else None


async def add_history(conn: Connection, moves: Sequence[Move]) -> None:
    """Keep moves between stages."""
    await conn.execute(
        "INSERT INTO history (lead_id, at, from_stage, to_stage, definition, reason, words, decided_by)"
        " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::text[], $8::text[])",
        [move.lead_id for move in moves],
        [move.at for move in moves],
        [str(move.before) for move in moves],
        [str(move.after) for move in moves],
        [move.definition for move in moves],
        [move.reason for move in moves],
        [move.words for move in moves],
        [move.decided_by for move in moves],
    )


async def history(conn: Connection, lead_id: UUID) -> list[Any]:
    """Return the lead's moves in order."""
    rows: list[Any] = await conn.fetch("SELECT * FROM history WHERE lead_id = $1 ORDER BY history_id", lead_id)
    return rows


async def survivor(conn: Connection, lead_id: UUID) -> UUID:
    """Return the lead that this one was merged into, through every link; itself when it was not."""
    found: UUID | None = await conn.fetchval(
        "WITH RECURSIVE link AS (SELECT subject_id, merged_into FROM subject WHERE subject_id = $1 UNION"
        " SELECT s.subject_id, s.merged_into FROM link l JOIN subject s ON s.subject_id = l.merged_into)"
        " SELECT subject_id FROM link WHERE merged_into IS NULL",
        lead_id,
    )
    return found or lead_id


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what is held of a person; the stages that the lead went through stay, as numbers in reports."""
    gone = list(lead_ids)
    await conn.execute("DELETE FROM engagement WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE lead SET fields = NULL, score = NULL, bant = '{}', review_since = NULL, next_score_at = NULL,"
        " queue_kind = NULL, queue_since = NULL WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute("UPDATE history SET words = NULL WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute("UPDATE feedback SET note = NULL WHERE lead_id = ANY($1::uuid[])", gone)
