"""A demo company, and leads that keep arriving: `python -m handoff_cli.demo --home DIR`.

What it says is followed by `make run`: companies and reps by name, nobody's address.
"""

import asyncio
import os
import random
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from handoff_cli import demo_company, demo_people, demo_work
from handoff_cli.calling import Caller
from handoff_cli.demo_company import MANAGER, REPS
from handoff_cli.stack import DEFAULT_HOME
from handoff_local.supervisor import DEMO

PAST_LEADS: Final = 150
FIRST_WAVE: Final = 8
WAVE_PAUSES_S: Final = (0.5, 3.0)
PAUSES_S: Final = (8.0, 35.0)


async def load(admin: Caller, chance: random.Random) -> None:
    """Set the company up; what is there already stays as people have made it."""
    known = {one["rep_id"] for one in (await admin.ask("GET", "routing", "/v1/reps"))["items"]}
    for rep in REPS:
        if rep.rep_id not in known:
            await admin.ask("PUT", "routing", f"/v1/reps/{rep.rep_id}", json=rep.body())
    if (await admin.call("GET", "routing", "/v1/policy")).status_code == 404:
        await admin.ask("PUT", "routing", "/v1/policy", content=demo_company.POLICY)
        await admin.ask("PUT", "sla-monitor", "/v1/policies/standard", content=demo_company.SLA)
        await _sign_sla(admin)
        await _plan(admin)
    if not (await admin.ask("GET", "qualification", "/v1/definitions"))["items"]:
        await _agree(admin)
    await _let_sign_in(admin)
    await _remember(admin, chance)


async def _agree(admin: Caller) -> None:
    made = await admin.ask("POST", "qualification", "/v1/definitions/saas", content=demo_company.DEFINITION)
    path = f"/v1/definitions/saas/{made['version']}"
    for role, party in (("marketing", "marketing"), ("manager", "sales")):
        said = {"party": party}
        await admin.ask("POST", "qualification", f"{path}/sign", json=said, headers=admin.bearer(role))
    await admin.ask("POST", "qualification", f"{path}/activate")


async def _sign_sla(admin: Caller) -> None:
    policy = await admin.ask("GET", "sla-monitor", "/v1/policies/standard")
    path = f"/v1/policies/standard/{policy['version']}/sign"
    for role, party in (("marketing", "marketing"), ("manager", "sales")):
        said = {"party": party, "decision": "sign"}
        await admin.ask("POST", "sla-monitor", path, json=said, headers=admin.bearer(role))


async def _plan(admin: Caller) -> None:
    """Put the sales team and its targets into the forecast."""
    teams = [{"node_id": team, "parent_id": "kestrel", "name": team.upper()} for team in demo_company.TARGETS]
    reps = [
        {"node_id": rep.rep_id, "parent_id": rep.team, "rep_id": rep.rep_id, "name": rep.name}
        for rep in demo_company.SALES
    ]
    nodes = [{"node_id": "kestrel", "name": "Kestrel"}, *teams, *reps]
    await admin.ask("PUT", "forecast", "/v1/hierarchy", json=nodes)
    now = datetime.now(UTC)
    period = f"{now.year}-Q{(now.month - 1) // 3 + 1}"
    targets = [{"node_id": team, "period": period, "amount": amount} for team, amount in demo_company.TARGETS.items()]
    await admin.ask("PUT", "forecast", "/v1/targets", json=targets)


async def _let_sign_in(admin: Caller) -> None:
    """Give everybody an account of the console, with one password for all of the demo."""
    password = admin.home.remembered(DEMO).get("password") or secrets.token_urlsafe(9)
    admin.home.remember(DEMO, {"password": password})
    people = [{"email": rep.email, "name": rep.name, "role": _role(rep), "rep_id": rep.rep_id} for rep in REPS]
    people.append({"email": MANAGER.email, "name": MANAGER.name, "role": "manager"})
    for person in people:
        await admin.call("POST", "console", "/v1/accounts", json={**person, "password": password})


def _role(rep: demo_company.Rep) -> str:
    return "sdr" if rep.role == "sdr" else "rep"


async def _remember(admin: Caller, chance: random.Random) -> None:
    """Tell of the weeks before, once."""
    found = await admin.ask("GET", "lead-intake", "/v1/leads", params={"external_id": "demo-0"})
    if found["items"]:
        return
    sdrs = [rep.rep_id for rep in demo_company.SDRS]
    for plural, bodies in demo_people.past(chance, datetime.now(UTC), PAST_LEADS, sdrs).items():
        for start in range(0, len(bodies), 500):
            batch = {plural: bodies[start : start + 500]}
            await admin.ask("POST", "lead-intake", f"/v1/{plural}/batch", json=batch)


async def arrive(caller: Caller, chance: random.Random) -> None:
    """Let leads arrive for ever, a few at once to begin with, and reps work them."""
    played = demo_work.Play(caller, chance, away=demo_company.on_duty(datetime.now(UTC)).rep_id)
    number = 0
    async with asyncio.TaskGroup() as group:
        while True:
            number += 1
            who = demo_people.visitor(chance, int(datetime.now(UTC).timestamp() * 1000))
            group.create_task(played.journey(who))
            await asyncio.sleep(chance.uniform(*(WAVE_PAUSES_S if number < FIRST_WAVE else PAUSES_S)))


def main(home: Annotated[Path, typer.Option()] = DEFAULT_HOME) -> None:
    """Load the company, then let leads arrive."""

    async def run() -> None:
        chance = random.Random()  # noqa: S311 - no secret
        async with Caller(home) as caller:
            await load(caller, chance)
            caller.home.remember(DEMO, {"loaded_by": str(os.getpid())})
            demo_work.say("the demo company is loaded, leads arrive")
            await arrive(caller, chance)

    asyncio.run(run())


if __name__ == "__main__":
    typer.run(main)
