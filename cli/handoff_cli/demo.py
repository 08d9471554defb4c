"""A demo company, and leads that keep arriving: `python -m handoff_cli.demo --home DIR`."""

import asyncio
import random
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from handoff_cli.calling import Caller
from handoff_cli.stack import DEFAULT_HOME, make_token

WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
REPS: Final = (
    ("ingrid", "Ingrid Solberg", "sdr", "Europe/Oslo"),
    ("jonas", "Jonas Weber", "sdr", "Europe/Berlin"),
    ("maria", "Maria Lopez", "sdr", "America/Chicago"),
    ("kenji", "Kenji Mori", "sdr", "Asia/Tokyo"),
    ("ruth", "Ruth Adeyemi", "sales", "Europe/Berlin"),
    ("tom", "Tom Becker", "sales", "America/Chicago"),
    ("yuki", "Yuki Tanaka", "sales", "Asia/Tokyo"),
)
DEFINITION: Final = """
order: 1
required: [email, company]
fit:
  - {rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}
  - {rule: small company, when: lead.employees >= 20 && lead.employees < 100, points: 20}
  - {rule: free mail, when: lead.email_is_free, points: -30}
interest:
  half_life: 14d
  ceiling: 100
  groups:
    - group: content
      ceiling: 30
      rules:
        - {rule: webinar, kind: webinar_attended, points: 15, ceiling: 30}
        - {rule: paper, kind: content_downloaded, points: 10}
    - group: buying
      rules:
        - {rule: pricing, kind: pricing_viewed, points: 20}
buying_signals: [demo_requested, contact_requested]
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: nurture}
"""
POLICY: Final = """
pools:
  - {pool: sdr, reps: rep.role == "sdr", strategy: weighted_round_robin}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: named accounts, to: owner}
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: everyone, to: sdr}
"""
SLA: Final = """
clocks:
  - {kind: first_response_5m, within: 5m, from: assignment, warn: [60%]}
  - {kind: first_response_30m, within: 30m, from: assignment}
  - {kind: first_response_1d, within: 1d, from: assignment}
escalations:
  - {kind: first_response_30m, after: 0s, to: manager}
"""
COMPANIES: Final = ("Fintrove", "Larkspur", "Northbeam", "Quillon", "Vantora", "Brightmoor", "Oakline", "Sabre Peak")
PEOPLE: Final = ("Amara Nwosu", "Daniel Osei", "Lena Vogt", "Priya Raman", "Marco Conti", "Elif Kaya", "Noah Lindqvist")
KINDS: Final = ("demo_requested", "pricing_viewed", "webinar_attended", "content_downloaded")
PAUSES_S: Final = (5.0, 20.0)


async def load(home: Path) -> None:
    """Set the demo company up; a second time it changes nothing that is there."""
    async with Caller(home) as admin:
        for rep_id, name, role, zone in REPS:
            body = {
                "name": name,
                "email": f"{rep_id}@kestrel.example",
                "team": "emea" if zone.startswith("Europe") else "world",
                "role": role,
                "time_zone": zone,
                "working_hours": [{"days": WEEK, "start": "00:00", "end": "24:00"}],
                "cap": 60,
            }
            await admin.ask("PUT", "routing", f"/v1/reps/{rep_id}", json=body)
        if (await admin.call("GET", "routing", "/v1/policy")).status_code == 404:
            await admin.ask("PUT", "routing", "/v1/policy", content=POLICY)
            await admin.ask("PUT", "sla-monitor", "/v1/policies/standard", content=SLA)
        if not (await admin.ask("GET", "qualification", "/v1/definitions"))["items"]:
            await _agree(home, admin)


async def _agree(home: Path, admin: Caller) -> None:
    made = await admin.ask("POST", "qualification", "/v1/definitions/saas", content=DEFINITION)
    path = f"/v1/definitions/saas/{made['version']}"
    for role, party in (("marketing", "marketing"), ("manager", "sales")):
        headers = {"Authorization": f"Bearer {make_token(admin.home, role)}"}
        await admin.ask("POST", "qualification", f"{path}/sign", json={"party": party}, headers=headers)
    await admin.ask("POST", "qualification", f"{path}/activate")


async def arrive(home: Path) -> None:
    """Let leads arrive for ever, and somebody call now and then."""
    chance = random.Random()  # noqa: S311 - no secret
    number = 0
    async with Caller(home) as caller:
        while True:
            number += 1
            lead = await caller.ask("POST", "lead-intake", "/v1/leads", json=_lead(chance))
            kind = chance.choice(KINDS)
            did = {"lead_id": lead["lead_id"], "kind": kind}
            await caller.ask("POST", "lead-intake", "/v1/engagements", json=did)
            if number % 3 == 0:
                await _call(caller, lead["lead_id"])
            await asyncio.sleep(chance.uniform(*PAUSES_S))


def _lead(chance: random.Random) -> dict[str, Any]:
    company, person = chance.choice(COMPANIES), chance.choice(PEOPLE)
    first, last = person.split()
    domain = company.lower().replace(" ", "-")
    return {
        "email": f"{first}.{last}.{chance.randrange(10**6)}@{domain}.example".lower(),
        "first_name": first,
        "last_name": last,
        "company": company,
        "job_title": chance.choice(("Head of Sales", "CTO", "Operations Manager", "Founder")),
        "employees": chance.choice((12, 45, 180, 800, 2400)),
        "country": chance.choice(("DE", "GB", "US", "JP", "NO")),
        "source": chance.choice(("webinar", "google-ads", "referral", "website")),
    }


async def _call(caller: Caller, lead_id: str) -> None:
    await asyncio.sleep(2)
    answer = await caller.call("GET", "routing", f"/v1/leads/{lead_id}/assignment")
    if answer.is_error:
        return
    touch = {"lead_id": lead_id, "rep_id": answer.json()["rep_id"], "kind": "call", "outcome": "connected"}
    await caller.ask("POST", "lead-intake", "/v1/touches", json=touch)


def main(home: Annotated[Path, typer.Option()] = DEFAULT_HOME) -> None:
    """Load the company, then let leads arrive."""

    async def run() -> None:
        await load(home)
        await arrive(home)

    asyncio.run(run())


if __name__ == "__main__":
    typer.run(main)
