"""Reps with their hours and addresses, as routing tells of them, and since when they are of which team."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from backbone.database import Connection
from handoff.events.v1 import common_pb2
from sla_monitor.hours import Versions


def team_of(rep_id: str, at: str) -> str:
    """Return the expression of a rep's team at an instant; of before anything is known of them, the first that is.

    What was known by $3 counts.
    """
    return (
        f"(SELECT team FROM rep_version v WHERE v.rep_id = {rep_id}"  # noqa: S608 - columns that queries name
        " AND ($3::timestamptz IS NULL OR since <= $3)"
        f" ORDER BY since > {at}, abs(extract(epoch FROM {at} - since)) LIMIT 1)"
    )


async def note_reps(conn: Connection, said: Iterable[tuple[common_pb2.Rep, datetime]]) -> dict[str, common_pb2.Rep]:
    """Keep reps with their hours, and since when they are so, unless a later version is known.

    Returns them as known now.

    Open clocks on changed hours are computed anew. The rows stay locked: a clock on hours that change at this moment is
    seen by who computes them anew, or waits for the change.
    """
    newest = {rep.rep_id: (rep, since) for rep, since in sorted(said, key=lambda one: one[0].version)}
    rows = await conn.fetch(_LOCK_REPS, list(newest))
    known = {row["rep_id"]: _rep(row["rep"]) for row in rows}
    ordered = [
        (rep, since)
        for rep_id, (rep, since) in sorted(newest.items())
        if rep_id not in known or known[rep_id].version < rep.version
    ]
    if ordered:
        await _write_reps(conn, ordered)
        await _note_versions(conn, ordered)
        rows = await conn.fetch(_LOCK_REPS, list(newest))
    return {row["rep_id"]: _rep(row["rep"]) for row in rows}


_LOCK_REPS: Final = "SELECT rep_id, rep FROM rep WHERE rep_id = ANY($1::text[]) ORDER BY rep_id FOR NO KEY UPDATE"


@lru_cache(maxsize=4096)
def _rep(data: bytes) -> common_pb2.Rep:
    return common_pb2.Rep.FromString(data)


async def _note_versions(conn: Connection, given: Sequence[tuple[common_pb2.Rep, datetime]]) -> None:
    await conn.execute(
        "INSERT INTO rep_version (rep_id, since, team, rep)"
        " SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING",
        [rep.rep_id for rep, _ in given],
        [since for _, since in given],
        [rep.team for rep, _ in given],
        [rep.SerializeToString() for rep, _ in given],
    )


async def _write_reps(conn: Connection, ordered: Sequence[tuple[common_pb2.Rep, datetime]]) -> None:
    await conn.execute(
        "INSERT INTO rep (rep_id, version, team, rep, email, email_since)"
        " SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])"
        " ON CONFLICT (rep_id) DO UPDATE SET version = excluded.version, team = excluded.team, rep = excluded.rep,"
        " email = excluded.email, email_since = CASE WHEN rep.email = excluded.email THEN rep.email_since"
        " ELSE excluded.email_since END, recompute = true, judged_to = NULL WHERE rep.version < excluded.version",
        [rep.rep_id for rep, _ in ordered],
        [rep.version for rep, _ in ordered],
        [rep.team for rep, _ in ordered],
        [rep.SerializeToString() for rep, _ in ordered],
        [rep.email.lower() for rep, _ in ordered],
        [since for _, since in ordered],
    )


async def reps(conn: Connection, rep_ids: Iterable[str]) -> dict[str, common_pb2.Rep]:
    """Return reps as they are known now; their rows stay locked, as those of `note_reps` do."""
    rows = await conn.fetch(_LOCK_REPS, sorted(set(rep_ids)))
    return {row["rep_id"]: _rep(row["rep"]) for row in rows}


async def reps_as_known(conn: Connection, rep_ids: Iterable[str]) -> dict[str, common_pb2.Rep]:
    """Return reps as they are known now, and lock nothing."""
    rows = await conn.fetch("SELECT rep_id, rep FROM rep WHERE rep_id = ANY($1::text[])", list(rep_ids))
    return {row["rep_id"]: _rep(row["rep"]) for row in rows}


async def versions(conn: Connection, rep_ids: Iterable[str], as_of: datetime) -> Versions:
    """Return since when reps were what, by what was known at an instant; of before that, as they came."""
    rows = await conn.fetch(
        "SELECT rep_id, since, rep FROM rep_version WHERE rep_id = ANY($1::text[]) AND (since <= $2 OR since ="
        " (SELECT min(since) FROM rep_version f WHERE f.rep_id = rep_version.rep_id)) ORDER BY rep_id, since",
        list(rep_ids),
        as_of,
    )
    found: dict[str, list[tuple[datetime, common_pb2.Rep]]] = {}
    for row in rows:
        found.setdefault(row["rep_id"], []).append((row["since"], _rep(row["rep"])))
    return found
