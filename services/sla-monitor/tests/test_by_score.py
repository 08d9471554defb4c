"""What the score ends is nobody's rejection, and nobody gave it up."""

import pytest

from backbone import ids
from backbone.database import Database
from sla_monitor import reports_marketing, reports_persistence
from tests.monitor import Monitor, at
from tests.telling import Told, demoted, disqualified, qualified, released, routed

LEAD = ids.new()
ENDS = {
    "demoted": (demoted(LEAD, at(90)), {"outcome": "recycled", "by_score": True}),
    "dropped": (disqualified(LEAD, at(90), "dropped", by_score=True), {"outcome": "disqualified", "by_score": True}),
    "disqualified": (disqualified(LEAD, at(90), "no_need"), {"outcome": "disqualified", "reason": "no_need"}),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("is_told_first", [False, True])
async def test_who_ended_it_says_whether_sales_rejected_it(
    db: Database, monitor: Monitor, how: str, is_told_first: bool
) -> None:
    ended, fields = ENDS[how]
    await monitor.arrive("clocks: [{kind: minimum_touches, within: 1h, from: assignment, touches: {call: 3}}]", LEAD)
    await monitor.tell("qualification", qualified(LEAD, at(1)))
    await monitor.tell("routing", routed(LEAD, at(2)))
    told: list[tuple[str, Told]] = [("qualification", ended), ("routing", released(LEAD, at(91), **fields))]
    for topic, one in told if is_told_first else told[::-1]:
        await monitor.tell(topic, one)
    asked = reports_marketing.Asked(start=at(-60), end=at(600), by="none", as_of=at(600))
    async with db.reading() as conn:
        (total,) = (await reports_marketing.report(conn, asked))["totals"]
        (tried,) = await reports_persistence.persistence(conn, at(-60), at(600), by="rep", as_of=at(600))
    rejected = {"no_need": 1} if how == "disqualified" else {}
    assert total["rejected"]["reasons"] == rejected
    assert tried["given_up"]["leads"] == len(rejected)
