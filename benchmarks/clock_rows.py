"""Fills the tables of both monitors with leads whose clocks fall due when one likes, a few statements for thousands.

Ours are copies of a lead that the running service made itself, from the events that any lead comes with: every table
that has rows of it is copied with all the columns that it has today, moved in time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CLOCKS_PER_LEAD = 3
WITHIN_DAYS = (1, 3, 10)
POLICY = "clocks:\n" + "\n".join(
    f"  - {{kind: {kind}, within: {days}d, from: assignment}}"
    for kind, days in zip(("first_response_5m", "first_response_30m", "first_response_1d"), WITHIN_DAYS, strict=True)
)
"""Three clocks a lead, as the built-in policy has them; the first is made to fall due, the others are for later."""


@dataclass(frozen=True, slots=True)
class Spread:
    """When the first clocks of some leads fall due: at random within so many seconds from an instant."""

    leads: int
    begins: datetime
    seconds: float


# Ours


async def copy_lead(conn: Connection, template: UUID, spread: Spread) -> None:
    """Add leads that are like the template in everything but when it happened."""
    await conn.execute("CREATE TEMPORARY TABLE IF NOT EXISTS copy (lead_id uuid, by interval)")
    await conn.execute("TRUNCATE copy")
    await conn.execute(
        "INSERT INTO copy SELECT uuidv7(), $2 - (SELECT min(due_at) FROM clock WHERE lead_id = $1)"
        " + make_interval(secs => random() * $3) FROM generate_series(1, $4::int)",
        template,
        spread.begins,
        spread.seconds,
        spread.leads,
    )
    for statement in await _copies(conn, template):
        await conn.execute(statement, template)


async def _copies(conn: Connection, template: UUID) -> list[str]:
    rows = await conn.fetch(
        "SELECT table_name, array_agg(column_name::text) AS names, array_agg(data_type::text) AS types"
        " FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'NO'"
        " AND is_generated = 'NEVER' GROUP BY table_name"
    )
    made = []
    for table, names, types in rows:
        key = next((name for name in names if name in ("lead_id", "subject_id")), None)
        if key is None or not await conn.fetchval(f"SELECT EXISTS (SELECT FROM {table} WHERE {key} = $1)", template):
            continue
        values = ", ".join(_value(name, kind, key) for name, kind in zip(names, types, strict=True))
        made.append(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} t, copy WHERE t.{key} = $1")
    return made


def _value(name: str, kind: str, key: str) -> str:
    if name == key:
        return "copy.lead_id"
    if name == "steps":
        return _STEPS
    if kind == "timestamp with time zone":
        return f"t.{name} + copy.by"
    if kind == "uuid":
        return f"CASE WHEN t.{name} IS NOT NULL THEN uuidv7() END"
    return f"t.{name}"


_STEPS = """
t.steps || jsonb_build_object('steps', (
    SELECT jsonb_agg(step || jsonb_build_object('at', to_char(
        ((step ->> 'at')::timestamptz + copy.by) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) ORDER BY place)
    FROM jsonb_array_elements(t.steps -> 'steps') WITH ORDINALITY AS s(step, place)
))
"""


# The naive monitor's


async def add_clocks(conn: Connection, spread: Spread) -> None:
    """Add as many clocks to the naive monitor's one table, due as ours are."""
    await conn.execute(
        "WITH lead AS MATERIALIZED (SELECT uuidv7() AS lead_id, 'rep-' || n % 10 AS rep_id,"
        " $1::timestamptz + make_interval(secs => random() * $2) AS due_at FROM generate_series(1, $3::int) AS n)"
        " INSERT INTO clocks (id, lead_id, rep_id, kind, due_at)"
        " SELECT uuidv7(), lead_id, rep_id, kind, due_at + make_interval(days => later)"
        " FROM lead, unnest($4::text[], $5::int[]) AS v(kind, later)",
        spread.begins,
        spread.seconds,
        spread.leads,
        ["first_response_5m", "first_response_30m", "first_response_1d"],
        [days - WITHIN_DAYS[0] for days in WITHIN_DAYS],
    )
