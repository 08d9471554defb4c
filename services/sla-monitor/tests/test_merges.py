"""Two leads are one, as is learned later: in whatever order that comes, and whatever was reported before."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Connection, Database
from sla_monitor import reports, reports_attainment, reports_leaks, reports_marketing, reports_meetings
from tests import telling
from tests.monitor import Monitor
from tests.telling import (
    Told,
    captured,
    disqualified,
    engaged,
    merged,
    qualified,
    released,
    routed,
    touch,
    unmerged,
    waiting,
)

POLICY = """
clocks:
  - {kind: first_response_1d, within: 10m, from: arrival}
  - {kind: first_response_5m, within: 5m, from: assignment}
  - {kind: handoff, within: 4m, from: qualification}
"""
START = telling.now().replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
async def monitor(db: Database) -> Monitor:
    made = Monitor(db)
    await made.put(POLICY)
    return made


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize("link_first", [False, True])
async def test_that_the_merged_lead_is_out_is_not_said_of_the_survivor(monitor: Monitor, link_first: bool) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.tell("intake", captured(lead, at(0)), captured(lost, at(10)))
    await monitor.tell("qualification", qualified(lead, at(20)))
    link, out = merged(lead, lost, at(120), came_at=at(0)), disqualified(lost, at(100))
    for topic, told in (
        (("intake", link), ("qualification", [out]))
        if link_first
        else (
            ("qualification", [out]),
            ("intake", link),
        )
    ):
        await monitor.tell(topic, *told)
    found = {which[0]: state for which, (state, _, _) in (await monitor.outcome(lead)).items()}
    assert found == {"first_response_1d": "running", "handoff": "running"}


async def told_of(conn: Connection, as_of: datetime) -> dict[str, Any]:
    span: dict[str, Any] = {"start": at(-3600), "end": at(3600)}
    asked = reports_marketing.Asked(**span, by="source", as_of=as_of)
    return {
        "speed": await reports.speed(conn, **span, by="source", as_of=as_of),
        "attainment": await reports_attainment.attainment(conn, **span, by="source", as_of=as_of),
        "leaks": await reports_leaks.leaks(conn, **span, as_of=as_of),
        "meetings": await reports_meetings.meetings(conn, **span, by="source", as_of=as_of),
        "marketing": await reports_marketing.report(conn, asked),
    }


async def tell(monitor: Monitor, topic: str, came: dict[UUID, datetime], *some: Told) -> None:
    """Tell it as intake stamps it, with when the lead arrived."""
    for subject, message in some:
        message.stamp.arrived_at.FromDatetime(came[subject])
    await monitor.tell(topic, *some)


async def a_morning(monitor: Monitor, lead: UUID, lost: UUID, came: dict[UUID, datetime]) -> None:
    await tell(monitor, "intake", came, captured(lead, at(0), source="web"), captured(lost, at(-60), source="fair"))
    await tell(monitor, "qualification", came, qualified(lead, at(10)), qualified(lost, at(-40)))
    await tell(monitor, "routing", came, routed(lost, at(20)), waiting(lead, at(20)))
    touches = touch(lost, at(50)), touch(lead, at(700)), touch(lost, at(40), automated=True)
    await tell(monitor, "intake", came, *touches)
    await tell(monitor, "intake", came, engaged(lost, at(60), "meeting_booked", meeting_id="m"))


async def test_what_is_reported_of_an_instant_stays_whatever_is_merged_or_undone_after_it(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    came = {lead: at(0), lost: at(-60)}
    await a_morning(monitor, lead, lost, came)
    before, between, after = at(800), at(2000), at(4000)

    async def reported(as_of: datetime) -> dict[str, Any]:
        async with db.reading() as conn:
            return await told_of(conn, as_of)

    two = await reported(before)
    assert [(one["key"], one["from_arrival"]["leads"]) for one in two["speed"]] == [("fair", 1), ("web", 1)]
    assert [(one["key"], one["qualified"]) for one in two["marketing"]["totals"]] == [("fair", 1), ("web", 1)]
    # The survivor is of the older one's age and source from then on.
    link = merged(lead, lost, at(1000), came_at=at(-60))
    for _, message in link:
        message.lead.source = "fair"
    await tell(monitor, "intake", dict.fromkeys(came, at(-60)), *link)
    await tell(
        monitor, "routing", came, released(lost, at(1000), outcome="merged"), routed(lead, at(20), rule="merged")
    )
    assert await reported(before) == two
    one = await reported(between)
    assert [(each["key"], each["from_arrival"]["leads"]) for each in one["speed"]] == [("fair", 1)]
    undone = unmerged(lead, lost, at(3000))
    for (one_of_both, message), source in zip(undone, ("web", "fair"), strict=True):
        message.lead.created_at.FromDatetime(came[one_of_both])
        message.lead.source = source
    await tell(monitor, "intake", came, *undone)
    assert (await reported(before), await reported(between)) == (two, one)
    assert [(each["key"], each["from_arrival"]["leads"]) for each in (await reported(after))["speed"]] == [
        ("fair", 1),
        ("web", 1),
    ]
