"""What waits to be read while one of two monitors stands still, or is dead: who called in time is not alerted about."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from backbone import database, ids, kafka
from backbone.testing import eventually
from backbone.testing.stage import PARTITIONS, Actor, Stage
from sla_monitor import raising
from tests import telling
from tests.failures.member import begin

WINDOW: Final = timedelta(seconds=5)
POLICY: Final = f"clocks: [{{kind: first_response_5m, within: {WINDOW.seconds}s, from: assignment}}]"
SESSION_MS: Final = 100_000
"""So long the group waits for a member that is dead."""
HEALED_WITHIN_S: Final = 60.0
WAITING: Final = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@dataclass(slots=True)
class Pair:
    """Two monitors of one company, one of them in this process: its partitions are ours, the others theirs."""

    stage: Stage
    actor: Actor
    conn: Any
    members: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def consumer(self) -> Any:
        return self.actor.service.consumers[0]

    async def join(self) -> None:
        """Start the other one."""
        settings = self.actor.settings.model_dump()
        self.members.append(await begin("sla", settings, session_timeout_ms=SESSION_MS))

    @asynccontextmanager
    async def another(self) -> AsyncIterator[kafka.Client]:
        """Be ready to join the group."""
        client = kafka.consumer(self.actor.settings, group=self.consumer.group)
        await client.start()
        try:
            yield client
        finally:
            await kafka.stop(client.stop())

    async def kill(self) -> None:
        """Kill the other one."""
        self.members[-1].kill()
        await self.members[-1].wait()

    def leads(self, count: int, *, ours: bool) -> list[UUID]:
        """Return leads whose facts we read, or whose facts they do."""
        topic = kafka.topic_name(self.stage.namespace, "intake")
        numbers = {one.partition for one in self.consumer.applier.positions if one.topic == topic}
        made: list[UUID] = []
        while len(made) < count:
            lead = ids.new()
            if (kafka.partition_of(lead.bytes, PARTITIONS) in numbers) == ours:
                made.append(lead)
        return made

    async def live(self, lead: UUID) -> None:
        """Let a lead be known."""
        await self.stage.publish("intake", [telling.captured(lead, telling.now())])
        await self.actor.settled()

    async def assign(self, leads: Sequence[UUID], at: datetime) -> None:
        """Route leads, and wait until their clocks run."""
        await self.stage.publish("routing", [telling.routed(lead, at) for lead in leads])

        async def are_armed() -> None:
            assert await self.count("clock WHERE lead_id = ANY($1::uuid[])", leads) == len(leads)

        await eventually(are_armed)

    @asynccontextmanager
    async def holding(self, lead: UUID) -> AsyncIterator[None]:
        """Keep everybody from applying what is about a lead."""
        conn = await database.connect_single(self.actor.settings.database_url, name="tests", idle_ms=0)
        try:
            await conn.execute("BEGIN")
            assert await conn.fetchval("SELECT true FROM subject WHERE subject_id = $1 FOR UPDATE", lead)
            yield
        finally:
            await conn.close()

    async def call(self, leads: Sequence[UUID]) -> None:
        """Record a call to each, now."""
        await self.stage.publish("intake", [telling.touch(lead, telling.now()) for lead in leads])

    async def count(self, what: str, *values: Any) -> int:
        return int(await self.conn.fetchval(f"SELECT count(*) FROM {what}", *values))

    async def are_more(self, what: str, than: int) -> None:
        assert await self.count(what) > than

    async def is_called_together(self) -> None:
        assert self.consumer._assignments.awaited

    async def have_breached(self, leads: Sequence[UUID]) -> None:
        found = await self.conn.fetch("SELECT lead_id FROM alert WHERE level = 'breach'")
        assert {row["lead_id"] for row in found} == set(leads)


@pytest.fixture
async def pair(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(kafka, "REBALANCE_TIMEOUT_MS", SESSION_MS)
    actor = await stage("sla", session_timeout_ms=SESSION_MS)
    assert (await actor.http.put("/v1/policies/standard", content=POLICY)).status_code == 200
    await actor.settled()
    conn = await database.connect_single(actor.settings.database_url, name="tests", idle_ms=0)
    made = Pair(stage, actor, conn)
    partitions = len(made.consumer.applier.positions)
    await made.join()

    async def is_shared() -> None:
        assert 0 < len(made.consumer.applier.positions) < partitions

    await eventually(is_shared, patience_s=HEALED_WITHIN_S)
    yield made
    for process in made.members:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await conn.close()


@pytest.mark.timeout(300)
async def test_whoever_is_left_alerts_while_the_group_waits_for_a_dead_member_though_something_waits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow machine may take so long over a batch before the group is called together.
    monkeypatch.setattr(raising, "LATE_S", 4.0)
    (held, *leads) = pair.leads(20, ours=True)
    await pair.live(held)
    await pair.assign(leads, telling.now() + timedelta(seconds=6))
    await pair.kill()
    async with pair.another() as other:
        async with pair.holding(held):
            # It is in the middle of something, and more waits behind that, when the group is called together.
            await pair.call([held])
            await eventually(lambda: pair.are_more(WAITING, 0))
            await pair.call([held])
            other.subscribe([one.topic for one in pair.consumer.applier.positions])
            await eventually(pair.is_called_together, patience_s=HEALED_WITHIN_S)
        await eventually(lambda: pair.have_breached(leads), patience_s=HEALED_WITHIN_S)
        assert await pair.count("touch") == 1, "the group was together before that"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_killed", [False, True], ids=["both live", "the other is killed and replaced"])
async def test_nobody_alerts_about_who_called_in_time_while_the_calls_wait_for_one_that_is_behind(
    pair: Pair, is_killed: bool
) -> None:
    (held, *called), silent = pair.leads(11, ours=True), pair.leads(10, ours=False)
    await pair.live(held)
    at = telling.now() + timedelta(seconds=3)
    await pair.assign(called, at)
    await pair.assign(silent, at + timedelta(seconds=1))
    async with pair.holding(held):
        await pair.call([held])
        await eventually(lambda: pair.are_more(WAITING, 0))
        await pair.stage.publish("intake", [telling.touch(lead, at) for lead in called])
        await eventually(lambda: pair.are_more("unread", 0))
        if is_killed:
            await pair.kill()
            await pair.join()
            await eventually(pair.is_called_together, patience_s=HEALED_WITHIN_S)
        await eventually(lambda: pair.have_breached(silent))
    if not is_killed:
        await pair.actor.settled()
        assert await pair.count("clock WHERE state = 'met'") == len(called)
    await pair.have_breached(silent)
