"""What is left of a chain when its lead is merged: nobody fires it, and it holds up nothing else."""

from typing import Any

import pytest

from backbone import ids, kafka
from backbone.database import Database
from sla_monitor.firing import Ends
from tests.monitor import Monitor, at
from tests.telling import HOURS, merged, now, released, rep, rep_changed, routed, unmerged

CHAIN = """
clocks: [{kind: first_response_30m, within: 30m, from: assignment, hours: rep}]
escalations:
  - {kind: first_response_30m, after: 0s, to: reassign}
  - {kind: first_response_30m, after: 3d, to: pause}
"""


class Read:
    """What is read of topics: all, but for what a test says."""

    group = "t"

    def __init__(self, *but: int) -> None:
        self.but = but

    async def have_read(self, _: Any, ends: Any) -> bool:
        return not any(one.partition in self.but for one in ends)


def reading(monitor: Monitor, monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
    topics = [kafka.topic_name("t", topic) for topic in ("intake", "routing")]
    ends = Ends(now(), {kafka.Partition(topic, number): 5 for topic in topics for number in (0, 1)})
    monkeypatch.setattr(monitor._firing, "_consumer", read)
    monkeypatch.setattr(monitor._firing, "_ends", ends)


async def test_a_merged_leads_chain_ends_and_no_hours_wait_for_it(
    db: Database, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept, other = ids.new(), ids.new(), ids.new()
    reading(monitor, monkeypatch, Read())
    await monitor.arrive(CHAIN, lost, kept, other)
    await monitor.tell("routing", routed(lost, at(0), who=rep(working_hours=HOURS)))
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False), ("escalation", False)]
    await monitor.tell("routing", released(lost, at(4000), outcome="reassigned"))
    await monitor.tell("intake", *merged(kept, lost, at(4100), came_at=at(0)))
    await monitor.tell("routing", routed(other, now(), who=rep("zoe", working_hours=HOURS)))
    changed = [rep("ana", version=2, working_hours=HOURS), rep("zoe", version=2, working_hours=[])]
    await monitor.tell("routing", *(rep_changed(one, now()) for one in changed))
    await monitor.recompute(at_most=50)
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT lead_id, rep_version, next_at IS NULL AS is_over FROM clock ORDER BY rep_id")
    assert [tuple(row) for row in rows] == [(lost, 1, True), (other, 2, False)]
    # Who is a lead of its own again has the rest of it, by the hours of now.
    await monitor.tell("intake", *unmerged(kept, lost, at(4200), came={kept: at(0), lost: at(0)}))
    await monitor.recompute(at_most=50)
    async with db.reading() as conn:
        row = await conn.fetchrow("SELECT rep_version, next_at FROM clock WHERE lead_id = $1", lost)
    assert row["rep_version"] == 2
    assert row["next_at"] > now()


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_lead_is_taken_when_all_is_read_of_those_that_are_one(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    kept, lost = ids.new(), ids.new()
    while kafka.partition_of(kept.bytes, 2) == kafka.partition_of(lost.bytes, 2):
        lost = ids.new()
    unread = [] if is_read else [kafka.partition_of(lost.bytes, 2)]
    await monitor.arrive(CHAIN, kept, lost)
    await monitor.tell("routing", routed(kept, at(0), who=rep(working_hours=HOURS)))
    await monitor.tell("intake", merged(kept, lost, at(600), came_at=at(0))[0])
    reading(monitor, monkeypatch, Read(*unread))
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False), ("escalation", False)][: 1 + is_read]
