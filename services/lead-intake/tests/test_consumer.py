"""What lead-intake learns from other services."""

from uuid import UUID

import pytest

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, routing_pb2


@pytest.fixture
async def intake(start: Stage) -> Actor:
    return await start("intake")


async def stamp(intake: Actor, lead_id: UUID) -> common_pb2.Stamp:
    async with intake.database.reading() as conn:
        now = times.stamp(await times.now(conn))
    return common_pb2.Stamp(lead_id=str(lead_id), live=True, occurred_at=now, recorded_at=now, arrived_at=now)


async def post(intake: Actor, **fields: str) -> UUID:
    return UUID((await intake.http.post("/v1/leads", json=fields)).json()["lead_id"])


async def test_a_lead_is_its_owners_to_see_until_it_is_released(intake: Actor) -> None:
    lead_id = await post(intake, email="a@b.example")
    told = await stamp(intake, lead_id)
    ana, ben = intake.as_role("rep", rep="ana"), intake.as_role("rep", rep="ben")
    await intake.publish("routing", [(lead_id, routing_pb2.LeadRouted(stamp=told, rep_id="ana", cycle=1))])
    await intake.settled()
    assert (await ana.get(f"/v1/leads/{lead_id}")).status_code == 200
    assert (await ana.get("/v1/leads", params={"email": "a@b.example"})).status_code == 200
    assert (await ben.get(f"/v1/leads/{lead_id}")).status_code == 403
    handed_over = [
        (lead_id, routing_pb2.AssignmentReleased(stamp=told, rep_id="ana", cycle=1)),
        (lead_id, routing_pb2.LeadRouted(stamp=told, rep_id="ben", cycle=2)),
    ]
    await intake.publish("routing", handed_over, twice=True)
    await intake.settled()
    assert (await ana.get(f"/v1/leads/{lead_id}")).status_code == 403
    assert (await ben.get(f"/v1/leads/{lead_id}")).status_code == 200


async def test_the_release_of_a_merged_lead_says_nothing_of_its_survivor(intake: Actor) -> None:
    a, b = await post(intake, email="a@b.example"), await post(intake, email="c@b.example")
    routed = routing_pb2.LeadRouted(stamp=await stamp(intake, a), rep_id="ana", cycle=1)
    await intake.publish("routing", [(a, routed)])
    await intake.http.post(f"/v1/leads/{a}/merge", json={"other_lead_id": str(b)})
    released = routing_pb2.AssignmentReleased(stamp=await stamp(intake, b), rep_id="ben", cycle=3, outcome="merged")
    await intake.publish("routing", [(b, released)])
    await intake.settled()
    assert (await intake.as_role("rep", rep="ana").get(f"/v1/leads/{b}")).status_code == 200


async def test_an_erasure_is_done_when_every_service_has_said_so(intake: Actor) -> None:
    lead_id = await post(intake, email="a@b.example")
    erasure = (await intake.http.delete(f"/v1/leads/{lead_id}/personal-data")).json()["erasure_id"]
    others = ["qualification", "routing", "sla", "forecast", "notifications", "console"]
    for service in others:
        assert (await intake.http.get(f"/v1/erasures/{erasure}")).json()["state"] == "running"
        said = common_pb2.PersonalDataDeleted(stamp=await stamp(intake, lead_id), erasure_id=erasure, service=service)
        await intake.publish(service, [(lead_id, said)], twice=True)

    async def is_done() -> None:
        report = (await intake.http.get(f"/v1/erasures/{erasure}")).json()
        assert report["state"] == "done"
        assert set(report["services"].values()) == {"done"}

    await eventually(is_done)


async def test_what_concerns_unknown_leads_and_erasures_is_taken_as_it_comes(intake: Actor) -> None:
    nobody = ids.new()
    said = common_pb2.PersonalDataDeleted(
        stamp=await stamp(intake, nobody), erasure_id=str(ids.new()), service="routing"
    )
    await intake.publish("routing", [(nobody, said)])
    await intake.settled()
    async with intake.database.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM parked") == 0
