"""A deal counts as won from when that was told of, and no longer than it is so."""

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_conversion
from tests import telling
from tests.monitor import Monitor, at
from tests.telling import Told, captured


def recorded(told: Told, seconds: float) -> Told:
    """Say it as it comes when it is recorded late."""
    told[1].stamp.recorded_at.FromDatetime(at(seconds))
    return told


async def test_a_deal_that_is_told_of_later_was_not_won_before(db: Database, monitor: Monitor) -> None:
    lead, then, later = ids.new(), 2000, 4000
    await monitor.put("clocks: [{kind: first_response_1d, within: 10m, from: arrival}]")
    await monitor.tell("intake", recorded(captured(lead, at(0)), 0))
    await monitor.tell("forecast", recorded(telling.won(lead, at(60)), then + 1))
    # Whoever said so in error says that it is lost after all; another deal of the lead is another matter.
    await monitor.tell("forecast", recorded(telling.lost(lead, at(70), "another"), then + 2))
    await monitor.tell("forecast", recorded(telling.lost(lead, at(80)), later + 1))
    for seconds, wanted in ((then, 0), (later, 1), (later + 1, 0)):
        async with db.reading() as conn:
            span = {"start": at(-60), "end": at(60), "as_of": at(seconds)}
            (found,) = await reports_conversion.conversion(conn, by="none", **span)
        assert sum(bucket["won"] for bucket in found["buckets"]) == wanted
