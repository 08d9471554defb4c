"""Clocks, alerts (also as a stream), policies, calendars and reports."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response, StreamingResponse

from backbone import calendars, database, security, times
from backbone.problem import Pointer, Problem
from sla_monitor import policies, reports, store
from sla_monitor.store import Clock

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Reports = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Signing = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]

STREAM_POLL_S = 0.1
KEEP_ALIVE_S = 15.0


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Hours(_Body):
    """A window of the week."""

    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)]
    start: str
    end: str

    @field_validator("start", "end")
    @classmethod
    def is_time(cls, value: str) -> str:
        """Refuse what is no HH:MM."""
        try:
            calendars.minutes(value)
        except ValueError:
            raise ValueError("a time of day such as 09:00, 24:00 included") from None
        return value


class CalendarBody(_Body):
    """Working time of a team or the firm."""

    time_zone: str
    working_hours: list[Hours]
    holidays: str | None = None
    closed: list[date] = []


class Signature(_Body):
    """One party's word."""

    party: Literal["marketing", "sales"]
    decision: Literal["sign", "refuse"] = "sign"
    comment: Annotated[str | None, Field(max_length=2000)] = None


def router(db: database.Database, stopping: asyncio.Event) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["sla"])

    @api.get("/v1/leads/{lead_id}/clocks")
    async def clocks(caller: Reading, lead_id: UUID) -> list[dict[str, Any]]:
        """Show every clock of a lead."""
        async with db.reading() as conn:
            survivor = await conn.fetchval("SELECT merged_into FROM subject WHERE subject_id = $1", lead_id) or lead_id
            found = (await store.clocks(conn, [survivor])).get(survivor, [])
        mine = [one for one in found if caller.owns(one.terms.rep_id)]
        if found and not mine:
            raise Problem(403, "Not your lead", "A rep sees own leads only.")
        return [_clock(one) for one in mine]

    @api.get("/v1/alerts")
    async def alerts(
        caller: Reading,
        after: Annotated[str | None, Query(max_length=64)] = None,
        lead_id: UUID | None = None,
        rep_id: str | None = None,
        kind: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 500,
    ) -> list[dict[str, Any]]:
        """List alerts in the order in which they fired; `after` is an alert_id or a position."""
        mine = caller.rep if caller.role in ("rep", "sdr") else rep_id
        async with db.reading() as conn:
            position = await _position(conn, after)
            return await _alerts(conn, position, lead_id, mine, kind, limit)

    @api.get("/v1/alerts/stream")
    async def stream(caller: Reading, request: Request) -> Response:
        """Send alerts as they fire (server-sent events); `Last-Event-ID` goes on where the last connection ended."""
        mine = caller.rep if caller.role in ("rep", "sdr") else None
        async with db.reading() as conn:
            given = request.headers.get("last-event-id")
            position = await _position(conn, given) if given else await _newest(conn)
        return StreamingResponse(_stream(db, position, mine, stopping), media_type="text/event-stream")

    @api.put("/v1/policies/{name}")
    async def put_policy(request: Request, caller: Manager, name: str) -> dict[str, Any]:
        """Put an SLA policy (YAML) in force; it is unsigned until both parties have signed."""
        raw = await request.body()
        async with db.transaction() as conn:
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('policy ' || $1))", name)
            known = await conn.fetch("SELECT DISTINCT name FROM calendar")
            document = policies.parse(raw, [row[0] for row in known])
            version = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy WHERE name = $1", name)
            await conn.execute(
                "INSERT INTO policy (name, version, text, document, made_by) VALUES ($1, $2, $3, $4, $5)",
                name,
                version,
                raw.decode(),
                document.data,
                caller.sub,
            )
            return await _shown_policy(conn, name, version)

    @api.get("/v1/policies/{name}")
    async def get_policy(_: Reading, name: str) -> dict[str, Any]:
        """Show the policy in force under a name."""
        async with db.reading() as conn:
            version = await conn.fetchval("SELECT max(version) FROM policy WHERE name = $1", name)
            if version is None and name == "standard":
                return {
                    "name": name,
                    "version": 0,
                    "text": policies.STANDARD,
                    "signatures": [],
                    "unsigned_by": _PARTIES,
                }
            if version is None:
                raise Problem(404, "No such policy", "PUT /v1/policies/{name} makes one.")
            return await _shown_policy(conn, name, version)

    @api.post("/v1/policies/{name}/{version}/sign")
    async def sign(caller: Signing, name: str, version: int, body: Signature) -> dict[str, Any]:
        """Sign, or refuse, for marketing or for sales: two different people."""
        wanted = {"marketing": "marketing", "sales": "manager"}[body.party]
        if caller.role not in (wanted, "admin"):
            raise Problem(403, "Not your party", f"For {body.party} a {wanted} signs.")
        async with db.transaction() as conn:
            if not await conn.fetchval(
                "SELECT 1 FROM policy WHERE name = $1 AND version = $2 FOR UPDATE", name, version
            ):
                raise Problem(404, "No such version", "PUT /v1/policies/{name} makes one.")
            other = await conn.fetchval(
                "SELECT signer FROM policy_signature WHERE name = $1 AND version = $2 AND party <> $3",
                name,
                version,
                body.party,
            )
            if other == caller.sub:
                raise Problem(409, "The same person", "The two signatures come from two different people.")
            await conn.execute(
                "INSERT INTO policy_signature (name, version, party, signer, decision, comment)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name, version, party) DO UPDATE SET"
                " signer = excluded.signer, decision = excluded.decision, comment = excluded.comment, at = now()",
                name,
                version,
                body.party,
                caller.sub,
                body.decision,
                body.comment,
            )
            return await _shown_policy(conn, name, version)

    @api.put("/v1/calendars/{name}")
    async def put_calendar(_: Manager, name: str, body: CalendarBody) -> dict[str, Any]:
        """Put a calendar, as the next version of its name."""
        if name in ("wall", "rep"):
            raise Problem(422, "Taken", "wall and rep mean something else; take another name.")
        try:
            calendars.open_until(calendars.Calendar(zone=body.time_zone, windows=()), datetime.now().astimezone())
            if body.holidays is not None:
                calendars.holidays(body.holidays, 2026)
        except (ValueError, KeyError, OSError) as error:
            place = Pointer("/time_zone", "an IANA zone, and `holidays` a country such as DE or US-CA")
            raise Problem(422, "Not valid", "Correct the calendar and send it again.", errors=[place]) from error
        async with db.transaction() as conn:
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('calendar ' || $1))", name)
            version = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM calendar WHERE name = $1", name)
            document = body.model_dump(mode="json")
            await conn.execute("INSERT INTO calendar VALUES ($1, $2, $3)", name, version, document)
        return {"name": name, "version": version, **document}

    @api.get("/v1/reports/speed")
    async def speed(request: Request, _: Reports, asked: Annotated[_Span, Depends()]) -> Response:
        """Report speed to lead of those that arrived in [from, to), history included."""
        async with db.reading() as conn:
            as_of = asked.as_of or await times.now(conn)
            groups = await reports.speed(conn, asked.start, asked.end, by=asked.by, as_of=as_of)
            return await _report(conn, request, groups, as_of)

    @api.get("/v1/reports/attainment")
    async def attainment(request: Request, _: Reports, asked: Annotated[_Span, Depends()]) -> Response:
        """Report how many promises were kept."""
        async with db.reading() as conn:
            as_of = asked.as_of or await times.now(conn)
            groups = await reports.attainment(conn, asked.start, asked.end, by=asked.by)
            return await _report(conn, request, groups, as_of)

    return api


_PARTIES = ["marketing", "sales"]


class _Span:
    """From when to when, by what, as of when."""

    def __init__(
        self,
        start: Annotated[AwareDatetime, Query(alias="from")],
        end: Annotated[AwareDatetime, Query(alias="to")],
        by: Literal["rep", "team", "source", "hour", "week"] | None = None,
        as_of: AwareDatetime | None = None,
    ) -> None:
        self.start, self.end, self.by, self.as_of = start, end, by, as_of


async def _report(
    conn: database.Connection, request: Request, groups: list[dict[str, Any]], as_of: datetime
) -> Response:
    if "text/csv" in request.headers.get("accept", ""):
        return Response(reports.as_csv(groups), media_type="text/csv")
    unsigned = await conn.fetch(
        "SELECT DISTINCT p.party FROM unnest($1::text[]) AS p(party) WHERE NOT EXISTS (SELECT FROM policy_signature s"
        " WHERE s.party = p.party AND s.decision = 'sign')",
        _PARTIES,
    )
    complete = await conn.fetchval("SELECT max(recorded_at) FROM lead")
    body = {
        "groups": groups,
        "as_of": times.text(as_of),
        "complete_until": times.text(complete) if complete is not None else None,
        "unsigned_by": sorted(row[0] for row in unsigned),
    }
    return Response(json.dumps(body), media_type="application/json")


async def _shown_policy(conn: database.Connection, name: str, version: int) -> dict[str, Any]:
    row = await conn.fetchrow("SELECT text FROM policy WHERE name = $1 AND version = $2", name, version)
    signed = await conn.fetch(
        "SELECT party, signer, decision, comment, at FROM policy_signature WHERE name = $1 AND version = $2"
        " ORDER BY party",
        name,
        version,
    )
    agreed = {one["party"] for one in signed if one["decision"] == "sign"}
    return {
        "name": name,
        "version": version,
        "text": row["text"] if row is not None else "",
        "signatures": [{**dict(one), "at": times.text(one["at"])} for one in signed],
        "unsigned_by": [party for party in _PARTIES if party not in agreed],
    }


def _clock(one: Clock) -> dict[str, Any]:
    return {
        "clock": one.clock,
        "kind": one.terms.kind,
        "cycle": one.cycle,
        "rep_id": one.terms.rep_id or None,
        "started_at": times.text(one.terms.started_at),
        "due_at": times.text(one.terms.due_at),
        "state": str(one.state),
        **({"met_at": times.text(one.met_at)} if one.met_at is not None else {}),
        **({"breached_at": times.text(one.breached_at)} if one.breached_at is not None else {}),
        **({"retracted": True} if one.retracted else {}),
        **({"touches": {"done": dict(one.done), "needed": dict(one.terms.needs)}} if one.terms.needs else {}),
        "policy": one.policy,
        "calendar": one.calendar,
    }


async def _position(conn: database.Connection, after: str | None) -> int:
    if not after:
        return 0
    if after.isdigit():
        return int(after)
    try:
        seq = await conn.fetchval("SELECT seq FROM alert WHERE alert_id = $1", UUID(after))
    except ValueError:
        seq = None
    if seq is None:
        raise Problem(422, "Not a position", "`after` is an alert_id, or the id of an event of the stream.")
    return int(seq)


async def _newest(conn: database.Connection) -> int:
    return int(await conn.fetchval("SELECT coalesce(max(seq), 0) FROM alert"))


async def _alerts(
    conn: database.Connection, after: int, lead_id: UUID | None, rep_id: str | None, kind: str | None, limit: int
) -> list[dict[str, Any]]:
    rows = await conn.fetch(
        "SELECT * FROM alert WHERE seq > $1 AND ($2::uuid IS NULL OR lead_id = $2)"
        " AND ($3::text IS NULL OR rep_id = $3) AND ($4::text IS NULL OR kind = $4) ORDER BY seq LIMIT $5",
        after,
        lead_id,
        rep_id,
        kind,
        limit,
    )
    return [_alert(row) for row in rows]


def _alert(row: Any) -> dict[str, Any]:
    return {
        "alert_id": str(row["alert_id"]),
        "position": row["seq"],
        "at": times.text(row["at"]),
        "clock": row["clock"],
        "kind": row["kind"],
        "level": row["level"],
        "lead_id": str(row["lead_id"]),
        "rep_id": row["rep_id"] or None,
        "to": row["goes_to"],
        "due_at": times.text(row["due_at"]),
        "late_by_seconds": row["late_by_seconds"],
        **({"late": True} if row["late"] else {}),
        "cycle": row["cycle"],
        "retracted_at": times.text(row["retracted_at"]) if row["retracted_at"] is not None else None,
    }


async def _stream(
    db: database.Database, position: int, rep_id: str | None, stopping: asyncio.Event
) -> AsyncIterator[str]:
    """Yield alerts after a position, from the database alone, so that any replica serves any client."""
    yield ": connected\n\n"
    quiet = 0.0
    while not stopping.is_set():
        async with db.reading() as conn:
            found = await _alerts(conn, position, None, rep_id, None, 500)
        for one in found:
            position = one["position"]
            yield f"id: {position}\nevent: alert\ndata: {json.dumps(one)}\n\n"
        quiet = 0.0 if found else quiet + STREAM_POLL_S
        if quiet >= KEEP_ALIVE_S:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(STREAM_POLL_S)
