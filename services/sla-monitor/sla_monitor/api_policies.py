"""SLA policies with their signatures, and calendars."""

from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from backbone import database, documents, fields, security, times
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from sla_monitor import policies, senseless, store_policies
from sla_monitor.shapes import CalendarShown, PolicyShown, PutShown, ValidShown

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Signing = Annotated[security.Caller, Depends(security.allow("marketing", "manager"))]
Name = Annotated[Id, Path()]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]

RESERVED: Final = ("wall", "rep")


class CalendarBody(fields.Body):
    """Working time of a team or the firm."""

    time_zone: fields.Zone
    working_hours: Annotated[list[fields.Hours], Field(min_length=1, max_length=100)]
    """At least one window: a promise on hours that never come has no deadline, and nobody would be told."""
    holidays: fields.Holidays | None = None
    closed: Annotated[list[date], Field(max_length=1000)] = Field(default_factory=list)


class Signature(fields.Body):
    """One party's word."""

    party: Literal["marketing", "sales"]
    decision: Literal["sign", "refuse"] = "sign"
    comment: Annotated[str | None, Field(max_length=2000)] = None


def router(db: database.Database) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["policies, calendars"])

    @api.put("/v1/policies/{name}", openapi_extra=documents.BODY)
    async def put_policy(request: Request, caller: Manager, name: Name, dry_run: bool = False) -> PutShown | ValidShown:
        """Put an SLA policy (YAML) in force; it is unsigned until both parties have signed.

        `dry_run` only says what is wrong with it. `warnings` are of what it permits but hardly means.
        """
        _not_reserved(name, "schema")
        raw = await request.body()
        async with db.transaction() as conn:
            document = policies.parse(raw, list(await store_policies.calendars(conn)))
            warned = await _warnings(conn, name, document)
            if dry_run:
                return {"valid": True, "warnings": warned}
            version = await store_policies.add(conn, name, raw.decode(), document.data, caller.sub)
            return {**await _shown(conn, name, version), "warnings": warned}

    @api.get("/v1/policies")
    async def list_policies(_: Reading) -> list[PolicyShown]:
        """List the policies in force, the one that is asked first before the others."""
        async with db.reading() as conn:
            found = [await _shown(conn, row["name"], row["version"]) for row in await store_policies.in_force(conn)]
        return found or [_BUILT_IN]

    @api.get("/v1/policies/schema", dependencies=[Depends(security.public)])
    async def schema() -> dict[str, Any]:
        """Return the JSON Schema of an SLA policy."""
        return dict(policies.SCHEMA)

    @api.get("/v1/policies/{name}")
    async def get_policy(_: Reading, name: str) -> PolicyShown:
        """Show the policy in force under a name."""
        async with db.reading() as conn:
            version = await conn.fetchval("SELECT max(version) FROM policy WHERE name = $1", name)
            if version is None and name == _BUILT_IN["name"]:
                return _BUILT_IN
            return await _shown(conn, name, version or 0)

    @api.get("/v1/policies/{name}/{version}")
    async def get_version(_: Reading, name: str, version: Version) -> PolicyShown:
        """Show a version: what clocks cite that were started by it."""
        async with db.reading() as conn:
            return await _shown(conn, name, version)

    @api.post("/v1/policies/{name}/{version}/sign")
    async def sign(caller: Signing, name: str, version: Version, body: Signature) -> PolicyShown:
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
            await store_policies.sign(conn, name, version, body.party, caller.sub, body.decision, body.comment)
            return await _shown(conn, name, version)

    @api.put("/v1/calendars/{name}")
    async def put_calendar(_: Manager, name: Name, body: CalendarBody) -> CalendarShown:
        """Put a calendar, as the next version of its name."""
        _not_reserved(name, *RESERVED)
        document = body.model_dump(mode="json")
        async with db.transaction() as conn:
            version = await store_policies.add_calendar(conn, name, document)
        return {"name": name, "version": version, **document}

    @api.get("/v1/calendars/{name}")
    async def get_calendar(_: Reading, name: str) -> CalendarShown:
        """Show a calendar as it is in force."""
        async with db.reading() as conn:
            found = (await store_policies.calendars(conn)).get(name)
        if found is None:
            raise Problem(404, "No such calendar", "PUT /v1/calendars/{name} makes one.")
        return {"name": name, "version": found[0], **found[1]}

    return api


_BUILT_IN: Final[dict[str, Any]] = {
    "name": "standard",
    "version": 0,
    "text": policies.STANDARD,
    "signatures": [],
    "unsigned_by": list(store_policies.PARTIES),
}
"""What is in force until a policy is put."""


def _not_reserved(name: str, *taken: str) -> None:
    if name in taken:
        fault = Pointer("path/name", "means something else already")
        raise Problem(422, "Taken", "Take another name.", errors=[fault])


async def _warnings(conn: database.Connection, name: str, document: documents.Document) -> list[dict[str, Any]]:
    found = list(senseless.doubts(document, await store_policies.zone(conn), policies.condition(document)))
    # Which of two of one order is a lead's depends on their names.
    order = document.data.get("order", policies.FIRST)
    others = await store_policies.of_order(conn, order, but=name)
    if others:
        why = (
            f"{order}, as is that of {', '.join(others)}: of two that apply to a lead the first by name is asked;"
            " give each an order of its own, the lowest to the narrowest"
        )
        found.append(document.fault(("order",) if "order" in document.data else (), why))
    return [one.as_json() for one in found]


async def _shown(conn: database.Connection, name: str, version: int) -> dict[str, Any]:
    text = await conn.fetchval("SELECT text FROM policy WHERE name = $1 AND version = $2", name, version)
    if text is None:
        raise Problem(404, "No such policy", "PUT /v1/policies/{name} makes one.")
    signed = await store_policies.signatures(conn, name, version)
    agreed = {one["party"] for one in signed if one["decision"] == "sign"}
    return {
        "name": name,
        "version": version,
        "text": text,
        "signatures": [{**dict(one), "at": times.text(one["at"])} for one in signed],
        "unsigned_by": [party for party in store_policies.PARTIES if party not in agreed],
    }
