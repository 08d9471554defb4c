"""The policy: put in force, shown, and asked what it would do with a lead."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from backbone import database, fields, outbox, security, times
from backbone.database import Connection
from backbone.problem import Pointer, Problem
from routing import (
    assigning,
    checking,
    deciding,
    imagining,
    policies,
    simulating,
    store_counts,
    store_group,
    transaction,
)
from routing.changing import Changing
from routing.desk import Desk
from routing.domain import Decision
from routing.spans import Span
from routing.store_group import Cache

Reading = Annotated[security.Caller, Depends(security.allow("rep", "sdr", "marketing", "manager"))]
Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Question(fields.Body):
    """What about this lead."""

    lead: imagining.Imagined


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
            return {"valid": True, "warnings": checking.warnings(checking.parse(raw, reps), 0, reps)}

        async def change(conn: Connection, desk: Desk) -> dict[str, Any]:
            reps = {rep_id: rep.values for rep_id, rep in desk.group.index.reps.items()}
            document = checking.parse(raw, reps)
            version = await conn.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy")
            await conn.execute(
                "INSERT INTO policy (version, text, document, made_by) VALUES ($1, $2, $3, $4)",
                version,
                raw.decode(),
                document.data,
                caller.sub,
            )
            await store_counts.count_pools(
                conn, {one["pool"]: one["cap"] for one in document.data["pools"] if "cap" in one}
            )
            return {"version": version, "warnings": checking.warnings(document, version, reps)}

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
        """Say what the policy would do with a lead now; nothing is written.

        Of a lead that waits: what trying it now comes to, since when and for which pool it waits included. Of one that
        somebody has: what would be decided if it were to be routed anew now, by the same rules as the router's: its
        place in that rep's load counts as free, and who has it now may be who gets it, unless they declined it.
        `not_routed` says why one that there is would not be routed as it stands, whatever the policy would do with it.
        """
        not_routed = None
        async with db.transaction() as conn:
            desk = await transaction.open_desk(conn, cache, [body.lead.lead_id] if body.lead.lead_id else [])
            # The choice counts itself in what this process knows of the group, which nobody is to see.
            cache.forget()
            group = desk.group
            if body.lead.lead_id:
                decision = await anew(conn, desk, body.lead.lead_id)
                not_routed = deciding.why_not_routed(desk.rows[body.lead.lead_id])
            else:
                lead = await imagining.lead_of(conn, body.lead, group, desk.now)
                decision = assigning.decide(lead, group.index, group.policy, desk.now, most=None)
        return {
            "outcome": str(decision.outcome),
            "rule": decision.rule,
            "pool": decision.pool,
            "strategy": decision.strategy,
            "rep_id": decision.rep_id,
            "reason_code": decision.reason_code or None,
            "not_routed": not_routed,
            "policy_version": group.policy.version if group.policy is not None else 0,
            "considered": [
                {"rep_id": one.rep_id, "chosen": one.chosen, "reason": one.reason}
                for one in assigning.everybody(decision, group.index)
            ],
        }

    @api.post("/v1/policy/simulate")
    async def simulate(_: Manager, body: WhatIf) -> dict[str, Any]:
        """Say what a policy would have done with the leads of a span of the past; nothing is written.

        `not_recorded`: what it reads that the policies of the time did not, and of how many leads; it was taken as
        "" and 0. Under a policy that reads it, in a rule that never holds too, it is recorded. `untouched_cap` is among
        it of leads that were touched before it was noted when: they count as touched from the beginning.
        """
        async with db.reading() as conn:
            now = await times.now(conn)
            reps = {rep.rep_id: rep.values for rep, _known in await store_group.loads(conn, now)}
            document = checking.parse_for_the_past(body.policy.encode(errors="replace"), reps)
            since, until = body.bounds(now)
            found = await simulating.run(conn, 0, document.data, since, until)
        return {**found, "from": times.text(since), "to": times.text(until)}

    async def anew(conn: Connection, desk: Desk, lead_id: UUID) -> Decision:
        row = desk.rows[lead_id]
        if row.fields is None:
            fault = Pointer("/lead/lead_id", "no such lead here")
            raise Problem(422, "No such lead", "Send the fields of one instead.", errors=[fault])
        desk.to_route[lead_id] = None
        await desk.look_up_companies(conn)
        return deciding.imagine(desk, row)

    return api
