"""What reports are made of, told fact by fact: leads, touches, marks and assignments, in seconds from one noon."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Connection, Database
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, store, store_clocks, store_links, store_marks
from sla_monitor.agreement import Policy, Spec
from sla_monitor.clocks import Plan
from sla_monitor.domain import Assignment, Counts, Mark, Touch
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock
from tests.monitor import Monitor

START = datetime(2024, 11, 12, 12, tzinfo=UTC)
"""A Tuesday; long past, so that a service can be asked of any instant after it."""


class Told:
    """Keeps facts as a consumer would."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.start, self.end = START, START + timedelta(days=1)

    def at(self, seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    async def lead(self, seconds: float = 0, *, source: str = "web", **fields: Any) -> UUID:
        at = self.at(seconds)
        row = Row(ids.new(), created_at=at, recorded_at=at, known_at=at, source=source, changed=True, **fields)
        row.note_live(at)
        await store.save(self.conn, [row])
        return row.lead_id

    async def merged(self, lost: UUID, kept: UUID, seconds: float = 0) -> None:
        await self.conn.execute("UPDATE lead SET closed = true WHERE lead_id = $1", lost)
        await store_links.link(self.conn, [(lost, kept, self.at(seconds))])

    async def touch(self, of: UUID, seconds: float, *, recorded: float | None = None, **fields: Any) -> None:
        said: dict[str, Any] = {"rep_id": "ana", "kind": "call", "outcome": "attempted", "automated": False, **fields}
        touch = Touch(touch_id=ids.new(), at=self.at(seconds), **said)
        await store.add_touches(self.conn, [(of, touch, self.at(seconds if recorded is None else recorded))])

    async def mark(
        self,
        of: UUID,
        kind: str,
        seconds: float,
        *,
        recorded: float | None = None,
        until: float | None = None,
        **fields: Any,
    ) -> None:
        begins = self.at(until) if until is not None else None
        mark = Mark(mark_id=ids.new(), kind=kind, at=self.at(seconds), until=begins, **fields)
        await store_marks.add(self.conn, [(of, mark, self.at(seconds if recorded is None else recorded))])

    async def given(
        self, of: UUID, seconds: float, rep_id: str = "ana", *, cycle: int = 1, team: str = "north", **over: float
    ) -> None:
        """Give it to a rep; `converted=60` says how that was over, and when; `nothing=60` that nobody did."""
        made = Assignment(cycle=cycle, rep_id=rep_id, assigned_at=self.at(seconds))
        await store.add_assignments(self.conn, [(of, made, team, made.assigned_at)])
        for outcome, end in over.items():
            without = outcome == "nothing"
            said = ("recycled" if without else outcome, "", without)
            await store.note_released(self.conn, [(of, cycle, self.at(end), *said)])

    def plan(
        self, kind: str = "first_response_5m", *, within: float = 300, source: str = "assignment", **fields: Any
    ) -> Plan:
        """Return a line of a policy, by the wall."""
        spec = Spec(clock=kind, kind=kind, within_seconds=within, source=source, hours="wall", **fields)
        policy = Policy(
            name="p", version=1, order=1, applies=lambda _: True, clocks=[spec], counts=Counts(), escalations=[]
        )
        return Plan(policy, spec, None, None)

    def made(self, of: UUID, by: Plan, seconds: float = 0, *, cycle: int = 1, **fields: Any) -> Clock:
        """Return ana's clock, with these fields as they are stored."""
        rep = common_pb2.Rep(rep_id="ana", team="north", version=1)
        one = clocks.start(of, by, cycle=cycle, started_at=self.at(seconds), rep=rep)
        for name, value in fields.items():
            setattr(one, name, value)
        return one

    async def clock(self, of: UUID, by: Plan, seconds: float = 0, **fields: Any) -> None:
        await store_clocks.add(self.conn, [self.made(of, by, seconds, **fields)])


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("sla")


@pytest.fixture
def monitor(db: Database) -> Monitor:
    return Monitor(db)


@pytest.fixture
async def sla(start: Stage) -> Actor:
    return await start("sla")


@pytest.fixture
def telling() -> Callable[[Connection], Told]:
    return Told


@pytest.fixture
async def told(db: Database) -> AsyncIterator[Told]:
    """Nothing is told yet; what a test tells is committed when it is over."""
    async with db.transaction() as conn:
        yield Told(conn)
