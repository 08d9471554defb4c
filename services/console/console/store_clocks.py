"""Clocks of leads: those of a cycle are one row, as they start together and are read together."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from backbone.database import Connection
from handoff.events.v1 import sla_pb2

Clocks = dict[str, sla_pb2.Clock]
"""The clocks of a lead's cycle, by name."""

_SAVE: Final = """
INSERT INTO clock (lead_id, cycle, waits, missed, said)
SELECT lead_id, cycle, bool_or(waits), bool_or(missed), array_agg(said)
FROM unnest($1::uuid[], $2::int[], $3::boolean[], $4::boolean[], $5::bytea[]) AS c(lead_id, cycle, waits, missed, said)
GROUP BY lead_id, cycle
ON CONFLICT (lead_id, cycle) DO UPDATE SET waits = excluded.waits, missed = excluded.missed, said = excluded.said
"""


async def load(conn: Connection, lead_ids: Iterable[UUID]) -> dict[tuple[UUID, int], Clocks]:
    """Return the clocks of the leads by (lead, cycle)."""
    rows = await conn.fetch("SELECT lead_id, cycle, said FROM clock WHERE lead_id = ANY($1::uuid[])", list(lead_ids))
    return {(row[0], row[1]): {one.clock: one for one in map(sla_pb2.Clock.FromString, row[2])} for row in rows}


async def save(conn: Connection, changed: Mapping[tuple[UUID, int], Clocks]) -> None:
    """Write whole cycles, and whether a clock of it waits for somebody, or was missed and does so still."""
    rows = []
    for (lead_id, cycle), clocks in changed.items():
        for clock in clocks.values():
            missed = _is_missed(clock)
            waits = missed or clock.state == "running"
            rows.append((lead_id, cycle, waits, missed, clock.SerializeToString()))
    if rows:
        await conn.execute(_SAVE, *map(list, zip(*rows, strict=True)))


def _is_missed(clock: sla_pb2.Clock) -> bool:
    return clock.state == "breached" and not clock.HasField("met_at")
