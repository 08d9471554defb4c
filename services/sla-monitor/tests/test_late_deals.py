"""What became of a lead's deals, as forecast's funnel counts it: from when it was told of, while it is so."""

from uuid import UUID

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_conversion
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import Told, captured, merged, unmerged

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


@pytest.mark.parametrize("read_late", [False, True])
async def test_what_became_of_a_lead_that_was_merged_leaves_with_it(
    db: Database, monitor: Monitor, *, read_late: bool
) -> None:
    """Its deals are told under the survivor's key meanwhile, and may be read when the merge is undone already."""
    lead, lost = await came(monitor), ids.new()
    await monitor.tell("intake", captured(lost, at(0), source="fair"))
    await monitor.tell(
        "forecast", telling.opened(lost, at(5), "qualified", "old"), *telling.moved(lost, at(6), "won", "old")
    )
    together, apart = merged(lead, lost, at(10), came_at=at(0)), unmerged(lead, lost, at(40))
    for one, message in apart:
        message.lead.source = "fair" if one == lost else "web"
        message.lead.created_at.FromDatetime(at(0))
    back, new = telling.moved(lost, at(20), "qualified", "old"), telling.opened(lost, at(21), "unqualified", "new")
    meanwhile = [(lead, message) for _, message in (*back, new)]
    await monitor.tell("intake", *together)
    for topic, told in (("intake", apart), ("forecast", meanwhile))[:: 1 if read_late else -1]:
        await monitor.tell(topic, *told)
    async with db.reading() as conn:
        span = {"start": at(-60), "end": at(60), "as_of": at(60)}
        groups = await reports_conversion.conversion(conn, by="source", **span)
    found = {
        group["key"]: {name: sum(one[name] for one in group["buckets"]) for name in reports_conversion.OUTCOMES}
        for group in groups
    }
    assert found == {"fair": {"srl": 1, "sql": 1, "won": 0}, "web": {"srl": 0, "sql": 0, "won": 0}}
