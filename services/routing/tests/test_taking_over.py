"""Work that comes with who has it starts no clocks, so that it takes no room under a cap of untouched leads."""

from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2
from services.routing.tests.desk import (
    FIELDS,
    escalated,
    holder,
    learn,
    over,
    put_policy,
    put_rep,
    qualified,
    stamp,
    taken_over,
    told_again,
    touched,
    waiting,
)

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr", untouched_cap: 2}]
rules: [{rule: everyone, to: sdr}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def untouched(routing: Actor, rep_id: str = "ana") -> int:
    return int((await routing.http.get(f"/v1/reps/{rep_id}/load")).json()["untouched"])


async def take_over(routing: Actor, owner_id: str = "ana", count: int = 1) -> list[UUID]:
    leads = [ids.new() for _ in range(count)]
    await learn(routing, "intake", *(taken_over(lead, owner_id) for lead in leads))
    return leads


async def come(routing: Actor, count: int) -> list[UUID]:
    leads = [ids.new() for _ in range(count)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    return leads


async def test_a_team_that_moves_in_with_its_open_work_takes_new_leads_at_once(routing: Actor) -> None:
    await put_rep(routing, "ben")
    for owner_id in ("ana", "ben"):
        await take_over(routing, owner_id, 3)
    assert (await untouched(routing), await untouched(routing, "ben")) == (0, 0)
    leads = await come(routing, 5)
    assert set(await waiting(routing)) == {str(leads[-1])}, "two each, and one more than may start its clock now"
    assert (await untouched(routing), await untouched(routing, "ben")) == (2, 2)


async def test_neither_a_touch_nor_the_end_of_what_was_taken_over_makes_room_that_it_did_not_take(
    routing: Actor,
) -> None:
    first, second = await take_over(routing, count=2)
    ours, _, waits = await come(routing, 3)
    await learn(routing, "intake", touched(first))
    for lead in (first, second):
        assert (await routing.http.post(f"/v1/assignments/{lead}/close", json={"outcome": "recycled"})).is_success
    assert (await untouched(routing), await waiting(routing)) == (2, {str(waits): "no_capacity"})
    await learn(routing, "intake", touched(ours))
    assert (await holder(routing, waits), await untouched(routing)) == ("ana", 2)


async def test_a_touch_of_before_the_assignment_makes_no_room_told_late(routing: Actor) -> None:
    ours, _, waits = await come(routing, 3)
    await learn(routing, "intake", touched(ours, seconds_ago=3 * 3600))
    assert (await untouched(routing), await waiting(routing)) == (2, {str(waits): "no_capacity"})
    await learn(routing, "intake", touched(ours))
    assert await holder(routing, waits) == "ana"


async def test_a_lead_that_its_rep_brought_takes_no_such_room_either(routing: Actor) -> None:
    lead, standing = ids.new(), common_pb2.Standing(owner_id="ana", keep=True)
    await learn(routing, "intake", (lead, intake_pb2.LeadCaptured(stamp=stamp(lead), lead=FIELDS, standing=standing)))
    assert (await holder(routing, lead), await untouched(routing)) == ("ana", 0)


async def test_what_was_taken_over_starts_no_clock_when_it_is_merged(routing: Actor) -> None:
    survivor, (merged,) = ids.new(), await take_over(routing)
    names = {"survivor_id": str(survivor), "merged_id": str(merged)}
    message = intake_pb2.LeadMerged(stamp=stamp(survivor), lead=FIELDS, **names)
    await learn(routing, "intake", (survivor, message), (merged, message))
    assert (await holder(routing, survivor), await untouched(routing)) == ("ana", 0)
    events = await routing.published(lambda seen: sum(event.type == "LeadRouted" for event in seen) == 2)
    told = {event.message.rule: event.message.starts_clocks for event in events if event.type == "LeadRouted"}
    assert told == {"taken over": False, "merged": False}


async def test_what_was_taken_over_is_news_to_the_next_rep(routing: Actor) -> None:
    (lead,) = await take_over(routing)
    await learn(routing, "qualification", qualified(lead))
    await learn(routing, "sla", escalated(lead, cycle=1))
    assert (await untouched(routing), await waiting(routing)) == (0, {str(lead): "no_match"}), "nobody else yet"
    await put_rep(routing, "ben")
    assert (await holder(routing, lead), await untouched(routing), await untouched(routing, "ben")) == ("ben", 0, 1)
    await learn(routing, "intake", touched(lead, "ben"))
    assert await untouched(routing, "ben") == 0


async def test_what_was_taken_over_is_handed_over_as_the_untouched_lead_that_it_is(routing: Actor) -> None:
    (lead,) = await take_over(routing)
    await put_rep(routing, "ben")
    order = {"when": "!lead.touched", "to": "ben", "reason": "territory"}
    assert (await routing.http.post("/v1/hand-over", json=order)).json()["moved"]["assignments"] == 1
    assert (await holder(routing, lead), await untouched(routing), await untouched(routing, "ben")) == ("ben", 0, 1)


@pytest.mark.parametrize("stage", ["disqualified", "customer"])
async def test_closed_work_that_comes_with_who_had_it_is_no_load(routing: Actor, stage: str) -> None:
    await put_policy(routing, POLICY.replace("rules: [", "rules: [{rule: back, to: previous}, "))
    lead = ids.new()
    await learn(routing, "intake", taken_over(lead, "ana", stage))
    assert (await routing.http.get("/v1/reps/ana/load")).json()["open"] == 0
    assert await holder(routing, lead) is None
    await put_rep(routing, "ben", weight=1000)
    await learn(routing, "qualification", qualified(lead, cycle=2))
    assert await holder(routing, lead) == "ana", "who closed it has it again"


async def test_the_stage_that_work_is_taken_over_with_is_told_with_who_has_it(routing: Actor) -> None:
    lead = ids.new()
    await learn(routing, "intake", taken_over(lead, "ana", stage="srl"))
    told = await routing.published(lambda seen: any(event.type == "LeadRouted" for event in seen))
    assert [event.message.qualification.stage for event in told if event.type == "LeadRouted"] == ["srl"]


@pytest.fixture
async def desk(routing: Actor) -> Actor:
    """Sales beside the SDRs; one lead each of ana and ben."""
    two = "pools: [{pool: sdr, reps: rep.role == 'sdr'}, {pool: sales, reps: rep.role == 'sales'}]"
    await put_policy(
        routing, f"{two}\nrules: [{{rule: ready, when: lead.stage == 'srl', to: sales}}, {{rule: all, to: sdr}}]"
    )
    await put_rep(routing, "ana", cap=1)
    for rep_id in ("zoe", "yan"):
        await put_rep(routing, rep_id, role="sales", cap=1)
    return routing


async def post(routing: Actor, lead: UUID, who: str, stage: str, order: int = 1) -> None:
    """Post a lead that is known, and let qualification take the stage, if it says one of qualified leads."""
    posted = told_again(lead, who, stage)
    told = [("intake", posted)]
    if stage in ("mql", "srl", "sql"):
        told.append(("qualification", qualified(lead, stage=stage, standing=posted[1].standing)))
    for topic, message in told[::order]:
        await learn(routing, topic, message)


async def ended(routing: Actor) -> dict[UUID, str]:
    events = await routing.published(lambda seen: any(event.type == "AssignmentReleased" for event in seen))
    return {event.subject: event.message.outcome for event in events if event.type == "AssignmentReleased"}


@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
@pytest.mark.parametrize("who", ["zoe", "", "ana"], ids=["of sales", "of nobody", "still of its SDR"])
async def test_an_sdrs_lead_that_is_posted_as_sales_ready_goes_to_sales(desk: Actor, who: str, order: int) -> None:
    (lead,) = await come(desk, 1)
    assert await holder(desk, lead) == "ana"
    await post(desk, lead, who, "srl", order)
    assert await holder(desk, lead) in ({"zoe"} if who == "zoe" else {"zoe", "yan"})
    assert await ended(desk) == {lead: "converted"}


@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
async def test_a_lead_that_waits_is_taken_over_with_the_stage_that_it_is_posted_with(desk: Actor, order: int) -> None:
    _, waits = await come(desk, 2)
    assert set(await waiting(desk)) == {str(waits)}
    await post(desk, waits, "zoe", "srl", order)
    assert (await holder(desk, waits), await waiting(desk)) == ("zoe", {})
    events = await desk.published(lambda seen: sum(event.type == "LeadRouted" for event in seen) == 2)
    told = [event.message for event in events if event.type == "LeadRouted" and event.subject == waits]
    assert [(one.outcome, one.qualification.stage) for one in told] == [("taken_over", "srl")]


async def test_what_people_made_ready_here_is_not_taken_over_with_an_earlier_stage(desk: Actor) -> None:
    leads = [ids.new() for _ in range(3)]
    await learn(desk, "qualification", *(qualified(lead, stage="srl") for lead in leads))
    (waits,) = map(UUID, await waiting(desk))
    await learn(desk, "intake", told_again(waits, "zoe", "mql"))
    events = await desk.published(lambda seen: sum(event.type == "LeadRouted" for event in seen) == 3)
    assert {event.message.qualification.stage for event in events if event.type == "LeadRouted"} == {"srl"}


@pytest.mark.parametrize("who", ["ana", ""], ids=["of somebody", "of nobody"])
@pytest.mark.parametrize("stage", ["disqualified", "customer", "nurture"])
@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
async def test_work_that_is_over_elsewhere_is_over_here(desk: Actor, stage: str, who: str, order: int) -> None:
    held, waits = await come(desk, 2)
    for lead in (waits, held):  # Room for who waits comes when it waits no more.
        for topic, message in [("intake", told_again(lead, who, stage)), ("qualification", over(lead, stage))][::order]:
            await learn(desk, topic, message)
    assert (await holder(desk, held), await holder(desk, waits), await waiting(desk)) == (None, None, {})
    wanted = {"disqualified": "disqualified", "customer": "converted", "nurture": "recycled"}[stage]
    assert await ended(desk) == {held: wanted}
    assert (await desk.http.get("/v1/reps/ana/load")).json()["open"] == 0


@pytest.mark.parametrize("stage", ["", "mql"], ids=["no stage", "a stage that people here went beyond"])
async def test_nobody_is_given_a_lead_that_is_over_here_by_a_sources_nightly_list(desk: Actor, stage: str) -> None:
    sold, out, back = await come(desk, 3)
    await learn(desk, "qualification", over(sold, "customer"), over(out, "disqualified"), over(back, "nurture"))
    for lead in (sold, out, back):
        await learn(desk, "intake", told_again(lead, "ana", stage))
        assert await holder(desk, lead) is None
    await learn(desk, "qualification", qualified(out, standing=told_again(out, "ana", "mql")[1].standing))
    assert await holder(desk, out) == "ana", "until qualification says that it is somebody's work again"


@pytest.mark.parametrize("order", [1, -1], ids=["intake first", "qualification first"])
async def test_an_sdrs_lead_that_comes_ready_for_sales_goes_to_sales_when_they_have_room(
    desk: Actor, order: int
) -> None:
    lead, *full = (ids.new() for _ in range(3))
    await learn(desk, "qualification", *(qualified(one, stage="srl") for one in full))
    await post(desk, lead, "ana", "srl", order)
    assert (await holder(desk, lead), await waiting(desk)) == ("ana", {str(lead): "no_capacity"})
    await put_rep(desk, "zoe", role="sales", cap=2)
    assert await holder(desk, lead) == "zoe"
    assert await ended(desk) == {lead: "converted"}


@pytest.mark.parametrize("stage", ["srl", "sql", ""])
async def test_a_lead_that_waits_for_sales_goes_to_who_has_it_elsewhere(desk: Actor, stage: str) -> None:
    (lead,) = await come(desk, 1)
    await learn(desk, "qualification", *(qualified(ids.new(), stage="srl") for _ in range(2)))
    await learn(desk, "qualification", qualified(lead, stage="srl"))
    assert set(await waiting(desk)) == {str(lead)}
    await learn(desk, "intake", told_again(lead, "yan", stage))
    assert (await holder(desk, lead), await waiting(desk)) == ("yan", {})


async def test_a_lead_that_is_no_more_ready_for_sales_stays_with_its_sdr(desk: Actor) -> None:
    (lead,) = await come(desk, 1)
    await put_rep(desk, "ben")
    await learn(desk, "qualification", *(qualified(ids.new(), stage="srl") for _ in range(2)))
    await post(desk, lead, "", "srl")
    assert (await holder(desk, lead), set(await waiting(desk))) == ("ana", {str(lead)})
    await post(desk, lead, "", "mql")
    assert (await holder(desk, lead), await waiting(desk)) == ("ana", {})


async def test_who_is_posted_as_less_than_ready_for_sales_goes_to_nobody_of_them(desk: Actor) -> None:
    (lead,) = await come(desk, 1)
    await learn(desk, "qualification", *(qualified(ids.new(), stage="srl") for _ in range(2)))
    await post(desk, lead, "", "srl")
    await post(desk, lead, "zoe", "mql")
    assert (await holder(desk, lead), await waiting(desk)) == ("ana", {})


@pytest.mark.parametrize("who", ["zoe", "", "yan", "ana"])
async def test_one_of_sales_who_has_a_lead_that_becomes_sales_ready_keeps_it(desk: Actor, who: str) -> None:
    lead = ids.new()
    await post(desk, lead, "zoe", "mql")
    await post(desk, lead, who, "srl")
    answer = (await desk.http.get(f"/v1/leads/{lead}/assignment")).json()
    assert (answer["rep_id"], answer["cycle"]) == ("zoe", 2)
    await post(desk, lead, "zoe", "sql")
    assert (await desk.http.get(f"/v1/leads/{lead}/assignment")).json()["cycle"] == 2


@pytest.mark.parametrize("survivor", ["with its SDR", "waiting for sales", "disqualified"])
async def test_what_sales_have_is_theirs_when_it_turns_out_to_be_an_sdrs_lead(desk: Actor, survivor: str) -> None:
    sold, kept = ids.new(), ids.new()
    await put_rep(desk, "yan", role="sales", cap=0)
    await learn(desk, "qualification", qualified(sold, stage="srl"), qualified(kept))
    if survivor == "waiting for sales":
        await learn(desk, "qualification", qualified(kept, stage="srl"))
    if survivor == "disqualified":
        await learn(desk, "qualification", over(kept, "disqualified"))
    names = {"survivor_id": str(kept), "merged_id": str(sold)}
    message = intake_pb2.LeadMerged(stamp=stamp(kept), lead=FIELDS, **names)
    await learn(desk, "intake", (kept, message), (sold, message))
    await learn(desk, "qualification", qualified(kept, stage="srl"))
    answer = (await desk.http.get(f"/v1/leads/{kept}/assignment")).json()
    assert (answer["rep_id"], await waiting(desk)) == ("zoe", {})
