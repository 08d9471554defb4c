"""One stream a tab: what changed for its reader, from the database after a wake-up, so that any replica serves anybody.

A position is a place in the order of commits. What stands after it is read anew, so a reader who comes back gets the
last state of each lead once; who was away for too long is told to read the page again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import StreamingResponse

from backbone import clock, database, ids, times
from backbone.database import Connection, Database
from backbone.problem import Problem
from console import domain, journey, signing_in, store_changes, store_lead, store_pages, telling
from console.bell import Bell
from console.journey import Reader
from console.views import Availability, Entry, Filters, InboxRow, Person, Show

TICK_S: Final = 15.0
COUNTS_EVERY_S: Final = 1.0
LONGEST_WAIT_S: Final = 0.5
MOST_LEADS: Final = 50
"""More leads at once than these, and the page is read again instead."""
MOST_CHANGES: Final = 1000
READ_AT_ONCE: Final = 4

RenderRow = Callable[[InboxRow, Person], str]
RenderEntry = Callable[[Entry, Person], str]


@dataclass(slots=True)
class Stream:
    """What one tab is told."""

    db: Database
    bell: Bell
    person: Person
    seq: int
    """Everything up to here was sent."""
    gate: asyncio.Semaphore
    """How many streams read at once: pages need connections too."""
    begun: bool = False
    dirty: bool = True
    """The sidebar's numbers may be others."""
    resting: Availability | None = None

    async def changes(self) -> list[str]:
        """Return what is new, as messages in the order of their positions."""
        upto = self.bell.seq
        if self.begun and upto <= self.seq:
            return []
        self.begun = True
        async with self.gate, self.db.reading() as conn:
            if await store_changes.is_too_old(conn, self.seq):
                self.seq = await store_changes.last(conn)
                return [telling.message("resync", {}, self.seq)]
            rows = await self.read(conn)
            if len(rows) > MOST_CHANGES or len({row["lead_id"] for row in rows}) > MOST_LEADS:
                self.seq = await store_changes.last(conn)
                return [telling.message("resync", {}, self.seq)]
            made = await self.tell(conn, rows) if rows else []
        self.dirty = self.dirty or bool(rows)
        self.seq = max(upto, self.seq, *(row["seq"] for row in rows), *(seq for seq, _ in made))
        return telling.numbered(sorted(made, key=lambda one: one[0]))

    async def read(self, conn: Connection) -> list[Any]:
        """Return the changes after the position that concern this page."""
        if self.person.rep_id is None:
            return []
        return await store_changes.of_rep(conn, self.person.rep_id, self.seq, MOST_CHANGES + 1)

    async def tell(self, conn: Connection, rows: list[Any]) -> list[tuple[int, str]]:
        """Return (position, message) of each."""
        raise NotImplementedError

    async def tick(self) -> list[str]:
        """Return what is told regularly, and what only time has changed."""
        async with self.gate, self.db.reading() as conn:
            made = [telling.message("time", {"now": times.text(await times.now(conn))}, self.seq)]
            if self.person.rep_id is not None:
                load = await store_pages.load(conn, self.person.rep_id)
                if self.resting is not None and load.availability.available != self.resting.available:
                    made += [telling.message("load", telling.load(load)), telling.message("resync", {})]
                self.resting = load.availability
        return [": here\n\n", *made]

    async def counts(self) -> str:
        """Return the numbers beside the sidebar's entries."""
        self.dirty = False
        async with self.gate, self.db.reading() as conn:
            return telling.message("counts", await store_pages.counts(conn, self.person))


@dataclass(slots=True)
class InboxStream(Stream):
    """The inbox: rows come, change and go."""

    filters: Filters = field(default_factory=Filters)
    render_row: RenderRow = lambda row, person: ""

    async def tell(self, conn: Connection, rows: list[Any]) -> list[tuple[int, str]]:
        """Return each lead's last state, every clock's change, notices, and the load."""
        assert self.person.rep_id is not None
        last: dict[UUID, Any] = {row["lead_id"]: row for row in rows if row["kind"] in ("lead", "gone")}
        found = {row.lead_id: row for row in await store_pages.rows(conn, self.person.rep_id, last)} if last else {}
        gone = any(row["kind"] == "gone" for row in last.values())
        names = await store_lead.rep_names(conn) if gone else {}
        made = [(row["seq"], self._lead(row, found.get(lead_id), names)) for lead_id, row in last.items()]
        made += telling.clocks(rows, {lead_id: row.clocks for lead_id, row in found.items()})
        made += [
            (row["seq"], telling.notice(row, found.get(row["lead_id"]))) for row in rows if row["kind"] == "notice"
        ]
        loads = [row["seq"] for row in rows if row["kind"] == "load"]
        if loads:
            made.append(
                (loads[-1], telling.message("load", telling.load(await store_pages.load(conn, self.person.rep_id))))
            )
        return made

    def _lead(self, change: Any, row: InboxRow | None, names: Mapping[str, str]) -> str:
        if row is not None and domain.matches(row, self.filters):
            return telling.message("lead.put", self.render_row(row, self.person))
        data = change["data"] if change["kind"] == "gone" and row is None else {}
        rep_id = data.get("rep_id")
        said = {"lead_id": str(change["lead_id"]), "rep_id": rep_id, "rep_name": names.get(rep_id or "", rep_id)}
        return telling.message(
            "lead.gone", {**said, "reason": "filtered" if row is not None else data.get("reason", "closed")}
        )


@dataclass(slots=True)
class LeadStream(Stream):
    """A lead's page: its journey grows, its clocks change."""

    lead_id: UUID = field(default_factory=ids.new)
    render_entry: RenderEntry = lambda entry, person: ""

    async def read(self, conn: Connection) -> list[Any]:
        """Return the changes of the lead and of who was merged into it."""
        members = await store_lead.family(conn, self.lead_id)
        changes = await store_changes.of_leads(conn, members, self.seq, MOST_CHANGES + 1)
        fresh = await store_lead.newest(conn, members)
        return [*changes, *([{"seq": fresh, "kind": "entry", "lead_id": self.lead_id}] if fresh > self.seq else [])]

    async def tell(self, conn: Connection, rows: list[Any]) -> list[tuple[int, str]]:
        """Return the journey's new lines, clocks, and that the rest of the page is old."""
        upto = rows[-1]["seq"]
        held = await store_lead.holder(conn, self.lead_id)
        if not self.person.sees(held["rep_id"] if held is not None else None):
            data = {"lead_id": str(self.lead_id), "reason": "reassigned", "rep_id": held["rep_id"] if held else None}
            return [(upto, telling.message("lead.gone", data))]
        reader = Reader(rep_id=self.person.rep_id, names=await store_lead.rep_names(conn))
        lines = await store_lead.entries(conn, await store_lead.family(conn, self.lead_id), 0, reader)
        places = {line.entry_id: seq for seq, line in lines}
        made = [
            (places[line.entry_id], telling.message("lead.event", self.render_entry(line, self.person)))
            for line in journey.in_order(line for _, line in lines)
            if places[line.entry_id] > self.seq
        ]
        made += telling.clocks(rows, {self.lead_id: await store_lead.clocks(conn, self.lead_id, await times.now(conn))})
        made.append((max(row["seq"] for row in rows), telling.message("lead.changed", {"lead_id": str(self.lead_id)})))
        return made


async def _run(
    stream: Stream, doors: signing_in.Doors, request: Request, stopping: asyncio.Event
) -> AsyncIterator[str]:
    """Send until the reader leaves, signs out, or the process stops. Whoever loses us comes back with their place."""
    yield telling.message("hello", {"now": times.text(clock.now()), "session": str(ids.new())}, stream.seq)
    try:
        async for text in _told(stream, doors, request, stopping):
            yield text
    except Problem:
        return
    except Exception as error:
        if not database.is_transient(error):
            raise


async def _told(
    stream: Stream, doors: signing_in.Doors, request: Request, stopping: asyncio.Event
) -> AsyncIterator[str]:
    clock = asyncio.get_running_loop().time
    ticks_at, counted_at = clock() + TICK_S, float("-inf")
    while not stopping.is_set():
        for text in await stream.changes():
            yield text
        if stream.dirty and clock() - counted_at >= COUNTS_EVERY_S:
            counted_at = clock()
            yield await stream.counts()
        if clock() >= ticks_at:
            ticks_at = clock() + TICK_S
            stream.person = await doors.person(request)
            for text in await stream.tick():
                yield text
        await stream.bell.wait(stream.seq, LONGEST_WAIT_S)


def router(
    db: Database,
    doors: signing_in.Doors,
    bell: Bell,
    stopping: asyncio.Event,
    render_row: RenderRow,
    render_entry: RenderEntry,
) -> APIRouter:
    """Return the route of the stream."""
    api = APIRouter(tags=["live"])
    reader = Annotated[Person, Depends(doors.allow())]
    gate = asyncio.Semaphore(READ_AT_ONCE)

    @api.get("/live")
    async def live(
        request: Request,
        person: reader,
        page: Literal["inbox", "lead"] = "inbox",
        after: Annotated[str, Query(max_length=40)] = "",
        due: Annotated[Show | Literal[""], Query()] = "",
        grade: Annotated[str, Query(max_length=10)] = "",
        source: Annotated[str, Query(max_length=200)] = "",
        clock: Annotated[str, Query(max_length=100)] = "",
        q: Annotated[str, Query(max_length=200)] = "",
        lead: UUID | None = None,
    ) -> StreamingResponse:
        """Stream what changes on a page (server-sent events; `Last-Event-ID` replays what was missed)."""
        async with db.reading() as conn:
            newest = await store_changes.last(conn)
            if page == "lead":
                if lead is None or not await store_lead.is_known(conn, lead):
                    raise Problem(404, "No such lead", "Search for it, or open it from the inbox.")
                store_lead.check(person, await store_lead.holder(conn, lead))
        seq = _position(request.headers.get("last-event-id") or after, newest)
        stream: Stream
        if page == "lead" and lead is not None:
            stream = LeadStream(db, bell, person, seq, gate, lead_id=lead, render_entry=render_entry)
        else:
            filters = Filters(show=due or "due", grade=grade, source=source, clock=clock, q=q)
            stream = InboxStream(db, bell, person, seq, gate, filters=filters, render_row=render_row)
        return StreamingResponse(
            _run(stream, doors, request, stopping),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return api


def _position(text: str, newest: int) -> int:
    """Return where to go on. A position that is none of ours is one beyond all: the page is read again."""
    if not text:
        return newest
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 2**62
