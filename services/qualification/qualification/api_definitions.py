"""A definition's life: draft, signed by two people, active from an instant, retired."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import ConfigDict, Field
from starlette.responses import JSONResponse, Response

from backbone import database, fields, idempotency, ids, outbox, pages, security, subjects, times
from backbone.outbox import Event
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2, qualification_pb2
from qualification import definitions, events, simulating, store_definitions, store_queue
from qualification.store_definitions import Compiled

Reading = Annotated[security.Caller, Depends(security.allow("marketing", "manager", "sdr", "rep"))]
Writing = Annotated[security.Caller, Depends(security.allow("marketing"))]
Signing = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Version = Annotated[int, Path(ge=1, le=2_000_000_000)]


class Signature(fields.Body):
    """One party's word."""

    model_config = ConfigDict(extra="forbid")
    party: Literal["marketing", "sales"]
    decision: Literal["sign", "refuse"] = "sign"
    comment: Annotated[str | None, Field(max_length=2000)] = None


class Activation(fields.Body):
    """From when it is in force; now when not said."""

    model_config = ConfigDict(extra="forbid")
    at: times.Instant | None = None


class Span(fields.Body):
    """Leads created in [from, to)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    start: Annotated[times.Instant, Field(alias="from")]
    end: Annotated[times.Instant, Field(alias="to")]


def router(db: database.Database, out: outbox.Outbox, compiled: Compiled, *, most: int) -> APIRouter:
    """Return the routes of definitions."""
    api = APIRouter(prefix="/v1/definitions", tags=["definitions"])

    @api.get("/schema", dependencies=[Depends(security.public)])
    async def schema() -> dict[str, Any]:
        """Return the JSON Schema of a definition."""
        return dict(definitions.SCHEMA)

    @api.get("")
    async def list_all(_: Reading, asked: pages.Asked) -> dict[str, Any]:
        """List all versions."""
        after = asked.since(pages.text, int) or ("", 0)
        async with db.reading() as conn:
            rows = await store_definitions.page(conn, after=after, limit=asked.limit)
        more = pages.cursor(rows[-1]["name"], rows[-1]["version"]) if len(rows) == asked.limit else None
        return pages.answer([_summary(row) for row in rows], more)

    @api.post("/{name}", status_code=201)
    async def draft(request: Request, caller: Writing, name: Name, dry_run: bool = False) -> Response:
        """Save a draft (YAML) as the next version of its name; `dry_run` only says what is wrong with it."""
        raw = await request.body()
        # In a thread: hundreds of conditions take their time, and everybody else is served meanwhile.
        document = await asyncio.to_thread(definitions.parse, raw)
        warned = [_place(one) for one in await asyncio.to_thread(definitions.warnings, document)]
        if dry_run:
            return JSONResponse({"valid": True, "warnings": warned})

        async def act(conn: database.Connection) -> idempotency.Answer:
            version = await store_definitions.add(conn, name, raw.decode(), document.data, caller.sub)
            return idempotency.Answer(201, {"name": name, "version": version, "state": "draft", "warnings": warned})

        return await idempotency.answer(db, request, caller, act)

    @api.get("/{name}/{version}")
    async def show(_: Reading, name: Name, version: Version) -> dict[str, Any]:
        """Show a version with its text and signatures."""
        async with db.transaction() as conn:
            row = await _found(conn, name, version)
            signed = await store_definitions.signatures(conn, name, version)
        return {**_summary(row), "text": row["text"], "signatures": [_signature(one) for one in signed]}

    @api.post("/{name}/{version}/simulate")
    async def simulate(_: Signing, name: Name, version: Version, body: Span) -> dict[str, Any]:
        """Say what this version would have changed, over the leads created in [from, to)."""
        async with db.transaction() as conn:
            await _found(conn, name, version)
            draft = await compiled.version(conn, name, version)
        return await simulating.compare(db, compiled, draft, body.start, body.end, most=most)

    @api.post("/{name}/{version}/sign")
    async def sign(caller: Signing, name: Name, version: Version, body: Signature) -> dict[str, Any]:
        """Sign, or refuse, for marketing or for sales: two different people."""
        _check_party(caller, body.party)

        async def act(conn: database.Connection) -> list[Any]:
            await _found(conn, name, version)
            before = await store_definitions.signatures(conn, name, version)
            if any(one["signer"] == caller.sub and one["party"] != body.party for one in before):
                raise Problem(409, "The same person", "The two signatures come from two different people.")
            await store_definitions.sign(
                conn, name, version, party=body.party, signer=caller.sub, decision=body.decision, comment=body.comment
            )
            return await store_definitions.signatures(conn, name, version)

        signed = await db.run(act)
        return {"name": name, "version": version, "signatures": [_signature(one) for one in signed]}

    @api.post("/{name}/{version}/activate")
    async def activate(_: Signing, name: Name, version: Version, body: Activation | None = None) -> dict[str, Any]:
        """Put a signed version in force, now or from an instant on; leads are scored anew in the background."""
        asked = body.at if body is not None else None
        at = await db.run(lambda conn: _activate(conn, out, name, version, asked))
        return {"name": name, "version": version, "state": "active", "active_from": times.text(at)}

    @api.post("/{name}/{version}/retire")
    async def retire(_: Signing, name: Name, version: Version) -> dict[str, Any]:
        """Take a version out of force; its leads are scored by what is in force then."""

        async def act(conn: database.Connection) -> None:
            await store_definitions.lock(conn, name)
            row = await _found(conn, name, version)
            await store_definitions.retire(conn, name, version)
            now = await times.now(conn)
            await store_queue.add_rescoring(conn, f"{name}@{version} retired", now)
            if row["state"] != "retired":
                message = qualification_pb2.DefinitionRetired(stamp=common_pb2.Stamp(), name=name, version=version)
                await _tell(conn, out, message, now, now)

        await db.run(act)
        return {"name": name, "version": version, "state": "retired"}

    return api


async def _activate(
    conn: database.Connection, out: outbox.Outbox, name: str, version: int, asked: datetime | None
) -> datetime:
    await store_definitions.lock(conn, name)
    row = await _found(conn, name, version)
    signed = await store_definitions.signatures(conn, name, version)
    agreed = {one["party"] for one in signed if one["decision"] == "sign"}
    if absent := sorted({"marketing", "sales"} - agreed):
        raise Problem(409, "Not signed", f"The signature of {' and '.join(absent)} is missing.")
    if row["state"] == "retired":
        raise Problem(409, "Retired", "A retired version stays so. Save it again as a new draft.")
    now = await times.now(conn)
    at = max(asked, now) if asked is not None else now
    is_in_force = _state(row) == "active" and row["active_from"] <= now
    if is_in_force and at > now:
        raise Problem(409, "In force already", "This version is in force; it cannot begin later than it did.")
    began_at = row["active_from"] if is_in_force else at
    await store_definitions.activate(conn, name, version, at, began_at=began_at)
    await store_queue.add_rescoring(conn, f"{name}@{version}", at)
    document = row["document"]
    message = qualification_pb2.DefinitionActivated(
        stamp=common_pb2.Stamp(),
        name=name,
        version=version,
        supply=events.promised(document.get("supply", {})),
        required=document.get("required", []),
    )
    await _tell(conn, out, message, at, now)
    return began_at


async def _tell(conn: database.Connection, out: outbox.Outbox, message: Any, at: datetime, now: datetime) -> None:
    """Tell what becomes of a definition at an instant, under its own key."""
    subject = ids.derived("definition", message.name)
    await subjects.lock(conn, [subject])
    times.put(message.stamp.occurred_at, at)
    times.put(message.stamp.recorded_at, now)
    times.put(message.at, at)
    await out.add(conn, [Event(subject=subject, message=message)])


async def _found(conn: database.Connection, name: str, version: int) -> Any:
    row = await store_definitions.find(conn, name, version)
    if row is None:
        raise Problem(404, "No such version", "GET /v1/definitions lists them.")
    return row


def _check_party(caller: security.Caller, party: str) -> None:
    wanted = {"marketing": "marketing", "sales": "manager"}[party]
    if caller.role not in (wanted, "admin"):
        raise Problem(403, "Not your party", f"For {party} a {wanted} signs.")


def _summary(row: Any) -> dict[str, Any]:
    return {
        "name": row["name"],
        "version": row["version"],
        "state": _state(row),
        "active_from": times.text(row["active_from"]) if row["active_from"] else None,
        "active_until": times.text(row["active_until"]) if row["active_until"] else None,
        "made_at": times.text(row["made_at"]),
        "made_by": row["made_by"],
    }


def _state(row: Any) -> str:
    over = row["active_until"] is not None and row["active_until"] <= row["now"]
    return "retired" if over else str(row["state"])


def _place(one: Pointer) -> dict[str, Any]:
    return {"pointer": one.pointer, "detail": one.detail, "line": one.line, "column": one.column}


def _signature(row: Any) -> dict[str, Any]:
    return {
        "party": row["party"],
        "signer": row["signer"],
        "decision": row["decision"],
        "comment": row["comment"],
        "at": times.text(row["at"]),
    }
