"""What becomes of clocks when leads turn out to be one, or two after all."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.database import Database
from backbone.testing.stage import Actor
from handoff.events.v1 import intake_pb2
from sla_monitor import reports_attainment
from sla_monitor.known import Decided
from tests import telling
from tests.monitor import Monitor, at, read_in
from tests.shown import clocks, put, states
from tests.telling import Told, captured, learn, merged, now, qualified, released, routed, stamp, touch, unmerged

FIVE = "clocks: [{kind: first_response_5m, within: 5m, from: assignment}]"


async def test_of_a_merged_lead_nothing_is_escalated(db: Database, monitor: Monitor) -> None:
    lead, lost = ids.new(), ids.new()
    policy = """
clocks: [{kind: first_response_5m, within: 5m, from: arrival}]
escalations: [{kind: first_response_5m, after: 2d, to: manager}, {kind: first_response_5m, after: 3d, to: reassign}]
"""
    await monitor.arrive(policy, lead, lost)
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(400), came_at=at(0)))
    async with db.reading() as conn:
        assert await conn.fetchval("SELECT next_at FROM clock WHERE lead_id = $1", lost) is None


@pytest.mark.parametrize("fired", [False, True])
async def test_what_was_missed_before_a_merge_is_missed_whether_or_not_it_was_told_yet(
    db: Database, monitor: Monitor, fired: bool
) -> None:
    missed, met, ran, lead = (ids.new() for _ in range(4))
    await monitor.arrive("clocks: [{kind: first_response_5m, within: 5m, from: arrival}]", lead, missed, met, ran)
    if fired:
        await monitor.fire()
    batch = read_in(
        random.Random(0),
        {
            "intake": [
                touch(met, at(60)),
                *merged(lead, met, at(400), came_at=at(0)),
                *merged(lead, missed, at(400), came_at=at(0)),
                *merged(lead, ran, at(200), came_at=at(0)),
            ]
        },
        monitor._versions,
    )
    await monitor.read(batch)
    key = ("first_response_5m", 0)
    assert [(await monitor.states(one))[key] for one in (missed, met, ran)] == ["breached", "met", "cancelled"]
    async with db.reading() as conn:
        assert not await conn.fetchval("SELECT count(*) FROM clock WHERE next_at IS NOT NULL AND lead_id <> $1", lead)
        asked = reports_attainment.Asked(start=at(-60), end=at(60), by=("none",))
        stored = await reports_attainment.counted(conn, asked)
        assert stored == await reports_attainment.counted(conn, asked, as_of=now())
        stands = "SELECT count(*) FROM alert WHERE lead_id = $1 AND retracted_at IS NULL"
        assert not await conn.fetchval(stands, ran)
    # What nobody was told of is told when the merge turns out to be none, and what was taken back stands again.
    for one in (missed, ran):
        await monitor.tell("intake", *unmerged(lead, one, at(600)))
        await monitor.fire()
        assert (await monitor.states(one))[key] == "breached"
        async with db.reading() as conn:
            assert await conn.fetchval(stands, one) == 1


ESCALATED = """
clocks: [{kind: KIND, within: 5m, from: SOURCE, ends_when: [connected]}]
escalations: [{kind: KIND, after: 2d, to: manager}]
"""


@pytest.mark.parametrize(
    ("kind", "source"),
    [("first_response_5m", "assignment"), ("first_response_5m", "arrival"), ("stale", "last_touch")],
)
@pytest.mark.parametrize("called_at", [200, 400])
async def test_what_a_merged_leads_touch_kept_from_being_escalated_is_once_the_merge_is_undone(
    db: Database, monitor: Monitor, kind: str, source: str, called_at: int
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(ESCALATED.replace("KIND", kind).replace("SOURCE", source), lead, lost)
    await monitor.tell("routing", routed(lead, at(0)))
    await monitor.fire()
    due = "SELECT next_at FROM clock WHERE lead_id = $1"
    told = "SELECT count(*) FROM alert WHERE lead_id = $1 AND retracted_at IS NULL"
    async with db.reading() as conn:
        before = await conn.fetchval(due, lead)
    await monitor.tell("intake", touch(lost, at(called_at), outcome="connected"))
    await monitor.tell("intake", *merged(lead, lost, at(500), came_at=at(0)))
    async with db.reading() as conn:
        assert await conn.fetchval(due, lead) is None
    await monitor.tell("intake", *unmerged(lead, lost, at(600)))
    await monitor.fire()
    async with db.reading() as conn:
        assert await conn.fetchval(due, lead) == before is not None
        assert await conn.fetchval(told, lead) == 1
    assert set((await monitor.states(lead)).values()) == {"breached"}


async def test_what_was_to_be_escalated_of_a_merged_lead_is_once_the_merge_is_undone(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(ESCALATED.replace("KIND", "first_response_5m").replace("SOURCE", "arrival"), lead, lost)
    await monitor.fire()
    due = "SELECT next_at FROM clock WHERE lead_id = $1"
    async with db.reading() as conn:
        before = await conn.fetchval(due, lost)
    await monitor.tell("intake", *merged(lead, lost, at(400), came_at=at(0)))
    await monitor.tell("intake", *unmerged(lead, lost, at(500)))
    async with db.reading() as conn:
        assert await conn.fetchval(due, lost) == before is not None


async def test_an_undone_merge_takes_its_touches_and_its_promises_along(db: Database, monitor: Monitor) -> None:
    lead, lost, slow, other = (ids.new() for _ in range(4))
    await monitor.arrive(
        "clocks:\n  - {kind: first_response_5m, within: 5m, from: assignment}\n"
        "  - {kind: handoff, within: 3d, from: qualification}\n"
        "  - {kind: first_response_1d, within: 3d, from: arrival}",
        *(lead, lost, slow, other),
    )
    await monitor.tell("routing", routed(lead, at(0)), routed(slow, at(0)))
    await monitor.fire()
    await monitor.tell("qualification", telling.disqualified(lost, at(20)), qualified(other, at(10)))
    await monitor.tell("intake", touch(lost, at(60)), touch(other, at(600)))
    await monitor.tell(
        "intake", *merged(lead, lost, at(700), came_at=at(0)), *merged(slow, other, at(700), came_at=at(0))
    )
    assert (await monitor.states(lead))["first_response_5m", 1] == "met"
    assert (await monitor.states(slow))["handoff", 1] == "met"
    await monitor.tell("intake", *unmerged(lead, lost, at(800)), *unmerged(slow, other, at(800)))
    await monitor.fire()
    assert await monitor.states(lead) == {("first_response_5m", 1): "breached", ("first_response_1d", 0): "running"}
    async with db.reading() as conn:
        five = await conn.fetchrow("SELECT met_at, retracted FROM clock WHERE lead_id = $1 AND cycle = 1", lead)
        assert (five["met_at"], five["retracted"]) == (None, False)
        late = "SELECT met_at FROM clock WHERE lead_id = $1 AND clock = 'first_response_5m'"
        assert await conn.fetchval(late, slow) is None
    assert (await monitor.states(slow))["handoff", 1] == "cancelled"
    assert (await monitor.states(other))["handoff", 1] == "running"
    assert dict(await monitor.alerts()) == {"breach": False}


@pytest.mark.parametrize("first", ["intake", "routing"])
async def test_what_was_told_before_a_merge_is_told_and_counted_once(
    db: Database, monitor: Monitor, first: str
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(FIVE, lead, lost)
    await monitor.tell("routing", routed(lost, at(0)))
    await monitor.fire()
    said: dict[str, list[Any]] = {
        "intake": merged(lead, lost, at(400), came_at=at(0)),
        "routing": [released(lost, at(400), outcome="merged"), routed(lead, at(0), rule="merged")],
    }
    for topic in sorted(said, key=lambda one: one != first):
        await monitor.tell(topic, *said[topic])
    await monitor.fire()
    assert await monitor.alerts() == [("breach", False)]
    async with db.reading() as conn:
        (kept,) = await reports_attainment.attainment(conn, at(-1), at(1), by="none")
    assert (kept["met"], kept["missed"], kept["running"]) == (0, 1, 0)


PROMISE = """
applies: lead.source == "NAME"
clocks:
  - {clock: came, kind: first_response_1d, within: SPAN, from: arrival}
  - {clock: given, kind: first_response_5m, within: SPAN, from: assignment}
"""


async def test_what_was_told_by_another_policys_promise_is_not_the_leads_own(monitor: Monitor) -> None:
    """Two policies may have clocks of one name: a merge, and its undoing, leave each its own deadline."""
    for name, span in (("slow", "9d"), ("fast", "4s")):
        await monitor.put(PROMISE.replace("NAME", name).replace("SPAN", span), name)
    slow, fast = ids.new(), ids.new()
    came = {slow: at(0), fast: at(-10)}
    await monitor.tell("intake", captured(fast, came[fast], source="fast"), captured(slow, came[slow], source="slow"))
    await monitor.tell("routing", _given(slow, "slow"))
    await monitor.fire()
    await monitor.tell("intake", *merged(slow, fast, at(400), came_at=at(-10)))
    assert await monitor.states(slow) == {("came", 0): "running", ("given", 1): "running"}
    await monitor.tell("intake", *unmerged(slow, fast, at(500), came=came))
    await monitor.tell("intake", *merged(fast, slow, at(600), came_at=at(-10)))
    await monitor.tell("routing", released(slow, at(600), outcome="merged"), _given(fast, "fast", rule="merged"))
    await monitor.fire()
    assert await monitor.states(fast) == {("came", 0): "breached", ("given", 1): "breached"}
    await monitor.tell("intake", *unmerged(fast, slow, at(700), came=came))
    await monitor.fire()
    assert (await monitor.states(slow))["came", 0] == "running"
    async with monitor._db.reading() as conn:
        asked = reports_attainment.Asked(start=at(-60), end=at(60), by=("source",))
        found = await reports_attainment.counted(conn, asked, as_of=at(300))
    assert found[("slow",), "first_response_5m"][Decided.RUNNING] == 1


def _given(lead: UUID, source: str, **fields: Any) -> Told:
    subject, message = routed(lead, at(0), **fields)
    message.lead.source = source
    return subject, message


async def test_a_touch_that_comes_late_counts_for_who_had_the_lead_before_it_was_merged(
    db: Database, monitor: Monitor
) -> None:
    lead, lost = ids.new(), ids.new()
    await monitor.arrive(FIVE, lead, lost)
    await monitor.tell("routing", routed(lost, at(0)), released(lost, at(400), outcome="reassigned"))
    await monitor.fire()
    await monitor.tell("intake", *merged(lead, lost, at(500), came_at=at(0)))
    asked = reports_attainment.Asked(start=at(-60), end=at(60), by=("none",))
    for called_at, now_is, told in ((350, "breached", False), (60, "met", True)):
        await monitor.tell("intake", (lead, touch(lost, at(called_at))[1]))
        assert await monitor.states(lost) == {("first_response_5m", 1): now_is}
        assert await monitor.alerts() == [("breach", told)]
        async with db.reading() as conn:
            stored = await reports_attainment.counted(conn, asked)
            assert stored == await reports_attainment.counted(conn, asked, as_of=now())


async def test_what_was_promised_to_a_merged_lead_is_promised_to_the_survivor(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: handoff, within: 15m, from: qualification}]")
    kept, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(lost, at))
    await learn(sla, "qualification", qualified(lost, at))
    await learn(sla, "intake", *telling.merged(kept, lost, at))
    found = await clocks(sla, kept)
    assert {key: (one["state"], one["started_at"]) for key, one in found.items()} == {
        ("handoff", 1): ("running", times.text(at))
    }
    await learn(sla, "routing", routed(kept, at + timedelta(seconds=5)))
    assert await states(sla, kept) == {("handoff", 1): "met"}


async def test_a_merge_that_is_undone_gives_each_its_own_again(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: first_response_1d, within: 1d, from: arrival}]")
    kept, other, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(other, at))
    await learn(sla, "intake", *telling.merged(kept, other, at), touch(other, at + timedelta(seconds=5)))
    assert await states(sla, kept) == {("first_response_1d", 0): "met"}
    await learn(sla, "intake", *telling.unmerged(kept, other, at))
    # The touch was the other's.
    assert await states(sla, kept) == {("first_response_1d", 0): "running"}
    assert await states(sla, other) == {("first_response_1d", 0): "met"}


async def test_a_breach_that_was_told_of_before_a_merge_moved_the_assignment_is_not_told_of_again(sla: Actor) -> None:
    await put(
        sla,
        "clocks: [{kind: first_response_5m, within: 1s, from: assignment}]\n"
        "escalations: [{kind: first_response_5m, after: 6s, to: manager}]",
    )
    kept, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(lost, at))
    await learn(sla, "routing", routed(lost, at))
    await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    await learn(sla, "intake", *telling.merged(kept, lost, now()))
    await learn(sla, "routing", telling.released(lost, now(), outcome="merged"), routed(kept, at, rule="merged"))
    assert await states(sla, kept) == {("first_response_5m", 1): "breached"}
    told = await sla.published(lambda seen: any(event.type == "SlaEscalated" for event in seen))
    alerts = [(event.type, event.subject) for event in told if event.type in ("SlaBreached", "SlaEscalated")]
    assert alerts == [("SlaBreached", lost), ("SlaEscalated", kept)]
    # Both stand with the lead that they are one as; what the merged one had itself can be read still.
    listed = (await sla.http.get("/v1/alerts", params={"lead_id": str(kept)})).json()
    assert [(one["level"], one["lead_id"]) for one in listed] == [("breach", str(lost)), ("escalation", str(kept))]
    (own,) = (await sla.http.get(f"/v1/leads/{lost}/clocks", params={"own": True})).json()
    assert (own["state"], own["rep_id"]) == ("breached", "ana")


async def test_the_end_of_a_merged_leads_assignment_leaves_the_survivors_clocks_alone(sla: Actor) -> None:
    await put(
        sla,
        "clocks:\n  - {kind: first_response_1d, within: 1d, from: arrival}\n"
        "  - {kind: first_response_5m, within: 5m, from: assignment}",
    )
    kept, lost, at = ids.new(), ids.new(), now()
    await learn(sla, "intake", captured(kept, at), captured(lost, at))
    await learn(sla, "routing", routed(kept, at), routed(lost, at))
    message = intake_pb2.LeadMerged(stamp=stamp(kept, at), survivor_id=str(kept), merged_id=str(lost))
    await learn(sla, "intake", (kept, message), (lost, message))
    await learn(sla, "routing", released(lost, at + timedelta(seconds=1), outcome="merged"))
    running = {("first_response_1d", 0): "running", ("first_response_5m", 1): "running"}
    assert await states(sla, kept) == await states(sla, lost) == running
    async with sla.database.reading() as conn:
        ended = await conn.fetch("SELECT state, next_at FROM clock WHERE lead_id = $1", lost)
    assert {tuple(row) for row in ended} == {("cancelled", None)}
    await learn(sla, "intake", (lost, touch(lost, at + timedelta(seconds=2))[1]))
    assert set((await states(sla, kept)).values()) == {"met"}
