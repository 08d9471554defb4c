"""What became of a lead's deals, as forecast's funnel counts it: from when it was told of, while it is so."""

from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_conversion
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import Told, captured

CLOCKS = "clocks: [{kind: first_response_1d, within: 10m, from: arrival}]"


def recorded(told: Told, seconds: float) -> Told:
    """Say it as it comes when it is recorded late."""
    told[1].stamp.recorded_at.FromDatetime(at(seconds))
    return told


async def reached(db: Database, seconds: float) -> dict[str, int]:
    """Return how many leads became what, as it was known at an instant."""
    async with db.reading() as conn:
        span = {"start": at(-60), "end": at(60), "as_of": at(seconds)}
        (found,) = await reports_conversion.conversion(conn, by="none", **span)
    return {name: sum(one[name] for one in found["buckets"]) for name in reports_conversion.OUTCOMES}


async def came(monitor: Monitor) -> UUID:
    lead = ids.new()
    await monitor.put(CLOCKS)
    await monitor.tell("intake", recorded(captured(lead, at(0)), 0))
    return lead


@pytest.mark.parametrize("after", ["lost", "qualified"])
async def test_a_deal_that_is_told_of_later_was_not_won_before(db: Database, monitor: Monitor, after: str) -> None:
    lead, then, later = await came(monitor), 2000, 4000
    won = [recorded(one, then + 1) for one in telling.moved(lead, at(60), "won")]
    await monitor.tell("forecast", *won)
    # Whoever said so in error says how it is after all; another deal of the lead is another matter.
    await monitor.tell("forecast", recorded(telling.moved(lead, at(70), "lost", "another")[0], then + 2))
    await monitor.tell("forecast", recorded(telling.moved(lead, at(80), after)[0], later + 1))
    for seconds, wanted in ((then, 0), (later, 1), (later + 1, 0)):
        assert (await reached(db, seconds))["won"] == wanted
    assert (await reached(db, later + 1))["sql"] == 1


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        (["unqualified"], (1, 0, 0)),
        (["unqualified", "lost"], (1, 0, 0)),
        (["unqualified", "proposal"], (1, 1, 0)),
        (["qualified"], (1, 1, 0)),
        (["qualified", "won"], (1, 1, 1)),
    ],
)
async def test_a_deal_that_a_rep_opened_stands_for_the_stages_before_it(
    db: Database, monitor: Monitor, stages: list[str], wanted: tuple[int, ...]
) -> None:
    lead = await came(monitor)
    # What was told of a deal before it opened, was recorded before.
    moves = [one for seconds, stage in enumerate(stages[1:], 11) for one in telling.moved(lead, at(seconds), stage)]
    await monitor.tell("forecast", recorded(telling.opened(lead, at(10), stages[0]), 30), *moves)
    assert tuple((await reached(db, 60)).values()) == wanted


async def test_a_deal_without_a_lead_or_that_renews_a_customers_is_no_leads_success(
    db: Database, monitor: Monitor
) -> None:
    lead = await came(monitor)
    of_none = telling.moved(ids.new(), at(5), "won")
    for _, message in of_none:
        message.stamp.lead_id = ""
    await monitor.tell("forecast", *of_none, *telling.moved(lead, at(10), "won", type="renewal"))
    assert await reached(db, 60) == {"srl": 0, "sql": 0, "won": 0}
