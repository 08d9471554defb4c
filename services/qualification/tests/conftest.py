"""qualification with its neighbours' topics in the test's hands; one process for all tests of a file.

Each test brings a definition of its own, which applies to leads of a source of its own.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2, routing_pb2

DEFINITION = """
order: 1
applies: lead.source == "SOURCE"
required: [email, company]
exclude:
  - {rule: too small, when: '!("employees" in lead.missing) && lead.employees < 10', reason: too_small, action: drop}
fit:
  - {rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}
  - {rule: free mail, when: lead.email_is_free, points: -30}
situation:
  - {rule: replaces a tool, when: lead.attributes.current_tool != "", points: 5.5}
interest:
  ceiling: 100
  groups:
    - group: content
      ceiling: 30
      rules:
        - {rule: webinar, kind: webinar_attended, points: 15, ceiling: 30}
        - {rule: pricing, kind: pricing_viewed, when: engagement.properties.seconds > 10, points: 20}
buying_signals: [demo_requested]
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: nurture}
personas: [{persona: head of sales, when: lead.job_title.contains("Sales")}]
srl: {need: yes, at_least_yes: 2, never_no: [budget]}
"""


class Company:
    """A definition in force, and leads that it applies to."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.source = f"source-{ids.new()}"
        self.name = f"saas-{ids.new()}"

    async def put(self, text: str = DEFINITION) -> int:
        """Save a draft and return its version."""
        answer = await self.actor.http.post(f"/v1/definitions/{self.name}", content=text.replace("SOURCE", self.source))
        assert answer.status_code == 201, answer.text
        return int(answer.json()["version"])

    async def sign(self, version: int) -> None:
        """Let two people sign."""
        path = f"/v1/definitions/{self.name}/{version}/sign"
        for role, party in (("marketing", "marketing"), ("manager", "sales")):
            signed = await self.actor.as_role(role, sub=f"a {role}").post(path, json={"party": party})
            assert signed.status_code == 200, signed.text

    async def activate(self, text: str = DEFINITION, at: datetime | None = None) -> str:
        """Put a definition in force, and return how decisions cite it."""
        version = await self.put(text)
        await self.sign(version)
        body = {"at": times.text(at)} if at is not None else None
        answer = await self.actor.http.post(f"/v1/definitions/{self.name}/{version}/activate", json=body)
        assert answer.status_code == 200, answer.text
        return f"{self.name}@{version}"

    def fields(self, **fields: Any) -> common_pb2.LeadFields:
        """Return a lead that fits."""
        given = {"has_email": True, "company": "Acme", "employees": 500, "source": self.source, **fields}
        return common_pb2.LeadFields(**given)

    def captured(self, lead: UUID, *, live: bool = True, standing: Any = None, **fields: Any) -> tuple[UUID, Any]:
        """Return LeadCaptured."""
        message = intake_pb2.LeadCaptured(stamp=stamp(lead, live=live), lead=self.fields(**fields), standing=standing)
        return lead, message

    async def publish(self, *events: tuple[UUID, Any], topic: str = "intake", twice: bool = False) -> None:
        """Publish as a neighbour and wait until it is taken in."""
        await self.actor.publish(topic, events, twice=twice)
        await self.actor.settled()

    async def routed(self, lead: UUID, rep: str, *, role: str = "sdr", cycle: int = 1) -> None:
        """Give the lead to a rep."""
        message = routing_pb2.LeadRouted(
            stamp=stamp(lead), rep_id=rep, cycle=cycle, rep=common_pb2.Rep(rep_id=rep, role=role)
        )
        await self.publish((lead, message), topic="routing")

    async def shown(self, lead: UUID) -> dict[str, Any]:
        """Return what GET says of the lead; the total is always what the explanation adds up to."""
        answer = await self.actor.http.get(f"/v1/leads/{lead}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert sum(point["counted"] for point in body["explanation"]) == body["fit"] + body["interest"]
        return body

    async def until(self, lead: UUID, stage: str) -> dict[str, Any]:
        """Wait until the lead stands at a stage."""

        async def there() -> dict[str, Any]:
            state = await self.shown(lead)
            assert state["stage"] == stage
            return state

        return await eventually(there)

    async def told(self, lead: UUID, name: str, count: int = 1) -> list[Any]:
        """Wait for events of this name about the lead, and return the messages of all that came."""

        def found(seen: Any) -> list[Any]:
            return [event.message for event in seen if event.type == name and event.subject == lead]

        return found(await self.actor.published(lambda seen: len(found(seen)) >= count))

    async def names(self, lead: UUID) -> list[str]:
        """Return the names of all events about the lead so far, in order."""
        await self.actor.settled()
        async with self.actor.database.reading() as conn:
            last = await conn.fetchval("SELECT published FROM subject WHERE subject_id = $1", lead)

        def complete(seen: Any) -> bool:
            return not last or any(event.subject == lead and event.version == last for event in seen)

        return [event.type for event in await self.actor.published(complete) if event.subject == lead]


def stamp(lead: UUID, *, live: bool = True, at: datetime | None = None) -> common_pb2.Stamp:
    """Return the stamp of a fact of now, or of an instant."""
    when = times.stamp(at or datetime.now(UTC))
    return common_pb2.Stamp(
        lead_id=str(lead), live=live, occurred_at=when, recorded_at=when, arrived_at=when if live else None
    )


def engaged(
    lead: UUID, kind: str, *, days_ago: float = 0, live: bool = True, original: UUID | None = None, **properties: Any
) -> tuple[UUID, Any]:
    """Return EngagementRecorded."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    message = intake_pb2.EngagementRecorded(
        stamp=stamp(lead, at=at, live=live),
        engagement_id=str(ids.new()),
        kind=kind,
        original_lead_id=str(original or lead),
    )
    message.properties.update(properties)
    return lead, message


@pytest.fixture(scope="module")
async def qualification(servers: Any, signer: Signer) -> AsyncIterator[Actor]:
    """The running service."""
    stage = Stage(servers, signer)
    yield await stage("qualification")
    await stage.close()


@pytest.fixture
def company(qualification: Actor) -> Company:
    """A company of the test's own."""
    return Company(qualification)


@pytest.fixture
def engagement() -> Any:
    """The maker of engagements."""
    return engaged


@pytest.fixture
def stamped() -> Any:
    """The maker of stamps."""
    return stamp


@pytest.fixture
def definition_text() -> str:
    """The definition that most tests use."""
    return DEFINITION
