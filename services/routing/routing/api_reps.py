"""Reps, the policy and accounts: what decisions are made with."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from backbone import calendars, conditions, database, outbox, security, subjects, times
from backbone.database import Connection
from backbone.problem import Problem
from handoff.events.v1 import common_pb2
from routing import assigning, events, policies, store_group
from routing import desk as desks
from routing.desk import Desk
from routing.domain import Lead
from routing.store_group import Cache

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Hours(_Body):
    """A window of the week in the rep's zone; an end before the start lies on the next day."""

    days: Annotated[list[Day], Field(min_length=1)]
    start: str
    end: str

    @field_validator("start", "end")
    @classmethod
    def is_time(cls, value: str) -> str:
        """Refuse what is no HH:MM."""
        try:
            calendars.minutes(value)
        except ValueError:
            raise ValueError("a time of day such as 09:00") from None
        return value


class RepBody(_Body):
    """A rep."""

    name: Name
    email: Annotated[str, Field(min_length=3, max_length=254)]
    team: Name
    manager_id: Name | None = None
    role: Literal["sdr", "sales"]
    kind: Literal["hunter", "farmer"] = "hunter"
    time_zone: str
    working_hours: list[Hours]
    holidays: str | None = None
    skills: list[Name] = []
    languages: list[Name] = []
    territories: list[Name] = []
    cap: Annotated[int, Field(ge=0, le=100_000)] = 500
    weight: Annotated[float, Field(gt=0, le=1000)] = 1
    active: bool = True

    @field_validator("time_zone")
    @classmethod
    def is_zone(cls, value: str) -> str:
        """Refuse an unknown zone."""
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("an IANA zone such as Europe/Berlin") from None
        return value

    @field_validator("holidays")
    @classmethod
    def is_country(cls, value: str | None) -> str | None:
        """Refuse an unknown country."""
        if value is not None:
            try:
                calendars.holidays(value, 2026)
            except ValueError:
                raise ValueError("a country or a part of one, such as DE or US-CA") from None
        return value


class TimeOff(_Body):
    """A time away, half open."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def is_span(self) -> "TimeOff":
        """Refuse an end before the start."""
        if self.end <= self.start:
            raise ValueError("the end has to be after the start")
        return self


class Account(_Body):
    """A company's standing."""

    name: Name | None = None
    status: Literal["prospect", "customer", "former", "partner", "competitor", "blocked"] = "prospect"
    rep_id: Name | None = None
    parent_domain: Name | None = None
    segment: Name | None = None
    target: Name | None = None


class Owner(_Body):
    """Who owns a named account."""

    rep_id: Name


Change = Callable[[Connection, Desk], Awaitable[dict[str, Any]]]


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["reps, policy, accounts"])

    async def under_lock(change: Change, *, locks: list[Any] | None = None) -> dict[str, Any]:
        """Change what decisions read, under the group's lock, then drain the room that may have appeared."""

        async def act(conn: Connection) -> dict[str, Any]:
            if locks:
                await subjects.lock(conn, locks)
            desk = await desks.open_desk(conn, cache, [])
            answer = await change(conn, desk)
            await store_group.advance(conn, desk.group)
            cache.forget()
            fresh = await desks.open_desk(conn, cache, [])
            await fresh.drain(conn)
            fresh.outgoing = [*desk.outgoing, *fresh.outgoing]
            await fresh.finish(conn, out, cache)
            return answer

        return await db.run(act)

    @api.put("/v1/reps/{rep_id}")
    async def put_rep(_: Manager, rep_id: Name, body: RepBody) -> dict[str, Any]:
        """Make or change a rep; in force for every decision after the answer."""

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            version = await conn.fetchval(
                "INSERT INTO rep (rep_id, document, version, cap) VALUES ($1, $2, 1, $3)"
                " ON CONFLICT (rep_id) DO UPDATE SET document = excluded.document, version = rep.version + 1,"
                " cap = excluded.cap, over_cap = rep.open > excluded.cap RETURNING version",
                rep_id,
                body.model_dump(),
                body.cap,
            )
            await announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "version": version, **body.model_dump()}

        return await under_lock(change, locks=[events.rep_subject(rep_id)])

    async def announce(conn: Connection, desk: Desk, rep_id: str) -> None:
        known = await store_group.known_rep(conn, rep_id)
        desk.outgoing.append(events.rep_changed(rep_id, known, desk.now))

    @api.get("/v1/reps/{rep_id}")
    async def get_rep(_: Reading, rep_id: str) -> dict[str, Any]:
        """Show a rep."""
        async with db.reading() as conn:
            row = await conn.fetchrow("SELECT * FROM rep WHERE rep_id = $1", rep_id)
            away = await conn.fetch("SELECT starts, ends FROM time_off WHERE rep_id = $1 ORDER BY starts", rep_id)
        if row is None:
            raise _no_rep()
        off = [{"start": times.text(one["starts"]), "end": times.text(one["ends"])} for one in away]
        return {
            "rep_id": rep_id,
            "version": row["version"],
            **row["document"],
            "paused": row["paused"],
            "time_off": off,
        }

    @api.get("/v1/reps")
    async def list_reps(_: Reading) -> dict[str, Any]:
        """List reps."""
        async with db.reading() as conn:
            rows = await conn.fetch("SELECT rep_id, document, paused FROM rep ORDER BY rep_id")
        items = [{"rep_id": row["rep_id"], **row["document"], "paused": row["paused"]} for row in rows]
        return {"items": items, "next_cursor": None}

    @api.post("/v1/reps/{rep_id}/time-off", status_code=201)
    async def time_off(_: Manager, rep_id: str, body: TimeOff) -> dict[str, Any]:
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
            await announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "start": times.text(body.start), "end": times.text(body.end)}

        return await under_lock(change, locks=[events.rep_subject(rep_id)])

    async def set_paused(rep_id: str, *, paused: bool) -> dict[str, Any]:
        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            _check_rep(desk, rep_id)
            await conn.execute("UPDATE rep SET paused = $2, version = version + 1 WHERE rep_id = $1", rep_id, paused)
            await announce(conn, desk, rep_id)
            return {"rep_id": rep_id, "paused": paused}

        return await under_lock(change, locks=[events.rep_subject(rep_id)])

    @api.post("/v1/reps/{rep_id}/pause")
    async def pause(caller: Annotated[security.Caller, Depends(_OWN_OR_MANAGER)], rep_id: str) -> dict[str, Any]:
        """Stop new leads for a rep."""
        _check_own(caller, rep_id)
        return await set_paused(rep_id, paused=True)

    @api.post("/v1/reps/{rep_id}/resume")
    async def resume(caller: Annotated[security.Caller, Depends(_OWN_OR_MANAGER)], rep_id: str) -> dict[str, Any]:
        """Let new leads come again."""
        _check_own(caller, rep_id)
        return await set_paused(rep_id, paused=False)

    @api.put("/v1/policy")
    async def put_policy(request: Request, caller: Manager, dry_run: bool = False) -> dict[str, Any]:
        """Put a policy (YAML) in force; `dry_run` only says what is wrong with it."""
        raw = await request.body()
        if dry_run:
            async with db.transaction() as conn:
                group, _ = await cache.lock(conn)
                cache.forget()
            policies.parse(raw, list(group.index.reps))
            return {"valid": True}

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            document = policies.parse(raw, list(desk.group.index.reps))
            version = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy")
            await conn.execute(
                "INSERT INTO policy (version, text, document, made_by) VALUES ($1, $2, $3, $4)",
                version,
                raw.decode(),
                document.data,
                caller.sub,
            )
            return {"version": version}

        return await under_lock(change)

    @api.get("/v1/policy")
    async def get_policy(_: Reading) -> dict[str, Any]:
        """Show the policy in force."""
        return await policy_row(None)

    @api.get("/v1/policy/schema", dependencies=[Depends(security.public)])
    async def policy_schema() -> dict[str, Any]:
        """Return the JSON Schema of a policy."""
        return dict(policies.SCHEMA)

    @api.get("/v1/policy/{version}")
    async def get_policy_version(_: Reading, version: int) -> dict[str, Any]:
        """Show a version."""
        return await policy_row(version)

    async def policy_row(version: int | None) -> dict[str, Any]:
        async with db.reading() as conn:
            row = await conn.fetchrow(
                "SELECT * FROM policy WHERE $1::int IS NULL OR version = $1 ORDER BY version DESC LIMIT 1", version
            )
        if row is None:
            raise Problem(404, "No such policy", "PUT /v1/policy puts one in force.")
        made = {"made_at": times.text(row["made_at"]), "made_by": row["made_by"]}
        return {"version": row["version"], "text": row["text"], "document": row["document"], **made}

    @api.post("/v1/policy/explain")
    async def explain(request: Request, _: Manager) -> dict[str, Any]:
        """Say what the policy would do with a lead now; nothing is written."""
        lead = (msgspec.json.decode(await request.body()) or {}).get("lead")
        if not isinstance(lead, dict):
            raise Problem(422, "No lead", 'Send {"lead": {…}} with the fields of POST /v1/leads, stage and grade.')
        async with db.transaction() as conn:
            group, now = await cache.lock(conn)
            cache.forget()
            decision = assigning.decide(_imagined(lead, group, now), group.index, group.policy, now)
        return {
            "outcome": str(decision.outcome),
            "rule": decision.rule,
            "pool": decision.pool,
            "strategy": decision.strategy,
            "rep_id": decision.rep_id,
            "reason_code": decision.reason_code or None,
            "policy_version": group.policy.version if group.policy is not None else 0,
            "considered": [
                {"rep_id": one.rep_id, "chosen": one.chosen, "reason": one.reason} for one in decision.considered
            ],
        }

    @api.put("/v1/accounts/{domain}")
    async def put_account(_: Manager, domain: Name, body: Account) -> dict[str, Any]:
        """Say how a company stands with us."""
        return await save_account(domain, body.model_dump())

    @api.put("/v1/named-accounts/{domain}")
    async def put_owner(_: Manager, domain: Name, body: Owner) -> dict[str, Any]:
        """Give a named account its owner."""
        async with db.reading() as conn:
            document = await conn.fetchval("SELECT document FROM account WHERE domain = $1", domain.lower())
        return await save_account(domain, {**(document or Account().model_dump()), "rep_id": body.rep_id})

    async def save_account(domain: str, document: dict[str, Any]) -> dict[str, Any]:
        domain = domain.lower()

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            if document.get("rep_id") is not None:
                _check_rep(desk, document["rep_id"])
            await conn.execute(
                "INSERT INTO account VALUES ($1, $2) ON CONFLICT (domain) DO UPDATE SET document = excluded.document",
                domain,
                document,
            )
            desk.outgoing.append(events.account_changed(domain, document, desk.now))
            return {"domain": domain, **document}

        return await under_lock(change, locks=[events.account_subject(domain)])

    @api.get("/v1/accounts/{domain}")
    @api.get("/v1/named-accounts/{domain}")
    async def get_account(_: Reading, domain: str) -> dict[str, Any]:
        """Show an account."""
        async with db.reading() as conn:
            document = await conn.fetchval("SELECT document FROM account WHERE domain = $1", domain.lower())
        if document is None:
            raise Problem(404, "No such account", "PUT /v1/accounts/{domain} makes one.")
        return {"domain": domain.lower(), **document}

    @api.delete("/v1/accounts/{domain}", status_code=204)
    @api.delete("/v1/named-accounts/{domain}", status_code=204)
    async def delete_account(_: Manager, domain: str) -> None:
        """Forget an account."""

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            await conn.execute("DELETE FROM account WHERE domain = $1", domain.lower())
            desk.outgoing.append(events.account_changed(domain.lower(), {}, desk.now, deleted=True))
            return {}

        await under_lock(change, locks=[events.account_subject(domain.lower())])

    return api


_OWN_OR_MANAGER = security.allow("rep", "sdr", "manager")


def _check_own(caller: security.Caller, rep_id: str) -> None:
    if not caller.owns(rep_id):
        raise Problem(403, "Not yours", "A rep pauses the own work only.")


def _check_rep(desk: Desk, rep_id: str) -> None:
    if rep_id not in desk.group.index.reps:
        raise _no_rep()


def _no_rep() -> Problem:
    return Problem(404, "No such rep", "PUT /v1/reps/{id} makes one.")


def _imagined(lead: dict[str, Any], group: store_group.Group, now: Any) -> Lead:
    texts = {
        name: str(lead[name]) for name in ("company", "job_title", "country", "source", "industry") if name in lead
    }
    fields = common_pb2.LeadFields(**texts)  # type: ignore[arg-type]
    if isinstance(lead.get("employees"), int):
        fields.employees = lead["employees"]
    values = conditions.lead_values(fields)
    values |= {"lead.stage": str(lead.get("stage", "mql")), "lead.grade": str(lead.get("grade", ""))}
    values |= {"account.status": "", "account.rep_id": "", "account.active_rep": "", "account.segment": ""}
    return Lead(lead_id=events.account_subject("explain"), values=values, rank=1, created_at=now)
