"""What tests of marketing's side of the agreement tell, and what they are told of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backbone import ids, times
from backbone.database import Connection
from handoff.events.v1 import common_pb2, qualification_pb2
from sla_monitor import (
    reports_marketing,
    store,
    store_links,
    store_marks,
)
from sla_monitor.domain import Assignment, Mark, Marked
from sla_monitor.store import Row

# A Tuesday.
START = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


async def arrived(conn: Connection, at: datetime = START, *, source: str = "web", **fields: Any) -> UUID:
    said = {"live": True, "arrived_at": at, **fields}
    row = Row(ids.new(), created_at=at, recorded_at=at, known_at=at, source=source, changed=True, **said)
    row.note_live(at)
    await store.save(conn, [row])
    return row.lead_id


async def mark(
    conn: Connection, of: UUID, kind: Marked, at: datetime, *, known: datetime | None = None, **said: str
) -> None:
    await store_marks.add(conn, [(of, Mark(mark_id=ids.new(), kind=kind, at=at, **said), known or at)])


async def qualified(conn: Connection, at: datetime = START, *, ref: str = "", **fields: Any) -> UUID:
    """Return a lead that arrived ten minutes before it qualified."""
    lead = await arrived(conn, at - 10 * MINUTE, **fields)
    await mark(conn, lead, Marked.QUALIFIED, at, word="saas@3", ref=ref)
    return lead


async def given(conn: Connection, of: UUID, at: datetime, cycle: int = 1) -> None:
    await store.add_assignments(conn, [(of, Assignment(cycle=cycle, rep_id="ana", assigned_at=at), "north", at)])


async def merged(conn: Connection, lost: UUID, kept: UUID) -> None:
    await conn.execute("UPDATE lead SET closed = true WHERE lead_id = $1", lost)
    await store_links.link(conn, [(lost, kept, START)])


async def promise(
    conn: Connection,
    version: int = 3,
    name: str = "saas",
    at: datetime = START,
    said_at: datetime | None = None,
    **supply: Any,
) -> None:
    message = qualification_pb2.DefinitionActivated(
        stamp=common_pb2.Stamp(recorded_at=times.stamp(min(at, said_at or at))),
        name=name,
        version=version,
        at=times.stamp(at),
        supply=qualification_pb2.Supply(**supply),
    )
    await store_marks.note_promise(conn, message)


async def told(conn: Connection, **asked: Any) -> dict[str, list[dict[str, Any]]]:
    said = {"start": START - DAY, "end": START + DAY, "by": "none", "as_of": START + 30 * DAY, **asked}
    return await reports_marketing.report(conn, reports_marketing.Asked(**said))


async def total(conn: Connection, **asked: Any) -> dict[str, Any]:
    (row,) = (await told(conn, **asked))["totals"]
    return row
