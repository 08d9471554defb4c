"""Kafka hangs, with every connection open and no answer: what needs no answer goes on."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing import eventually
from backbone.testing.servers import KAFKA_OVERRIDES, Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from handoff_local import ports
from handoff_local.kafka import Broker
from tests import telling
from tests.shown import put
from tests.telling import learn

LEADS = 40
POLICY = """
clocks: [{kind: first_response_5m, within: 2s, from: assignment}]
escalations: [{kind: first_response_5m, after: 0s, to: reassign}, {kind: first_response_5m, after: 1s, to: manager}]
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own."""
    running = Broker(tmp_path, ports.free(), ports.free(), KAFKA_OVERRIDES)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
async def start(servers: Servers, signer: Signer, broker: Broker) -> AsyncIterator[Stage]:
    stage = Stage(servers.behind(kafka=f"127.0.0.1:{broker.port}"), signer)
    yield stage
    await stage.close()


async def taken(sla: Actor) -> set[UUID]:
    """Return the leads that were taken from a rep."""
    return {row[0] for row in await sla.database.pool.fetch("SELECT lead_id FROM alert WHERE goes_to = 'reassign'")}


async def test_only_what_takes_a_lead_away_waits_for_kafka_and_for_what_others_are_about_to_tell(
    start: Stage, broker: Broker
) -> None:
    sla = await start("sla")
    await put(sla, POLICY)
    leads, at = [ids.new() for _ in range(LEADS)], telling.now() + timedelta(seconds=3)
    each = [telling.routed(lead, at + timedelta(milliseconds=100 * number)) for number, lead in enumerate(leads)]
    await learn(sla, "routing", *each)
    assert broker.process is not None
    os.kill(broker.process.pid, signal.SIGSTOP)
    try:

        async def all_are_told() -> None:
            told = await sla.database.pool.fetch("SELECT goes_to FROM alert")
            assert Counter(row["goes_to"] for row in told) == {"rep": LEADS, "manager": LEADS}

        await eventually(all_are_told)
        # Late is by more than a second. A machine that stalls may be so for a few of them.
        assert await sla.database.pool.fetchval("SELECT count(*) FROM alert WHERE late") < 2 * LEADS / 5
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)

    # Kafka answers again; a relay that was cut off tells only then who was called in time.
    await learn(sla, "intake", telling.captured(ids.new(), telling.now()))
    called, silent = leads[: LEADS // 4], leads[LEADS // 4 :]
    await learn(sla, "intake", *(telling.touch(lead, at + timedelta(seconds=1)) for lead in called))

    async def the_silent_are_taken() -> None:
        assert await taken(sla) >= set(silent)

    await eventually(the_silent_are_taken, patience_s=60)
    assert not await taken(sla) & set(called)
