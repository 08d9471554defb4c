"""What the outbox, the relay and the consumer promise together, on a real broker and a real database."""

import asyncio
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from fastapi import Depends

from backbone import database, ids, kafka, outbox, process, security, subjects
from backbone.settings import ServiceSettings
from backbone.testing import eventually
from backbone.testing.ledger import Ledger, read, touch
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import routing_pb2


async def ledger(actor: Actor) -> list[tuple[UUID, str]]:
    return await read(actor.database)


async def test_events_are_applied_in_order_and_answered(start: Stage) -> None:
    actor = await start.bare("routing", Ledger().compose)
    lead = ids.new()
    await start.publish("intake", [touch(lead, str(number)) for number in range(50)])
    answers = await actor.published(lambda events: len(events) >= 50)
    assert [note for _, note in await ledger(actor)] == [str(number) for number in range(50)]
    assert [answer.message.rep_id for answer in answers] == [str(number) for number in range(50)]
    assert [answer.version for answer in answers] == list(range(1, 51))


async def test_a_record_that_the_relay_sent_twice_is_applied_once(start: Stage) -> None:
    actor = await start.bare("routing", Ledger().compose)
    lead = ids.new()
    await start.publish("intake", [touch(lead, "a"), touch(lead, "b")], twice=True)
    await actor.settled()
    assert [note for _, note in await ledger(actor)] == ["a", "b"]


async def test_a_record_that_comes_again_after_its_batch_is_not_applied_again(start: Stage) -> None:
    """Whether the first batch made the subject's row or found it, and whatever was published of it."""
    actor = await start.bare("routing", Ledger().compose)
    lead = ids.new()
    for note, version in (("a", 1), ("a again", 1), ("b", 2), ("b again", 2), ("c", 3)):
        start.versions["intake", lead] = version - 1
        await start.publish("intake", [touch(lead, note)])
        await actor.settled()
    assert [note for _, note in await ledger(actor)] == ["a", "b", "c"]
    answers = await actor.published(lambda events: len(events) >= 3)
    assert [answer.version for answer in answers] == [1, 2, 3]


async def test_whoever_finds_a_subjects_row_made_meanwhile_does_everything_again(start: Stage) -> None:
    """A row that does not exist cannot be locked: two who read that there is none must not both write what follows."""
    actor = await start.bare("routing", Ledger().compose)
    lead = ids.new()
    both_have_read = asyncio.Barrier(2)
    attempts: list[int] = []

    async def write(number: int) -> None:
        async def act(conn: database.Connection) -> None:
            attempts.append(number)
            await subjects.lock(conn, [lead])
            count = await conn.fetchval("SELECT count(*) FROM ledger")
            if attempts.count(number) == 1:
                await both_have_read.wait()
            await conn.execute("INSERT INTO ledger (lead_id, note) VALUES ($1, $2)", lead, str(count))

        await actor.database.run(act)

    await asyncio.gather(write(1), write(2))
    assert sorted(note for _, note in await ledger(actor)) == ["0", "1"]
    assert len(attempts) == 3


async def test_offsets_that_moved_on_displace_whoever_comes_late(start: Stage) -> None:
    """A zombie's batch: the offset was advanced by somebody else while it held its records."""
    book = Ledger()
    actor = await start.bare("routing", book.compose)
    lead = ids.new()
    await start.publish("intake", [touch(lead, "a")])
    await actor.settled()
    async with actor.database.transaction() as conn:
        await conn.execute("UPDATE consumer_offset SET next_offset = next_offset + 1 WHERE topic LIKE '%intake%'")
    await start.publish("intake", [touch(lead, "taken by somebody else"), touch(lead, "c")])
    await actor.settled()
    assert [note for _, note in await ledger(actor)] == ["a", "c"]


async def test_a_poison_record_is_parked_and_only_its_lead_waits(start: Stage) -> None:
    book = Ledger()
    book.poison = {"poison"}
    actor = await start.bare("routing", book.compose)
    sick, well = ids.new(), ids.new()
    await start.publish(
        "intake",
        [touch(sick, "before"), touch(well, "1"), touch(sick, "poison"), touch(sick, "after"), touch(well, "2")],
    )
    await actor.settled()
    got = await ledger(actor)
    assert [note for lead, note in got if lead == well] == ["1", "2"]
    assert [note for lead, note in got if lead == sick] == ["before"]
    listed = (await actor.http.get("/v1/parked")).json()["items"]
    assert [(item["failed"], item["lead_id"]) for item in listed] == [(True, str(sick)), (False, str(sick))]
    assert "must not show" not in str(listed)

    book.poison = set()
    replayed = await actor.http.post(f"/v1/parked/{listed[0]['parked_id']}/replay")
    assert replayed.json() == {"applied": 2}
    assert [note for lead, note in await ledger(actor) if lead == sick] == ["before", "poison", "after"]
    assert (await actor.http.get("/v1/parked")).json()["items"] == []


async def test_bytes_that_are_no_event_are_parked_alone(start: Stage) -> None:
    actor = await start.bare("routing", Ledger().compose)
    producer = kafka.producer(actor.settings)
    await producer.start()
    topic = kafka.topic_name(start.namespace, "intake")
    await producer.send_and_wait(topic, b"\xff\xfe", key=b"not an id", partition=0)
    await producer.stop()
    lead = ids.new()
    await start.publish("intake", [touch(lead, "good")])
    await actor.settled()
    assert await ledger(actor) == [(lead, "good")]
    assert [item["lead_id"] for item in (await actor.http.get("/v1/parked")).json()["items"]] == [None]


async def test_order_of_ids_is_order_of_versions_under_concurrent_writers(start: Stage) -> None:
    actor = await start.bare("routing", Ledger().compose)
    lead = ids.new()

    async def write(number: int) -> None:
        async def act(conn: database.Connection) -> None:
            await subjects.lock(conn, [lead])
            await actor.service.outbox.add(
                conn, [outbox.Event(subject=lead, message=routing_pb2.AssignmentAccepted(rep_id=str(number)))]
            )

        await actor.database.run(act)

    await asyncio.gather(*(write(number) for number in range(40)))
    events = await actor.published(lambda seen: len(seen) >= 40)
    assert [event.version for event in events] == list(range(1, 41))


async def test_two_members_share_the_work_and_nothing_is_done_twice(start: Stage) -> None:
    one = Ledger()
    first = await start.bare("routing", one.compose)
    two = Ledger()
    await start.bare("routing", two.compose, database_url=first.settings.database_url)
    leads = [ids.new() for _ in range(200)]
    await start.publish("intake", [touch(lead, "x") for lead in leads])
    await first.published(lambda events: len(events) >= 200)
    assert sorted(lead for lead, _ in await ledger(first)) == sorted(leads)


async def test_a_service_that_starts_before_its_database_has_events_goes_on_after_kafkas_silence(start: Stage) -> None:
    """The relay keeps events while the broker cannot be reached, and the API goes on."""

    async def compose(_: process.Service[ServiceSettings]) -> None:
        return

    actor = await start.bare("routing", compose, kafka="127.0.0.1:1")
    lead = ids.new()

    async def act(conn: database.Connection) -> None:
        await subjects.lock(conn, [lead])
        await actor.service.outbox.add(conn, [outbox.Event(subject=lead, message=routing_pb2.AssignmentAccepted())])

    await actor.database.run(act)
    again = await start.bare("routing", compose, database_url=actor.settings.database_url)
    (event,) = await again.published(lambda events: len(events) == 1)
    assert event.subject == lead


async def test_a_stored_offset_that_the_log_has_deleted_stops_its_partition_and_skips_nothing(start: Stage) -> None:
    book = Ledger()
    actor = await start.bare("routing", book.compose)
    lead = ids.new()
    partition = kafka.Partition(kafka.topic_name(start.namespace, "intake"), kafka.partition_of(lead.bytes, 2))
    await start.publish("intake", [touch(lead, str(number)) for number in range(5)])
    await actor.settled()
    # The log is cut off behind what is believed to be next, as when a reader comes back after the retention.
    assert book.consumer is not None
    book.consumer.applier.positions[partition] = 3
    async with actor.database.transaction() as conn:
        await conn.execute("UPDATE consumer_offset SET next_offset = 3 WHERE next_offset = 5")
    admin = AIOKafkaAdminClient(bootstrap_servers=actor.settings.kafka)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=5)})
    await admin.close()
    await start.publish("intake", [touch(lead, "behind the gap")])

    async def stopped() -> None:
        assert (await actor.http.get("/readyz")).status_code == 503

    await eventually(stopped)
    # Others are read on; nothing of the partition was.
    other = next(one for one in iter(ids.new, None) if kafka.partition_of(one.bytes, 2) != partition.partition)
    await start.publish("intake", [touch(other, "elsewhere")])

    async def read_on() -> None:
        assert [note for _, note in await ledger(actor)] == ["0", "1", "2", "3", "4", "elsewhere"]

    await eventually(read_on)


async def test_clients_whose_background_tasks_died_are_replaced(start: Stage) -> None:
    """aiokafka does not notice that a task of its own has ended, and says nothing."""
    book = Ledger()
    actor = await start.bare("routing", book.compose)
    lead = ids.new()
    await start.publish("intake", [touch(lead, "before")])
    await actor.settled()
    assert book.consumer is not None
    first = book.consumer._client
    assert first is not None
    first._fetcher._fetch_task.cancel()
    await start.publish("intake", [touch(lead, "after")])
    events = await actor.published(lambda seen: len(seen) >= 2)
    assert [event.message.rep_id for event in events] == ["before", "after"]
    assert book.consumer._client is not first


async def test_a_worker_that_ends_takes_the_process_with_it(start: Stage) -> None:
    dying = asyncio.Event()

    async def compose(service: process.Service[ServiceSettings]) -> None:
        service.work("mortal", lambda: _until(dying))

    actor = await start.bare("routing", compose)
    dying.set()
    start._actors.remove(actor)
    with pytest.raises(BaseExceptionGroup) as ended:
        await actor._ended
    assert ended.group_contains(process.Ended, match="mortal")


async def test_a_worker_that_loses_a_cancellation_holds_up_no_stop(start: Stage) -> None:
    lost = 0

    async def deaf_once() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost > 1:
                    raise

    async def compose(service: process.Service[ServiceSettings]) -> None:
        service.work("deaf once", deaf_once)

    actor = await start.bare("routing", compose)
    await asyncio.wait_for(actor.stop(), 30)
    assert lost == 2


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_graceful_stop_answers_what_it_has_begun(start: Stage) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def compose(service: process.Service[ServiceSettings]) -> None:
        @service.app.get("/v1/slow", dependencies=[Depends(security.public)])
        async def slow() -> dict[str, bool]:
            begun.set()
            await go_on.wait()
            return {"done": True}

    actor = await start.bare("routing", compose)
    asking = asyncio.create_task(actor.http.get("/v1/slow"))
    await begun.wait()
    stopping = asyncio.create_task(actor.stop())
    await asyncio.sleep(0)
    go_on.set()
    assert (await asking).json() == {"done": True}
    await stopping
