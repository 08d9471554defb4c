"""What sla-monitor shows over HTTP."""

from typing import Any
from uuid import UUID

from backbone.testing.stage import Actor


async def put(sla: Actor, text: str, name: str = "standard") -> None:
    """Put an SLA policy in force."""
    answer = await sla.http.put(f"/v1/policies/{name}", content=text)
    assert answer.status_code == 200, answer.text


async def clocks(sla: Actor, lead: UUID) -> dict[tuple[str, int], dict[str, Any]]:
    """Return a lead's clocks by name and cycle."""
    found = (await sla.http.get(f"/v1/leads/{lead}/clocks")).json()
    return {(one["clock"], one["cycle"]): one for one in found}


async def states(sla: Actor, lead: UUID) -> dict[tuple[str, int], str]:
    """Return how they stand."""
    return {key: one["state"] for key, one in (await clocks(sla, lead)).items()}
