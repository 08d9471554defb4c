"""The policy: put in force, shown, and asked what it would do with a lead."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BeforeValidator, Field

from backbone import conditions, database, fields, ids, outbox, security, times
from backbone.database import Connection
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2
from routing import assigning, deciding, policies, simulating, store, store_accounts, store_group
from routing.changing import Changing
from routing.desk import Desk
from routing.domain import GRADES, WORST_RANK, Lead, role_at
from routing.spans import Span
from routing.store_group import Cache, Group

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Text = Annotated[str, Field(max_length=2000), BeforeValidator(lambda said: "" if said is None else said)]


class Imagined(fields.Body):
    """A lead as POST /v1/leads takes it, and how qualification would see it; or the id of one that there is.

    What decides nothing (`cost` to `keep`) is taken and not looked at.
    """

    lead_id: UUID | None = None
    email: Text = ""
    phone: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    external_id: Text = ""
    company: Text = ""
    website: Text = ""
    job_title: Text = ""
    industry: Text = ""
    country: Text = ""
    source: Text = ""
    medium: Text = ""
    campaign: Text = ""
    employees: Annotated[int, Field(ge=0, le=10**12)] | None = None
    revenue: Annotated[float, Field(ge=0, le=1e15)] | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    email_is_free: bool = False
    account_domain: Text = ""
    stage: Literal["new", "nurture", "mql", "srl", "sql", "customer", "disqualified"] | None = None
    grade: Text = ""
    persona: Text = ""
    fit: float = 0
    interest: float = 0
    cycle: Annotated[int, Field(ge=1, le=10_000)] = 1
    sdr_id: Id | None = None
    host_email: Text = ""
    previous_rep: Id | None = None
    occurred_at: fields.Instant | None = None
    cost: Any = None
    currency: Any = None
    consent: Any = None
    owner_id: Any = None
    assigned_at: Any = None
    status: Any = None
    disqualified_reason: Any = None
    connection_id: Any = None
    live: Any = None
    keep: Any = None


class Question(fields.Body):
    """What about this lead."""

    lead: Imagined


class WhatIf(Span):
    """A policy (YAML), and the span of the past to try it on."""

    policy: Annotated[str, Field(min_length=1, max_length=1_000_000)]


def router(db: database.Database, out: outbox.Outbox, cache: Cache) -> APIRouter:
    """Return the routes."""
    api = APIRouter(tags=["policy"])
    changing = Changing(db, out, cache)

    @api.put("/v1/policy", openapi_extra={"requestBody": {"required": True, "content": {"application/yaml": {}}}})
    async def put_policy(request: Request, caller: Manager, dry_run: bool = False) -> dict[str, Any]:
        """Put a policy (YAML) in force. `warnings` are of what it permits but hardly means.

        `dry_run` only says what is wrong with it, and what it is warned of.
        """
        raw = await request.body()
        if dry_run:
            async with db.transaction() as conn:
                group, _ = await cache.lock(conn)
                reps = {rep_id: rep.values for rep_id, rep in group.index.reps.items()}
            return {"valid": True, "warnings": policies.warnings(policies.parse(raw, reps), 0, reps)}

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            reps = {rep_id: rep.values for rep_id, rep in desk.group.index.reps.items()}
            document = policies.parse(raw, reps)
            version = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy")
            await conn.execute(
                "INSERT INTO policy (version, text, document, made_by) VALUES ($1, $2, $3, $4)",
                version,
                raw.decode(),
                document.data,
                caller.sub,
            )
            return {"version": version, "warnings": policies.warnings(document, version, reps)}

        return await changing.make(change, concerns_all=True)

    @api.get("/v1/policy")
    async def get_policy(_: Reading) -> dict[str, Any]:
        """Show the policy in force."""
        return await policy_row(None)

    @api.get("/v1/policy/schema", dependencies=[Depends(security.public)])
    async def policy_schema() -> dict[str, Any]:
        """Return the JSON Schema of a policy."""
        return dict(policies.SCHEMA)

    @api.get("/v1/policy/{version}")
    async def get_policy_version(_: Reading, version: Version) -> dict[str, Any]:
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
    async def explain(_: Manager, body: Question) -> dict[str, Any]:
        """Say what the policy would do with a lead now; nothing is written."""
        async with db.transaction() as conn:
            group, now = await cache.lock(conn)
            # The choice counts itself in what this process knows of the group, which nobody is to see.
            cache.forget()
            lead = await known(conn, group, now, body.lead.lead_id) if body.lead.lead_id else None
            lead = lead or await _imagined(conn, body.lead, group, now)
            decision = assigning.decide(lead, group.index, group.policy, now, most=None)
        return {
            "outcome": str(decision.outcome),
            "rule": decision.rule,
            "pool": decision.pool,
            "strategy": decision.strategy,
            "rep_id": decision.rep_id,
            "reason_code": decision.reason_code or None,
            "policy_version": group.policy.version if group.policy is not None else 0,
            "considered": [
                {"rep_id": one.rep_id, "chosen": one.chosen, "reason": one.reason}
                for one in assigning.everybody(decision, group.index)
            ],
        }

    @api.post("/v1/policy/simulate")
    async def simulate(_: Manager, body: WhatIf) -> dict[str, Any]:
        """Say what a policy would have done with the leads of a span of the past; nothing is written."""
        async with db.reading() as conn:
            now = await times.now(conn)
            reps = {rep.rep_id: rep.values for rep, _known in await store_group.loads(conn, now)}
            document = policies.parse(body.policy.encode(errors="replace"), reps)
            since, until = body.bounds(now)
            found = await simulating.run(conn, 0, document.data, since, until)
        return {**found, "from": times.text(since), "to": times.text(until)}

    async def known(conn: Connection, group: Group, now: datetime, lead_id: UUID) -> Lead:
        row = (await store.load(conn, [lead_id]))[lead_id]
        if row.fields is None:
            fault = Pointer("/lead/lead_id", "no such lead here")
            raise Problem(422, "No such lead", "Send the fields of one instead.", errors=[fault])
        desk = Desk(group=group, now=now, rows={lead_id: row}, assignments={}, waiting={}, to_route={lead_id: None})
        await desk.look_up_companies(conn)
        return deciding.lead_of(desk, row)

    return api


async def _imagined(conn: Connection, said: Imagined, group: Group, now: datetime) -> Lead:
    texts = ("company", "website", "job_title", "industry", "country", "source", "medium", "campaign")
    domain = said.email.rpartition("@")[2].lower()
    # What sales confirmed is sales' work under the rules of what is ready for them.
    stage = "srl" if said.stage == "sql" else said.stage or "mql"
    made = common_pb2.LeadFields(
        **{name: getattr(said, name) for name in texts},
        has_email=bool(said.email),
        has_phone=bool(said.phone),
        has_first_name=bool(said.first_name),
        has_last_name=bool(said.last_name),
        email_domain=domain,
        email_is_free=said.email_is_free,
        employees=said.employees,
        revenue=said.revenue,
        account_domain=_company_domain(said) or ("" if said.email_is_free else domain),
    )
    seen = common_pb2.Qualification(
        stage=stage, grade=said.grade, persona=said.persona, fit=said.fit, interest=said.interest, cycle=said.cycle
    )
    lead_id, company = ids.derived("lead", "explained"), (made.account_domain, made.company)
    companies = await store_accounts.companies(conn, [company], group.policy, has_accounts=group.has_accounts)
    values = conditions.lead_values(made, seen)
    values |= companies.values(*company, group.roles, but=lead_id, role=role_at(stage))
    values["lead.attributes"] = said.attributes
    return Lead(
        lead_id=lead_id,
        values=values,
        rank=GRADES.get(said.grade, WORST_RANK),
        created_at=said.occurred_at or now,
        owner_rep=values["account.rep_id"] or None,
        account_rep=values["account.active_rep"] or None,
        host_rep=group.by_email.get(said.host_email.lower()),
        previous_rep=said.previous_rep,
        sdr_id=said.sdr_id,
    )


def _company_domain(said: Imagined) -> str:
    """Return the company's domain as it was said, or of its website."""
    try:
        host = urlsplit(said.website if "//" in said.website else f"//{said.website}").hostname
    except ValueError:  # Brackets that hold no address: such a website is nobody's.
        host = None
    return said.account_domain.lower() or host or ""
