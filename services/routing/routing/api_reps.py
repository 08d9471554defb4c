"""Reps: who they are, when they work, and when they are away."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from backbone import database, fields, idempotency, outbox, pages, security, times
from backbone.database import Connection
from backbone.fields import Id
from backbone.problem import Problem
from routing import events, store_group, store_queue
from routing.changing import Change, Changing
from routing.desk import Desk
from routing.store_group import Cache

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Own = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "manager"))]
RepId = Annotated[Id, Path()]


class RepBody(fields.Body):
    """A rep."""

    name: Id
    email: fields.Email
    team: Id
    manager_id: Id | None = None
    role: Literal["sdr", "sales"]
    kind: Literal["hunter", "farmer"] = "hunter"
    time_zone: fields.Zone
    working_hours: Annotated[list[fields.Hours], Field(max_length=100)]
    holidays: fields.Holidays | None = None
    skills: list[Id] = Field(default_factory=list)
    languages: list[Id] = Field(default_factory=list)
    territories: list[Id] = Field(default_factory=list)
    cap: Annotated[int, Field(ge=0, le=100_000)] = 500
    weight: Annotated[float, Field(ge=0.01, le=1000)] = 1
    active: bool = True


class TimeOff(fields.Body):
    """A time away, half open."""

    start: fields.Instant
    end: fields.Instant

    @model_validator(mode="after")
    def is_span(self) -> "TimeOff":
        """Refuse an end before the start."""
        if self.end <= self.start:
            raise ValueError("the end has to be after the start")
        return self


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["reps"])
    changing = Changing(db, out, cache)

    @api.put("/v1/reps/{rep_id}")
    async def put_rep(_: Manager, rep_id: RepId, body: RepBody) -> dict[str, Any]:
        """Make or change a rep; in force for every decision after the answer."""
        document = body.model_dump()

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            row = await conn.fetchrow(
                "INSERT INTO rep (rep_id, document, version, cap) VALUES ($1, $2, 1, $3)"
                " ON CONFLICT (rep_id) DO UPDATE SET document = excluded.document, version = rep.version + 1,"
                " cap = excluded.cap, allowed = CASE WHEN rep.open > excluded.cap THEN rep.open ELSE 0 END"
                " RETURNING version, paused",
                rep_id,
                document,
                body.cap,
            )
            assert row is not None
            before = desk.group.known.get(rep_id)
            if before is None or before.document["email"].lower() != body.email.lower():
                await store_queue.decide_guests_anew(conn, body.email.lower())
            if before is not None and before.document["role"] != body.role:
                # Whose work it is decides who works a colleague, and who had a lead before.
                await store_queue.decide_anew(conn, everybody=True)
            await _announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "version": row["version"], **document, "paused": row["paused"]}

        return await changing.make(change, locks=[events.rep_subject(rep_id)])

    @api.get("/v1/reps/{rep_id}")
    async def get_rep(_: Reading, rep_id: str) -> dict[str, Any]:
        """Show a rep."""
        async with db.reading() as conn:
            row = await conn.fetchrow("SELECT * FROM rep WHERE rep_id = $1", rep_id)
            away = await conn.fetch("SELECT starts, ends FROM time_off WHERE rep_id = $1 ORDER BY starts", rep_id)
        if row is None:
            raise _no_rep()
        off = [{"start": times.text(one["starts"]), "end": times.text(one["ends"])} for one in away]
        return {**_shown(row), "version": row["version"], "time_off": off}

    @api.get("/v1/reps")
    async def list_reps(_: Reading, asked: pages.Asked) -> dict[str, Any]:
        """List reps by id."""
        after = asked.since(pages.text) or ("",)
        async with db.reading() as conn:
            rows = await conn.fetch(
                "SELECT rep_id, document, paused FROM rep WHERE rep_id > $1 ORDER BY rep_id LIMIT $2",
                after[0],
                asked.limit,
            )
        more = pages.cursor(rows[-1]["rep_id"]) if len(rows) == asked.limit else None
        return pages.answer([_shown(row) for row in rows], more)

    @api.post("/v1/reps/{rep_id}/time-off", status_code=201)
    async def time_off(request: Request, caller: Manager, rep_id: RepId, body: TimeOff) -> Response:
        """Note a time away."""

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            _check_rep(desk, rep_id)
            await conn.execute(
                "INSERT INTO time_off VALUES ($1, $2, $3)"
                " ON CONFLICT (rep_id, starts) DO UPDATE SET ends = excluded.ends",
                rep_id,
                body.start,
                body.end,
            )
            await conn.execute("UPDATE rep SET version = version + 1 WHERE rep_id = $1", rep_id)
            await _announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "start": times.text(body.start), "end": times.text(body.end)}

        return await once(request, caller, rep_id, change, status=201)

    async def once(
        request: Request, caller: security.Caller, rep_id: str, change: Change, *, status: int = 200
    ) -> Response:
        async def act(conn: Connection) -> idempotency.Answer:
            answer = await changing.within(conn, change, locks=[events.rep_subject(rep_id)])
            return idempotency.Answer(status, answer)

        return await idempotency.answer(db, request, caller, act)

    async def set_paused(request: Request, caller: security.Caller, rep_id: str, *, paused: bool) -> Response:
        if not caller.owns(rep_id):
            raise Problem(403, "Not yours", "A rep pauses the own work only.")

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            _check_rep(desk, rep_id)
            await conn.execute(
                "UPDATE rep SET paused = $2, paused_by = '{}', version = version + 1 WHERE rep_id = $1", rep_id, paused
            )
            await _announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "paused": paused}

        return await once(request, caller, rep_id, change)

    @api.post("/v1/reps/{rep_id}/pause")
    async def pause(request: Request, caller: Own, rep_id: RepId) -> Response:
        """Stop new leads for a rep."""
        return await set_paused(request, caller, rep_id, paused=True)

    @api.post("/v1/reps/{rep_id}/resume")
    async def resume(request: Request, caller: Own, rep_id: RepId) -> Response:
        """Let new leads come again."""
        return await set_paused(request, caller, rep_id, paused=False)

    return api


async def _announce(conn: Connection, desk: Desk, rep_id: str) -> None:
    known = await store_group.known_rep(conn, rep_id, desk.now)
    await store_group.keep_version(conn, desk.group, rep_id, known)
    desk.outgoing.append(events.rep_changed(rep_id, known, desk.now))


def _check_rep(desk: Desk, rep_id: str) -> None:
    if rep_id not in desk.group.index.reps:
        raise _no_rep()


def _no_rep() -> Problem:
    return Problem(404, "No such rep", "PUT /v1/reps/{id} makes one.")


def _shown(row: Any) -> dict[str, Any]:
    return {"rep_id": row["rep_id"], **row["document"], "paused": row["paused"]}
