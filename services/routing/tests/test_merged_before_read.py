"""What was said of a lead before it was merged, read after that: it neither ends nor moves who survived."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, qualification_pb2
from services.routing.tests.desk import (
    FIELDS,
    decision,
    fields,
    holder,
    learn,
    over,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
    waiting,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules:
- {rule: another company, when: 'lead.company == "Other"', to: sdr}
- {rule: ready, when: 'lead.stage == "srl"', to: sales}
- {rule: others, to: sdr}
"""
Said = tuple[str, tuple[UUID, Any]]


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    await put_rep(actor, "zoe", role="sales")
    return actor


async def merge(routing: Actor, kept: UUID, lost: UUID) -> None:
    message = intake_pb2.LeadMerged(stamp=stamp(kept), survivor_id=str(kept), merged_id=str(lost), lead=FIELDS)
    await learn(routing, "intake", (kept, message), (lost, message))


def handed_back(lead: UUID) -> tuple[UUID, Any]:
    seen = common_pb2.Qualification(stage="mql", cycle=1)
    message = qualification_pb2.LeadHandedBack(stamp=stamp(lead), qualification=seen, lead=FIELDS, sdr_id="ana")
    return lead, message


def deal_lost(lead: UUID) -> tuple[UUID, Any]:
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="lost")
    return lead, forecast_pb2.OpportunityLost(stamp=stamp(lead), opportunity=deal)


def captured(lead: UUID) -> tuple[UUID, Any]:
    standing = common_pb2.Standing(owner_id="ana", stage="disqualified")
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead), lead=fields(company="Other"), standing=standing)


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("qualification", lambda lead: over(lead, "disqualified")),
        ("qualification", recycled),
        ("qualification", qualified),
        ("qualification", handed_back),
        ("forecast", deal_lost),
        ("intake", captured),
    ],
)
async def test_who_has_the_survivor_has_it_still(
    routing: Actor, topic: str, told: Callable[[UUID], tuple[UUID, Any]]
) -> None:
    kept, lost = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(kept, stage="srl", sdr_id="ana"))
    assert await holder(routing, kept) == "zoe"
    await merge(routing, kept, lost)
    await learn(routing, topic, told(lost))
    assert (await holder(routing, kept), await waiting(routing)) == ("zoe", {})
    zoe = routing.as_role("rep", rep="zoe")
    await put_rep(routing, "sam", role="sales")
    assert (await zoe.post(f"/v1/assignments/{kept}/return", json={"reason": "no_time"})).status_code == 200
    assert await holder(routing, kept) == "sam", "it is sales' work still, of the company that it was"


async def test_whoever_comes_back_is_what_was_said_of_it_meanwhile(routing: Actor) -> None:
    kept, lost = ids.new(), ids.new()
    await merge(routing, kept, lost)
    await learn(routing, "qualification", qualified(lost))
    assert (await holder(routing, kept), await holder(routing, lost)) == (None, None)
    apart = intake_pb2.LeadUnmerged(stamp=stamp(kept), survivor_id=str(kept), unmerged_id=str(lost), lead=FIELDS)
    await learn(routing, "intake", (kept, apart), (lost, apart))
    await learn(routing, "qualification", qualified(lost))
    assert (await holder(routing, kept), await holder(routing, lost)) == (None, "ana")


@pytest.mark.parametrize("own", ["nurture", "mql"])
@pytest.mark.parametrize("end", [lambda lead: over(lead, "disqualified"), recycled, handed_back, deal_lost])
async def test_who_went_on_as_what_had_ended_is_what_it_is_itself(
    routing: Actor, own: str, end: Callable[[UUID], tuple[UUID, Any]]
) -> None:
    """The merge is read first: the survivor goes on with whoever had the other one."""
    kept, lost = ids.new(), ids.new()
    await learn(routing, "qualification", recycled(kept) if own == "nurture" else qualified(kept))
    await learn(routing, "qualification", qualified(lost, stage="srl", sdr_id="ana"))
    await merge(routing, kept, lost)
    assert await holder(routing, kept) == "zoe"
    await learn(routing, "forecast" if end is deal_lost else "qualification", end(lost))
    assert await holder(routing, kept) == {"nurture": None, "mql": "ana"}[own]
    assert await waiting(routing) == {}


async def test_who_went_on_as_another_and_is_that_by_now_stays_so(routing: Actor) -> None:
    kept, lost = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(kept), qualified(lost, stage="srl", sdr_id="ana"))
    await merge(routing, kept, lost)
    await learn(routing, "qualification", qualified(kept, stage="srl", sdr_id="ana"))
    await learn(routing, "qualification", recycled(lost))
    assert await holder(routing, kept) == "zoe"


async def test_who_refused_the_other_does_not_get_the_survivor(routing: Actor) -> None:
    kept, lost = ids.new(), ids.new()
    await learn(routing, "qualification", qualified(lost))
    ana, refusal = routing.as_role("rep", rep="ana"), {"reason": "no_time"}
    assert (await ana.post(f"/v1/assignments/{lost}/decline", json=refusal)).status_code == 200
    await merge(routing, kept, lost)
    await learn(routing, "qualification", qualified(kept))
    assert await holder(routing, kept) is None
    assert set(await waiting(routing)) == {str(kept)}


async def refuse(routing: Actor, lead: UUID, rep_id: str) -> None:
    """Let a rep refuse what a manager gives them."""
    given = await routing.http.post(f"/v1/assignments/{lead}/reassign", json={"rep_id": rep_id, "reason": "other"})
    assert given.status_code == 200, given.text
    rep = routing.as_role("rep", rep=rep_id)
    assert (await rep.post(f"/v1/assignments/{lead}/decline", json={"reason": "timing"})).status_code == 200


@pytest.mark.parametrize("halves", ["both", "survivor's first", "other's first"])
async def test_whoever_refused_the_other_alone_gets_the_survivor_once_they_are_parted(
    routing: Actor, halves: str
) -> None:
    kept, lost = ids.new(), ids.new()
    reps = ("ana", "ben", "cem")
    for rep_id in reps:
        await put_rep(routing, rep_id)
        await routing.http.post(f"/v1/reps/{rep_id}/pause")
    await learn(routing, "qualification", qualified(kept), qualified(lost))
    await refuse(routing, kept, "ben")
    await refuse(routing, lost, "ana")
    await merge(routing, kept, lost)
    await refuse(routing, kept, "cem")
    for rep_id in reps:
        await routing.http.post(f"/v1/reps/{rep_id}/resume")
    assert (await holder(routing, kept), set(await waiting(routing))) == (None, {str(kept)})
    apart = intake_pb2.LeadUnmerged(stamp=stamp(kept), survivor_id=str(kept), unmerged_id=str(lost), lead=FIELDS)
    told = [(lost, apart), (kept, apart)] if halves == "other's first" else [(kept, apart), (lost, apart)]
    for some in [told] if halves == "both" else [[one] for one in told]:
        await learn(routing, "intake", *some)
    assert (await holder(routing, kept), await waiting(routing)) == ("ana", {})
    seen = await decision(routing, kept)
    assert {one["rep_id"]: one["reason"] for one in seen["considered"]} == {
        "ana": "chosen",
        "ben": "declined_before",
        "cem": "declined_before",
        "zoe": "no_match",
    }


def merging(kept: UUID, lost: UUID) -> list[tuple[UUID, Any]]:
    message = intake_pb2.LeadMerged(stamp=stamp(kept), survivor_id=str(kept), merged_id=str(lost), lead=FIELDS)
    return [(lost, message), (kept, message)]


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("read", ["in turn", "later first", "apart, later first"])
async def test_of_leads_that_were_merged_in_a_row_whoever_is_left_has_the_only_assignment(
    routing: Actor, has_own: bool, read: str
) -> None:
    first, second, last = leads = [ids.new() for _ in range(3)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads if has_own or lead != last))
    told = [merging(second, first), merging(last, second)]
    if read != "in turn":
        told.reverse()
    for some in told if "apart" in read else [[*told[0], *told[1]]]:
        await learn(routing, "intake", *some)
    assert await holder(routing, last) == "ana"
    async with routing.database.reading() as conn:
        assert [row["lead_id"] for row in await conn.fetch("SELECT lead_id FROM assignment")] == [last]
