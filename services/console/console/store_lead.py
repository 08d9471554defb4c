"""One lead as a page shows it: with everybody who was merged into it, and everything that was said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import times
from backbone.database import Connection
from backbone.problem import Problem
from console import domain, journey, shaping, store_changes, store_rows
from console.journey import Reader
from console.views import (
    Assignment,
    Availability,
    Clock,
    Consent,
    Decision,
    Entry,
    Identity,
    InboxRow,
    LeadPage,
    Merged,
    Opportunity,
    Panel,
    Person,
)
from handoff.events.v1 import common_pb2

ENTRIES: Final = 500
"""The newest lines of a journey that a page shows."""
LAST_SEEN: Final = 3

_LEAD: Final = """
SELECT s.subject_id AS lead_id, s.merged_into, s.erased_at, coalesce(l.v, 0) AS v, coalesce(l.live, false) AS live,
       l.arrived_at, l.created_at, l.fields, l.opened, l.qualification, coalesce(l.stage, '') AS stage,
       coalesce(l.grade, '') AS grade, l.bant, l.hot_at
FROM subject s LEFT JOIN lead l ON l.lead_id = s.subject_id
WHERE s.subject_id = $1 AND (l.lead_id IS NOT NULL OR EXISTS (SELECT FROM assignment a WHERE a.lead_id = s.subject_id))
"""


async def holder(conn: Connection, lead_id: UUID) -> Any:
    """Return the open assignment of the lead, or of who it was merged into (`lead_id` says which); None: nobody's."""
    return await conn.fetchrow(
        "WITH RECURSIVE chain(id, merged_into) AS (SELECT subject_id, merged_into FROM subject WHERE subject_id = $1"
        " UNION SELECT s.subject_id, s.merged_into FROM subject s JOIN chain ON s.subject_id = chain.merged_into)"
        " SELECT a.*, coalesce(r.name, a.rep_id) AS rep_name FROM chain JOIN assignment a ON a.lead_id = chain.id"
        " LEFT JOIN rep r ON r.rep_id = a.rep_id WHERE chain.merged_into IS NULL AND a.released_at IS NULL"
        " ORDER BY a.cycle DESC LIMIT 1",
        lead_id,
    )


def check(person: Person, held: Any) -> None:
    """Refuse who may not see a lead that is held so."""
    if not person.sees(held["rep_id"] if held is not None else None):
        raise Problem(403, "Not your lead", "A rep sees own leads only. Your manager sees who has this one.")


async def family(conn: Connection, lead_id: UUID) -> list[UUID]:
    """Return the lead and everybody who was merged into it."""
    return [row[0] for row in await conn.fetch("SELECT lead_family($1)", lead_id)]


async def rep_names(conn: Connection) -> dict[str, str]:
    """Return what reps are called."""
    return {row[0]: row[1] for row in await conn.fetch("SELECT rep_id, name FROM rep")}


async def entries(conn: Connection, lead_ids: Sequence[UUID], after: int, reader: Reader) -> list[tuple[int, Entry]]:
    """Return the newest lines of the journey after a position, each with its own."""
    records = await conn.fetch(
        "SELECT seq, event_id, at, kind, value FROM (SELECT * FROM entry WHERE lead_id = ANY($1::uuid[]) AND seq > $2"
        " ORDER BY seq DESC LIMIT $3) AS newest ORDER BY at, seq",
        lead_ids,
        after,
        ENTRIES,
    )
    return [(one["seq"], _entry(one, reader)) for one in records]


def _entry(record: Any, reader: Reader) -> Entry:
    return journey.entry(record["event_id"], record["at"], record["kind"], record["value"], reader)


async def lead(conn: Connection, person: Person, lead_id: UUID) -> LeadPage | None:
    """Return the page of a lead, None for one not known. Problem 403 for who may not see it."""
    seq = await store_changes.last(conn)
    now = await times.now(conn)
    record = await conn.fetchrow(_LEAD, lead_id)
    if record is None:
        return None
    held = await holder(conn, lead_id)
    check(person, held)
    members = await family(conn, lead_id)
    names = await rep_names(conn)
    reader = Reader(rep_id=person.rep_id, names=names)
    lines = [line for _, line in await entries(conn, members, 0, reader)]
    running = await clocks(conn, lead_id, now)
    decisions = await _decisions(conn, members, names)
    fields = common_pb2.LeadFields.FromString(record["fields"] or b"")
    said = await _consents(conn, members)
    merged_at = await _merged_at(conn, lead_id) if record["merged_into"] is not None else None
    listed = await store_rows.rows(conn, held["rep_id"]) if held is not None else []
    row = next((one for one in listed if one.lead_id == lead_id), None)
    before, after, position, of = _neighbours(
        listed if row is not None and row.rep_id == person.rep_id else [], lead_id
    )
    return LeadPage(
        lead_id=lead_id,
        now=now,
        seq=seq,
        v=record["v"],
        merged_into=record["merged_into"],
        merged_at=merged_at,
        live=record["live"],
        arrived_at=record["arrived_at"],
        created_at=record["created_at"],
        stage=record["stage"],
        grade=record["grade"],
        hot=row.hot if row is not None else _is_hot(record["hot_at"], now),
        identity=await _identity(conn, record, fields, members),
        consents=said,
        may_call=shaping.may_call(said),
        first_touch=shaping.attribution(fields, "first_touch"),
        last_touch=shaping.attribution(fields, "last_touch"),
        bant=shaping.bant(record["bant"]),
        assignment=_assignment(held) if held is not None else None,
        row=row,
        journey=tuple(journey.in_order(lines) + journey.expected(running)),
        score=shaping.score(record["qualification"], record["grade"]),
        decision=decisions[0] if decisions else None,
        earlier_decisions=tuple(decisions[1:]),
        clocks=running,
        opportunities=await _opportunities(conn, members, fields, names),
        before=before,
        after=after,
        position=position,
        of=of,
    )


def _is_hot(hot_at: datetime | None, now: datetime) -> bool:
    return hot_at is not None and hot_at > now - domain.HOT_FOR


def _neighbours(listed: Sequence[InboxRow], lead_id: UUID) -> tuple[UUID | None, UUID | None, int, int]:
    ids = [row.lead_id for row in listed]
    if lead_id not in ids:
        return None, None, 0, 0
    place = ids.index(lead_id)
    after = ids[place + 1] if place + 1 < len(ids) else None
    return ids[place - 1] if place else None, after, place + 1, len(ids)


def _assignment(held: Any) -> Assignment:
    return Assignment(
        rep_id=held["rep_id"],
        rep_name=held["rep_name"],
        cycle=held["cycle"],
        state="offered" if held["accepted_at"] is None else "accepted",
        assigned_at=held["assigned_at"],
        accepted_at=held["accepted_at"],
        status=held["status"],
        next_step=held["next_step"],
        next_at=held["next_at"],
    )


async def clocks(conn: Connection, lead_id: UUID, now: datetime) -> tuple[Clock, ...]:
    """Return the clocks of the newest cycle and of the arrival; of earlier cycles those that were not cancelled."""
    records = await conn.fetch("SELECT unnest(said) FROM clock WHERE lead_id = $1", lead_id)
    resting: dict[str, Availability] = {}
    said = [shaping.clock(one[0], now, resting) for one in records]
    newest = max((one.cycle for one in said), default=0)
    made = [one for one in said if one.cycle in (0, newest) or one.state != "cancelled"]
    return tuple(sorted(made, key=lambda one: (-one.cycle if one.cycle else -newest, one.due_at)))


async def _decisions(conn: Connection, members: Sequence[UUID], names: Mapping[str, str]) -> list[Decision]:
    records = await conn.fetch(
        "SELECT at, kind, value FROM entry WHERE lead_id = ANY($1::uuid[]) AND kind IN ('LeadRouted', 'LeadWaiting')"
        " ORDER BY seq DESC LIMIT 20",
        members,
    )
    said = [(one["at"], journey.message_of(one["kind"], one["value"])) for one in records]
    reps = {considered.rep_id for _, message in said for considered in message.considered}
    loads = await _loads(conn, reps)
    made = [shaping.decision(at, message, names, loads) for at, message in said]
    return [replace(one, waited_seconds=_waited(one, made[place + 1 :])) for place, one in enumerate(made)]


def _waited(one: Decision, earlier: Sequence[Decision]) -> float | None:
    """Return how long the lead had waited when it was given to somebody, None when it did not."""
    since = None
    for other in earlier:
        if one.rep_id is None or other.outcome != "waiting":
            break
        since = other.at
    return (one.at - since).total_seconds() if since is not None else None


async def _loads(conn: Connection, rep_ids: set[str]) -> dict[str, tuple[int, int]]:
    records = await conn.fetch(
        "SELECT r.rep_id, r.value, (SELECT count(*) FROM assignment a WHERE a.rep_id = r.rep_id"
        " AND a.released_at IS NULL) AS open FROM rep r WHERE r.rep_id = ANY($1::text[])",
        list(rep_ids),
    )
    return {one["rep_id"]: (one["open"], common_pb2.Rep.FromString(one["value"]).cap) for one in records}


async def _consents(conn: Connection, members: Sequence[UUID]) -> tuple[Consent, ...]:
    return shaping.consents(
        await conn.fetch(
            "SELECT purpose, basis, granted, at, text_version FROM consent WHERE lead_id = ANY($1::uuid[])", members
        )
    )


async def _merged_at(conn: Connection, lead_id: UUID) -> datetime | None:
    at: datetime | None = await conn.fetchval(
        "SELECT at FROM entry WHERE lead_id = $1 AND kind = 'LeadMerged' ORDER BY seq DESC LIMIT 1", lead_id
    )
    return at


async def _identity(conn: Connection, record: Any, fields: common_pb2.LeadFields, members: Sequence[UUID]) -> Identity:
    records = await conn.fetch(
        "SELECT lead_id, at, kind, value FROM entry WHERE lead_id = ANY($1::uuid[])"
        " AND kind IN ('LeadCaptured', 'LeadMerged') ORDER BY seq",
        members,
    )
    said = [(one, journey.message_of(one["kind"], one["value"])) for one in records]
    providers = {message.connection_id: message.provider for one, message in said if one["kind"] == "LeadCaptured"}
    merged = {
        message.merged_id: Merged(lead_id=UUID(message.merged_id), at=one["at"], reason=message.reason)
        for one, message in said
        if one["kind"] == "LeadMerged" and UUID(message.merged_id) in members
    }
    return shaping.identity(record, fields, providers, merged.values())


async def _opportunities(
    conn: Connection, members: Sequence[UUID], fields: common_pb2.LeadFields, names: Mapping[str, str]
) -> tuple[Opportunity, ...]:
    accounts = [one.lower() for one in (fields.company, fields.account_domain) if one]
    records = await conn.fetch(
        "SELECT lead_id, value FROM opportunity WHERE lead_id = ANY($1::uuid[]) OR lower(account) = ANY($2::text[])"
        " ORDER BY opportunity_id DESC LIMIT 50",
        members,
        accounts,
    )
    return tuple(shaping.opportunity(one["value"], one["lead_id"], members, names) for one in records)


async def panel(conn: Connection, row: InboxRow, now: datetime) -> Panel:
    """Return the side panel of a row."""
    record = await conn.fetchrow(_LEAD, row.lead_id)
    assert record is not None
    members = await family(conn, row.lead_id)
    names = await rep_names(conn)
    reader = Reader(rep_id=row.rep_id, names=names)
    fields = common_pb2.LeadFields.FromString(record["fields"] or b"")
    decisions = await _decisions(conn, members, names)
    seen = await conn.fetch(
        "SELECT event_id, at, kind, value FROM entry WHERE lead_id = ANY($1::uuid[]) AND kind = 'EngagementRecorded'"
        " ORDER BY at DESC LIMIT $2",
        members,
        LAST_SEEN,
    )
    said = await _consents(conn, members)
    return Panel(
        row=row,
        identity=await _identity(conn, record, fields, members),
        consents=said,
        may_call=shaping.may_call(said),
        score=shaping.score(record["qualification"], record["grade"]),
        decision=next((one for one in decisions if one.cycle == row.cycle), None),
        last_seen=tuple(_entry(one, reader) for one in seen),
    )


async def is_known(conn: Connection, lead_id: UUID) -> bool:
    """Say whether there is such a lead."""
    return await conn.fetchrow(_LEAD, lead_id) is not None


async def was_with(conn: Connection, lead_id: UUID, rep_id: str | None) -> bool:
    """Say whether a rep ever had the lead."""
    return bool(
        await conn.fetchval(
            "SELECT EXISTS (SELECT FROM assignment WHERE lead_id = $1 AND rep_id = $2)", lead_id, rep_id
        )
    )


async def newest(conn: Connection, members: Sequence[UUID]) -> int:
    """Return the position of the journey's newest line."""
    return int(
        await conn.fetchval("SELECT coalesce(max(seq), 0) FROM entry WHERE lead_id = ANY($1::uuid[])", list(members))
    )
