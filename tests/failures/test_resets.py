"""Every TCP connection to Kafka and to PostgreSQL is reset a dozen times; every consumer and producer still works."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backbone.testing import eventually
from backbone.testing.servers import KAFKA_OVERRIDES, Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from handoff.events import topics
from handoff_local import ports
from handoff_local.kafka import Broker
from tests.failures import company, invariants, load
from tests.failures.proxy import Proxy, proxied

RESETS = 12
LEADS = 200
SERVICES = ("intake", "qualification", "routing", "sla", "forecast", "notifications")


@pytest.fixture
async def kafka_proxy() -> AsyncIterator[Proxy]:
    async with proxied(ports.free()) as proxy:
        yield proxy


@pytest.fixture
def broker(kafka_proxy: Proxy, tmp_path: Path) -> Iterator[Broker]:
    """A broker that sends its clients through the proxy, whatever they ask it."""
    advertised = f"127.0.0.1:{kafka_proxy.port}"
    running = Broker(tmp_path, kafka_proxy.upstream_port, ports.free(), KAFKA_OVERRIDES, advertised)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
async def postgres_proxy(servers: Servers) -> AsyncIterator[Proxy]:
    port = urlsplit(servers.postgres).port
    assert port is not None
    async with proxied(port) as proxy:
        yield proxy


@pytest.fixture
async def start(
    servers: Servers, signer: Signer, kafka_proxy: Proxy, postgres_proxy: Proxy, broker: Broker
) -> AsyncIterator[Stage]:
    """Services whose every connection leads through one of the proxies."""
    assert broker.process is not None
    postgres = servers.postgres.replace(f":{postgres_proxy.upstream_port}", f":{postgres_proxy.port}")
    stage = Stage(servers.behind(kafka=f"127.0.0.1:{kafka_proxy.port}", postgres=postgres), signer)
    yield stage
    await stage.close()


@pytest.mark.timeout(240)
async def test_resets_of_every_connection_kill_no_consumer_and_no_producer(
    start: Stage, kafka_proxy: Proxy, postgres_proxy: Proxy, chance: random.Random
) -> None:
    actors = {name: await start(name) for name in SERVICES}
    await company.found(
        actors["intake"].as_role,
        qualification=actors["qualification"].address,
        routing=actors["routing"].address,
        sla=actors["sla"].address,
    )
    client = load.Client(actors["intake"].http, actors["intake"].address)
    assert all(actor.service.consumers for actor in actors.values())

    async def strike() -> None:
        for _ in range(RESETS):
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            kafka_proxy.reset()
            postgres_proxy.reset()

    await load.run(client, [f"reset-{number}" for number in range(LEADS)], strike())
    assert min(kafka_proxy.cut, postgres_proxy.cut) > 2 * RESETS
    assert (client.failed, client.unknown) == (set(), set())

    # Each still reads what comes to it and sends what it has to tell, now that nothing is cut any more.
    for number in range(20):
        await client.post(f"after-{number}")
    await eventually(lambda: decided(actors["routing"], client), patience_s=60)
    for actor in actors.values():
        await actor.settled()
        assert await actor.service.not_ready_because() is None
    for topic in topics.TOPICS:
        invariants.in_order(await invariants.everything(actors["intake"].settings, topic))


async def decided(routing: Actor, client: load.Client) -> None:
    async with routing.database.reading() as conn:
        rows = await conn.fetch("SELECT lead_id::text FROM assignment UNION ALL SELECT lead_id::text FROM waiting")
    assert sorted(row[0] for row in rows) == sorted(client.ok.values())
