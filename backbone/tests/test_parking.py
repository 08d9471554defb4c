"""What is set aside, what waits behind it, and when a person has to look, on a real broker and a real database."""

import asyncio
from typing import Any
from uuid import UUID

from backbone import ids, kafka
from backbone.testing import eventually
from backbone.testing.ledger import Ledger, read, touch
from backbone.testing.stage import Actor, Stage
from backbone.testing.tap import garbage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2


async def notes(actor: Actor, lead: UUID) -> list[str]:
    return [note for one, note in await read(actor.database) if one == lead]


async def parked(actor: Actor) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await actor.http.get("/v1/parked")).json()["items"]
    return items


async def dead_letters(actor: Actor, count: int) -> list[dict[str, bytes]]:
    """Return the headers of what is on the service's dead-letter topic."""
    reader = kafka.consumer(actor.settings, group=None)
    await reader.start()
    name = kafka.dead_letter_name(actor.settings.namespace, actor.service.name)
    partitions = [kafka.Partition(name, number) for number in range(2)]
    reader.assign(partitions)
    await reader.seek_to_beginning(*partitions)
    found: list[dict[str, bytes]] = []

    async def seen() -> None:
        for records in (await reader.getmany(timeout_ms=200)).values():
            found.extend(dict(record.headers) for record in records)
        assert len(found) >= count

    await eventually(seen)
    await reader.stop()
    return found


async def test_a_record_that_is_no_event_holds_up_its_lead_on_every_topic_and_nobody_else(start: Stage) -> None:
    url = await start.database_url("backbone")
    sick, well = ids.new(), ids.new()
    # All of it is there before anybody reads, so that it comes as one batch.
    await start.publish("intake", [touch(sick, "before"), touch(well, "1")])
    await garbage(start.settings(""), sick)
    await start.publish("intake", [touch(sick, "after"), touch(well, "2")])
    other = qualification_pb2.LeadDemoted(stamp=common_pb2.Stamp(lead_id=str(sick)))
    actor = await start.bare("routing", Ledger().compose, database_url=url)
    await actor.settled()
    await start.publish("qualification", [(sick, other)])
    await actor.settled()
    assert await notes(actor, well) == ["1", "2"]
    assert await notes(actor, sick) == ["before"]
    items = await parked(actor)
    assert [item["failed"] for item in items] == [True, False, False]
    assert {item["lead_id"] for item in items} == {str(sick)}
    (letter,) = await dead_letters(actor, 1)
    assert letter["handoff_reason"] == items[0]["reason"].encode()

    # It fails again for the same reason; without it the rest is applied, in order.
    assert (await actor.http.post(f"/v1/parked/{items[0]['parked_id']}/replay")).status_code == 409
    assert await parked(actor) == items
    await actor.http.post(f"/v1/parked/{items[0]['parked_id']}/discard", json={"reason": "made by a test"})
    assert (await actor.http.post(f"/v1/parked/{items[1]['parked_id']}/replay")).json() == {"applied": 2}
    assert await notes(actor, sick) == ["before", "after", "LeadDemoted"]
    await start.publish("intake", [touch(sick, "later")])
    await actor.settled()
    assert await notes(actor, sick) == ["before", "after", "LeadDemoted", "later"]


async def test_too_many_parked_leads_halt_every_member_until_somebody_resumes(start: Stage) -> None:
    book = Ledger()
    book.poison = {"poison"}
    actor = await start.bare("routing", book.compose)
    # Both kinds count: what is no event, and what a handler refuses.
    await garbage(start.settings(""), *(ids.new() for _ in range(10)))
    await actor.settled()
    await start.publish("intake", [touch(ids.new(), "poison") for _ in range(11)])

    async def halted() -> None:
        assert (await actor.http.get("/v1/parked")).json()["halted"]
        assert (await actor.http.get("/readyz")).status_code == 503

    await eventually(halted)
    assert len(await parked(actor)) == 20

    # One that starts now reads it in the table, though it could apply what comes next.
    late = Ledger()
    starting = asyncio.create_task(start.bare("routing", late.compose, database_url=actor.settings.database_url))

    async def halted_too() -> None:
        assert late.consumer is not None
        assert late.consumer.halted

    await eventually(halted_too)
    assert await read(actor.database) == []
    await actor.http.post("/v1/parked/resume")
    other = await starting

    async def gone_on() -> None:
        assert len(await parked(actor)) + len(await read(actor.database)) == 21
        assert [(await one.http.get("/readyz")).status_code for one in (actor, other)] == [200, 200]

    await eventually(gone_on)


async def test_an_erasure_that_fails_is_never_parked_but_tried_again(start: Stage) -> None:
    book = Ledger()
    book.poison = {"PersonalDataErased", "poison"}
    actor = await start.bare("routing", book.compose)
    lead = ids.new()
    erased = intake_pb2.PersonalDataErased(stamp=common_pb2.Stamp(lead_id=str(lead)))
    await start.publish("intake", [touch(lead, "poison"), touch(lead, "behind"), (lead, erased)])

    async def insisting() -> None:
        assert (await actor.http.get("/readyz")).status_code == 503

    await eventually(insisting)
    assert [item["failed"] for item in await parked(actor)] == [True, False]
    book.poison = set()
    await actor.settled()
    assert await notes(actor, lead) == ["PersonalDataErased"]
    assert await parked(actor) == []
