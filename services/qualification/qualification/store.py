"""Leads as qualification sees them: loaded and saved by the batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from qualification.domain import Stage, State
from qualification.scoring import Engagement

_COLUMNS = (
    "lead_id, fields, live, occurred_at, recorded_at, arrived_at, stage, cycle, reason, definition, decided_by_person,"
    " recycled_until, bant, score, review_since, rep_id, assignment_cycle, sdr_id, previous_rep, hot_at, closed"
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
    )


_SAVE = """
INSERT INTO lead (lead_id, fields, live, occurred_at, recorded_at, arrived_at, stage, cycle, reason, definition,
                  decided_by_person, recycled_until, bant, score, review_since, rep_id, assignment_cycle, sdr_id,
                  previous_rep, hot_at, closed)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::boolean[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
                     $7::text[], $8::int[], $9::text[], $10::text[], $11::boolean[], $12::timestamptz[], $13::jsonb[],
                     $14::bytea[], $15::timestamptz[], $16::text[], $17::int[], $18::text[], $19::text[],
                     $20::timestamptz[], $21::boolean[])
ON CONFLICT (lead_id) DO UPDATE SET
    fields = excluded.fields, live = excluded.live, occurred_at = excluded.occurred_at,
    recorded_at = excluded.recorded_at, arrived_at = excluded.arrived_at, stage = excluded.stage,
    cycle = excluded.cycle, reason = excluded.reason, definition = excluded.definition,
    decided_by_person = excluded.decided_by_person, recycled_until = excluded.recycled_until, bant = excluded.bant,
    score = excluded.score, review_since = excluded.review_since, rep_id = excluded.rep_id,
    assignment_cycle = excluded.assignment_cycle, sdr_id = excluded.sdr_id, previous_rep = excluded.previous_rep,
    hot_at = excluded.hot_at, closed = excluded.closed
"""


async def save(conn: Connection, rows: Sequence[Row]) -> None:
    """Write whole leads."""
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
    )


async def add_engagements(
    conn: Connection, engagements: Sequence[tuple[UUID, UUID, str, datetime, Mapping[str, Any]]]
) -> None:
    """Keep what leads did: (engagement id, lead id, kind, when, properties)."""
    await conn.execute(
        "INSERT INTO engagement (engagement_id, lead_id, kind, at, properties)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::jsonb[])"
        " ON CONFLICT DO NOTHING",
        *(list(column) for column in zip(*engagements, strict=True)),
    )


async def engagements(conn: Connection, lead_ids: Iterable[UUID], *, most: int) -> dict[UUID, list[Engagement]]:
    """Return what each lead, and every lead merged into it, did; the newest `most` of each."""
    wanted = list(lead_ids)
    rows = await conn.fetch(
        "SELECT survivor, kind, at, properties FROM ("
        " SELECT w.survivor, e.kind, e.at, e.properties,"
        " row_number() OVER (PARTITION BY w.survivor ORDER BY e.at DESC) AS nth"
        " FROM (SELECT v.lead_id AS survivor, v.lead_id FROM unnest($1::uuid[]) AS v(lead_id)"
        " UNION SELECT s.merged_into, s.subject_id FROM subject s WHERE s.merged_into = ANY($1::uuid[])) AS w"
        " JOIN engagement e ON e.lead_id = w.lead_id) AS newest WHERE nth <= $2 ORDER BY at",
        wanted,
        most,
    )
    found: dict[UUID, list[Engagement]] = {lead_id: [] for lead_id in wanted}
    for row in rows:
        found[row["survivor"]].append(Engagement(kind=row["kind"], at=row["at"], properties=row["properties"]))
    return found


async def add_history(conn: Connection, moves: Sequence[tuple[UUID, datetime, str, str, str, str]]) -> None:
    """Keep moves between stages: (lead id, when, from, to, definition, reason)."""
    await conn.execute(
        "INSERT INTO history (lead_id, at, from_stage, to_stage, definition, reason)"
        " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[])",
        *(list(column) for column in zip(*moves, strict=True)),
    )


async def history(conn: Connection, lead_id: UUID) -> list[Any]:
    """Return the lead's moves in order."""
    rows: list[Any] = await conn.fetch("SELECT * FROM history WHERE lead_id = $1 ORDER BY history_id", lead_id)
    return rows


async def review_queue(conn: Connection, *, after: tuple[Any, ...] | None, limit: int) -> list[Any]:
    """Return leads that wait for judgement, and MQLs whose BANT is open; best grade first, then oldest."""
    rows: list[Any] = await conn.fetch(
        f"SELECT {_COLUMNS}, coalesce(review_since, arrived_at, recorded_at) AS since FROM lead"  # noqa: S608
        " WHERE NOT closed AND live AND (review_since IS NOT NULL OR stage = 'mql')"
        " ORDER BY coalesce(review_since, arrived_at, recorded_at), lead_id LIMIT 2000"
    )
    return rows


async def next_to_rescore(conn: Connection, reason: str, limit: int) -> list[UUID]:
    """Return the next leads of a rescoring that goes on in the background."""
    rows = await conn.fetch(
        "SELECT l.lead_id FROM lead l, rescoring r WHERE r.reason = $1 AND l.lead_id > r.after AND NOT l.closed"
        " AND l.fields IS NOT NULL ORDER BY l.lead_id LIMIT $2",
        reason,
        limit,
    )
    return [row[0] for row in rows]


async def erase(conn: Connection, lead_ids: Iterable[UUID]) -> None:
    """Delete what is held of a person."""
    gone = list(lead_ids)
    await conn.execute("DELETE FROM engagement WHERE lead_id = ANY($1::uuid[])", gone)
    await conn.execute(
        "UPDATE lead SET fields = NULL, score = NULL, bant = '{}', review_since = NULL WHERE lead_id = ANY($1::uuid[])",
        gone,
    )
    await conn.execute("UPDATE feedback SET note = NULL WHERE lead_id = ANY($1::uuid[])", gone)
