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


async def test_a_lead_that_was_taken_away_before_a_merge_is_not_taken_once_more(
    db: Database, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = ids.new(), ids.new()
    reading(monitor, monkeypatch, Read())
    await monitor.arrive(CHAIN, lost, kept)
    await monitor.tell("routing", routed(lost, at(0), who=rep(working_hours=HOURS)))
    await monitor.fire()
    ben = rep("ben", working_hours=HOURS)
    await monitor.tell(
        "routing", released(lost, at(4000), outcome="reassigned"), routed(lost, at(4000), cycle=2, who=ben)
    )
    await monitor.tell("routing", released(lost, at(4100), cycle=2, outcome="merged", rep_id="ben"))
    await monitor.tell("intake", *merged(kept, lost, at(4100), came_at=at(0)))
    await monitor.tell("routing", routed(kept, at(4000), who=ben, rule="merged"))
    await monitor.fire()
    async with db.reading() as conn:
        acts = await conn.fetch("SELECT level, rep_id, goes_to FROM alert WHERE retracted_at IS NULL ORDER BY seq")
    assert [tuple(row)[1:] for row in acts if row["level"] == "escalation"] == [("ana", "reassign")]
    assert ("breach", "ben") in {tuple(row)[:2] for row in acts}


async def test_what_is_spent_leaves_the_number_of_times_to_those_that_may_yet(
    db: Database, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"first": 1, "second": 1, "third": 2}
    line = "{{clock: {0}, kind: first_response_30m, within: 10m, from: assignment}}"
    step = "{{clock: {0}, kind: first_response_30m, after: 10s, to: reassign, times: {1}}}"
    policy = f"clocks: [{', '.join(map(line.format, names))}]\n"
    policy += f"escalations: [{', '.join(step.format(*one) for one in names.items())}]"
    lead = ids.new()
    reading(monitor, monkeypatch, Read())
    await monitor.arrive(policy, lead)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    async with db.reading() as conn:
        rows = await conn.fetch("SELECT clock FROM alert WHERE goes_to = 'reassign' ORDER BY seq")
    # One of the first two, and the third: whichever of those was first.
    taken = [row["clock"] for row in rows]
    assert len(taken) == 2
    assert taken[-1] == "third"


@pytest.mark.parametrize("is_released_first", [True, False])
async def test_a_merged_leads_promise_that_had_time_yet_was_not_missed(
    db: Database, monitor: Monitor, is_released_first: bool
) -> None:
    lost, kept = ids.new(), ids.new()
    warned = "clocks: [{kind: first_response_1d, within: 9d, from: assignment, warn: [1%]}]"
    await monitor.arrive(warned, lost, kept)
    await monitor.tell("routing", routed(lost, at(0)), routed(kept, at(0), who=rep("ben")))
    over = [("routing", [released(lost, at(9000), outcome="merged")])]
    joined = [("intake", list(merged(kept, lost, at(9000), came_at=at(0))))]
    for topic, told in over + joined if is_released_first else joined + over:
        await monitor.tell(topic, *told)
    assert await monitor.states(lost) == {("first_response_1d", 1): "cancelled"}
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT breached_at FROM clock WHERE lead_id = $1", lost) is None
