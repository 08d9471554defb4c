"""What tests of routing say to it and ask of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import httpx

from backbone import ids, times
from backbone.testing.stage import Actor
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2, sla_pb2

DAYS: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ALWAYS: Final = [{"days": DAYS, "start": "00:00", "end": "24:00"}]
NOW: Final = times.parse("2026-11-10T12:00:00Z")


async def put(routing: Actor, path: str, **body: Any) -> httpx.Response:
    """Put as a client that does what a 503 says: send the same again."""
    while (answer := await routing.http.put(path, **body)).status_code == 503:  # noqa: ASYNC110 - as clients do
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    assert answer.status_code == 200, answer.text
    return answer


async def put_rep(routing: Actor, rep_id: str, **fields: Any) -> None:
    body = {"name": rep_id, "email": f"{rep_id}@kestrel.example", "team": "north", "role": "sdr", "time_zone": "UTC"}
    await put(routing, f"/v1/reps/{rep_id}", json={**body, "working_hours": ALWAYS, **fields})


async def put_policy(routing: Actor, text: str) -> int:
    answer = await put(routing, "/v1/policy", content=text)
    return int(answer.json()["version"])


def stamp(lead: UUID, *, live: bool = True) -> common_pb2.Stamp:
    now = times.stamp(NOW)
    return common_pb2.Stamp(lead_id=str(lead), live=live, occurred_at=now, recorded_at=now, arrived_at=now)


def fields(**said: Any) -> common_pb2.LeadFields:
    return common_pb2.LeadFields(created_at=times.stamp(NOW), **said)


FIELDS: Final = fields(company="Acme", account_domain="acme.example")


def qualified(
    lead: UUID,
    *,
    stage: str = "mql",
    grade: str = "A1",
    live: bool = True,
    cycle: int = 1,
    told: common_pb2.LeadFields = FIELDS,
    host_email: str = "",
    **more: Any,
) -> tuple[UUID, Any]:
    seen = common_pb2.Qualification(stage=stage, grade=grade, cycle=cycle, host_email=host_email)
    shape = qualification_pb2.LeadSalesReady if stage == "srl" else qualification_pb2.LeadQualified
    return lead, shape(stamp=stamp(lead, live=live), qualification=seen, lead=told, **more)


def taken_over(lead: UUID, owner_id: str, stage: str = "mql") -> tuple[UUID, Any]:
    standing = common_pb2.Standing(owner_id=owner_id, stage=stage, assigned_at=times.stamp(NOW))
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead), lead=FIELDS, standing=standing)


def told_again(lead: UUID, owner_id: str, stage: str) -> tuple[UUID, Any]:
    """Post a lead that is known, with who has it elsewhere and at which stage."""
    standing = common_pb2.Standing(owner_id=owner_id, stage=stage)
    return lead, intake_pb2.LeadUpdated(stamp=stamp(lead), lead=FIELDS, standing=standing)


def over(lead: UUID, stage: str) -> tuple[UUID, Any]:
    """Say what qualification says of a lead that is over at its source."""
    seen = common_pb2.Qualification(stage=stage, cycle=1, definition="imported")
    shapes = {"disqualified": qualification_pb2.LeadDisqualified, "customer": qualification_pb2.LeadConverted}
    return lead, shapes.get(stage, qualification_pb2.LeadRecycled)(stamp=stamp(lead), qualification=seen)


def recycled(lead: UUID, stage: str = "nurture") -> tuple[UUID, Any]:
    seen = common_pb2.Qualification(stage=stage, reason="timing", cycle=1)
    return lead, qualification_pb2.LeadRecycled(stamp=stamp(lead), qualification=seen)


def touched(lead: UUID, rep_id: str = "ana", *, seconds_ago: int = 0) -> tuple[UUID, Any]:
    message = intake_pb2.TouchRecorded(stamp=stamp(lead), rep_id=rep_id, kind="call", outcome="attempted")
    message.stamp.occurred_at.GetCurrentTime()
    message.stamp.occurred_at.seconds -= seconds_ago
    return lead, message


def booked(lead: UUID, host: str, kind: str = "meeting_booked", meeting: Any = None) -> tuple[UUID, Any]:
    message = intake_pb2.EngagementRecorded(stamp=stamp(lead), kind=kind)
    message.properties.update({"host_email": host, **({} if meeting is None else {"meeting_id": meeting})})
    return lead, message


def escalated(lead: UUID, cycle: int, to: str = "reassign", rep_id: str = "", alert_id: str = "") -> tuple[UUID, Any]:
    alert = sla_pb2.Alert(level="escalation", to=to, alert_id=alert_id or str(ids.new()))
    return lead, sla_pb2.SlaEscalated(stamp=stamp(lead), clock=sla_pb2.Clock(cycle=cycle, rep_id=rep_id), alert=alert)


def taken_back(lead: UUID, rep_id: str, alert_id: str) -> tuple[UUID, Any]:
    clock = sla_pb2.Clock(rep_id=rep_id)
    return lead, sla_pb2.EscalationRetracted(stamp=stamp(lead), clock=clock, alert_id=alert_id, to="pause")


async def learn(routing: Actor, topic: str, *some: tuple[UUID, Any]) -> None:
    await routing.publish(topic, list(some))
    await routing.settled()


async def holder(routing: Actor, lead: UUID) -> str | None:
    answer = await routing.http.get(f"/v1/leads/{lead}/assignment")
    return answer.json().get("rep_id")


async def decision(routing: Actor, lead: UUID) -> dict[str, Any]:
    """Return the newest decision over the lead."""
    found: dict[str, Any] = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"][0]
    return found


async def waiting(routing: Actor) -> dict[str, str]:
    items = (await routing.http.get("/v1/waiting")).json()["items"]
    return {item["lead_id"]: item["reason_code"] for item in items}


async def loads(routing: Actor) -> dict[str, int]:
    """Read every rep's load, page by page."""
    found: dict[str, int] = {}
    asked: dict[str, str] | None = {"limit": "1"}
    while asked is not None:
        page = (await routing.http.get("/v1/load", params=asked)).json()
        found |= {item["rep_id"]: item["open"] for item in page["items"]}
        asked = {"limit": "1", "cursor": page["next_cursor"]} if page["next_cursor"] else None
    return found


async def made_again(routing: Actor, leads: Sequence[UUID]) -> None:
    """Make the one decision over each of these leads again from what it saw: it says the same, of every rep."""
    for lead in leads:
        (made,) = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
        again = (await routing.http.post(f"/v1/decisions/{made['decision_id']}/replay")).json()
        assert (again["same"], again["considered"]) == (True, made["considered"])


async def come(routing: Actor, count: int) -> list[UUID]:
    """Let so many leads come at once."""
    leads = [ids.new() for _ in range(count)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    return leads


async def what_if(routing: Actor, policy: str, since: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """Ask what a policy would have done with the leads since then."""
    answer = await routing.http.post("/v1/policy/simulate", json={"policy": policy, "from": since})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
