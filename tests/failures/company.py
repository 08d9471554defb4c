"""A small company whose three reps have tight caps, and whose clocks run out within seconds."""

from collections.abc import Callable
from typing import Final

import httpx

WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
REPS: Final = ("ana", "ben", "cem")
CAP: Final = 50
DEFINITION: Final = """
required: [email]
fit: [{rule: everybody, when: "true", points: 40}]
bands: {fit: {A: 40, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: pass, C1: nurture, C3: nurture}
"""
POLICY: Final = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""
SLA: Final = """
clocks: [{kind: first_response_5m, within: 4s, from: assignment, warn: [50%]}]
"""


async def found(as_role: Callable[[str], httpx.AsyncClient], *, qualification: str, routing: str, sla: str) -> None:
    """Set the company up through HTTP; doing it again changes nothing."""
    admin = as_role("admin")
    (await admin.put(f"{sla}/v1/policies/standard", content=SLA)).raise_for_status()
    hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
    for rep_id in REPS:
        body = {"name": rep_id, "email": f"{rep_id}@x.example", "team": "t", "role": "sdr", "time_zone": "UTC"}
        answer = await admin.put(f"{routing}/v1/reps/{rep_id}", json={**body, "working_hours": hours, "cap": CAP})
        answer.raise_for_status()
    (await admin.put(f"{routing}/v1/policy", content=POLICY)).raise_for_status()
    await _agree(as_role, f"{qualification}/v1/definitions/d")


async def _agree(as_role: Callable[[str], httpx.AsyncClient], url: str) -> None:
    admin = as_role("admin")
    if (await admin.get(f"{url}/1")).status_code != 404:
        return
    (await admin.post(url, content=DEFINITION)).raise_for_status()
    for role, party in (("marketing", "marketing"), ("manager", "sales")):
        (await as_role(role).post(f"{url}/1/sign", json={"party": party})).raise_for_status()
    (await admin.post(f"{url}/1/activate")).raise_for_status()
