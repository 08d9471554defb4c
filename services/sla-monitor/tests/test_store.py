"""Steps that only one raises."""

from datetime import UTC, datetime, timedelta

from backbone import ids
from backbone.database import Database
from handoff.events.v1 import common_pb2
from sla_monitor import clocks, policies, store_clocks, store_policies
from sla_monitor.hours import Calendars

START = datetime(2026, 11, 10, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def test_a_step_is_raised_by_one_alone(db: Database) -> None:
    document = policies.parse(b"clocks: [{kind: first_response_5m, within: 5m, from: assignment}]", [])
    policy = policies.build("standard", 1, document.data)
    rep = common_pb2.Rep(rep_id="ana")
    plan = clocks.plan(policy, policy.clocks[0], rep, Calendars({}, 2026))
    assert plan is not None
    one = clocks.start(ids.new(), plan, cycle=1, started_at=START, rep=rep)
    async with db.transaction() as conn:
        await store_clocks.add(conn, [one])
        early = await store_clocks.raise_steps(conn, [(one, 0, 1)], after(299))
        assert early == set()
        assert len(await store_clocks.raise_steps(conn, [(one, 0, 1)], after(301))) == 1
        assert await store_clocks.raise_steps(conn, [(one, 0, 1)], after(302)) == set()


async def test_policies_are_listed_whatever_numbers_older_ones_were_stored_with(db: Database) -> None:
    clock = {"kind": "minimum_touches", "within": "1d", "from": "assignment", "touches": {"call": 3.0}}
    async with db.transaction() as conn:
        for name, order in (("vast", 99_999_999_999), ("part", 1.0), ("first", -1)):
            await store_policies.add(conn, name, "", {"order": order, "clocks": [clock]}, "mia")
        assert [row["name"] for row in await store_policies.in_force(conn)] == ["first", "part", "vast"]
        found, _ = await store_policies.Policies().in_force(conn, START)
    assert {repr(dict(one.clocks[0].needs)) for one in found} == {"{'call': 3}"}
