"""Marks: what happened to a lead beside touches and assignments, as the topics told it, and what marketing promises."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import times
from backbone.database import Connection
from handoff.events.v1 import qualification_pb2
from sla_monitor import store, store_links
from sla_monitor.domain import OF_ONE_LEAD, Facts, Mark

# Lead by lead, by OFFSET 0: the planner takes more leads than there are, and would read every mark.
_OF_LEADS: Final = """
SELECT one.survivor, m.mark_id, m.kind, m.at, m.rep_id, m.word, m.ref, m.until, m.policy,
       m.lead_id <> one.survivor AS is_brought
FROM unnest($1::uuid[], $2::uuid[]) AS one (survivor, lead_id)
CROSS JOIN LATERAL (SELECT * FROM mark WHERE lead_id = one.lead_id OFFSET 0) m
WHERE ($3::timestamptz IS NULL OR m.recorded_at <= $3)
  AND (m.lead_id = one.survivor OR m.kind <> ALL ($4::text[]))
ORDER BY m.at, m.mark_id
"""


async def add(conn: Connection, given: Sequence[tuple[UUID, Mark, datetime]]) -> None:
    """Keep marks: (the lead that it was recorded for, mark, when we learned of it)."""
    await conn.execute(
        "INSERT INTO mark (mark_id, lead_id, kind, at, recorded_at, rep_id, word, ref, until, policy)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],"
        " $7::text[], $8::text[], $9::timestamptz[], $10::text[]) ON CONFLICT DO NOTHING",
        [mark.mark_id for _, mark, _ in given],
        [lead_id for lead_id, _, _ in given],
        [str(mark.kind) for _, mark, _ in given],
        [mark.at for _, mark, _ in given],
        [recorded_at for _, _, recorded_at in given],
        [mark.rep_id for _, mark, _ in given],
        [mark.word for _, mark, _ in given],
        [mark.ref for _, mark, _ in given],
        [mark.until for _, mark, _ in given],
        [mark.policy for _, mark, _ in given],
    )


async def note_hosts(conn: Connection, hosts: Mapping[UUID, str], emails: Iterable[str]) -> None:
    """Say of meetings whose they are: (address of the host, by mark), and by the addresses of reps, in small letters.

    Who has an address may be known before the meeting or after it: topics have no common order. A report of before both
    were known does not name them.
    """
    if hosts:
        await conn.executemany("INSERT INTO unknown_host VALUES ($1, $2) ON CONFLICT DO NOTHING", list(hosts.items()))
    # From the meetings to the reps: those are few, and none in most batches.
    await conn.execute(
        "WITH found AS (SELECT h.mark_id, r.rep_id, r.email_since FROM unknown_host h CROSS JOIN LATERAL ("
        "  SELECT rep_id, email_since FROM rep WHERE email = h.email AND email <> '' ORDER BY rep_id LIMIT 1) r"
        " WHERE h.mark_id = ANY($1::uuid[]) OR h.email = ANY($2::text[])),"
        " gone AS (DELETE FROM unknown_host h USING found f WHERE h.mark_id = f.mark_id)"
        " UPDATE mark m SET rep_id = f.rep_id, host_known_at = f.email_since FROM found f WHERE m.mark_id = f.mark_id",
        list(hosts),
        list(emails),
    )


async def annotate(conn: Connection, mark_id: UUID, note: str) -> None:
    """Keep what a person typed beside a mark; it stays in this database."""
    await conn.execute("UPDATE mark SET note = $2 WHERE mark_id = $1", mark_id, note)


async def marks(
    conn: Connection, members: Mapping[UUID, Sequence[UUID]], *, as_of: datetime | None = None
) -> dict[UUID, list[Mark]]:
    """Return the marks of all that are one lead, oldest first, by its survivor; with `as_of` those known then."""
    found: dict[UUID, list[Mark]] = {lead_id: [] for lead_id in members}
    for row in await conn.fetch(_OF_LEADS, *store_links.columns(members), as_of, list(OF_ONE_LEAD)):
        values = dict(row)
        found[values.pop("survivor")].append(Mark(**values))
    return found


async def facts(conn: Connection, lead_ids: Iterable[UUID], *, as_of: datetime | None = None) -> dict[UUID, Facts]:
    """Return all that is known of each lead and of every lead merged into it; with `as_of` what was known then."""
    wanted = list(lead_ids)
    if not wanted:
        return {}
    members = await store_links.members(conn, wanted, as_of=as_of)
    touches = await store.touches(conn, members, as_of=as_of)
    assignments = await store.assignments(conn, wanted, as_of=as_of)
    # What a merge moved here was another's until then, and stays when the merge is undone.
    moved = [one for one, by_cycle in assignments.items() if any(had.moved for had in by_cycle.values())]
    ever = await store_links.survivors(conn, moved, as_of=as_of) if moved else set()
    if as_of is not None:
        for one in moved:
            if one not in ever:
                assignments[one] = {cycle: had for cycle, had in assignments[one].items() if not had.moved}
    marked = await marks(conn, members, as_of=as_of)
    arrived = await store.arrivals(conn, members) if as_of is None else {}
    return {
        one: Facts(
            touches=touches[one],
            marks=marked[one],
            assignments=assignments.get(one, {}),
            is_survivor=len(members[one]) > 1 or one in ever,
            has_others=len(members[one]) > 1,
            arrived_at=arrived.get(one),
        )
        for one in wanted
    }


async def note_promise(
    conn: Connection, message: qualification_pb2.DefinitionActivated | qualification_pb2.DefinitionRetired
) -> None:
    """Keep what marketing promises with a version of a definition each time it comes into force, or until when it did.

    As qualification does: what was to begin later than a version that comes into force never begins, and one that is
    retired before it began leaves that of before in force.
    """
    at = times.at(message.at)
    if isinstance(message, qualification_pb2.DefinitionRetired):
        said = (message.name, message.version, at)
        await conn.execute("DELETE FROM promise WHERE definition = $1 AND version = $2 AND at > $3", *said)
        await conn.execute("UPDATE promise SET retired_at = $3 WHERE definition = $1 AND version = $2", *said)
        return
    supply = {
        "per_week": message.supply.per_week,
        "per_month": message.supply.per_month,
        "per_quarter": message.supply.per_quarter,
        "handoff_within_seconds": message.supply.handoff_within_seconds,
        "by_source": dict(message.supply.by_source),
    }
    await conn.execute(
        "DELETE FROM promise WHERE definition = $1 AND (at >= $3 OR (version = $2 AND at > $4))",
        message.name,
        message.version,
        at,
        times.at(message.stamp.recorded_at),
    )
    await conn.execute(
        "INSERT INTO promise (definition, version, at, supply, required) VALUES ($1, $2, $3, $4, $5)",
        message.name,
        message.version,
        at,
        supply,
        list(message.required),
    )
