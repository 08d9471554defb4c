"""What holds after healing, whatever happened: on every topic, and in every service's database."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from backbone import batches, kafka
from backbone.consumer import Incoming
from backbone.settings import ServiceSettings
from backbone.testing import eventually
from handoff.events import topics
from tests.failures.company import CAP, REPS
from tests.failures.conftest import Stack
from tests.failures.load import Client, Eye

HEALED_WITHIN_S: Final = 200.0
"""A broker that starts on a machine with nothing to spare takes its time; on an idle one it is seconds."""


def in_order(events: Iterable[Incoming]) -> dict[UUID, int]:
    """Hold that versions of a subject came in order, none left out, and that what came again was the same event.

    Returns the last version of each.
    """
    by_subject: defaultdict[UUID, dict[int, Incoming]] = defaultdict(dict)
    for event in events:
        first = by_subject[event.subject].setdefault(event.version, event)
        assert (first.id, first.message) == (event.id, event.message), "another event under the same version"
    for versions in by_subject.values():
        assert list(versions) == list(range(1, len(versions) + 1))
    return {subject: len(versions) for subject, versions in by_subject.items()}


async def everything(settings: ServiceSettings, topic: str) -> list[Incoming]:
    """Read a topic from its beginning to what is its end now."""
    name = kafka.topic_name(settings.namespace, topic)
    reader = kafka.consumer(settings, group=None)
    await reader.start()
    try:
        partitions = [kafka.Partition(name, number) for number in range(settings.partitions)]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        await reader.seek_to_beginning(*partitions)
        events: list[Incoming] = []
        while any([await reader.position(one) < end for one, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                events += [batches.open_record(settings.namespace, record) for record in records]
        return events
    finally:
        await kafka.stop(reader.stop())


async def healed(stack: Stack, client: Client) -> None:
    """Wait until all that was taken in is decided, and told of."""
    assert client.failed == set()
    assert client.unknown == set(), "a client that asks again gets its answer"
    await eventually(lambda: _decided(stack, client), patience_s=HEALED_WITHIN_S)
    await eventually(lambda: _alerted(stack), patience_s=HEALED_WITHIN_S)


async def check(stack: Stack, client: Client, eye: Eye) -> None:
    """Hold all of it, of what has healed under that eye."""
    assert eye.looks > 0
    assert eye.fullest > 0
    assert eye.wrong == [], "a cap was exceeded, or a load miscounted"
    await _leads_are_there_once(stack, client)
    await _caps_are_exact(stack)
    settings = ServiceSettings(database_url="", kafka=stack.state["kafka"], partitions=6)
    await eventually(lambda: _sent(stack))
    for topic in topics.TOPICS:
        events = await everything(settings, topic)
        in_order(events)
        if topic == "sla":
            _alerts_are_told_once(events)


async def _decided(stack: Stack, client: Client) -> None:
    """Every acknowledged lead is with one rep, or waits for one, or was closed: then qualification knows that too."""
    mine = set(client.ok.values())
    rows = await stack.fetch(
        "routing", "SELECT lead_id::text FROM assignment UNION ALL SELECT lead_id::text FROM waiting"
    )
    held = Counter(row["lead_id"] for row in rows if row["lead_id"] in mine)
    assert not held or max(held.values()) == 1
    stages = {
        row["lead_id"]: row["stage"]
        for row in await stack.fetch("qualification", "SELECT lead_id::text, stage FROM lead")
    }
    wanted = {lead: "mql" if lead in held else "disqualified" for lead in mine}
    assert {lead: stages.get(lead) for lead in mine} == wanted


async def _leads_are_there_once(stack: Stack, client: Client) -> None:
    rows = await stack.fetch("lead-intake", "SELECT lead_id::text, external_ids FROM lead")
    assert len(set(client.ok.values())) == len(client.ok)
    assert {row["lead_id"] for row in rows} >= set(client.ok.values())
    assert max(Counter(str(row["external_ids"]) for row in rows).values()) == 1, "an external id has two leads"


async def _caps_are_exact(stack: Stack) -> None:
    (row,) = await stack.fetch(
        "routing", "SELECT (SELECT count(*) FROM assignment) AS held, (SELECT count(*) FROM waiting) AS waits"
    )
    assert row["held"] <= CAP * len(REPS)
    assert row["waits"] == 0 or row["held"] == CAP * len(REPS), "somebody waits beside a free place"


async def _alerted(stack: Stack) -> None:
    """Each step of a clock was alerted once; a lead that somebody has and nobody touched had all of them."""
    alerts = await stack.fetch("sla-monitor", "SELECT lead_id::text, clock, cycle, level, step FROM alert")
    times = Counter(tuple(row.values()) for row in alerts)
    assert not times or max(times.values()) == 1
    levels: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in alerts:
        levels[row["lead_id"], row["cycle"]].add(row["level"])
    for row in await stack.fetch("routing", "SELECT lead_id::text, cycle FROM assignment"):
        assert levels[row["lead_id"], row["cycle"]] == {"warning", "breach"}


async def _sent(stack: Stack) -> None:
    for service in stack.state["postgres"]:
        if service != "vault":
            (row,) = await stack.fetch(service, "SELECT count(*) AS n FROM outbox")
            assert row["n"] == 0


def _alerts_are_told_once(events: Sequence[Incoming]) -> None:
    told = {event.id: event for event in events if event.type in ("SlaWarned", "SlaBreached", "SlaEscalated")}
    steps = Counter(
        (event.subject, event.type, event.message.clock.clock, event.message.clock.cycle)  # type: ignore[attr-defined]
        for event in told.values()
    )
    assert max(steps.values()) == 1
