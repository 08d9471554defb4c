"""Whatever order topics are read in, in whatever batches, fired whenever: facts come to the same clocks."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbone import batches, ids, parking
from backbone.database import Database
from backbone.envelope import Incoming
from backbone.outbox import Outbox
from sla_monitor import policies, store_policies
from sla_monitor.applying import Applying
from sla_monitor.consumer import Handler
from sla_monitor.firing import Firing
from sla_monitor.store_policies import Policies
from tests import telling
from tests.telling import Told, accepted, captured, released, rep, routed, touch

POLICY = """
clocks:
  - {kind: first_response_1d, within: 10m, from: arrival}
  - {kind: first_response_5m, within: 5m, from: assignment, warn: [50%]}
  - {kind: acceptance, within: 2m, from: assignment}
  - {clock: after accepting, kind: first_response_30m, within: 5m, from: acceptance}
  - {kind: minimum_touches, within: 8m, from: assignment, touches: {call: 2}, spread: 30s, ends_when: [connected]}
  - {kind: stale, within: 3m, from: last_touch}
escalations:
  - {kind: first_response_5m, after: 60s, to: manager}
"""
START = telling.now().replace(microsecond=0) - timedelta(days=1)
OTHER = rep("ben")
Outcome = dict[tuple[str, int], tuple[str, datetime | None, datetime]]
"""By (clock, cycle): state, met at, due at."""


@pytest.fixture
async def db(database: Callable[[str], Awaitable[Database]]) -> Database:
    made = await database("sla")
    document = policies.parse(POLICY.encode(), [])
    async with made.transaction() as conn:
        await store_policies.add(conn, "standard", POLICY, document.data, "somebody")
    return made


class Service:
    """sla-monitor without its loops: a test says when it reads and when it fires."""

    def __init__(self, db: Database) -> None:
        self._db = db
        outbox = Outbox(topic="sla", namespace="t", partitions=2)
        handler = Handler(Applying(outbox, Policies()))
        letters = parking.Letters(topic="t.dead", partitions=2)
        self._batches = batches.Batches(group="t", namespace="t", handle=handler.handle, letters=letters)
        # Nothing in the policy takes a lead away, so nobody has to know how far topics were read.
        self._firing = Firing(db, outbox, cast(Any, None), namespace="t", partitions=2, catch_up_s=1)

    async def read(self, events: Sequence[Incoming]) -> None:
        async with self._db.transaction() as conn:
            await self._batches.replay(conn, events)

    async def fire(self) -> None:
        fired = 1
        while fired:
            fired, _ = await self._db.run(self._firing._fire)

    async def outcome(self, lead: UUID) -> Outcome:
        async with self._db.reading() as conn:
            rows = await conn.fetch("SELECT * FROM clock WHERE lead_id = $1", lead)
        return {(row["clock"], row["cycle"]): (row["state"], row["met_at"], row["due_at"]) for row in rows}


def after(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


@st.composite
def stories(draw: st.DrawFn) -> Callable[[UUID, UUID], dict[str, list[Told]]]:
    """A lead that is assigned, touched, given to another, and merged with one that came before."""
    touches = draw(
        st.lists(
            st.tuples(
                st.integers(-20, 900),
                st.sampled_from(["ana", "ben"]),
                st.sampled_from(["attempted", "connected"]),
                st.booleans(),
            ),
            max_size=5,
        )
    )
    over = draw(st.none() | st.integers(20, 600))
    accepts = draw(st.none() | st.integers(1, 200))
    merges = draw(st.booleans())

    def tell(lead: UUID, lost: UUID) -> dict[str, list[Told]]:
        came = [captured(lead, START), *([captured(lost, after(-60))] if merges else [])]
        said = [
            # By turns the lead's own and those of the one that is merged into it.
            touch(lost if merges and number % 2 else lead, after(at), rep_id=who, outcome=how, automated=by_machine)
            for number, (at, who, how, by_machine) in enumerate(touches)
        ]
        link = telling.merged(lead, lost, after(300), came_at=START) if merges else []
        given = [routed(lead, START)]
        given += [accepted(lead, after(accepts))] if accepts is not None else []
        if over is not None:
            given += [released(lead, after(over), outcome="reassigned"), routed(lead, after(over), cycle=2, who=OTHER)]
        return {"intake": [*came, *said, *link], "routing": given}

    return tell


def read_in(chance: random.Random, told: dict[str, list[Told]]) -> list[Incoming]:
    """Return the events as one reader may meet them: each topic in its own order, the topics in any."""
    versions: dict[tuple[str, UUID], int] = {}
    left = {topic: list(events) for topic, events in told.items()}
    read = []
    while any(left.values()):
        topic = chance.choice([name for name, events in left.items() if events])
        subject, message = left[topic].pop(0)
        versions[topic, subject] = versions.get((topic, subject), 0) + 1
        read.append(
            Incoming(
                id=ids.new(),
                type=message.DESCRIPTOR.name,
                topic=topic,
                subject=subject,
                original_subject=subject,
                version=versions[topic, subject],
                time=START,
                message=message,
                traceparent="",
                partition=0,
                offset=len(read),
            )
        )
    return read


def shuffled_touches(chance: random.Random, told: dict[str, list[Told]]) -> dict[str, list[Told]]:
    """Return the story with its touches told in any order: late is what happened before something already known."""
    intake = told["intake"]
    places = [number for number, (_, message) in enumerate(intake) if message.DESCRIPTOR.name == "TouchRecorded"]
    mixed = list(places)
    chance.shuffle(mixed)
    moved = list(intake)
    for place, other in zip(places, mixed, strict=True):
        moved[place] = intake[other]
    return {**told, "intake": moved}


async def live(service: Service, chance: random.Random, story: Any, *, in_order: bool) -> Outcome:
    lead, lost = ids.new(), ids.new()
    told = story(lead, lost)
    events = read_in(chance, told if in_order else shuffled_touches(chance, told))
    while events:
        size = len(events) if in_order else chance.randint(1, 4)
        await service.read(events[:size])
        events = events[size:]
        if not in_order and chance.random() < 0.5:
            await service.fire()
    await service.fire()
    return await service.outcome(lead)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), seed=st.integers(0, 2**32))
async def test_the_final_verdicts_do_not_depend_on_the_order(db: Database, story: Any, seed: int) -> None:
    service, chance = Service(db), random.Random(seed)
    expected = await live(service, chance, story, in_order=True)
    assert expected
    for _ in range(2):
        assert await live(service, chance, story, in_order=False) == expected
