"""forecast with its neighbours' topics in the test's hands; one process for all tests of a file.

Each test has reps of its own, whose sums nobody else changes.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from forecast import store
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2, routing_pb2

AT = "2026-11-10T12:00:00Z"


class Company:
    """The running service, and what its neighbours tell it."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.http = actor.http
        self.rep = f"rep-{ids.new()}"

    async def open(self, **body: Any) -> dict[str, Any]:
        """Open a deal."""
        given = {"owner_id": self.rep, "account": "acme.example", "occurred_at": AT, **body}
        answer = await self.http.post("/v1/opportunities", json=given)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def move(self, deal: str, **body: Any) -> dict[str, Any]:
        """Move a deal."""
        answer = await self.http.post(f"/v1/opportunities/{deal}/moves", json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Post as a client that does what a 503 says: send the same again."""
        while (answer := await self.http.post(path, json=body)).status_code == 503:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        assert answer.status_code in (200, 201, 202), answer.text

    async def deals(self, lead: UUID) -> list[dict[str, Any]]:
        """Return a lead's deals."""
        answer = await self.http.get("/v1/opportunities", params={"lead_id": str(lead)})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def sums(self, period: str, rep: str | None = None, **params: Any) -> dict[str, str]:
        """Return what a rep has in a period, by category."""
        answer = await self.http.get("/v1/forecast", params={"period": period, **params})
        assert answer.status_code == 200, answer.text
        for node in answer.json()["nodes"]:
            if node["rep_id"] == (rep or self.rep):
                return {category: sums["all"] for category, sums in node["categories"].items()}
        return {}

    async def tell(self, topic: str, *events: tuple[UUID, Any], twice: bool = False) -> None:
        """Publish as a neighbour and wait until it is taken in."""
        await self.actor.publish(topic, events, twice=twice)
        await self.actor.settled()

    async def told(self, name: str, of: UUID, count: int = 1) -> list[Any]:
        """Wait for so many events of this name with this key, and return the messages of all that came."""

        def found(seen: Any) -> list[Any]:
            return [event.message for event in seen if event.type == name and event.subject == of]

        return found(await self.actor.published(lambda seen: len(found(seen)) >= count))

    async def check_counters(self) -> None:
        """The counters are what the deals say, and each deal is the fold of its moves."""
        async with self.actor.database.transaction() as conn:
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            zone = await conn.fetchval("SELECT zone FROM setting")
            leaves = {tuple(row.values()) for row in await conn.fetch(store.LEAVES, zone)}
            counters = {tuple(row.values()) for row in await conn.fetch("SELECT * FROM counter WHERE deals <> 0")}
            assert counters == leaves
            assert await conn.fetchval("SELECT count(*) FROM counter WHERE deals = 0 AND amount <> 0") == 0
            kept = {row[0]: row[1] for row in await conn.fetch("SELECT opportunity_id, stage FROM opportunity")}
            for deal in await store.known_by(conn, datetime.fromisoformat("2199-01-01T00:00:00Z")):
                assert deal.state.stage == kept[deal.opportunity_id]

    # What neighbours say

    def stamp(self, lead: UUID, at: str = AT) -> common_pb2.Stamp:
        """Return the stamp of a fact."""
        when = times.stamp(times.parse(at))
        return common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=when, recorded_at=when)

    def captured(self, lead: UUID, at: str = AT, **fields: Any) -> tuple[UUID, Any]:
        """Return LeadCaptured."""
        given = common_pb2.LeadFields(created_at=times.stamp(times.parse(at)), **fields)
        return lead, intake_pb2.LeadCaptured(stamp=self.stamp(lead, at), lead=given)

    def said(self, of: UUID, name: str, at: str = AT, **fields: Any) -> tuple[UUID, Any]:
        """Return an event of qualification."""
        qualification = common_pb2.Qualification(
            definition=fields.pop("definition", "saas@1"),
            reason=fields.pop("reason", ""),
            previous_stage=fields.pop("previous_stage", ""),
        )
        made = getattr(qualification_pb2, name)(stamp=self.stamp(of, at), qualification=qualification, **fields)
        return of, made

    def sales_ready(self, lead: UUID, at: str = AT, **fields: Any) -> tuple[UUID, Any]:
        """Return LeadSalesReady."""
        told = common_pb2.LeadFields(company="Acme", account_domain="acme.example")
        return self.said(lead, "LeadSalesReady", at, lead=told, sdr_id="ana", **fields)

    def merged(self, survivor: UUID, merged: UUID, at: str = AT) -> list[tuple[UUID, Any]]:
        """Return LeadMerged, under either key."""
        message = intake_pb2.LeadMerged(
            stamp=self.stamp(survivor, at), survivor_id=str(survivor), merged_id=str(merged)
        )
        message.lead.created_at.CopyFrom(times.stamp(times.parse(AT)))
        return [(merged, message), (survivor, message)]

    def unmerged(self, survivor: UUID, parted: UUID, at: str = AT) -> list[tuple[UUID, Any]]:
        """Return LeadUnmerged, each half under its own key."""
        told = []
        for one in (survivor, parted):
            message = intake_pb2.LeadUnmerged(
                stamp=self.stamp(one, at), survivor_id=str(survivor), unmerged_id=str(parted)
            )
            message.lead.created_at.CopyFrom(times.stamp(times.parse(AT)))
            told.append((one, message))
        return told

    def routed(self, lead: UUID, rep: str, at: str = AT, role: str = "sales") -> tuple[UUID, Any]:
        """Return LeadRouted."""
        message = routing_pb2.LeadRouted(
            stamp=self.stamp(lead, at), rep_id=rep, cycle=2, rep=common_pb2.Rep(rep_id=rep, role=role)
        )
        return lead, message

    def handed_over(self, deal: UUID, to: str, at: str = AT) -> tuple[UUID, Any]:
        """Return OpportunityHandedOver, of a deal without a lead."""
        message = routing_pb2.OpportunityHandedOver(stamp=self.stamp(deal, at), opportunity_id=str(deal), to_rep_id=to)
        message.stamp.lead_id = ""
        times.put(message.handed_over_at, times.parse("2026-11-12T12:00:00Z"))
        return deal, message


@pytest.fixture(scope="module")
async def forecast(servers: Any, signer: Signer) -> AsyncIterator[Actor]:
    """The running service."""
    stage = Stage(servers, signer)
    yield await stage("forecast")
    await stage.close()


@pytest.fixture
def company(forecast: Actor) -> Company:
    """A company with a rep of the test's own."""
    return Company(forecast)
