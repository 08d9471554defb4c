"""A group that waits for a member that is dead stands still for its session; alerts leave on time meanwhile."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import database, ids, kafka
from backbone.testing import eventually
from backbone.testing.servers import Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import PARTITIONS, Stage
from tests import telling
from tests.failures.member import begin

POLICY = "clocks: [{kind: first_response_5m, within: 5s, from: assignment}]"
LEAD_TIME = timedelta(seconds=4)
SESSION_MS = 100_000
"""So long, or as long as the rebalance may take, the group waits for a member that is dead."""
HEALED_WITHIN_S = 60.0


@pytest.fixture
async def stage(servers: Servers, signer: Signer) -> AsyncIterator[Stage]:
    made = Stage(servers, signer)
    yield made
    await made.close()


async def hold(conn: Any, lead: UUID) -> None:
    """Keep everybody from applying what is about a lead, until the transaction is over."""
    await conn.execute("BEGIN")
    assert await conn.fetchval("SELECT true FROM subject WHERE subject_id = $1 FOR UPDATE", lead)


async def is_waited_for(conn: Any) -> None:
    assert await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") > 0


@pytest.mark.timeout(300)
async def test_whoever_is_left_alerts_while_the_group_waits_for_a_dead_member_though_something_waits(
    stage: Stage,
) -> None:
    actor = await stage("sla", session_timeout_ms=SESSION_MS)
    assert (await actor.http.put("/v1/policies/standard", content=POLICY)).status_code == 200
    await actor.settled()
    (consumer,) = actor.service.consumers
    settings, partitions = actor.settings.model_dump(), len(consumer.positions)
    members = [await begin("sla", settings, session_timeout_ms=SESSION_MS)]
    url = settings["database_url"]
    conn, holder = [await database.connect_single(url, name="tests", idle_ms=0) for _ in range(2)]
    leads = [ids.new() for _ in range(20)]

    async def is_shared() -> None:
        assert 0 < len(consumer.positions) < partitions

    async def are(count: str) -> None:
        assert await conn.fetchval(count) == len(leads)

    async def is_waiting() -> None:
        assert consumer._assignments.awaited

    try:
        await eventually(is_shared, patience_s=HEALED_WITHIN_S)
        topic = kafka.topic_name(stage.namespace, "intake")
        ours = {one.partition for one in consumer.positions if one.topic == topic}
        held = next(lead for lead in iter(ids.new, None) if kafka.partition_of(lead.bytes, PARTITIONS) in ours)
        await stage.publish("intake", [telling.captured(held, telling.now())])
        await actor.settled()
        await stage.publish("routing", [telling.routed(lead, telling.now() + LEAD_TIME) for lead in leads])
        await eventually(lambda: are("SELECT count(*) FROM clock"))
        # It is in the middle of something, and more waits behind that, when the group is called together.
        await hold(holder, held)
        await stage.publish("intake", [telling.touch(held, telling.now())])
        await eventually(lambda: is_waited_for(conn))
        await stage.publish("intake", [telling.touch(held, telling.now())])
        members[0].kill()
        await members[0].wait()
        members.append(await begin("sla", settings, session_timeout_ms=SESSION_MS))
        await eventually(is_waiting, patience_s=HEALED_WITHIN_S)
        await holder.execute("ROLLBACK")
        await eventually(lambda: are("SELECT count(*) FROM alert WHERE level = 'breach'"), patience_s=HEALED_WITHIN_S)
        assert await conn.fetchval("SELECT count(*) FROM touch") == 1, "the group was together before that"
    finally:
        for process in members:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await holder.close()
        await conn.close()
