"""Reps with their hours and addresses, as routing tells of them, and since when they are of which team."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor.hours import Reps


def team_of(rep_id: str, at: str) -> str:
    """Return the expression of a rep's team at an instant; of before anything is known of them, the first that is.

    What was known by $3 counts.
    """
    return (
        f"(SELECT team FROM rep_version v WHERE v.rep_id = {rep_id}"  # noqa: S608 - columns that queries name
        " AND ($3::timestamptz IS NULL OR since <= $3)"
        f" ORDER BY since > {at}, abs(extract(epoch FROM {at} - since)), version DESC LIMIT 1)"
    )


class RepSeen(NamedTuple):
    """A rep as an event tells of them."""

    rep: common_pb2.Rep
    since: datetime
    is_told: bool
    """That they are so since then; else that they were so then: a lead was given to them."""


async def note_reps(conn: Connection, seen: Iterable[RepSeen]) -> dict[str, common_pb2.Rep]:
    """Keep reps with their hours, and since when they are so, whichever version is known first.

    Returns them as known now. Open clocks on changed hours are computed anew.
    """
    ordered = sorted(seen, key=lambda one: (one.rep.version, one.is_told, -one.since.timestamp()))
    versions = {(one.rep.rep_id, one.rep.version): one for one in ordered}
    newest = {one.rep.rep_id: one for one in versions.values()}
    known = await reps_as_known(conn, newest)
    changed = [
        one for rep_id, one in sorted(newest.items()) if rep_id not in known or known[rep_id].version < one.rep.version
    ]
    if changed:
        await _write_reps(conn, changed)
    # What leads come with all day long is known.
    new = [one for one in versions.values() if one.is_told or known.get(one.rep.rep_id) != one.rep]
    if new:
        await _note_versions(conn, sorted(new, key=lambda one: (one.rep.rep_id, one.rep.version)))
    return await reps_as_known(conn, newest) if changed else known


_LOCK_REPS: Final = "SELECT rep_id, rep FROM rep WHERE rep_id = ANY($1::text[]) ORDER BY rep_id FOR NO KEY UPDATE"


@lru_cache(maxsize=4096)
def _rep(data: bytes) -> common_pb2.Rep:
    return common_pb2.Rep.FromString(data)


# Of a version that was seen first, since when it holds may be told later. One that is seen when a newer one held says
# nothing of since when.
_NOTE_VERSIONS: Final = """
INSERT INTO rep_version AS known (rep_id, version, since, team, rep, is_told)
SELECT v.* FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::bytea[], $6::boolean[])
    AS v (rep_id, version, since, team, rep, is_told)
WHERE v.is_told OR NOT EXISTS (
    SELECT FROM rep_version n WHERE n.rep_id = v.rep_id AND n.version > v.version AND n.since <= v.since)
ON CONFLICT (rep_id, version) DO UPDATE SET is_told = known.is_told OR excluded.is_told,
    since = CASE WHEN excluded.is_told THEN excluded.since ELSE least(known.since, excluded.since) END
WHERE NOT known.is_told
"""


async def _note_versions(conn: Connection, given: Sequence[RepSeen]) -> None:
    await conn.execute(
        _NOTE_VERSIONS,
        [one.rep.rep_id for one in given],
        [one.rep.version for one in given],
        [one.since for one in given],
        [one.rep.team for one in given],
        [one.rep.SerializeToString() for one in given],
        [one.is_told for one in given],
    )


async def _write_reps(conn: Connection, ordered: Sequence[RepSeen]) -> None:
    await conn.execute(
        "INSERT INTO rep (rep_id, version, team, rep, email, email_since)"
        " SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])"
        " ON CONFLICT (rep_id) DO UPDATE SET version = excluded.version, team = excluded.team, rep = excluded.rep,"
        " email = excluded.email, email_since = CASE WHEN rep.email = excluded.email THEN rep.email_since"
        " ELSE excluded.email_since END, recompute = true,"
        # Of the same team their touches count as before; what is being judged goes on where it is.
        " judged_to = CASE WHEN rep.team <> excluded.team THEN NULL WHEN rep.recompute THEN rep.judged_to"
        " ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END WHERE rep.version < excluded.version",
        [one.rep.rep_id for one in ordered],
        [one.rep.version for one in ordered],
        [one.rep.team for one in ordered],
        [one.rep.SerializeToString() for one in ordered],
        [one.rep.email.lower() for one in ordered],
        [one.since for one in ordered],
    )


async def reps(conn: Connection, rep_ids: Iterable[str]) -> dict[str, common_pb2.Rep]:
    """Return reps as they are known now; their rows stay locked.

    So a clock on hours that change at this moment is seen by who computes them anew, or waits for the change. All at
    once and in order: two batches would wait for each other otherwise.
    """
    rows = await conn.fetch(_LOCK_REPS, sorted(set(rep_ids)))
    return {row["rep_id"]: _rep(row["rep"]) for row in rows}


async def reps_as_known(conn: Connection, rep_ids: Iterable[str]) -> dict[str, common_pb2.Rep]:
    """Return reps as they are known now, and lock nothing."""
    rows = await conn.fetch("SELECT rep_id, rep FROM rep WHERE rep_id = ANY($1::text[])", list(rep_ids))
    return {row["rep_id"]: _rep(row["rep"]) for row in rows}


async def versions(conn: Connection, rep_ids: Iterable[str], as_of: datetime) -> Reps:
    """Return since when reps were what, by what was known at an instant; of before that, as they came."""
    rows = await conn.fetch(
        "SELECT rep_id, since, rep FROM rep_version WHERE rep_id = ANY($1::text[]) AND (since <= $2 OR since ="
        " (SELECT min(since) FROM rep_version f WHERE f.rep_id = rep_version.rep_id)) ORDER BY rep_id, since, version",
        list(rep_ids),
        as_of,
    )
    found: dict[str, list[tuple[datetime, common_pb2.Rep]]] = {}
    for row in rows:
        found.setdefault(row["rep_id"], []).append((row["since"], _rep(row["rep"])))
    return found
