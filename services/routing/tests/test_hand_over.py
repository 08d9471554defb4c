"""Leavers and territories in one call: what moves, what waits, what a dry run leaves alone, what forecast is told."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, subjects, times
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import forecast_pb2
from services.routing.tests.desk import (
    fields,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    stamp,
    touched,
    waiting,
)

POLICY = """
pools:
  - {pool: north, reps: rep.team == "north"}
  - {pool: south, reps: rep.team == "south"}
rules:
  - {rule: sales ready, when: lead.stage == "srl", to: south}
  - {rule: rest, to: north}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def leads_of_ana(routing: Actor, count: int) -> list[UUID]:
    leads = [ids.new() for _ in range(count)]
    await learn(routing, "qualification", *(qualified(lead) for lead in leads))
    assert (await loads(routing))["ana"] == count
    return leads


async def ask(routing: Actor, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await routing.http.post("/v1/hand-over", json={"reason": "left", **body})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_leavers_leads_go_to_a_pool_and_what_finds_no_room_stays(routing: Actor) -> None:
    leads = await leads_of_ana(routing, 5)
    await learn(routing, "intake", touched(leads[0]))
    await put_rep(routing, "sid", team="south", cap=2)
    await put_rep(routing, "sue", team="south", cap=1)
    order = {"from": "ana", "to": "south", "what": ["assignments"]}
    expected = {
        "moved": {"assignments": 3, "named_accounts": 0, "opportunities": 0},
        "stays": {"named_accounts": [], "opportunities": []},
        "waiting": 2,
        "over_cap": 0,
        "per_rep": {"sid": 2, "sue": 1},
    }
    assert await ask(routing, **order, dry_run=True) == {**expected, "dry_run": True}
    assert (await loads(routing), await waiting(routing)) == ({"ana": 5, "sid": 0, "sue": 0}, {})
    assert await ask(routing, **order) == expected
    assert await loads(routing) == {"ana": 2, "sid": 2, "sue": 1}
    assert set((await waiting(routing)).values()) == {"no_capacity"}
    # What waits is for that pool alone, and is let in by its room.
    await put_rep(routing, "ben")
    assert (await loads(routing))["ben"] == 0
    await put_rep(routing, "sue", team="south", cap=3)
    assert await loads(routing) == {"ana": 0, "ben": 0, "sid": 2, "sue": 3}
    events = await routing.published(lambda seen: sum(event.type == "AssignmentReleased" for event in seen) == 5)
    released = [event.message for event in events if event.type == "AssignmentReleased"]
    assert {(one.outcome, one.reason, one.released_by) for one in released} == {("reassigned", "other", "manager")}
    routed = {event.subject: event.message for event in events if event.type == "LeadRouted"}
    assert {lead: (routed[lead].cycle, routed[lead].starts_clocks) for lead in leads} == {
        lead: (2, lead != leads[0]) for lead in leads
    }


async def test_a_person_who_names_a_rep_may_go_over_the_cap_and_it_is_recorded(routing: Actor) -> None:
    leads = await leads_of_ana(routing, 3)
    await put_rep(routing, "ben", cap=1)
    answer = await ask(routing, **{"from": "ana"}, to="ben")
    assert (answer["moved"]["assignments"], answer["over_cap"], answer["per_rep"]) == (3, 2, {"ben": 3})
    load = (await routing.http.get("/v1/reps/ben/load")).json()
    assert (load["open"], load["cap"], load["over_cap"]) == (3, 1, True)
    assert {await holder(routing, lead) for lead in leads} == {"ben"}


async def test_a_leaver_by_the_policy_is_never_given_the_own_leads_again(routing: Actor) -> None:
    leads = await leads_of_ana(routing, 4)
    await learn(routing, "qualification", qualified(leads[0], stage="srl"))
    await put_rep(routing, "ben")
    await put_rep(routing, "sid", team="south", cap=0)
    answer = await ask(routing, **{"from": "ana"}, to="policy")
    assert (answer["moved"]["assignments"], answer["waiting"], answer["per_rep"]) == (3, 1, {"ben": 3})
    assert await holder(routing, leads[0]) == "ana", "sales have no room"
    await put_rep(routing, "sid", team="south")
    assert await holder(routing, leads[0]) == "sid"


async def test_a_territory_is_a_condition_over_lead_account_and_rep(routing: Actor) -> None:
    german, touched_one, french = ids.new(), ids.new(), ids.new()
    germany, france = (fields(country=country, account_domain=f"{country.lower()}.example") for country in ("DE", "FR"))
    leads = (qualified(german, told=germany), qualified(touched_one, told=germany), qualified(french, told=france))
    await learn(routing, "qualification", *leads)
    await learn(routing, "intake", touched(touched_one))
    await put_rep(routing, "ben")
    for domain in ("DE.example", "FR.example"):
        await routing.http.put(f"/v1/named-accounts/{domain}", json={"rep_id": "ana"})
    when = 'rep.rep_id == "ana" && !lead.touched && (lead.country == "DE" || account.domain == "de.example")'
    answer = await ask(routing, when=when, to="ben")
    assert answer["moved"] == {"assignments": 1, "named_accounts": 1, "opportunities": 0}
    assert [await holder(routing, lead) for lead in (german, touched_one, french)] == ["ben", "ana", "ana"]
    assert (await routing.http.get("/v1/accounts/de.example")).json()["rep_id"] == "ben"
    assert (await routing.http.get("/v1/accounts/fr.example")).json()["rep_id"] == "ana"


async def test_named_accounts_and_deals_follow_their_leads(routing: Actor) -> None:
    (lead,) = await leads_of_ana(routing, 1)
    await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "ana"})
    await routing.http.put("/v1/named-accounts/bare.example", json={"rep_id": "ana"})
    of_lead, bare = ids.new(), ids.new()
    for opportunity_id, subject in ((of_lead, lead), (bare, bare)):
        message = forecast_pb2.OpportunityOpened(
            stamp=stamp(subject),
            opportunity=forecast_pb2.Opportunity(opportunity_id=str(opportunity_id), owner_id="ana", account="x"),
        )
        if subject == bare:
            message.stamp.lead_id = ""
        await learn(routing, "forecast", (subject, message))
    await put_rep(routing, "sid", team="south")
    await put_rep(routing, "sue", team="south", cap=0)
    answer = await ask(routing, **{"from": "ana"}, to="south")
    assert answer["moved"] == {"assignments": 1, "named_accounts": 2, "opportunities": 2}
    assert (await routing.http.get("/v1/accounts/acme.example")).json()["rep_id"] == "sid", "who got its lead"
    events = await routing.published(lambda seen: sum(event.type == "OpportunityHandedOver" for event in seen) == 2)
    told = {event.message.opportunity_id: event for event in events if event.type == "OpportunityHandedOver"}
    with_lead = told[str(of_lead)]
    assert (with_lead.subject, with_lead.message.from_rep_id, with_lead.message.to_rep_id) == (lead, "ana", "sid")
    assert with_lead.message.reason == "other", "why it was handed over was typed"
    assert (told[str(bare)].subject, told[str(bare)].message.to_rep_id in ("sid", "sue")) == (bare, True)


async def test_a_hand_over_is_made_at_its_instant_and_says_what_came_of_it(routing: Actor) -> None:
    leads = await leads_of_ana(routing, 2)
    await put_rep(routing, "ben")
    async with routing.database.reading() as conn:
        at = await times.now(conn) + timedelta(seconds=1)
    planned = await ask(routing, 202, **{"from": "ana"}, to="ben", at=times.text(at))
    assert (await loads(routing))["ben"] == 0
    shown: dict[str, Any] = {}

    async def made() -> None:
        shown.update((await routing.http.get(f"/v1/hand-over/{planned['hand_over_id']}")).json())
        assert shown["done"]

    await eventually(made)
    assert (shown["from"], shown["answer"]["moved"]["assignments"]) == ("ana", 2)
    assert {await holder(routing, lead) for lead in leads} == {"ben"}


async def test_a_hand_over_for_later_is_checked_now_and_what_refuses_it_then_is_kept(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben")
    async with routing.database.reading() as conn:
        at = times.text(await times.now(conn) + timedelta(seconds=2))
    for whose, to, place in (("who", "ben", "/from"), ("ana", "who", "/to")):
        refused = await ask(routing, 422, **{"from": whose}, to=to, at=at)
        assert refused["errors"][0]["pointer"] == place
    planned = await ask(routing, 202, **{"from": "ana"}, to="ben", at=at)
    await put_rep(routing, "ben", active=False)

    async def refused_then() -> None:
        shown = (await routing.http.get(f"/v1/hand-over/{planned['hand_over_id']}")).json()
        assert shown["done"]
        why = shown["answer"]["refused"]
        assert (why["title"], why["errors"][0]["pointer"]) == ("Nobody to hand over to", "/to")

    await eventually(refused_then)


async def test_an_order_that_cannot_be_is_refused_with_its_place(routing: Actor) -> None:
    async def pointer(**body: Any) -> str:
        return str((await ask(routing, 422, **body))["errors"][0]["pointer"])

    assert await pointer(**{"from": "ana"}, to="nobody") == "/to"
    assert await pointer(**{"from": "who"}, to="north") == "/from"
    assert await pointer(when="lead.emial == 1", to="north") == "/when"
    assert await pointer(when='lead.company.matches("(")', to="north") == "/when"
    assert await pointer(**{"from": "ana"}, to="north", what=["cars"]) == "/what/0"
    await ask(routing, 422, to="north")
    await ask(routing, 422, **{"from": "ana"}, to="ana")
    await put_rep(routing, "north")
    assert await pointer(**{"from": "ana"}, to="north") == "/to", "a pool and a rep have that name"
    assert (await routing.as_role("sdr", rep="ana").post("/v1/hand-over", json={})).status_code == 403


async def owns(routing: Actor, domain: str) -> str | None:
    found: str | None = (await routing.http.get(f"/v1/accounts/{domain}")).json()["rep_id"]
    return found


async def opened(routing: Actor, lead: UUID, owner: str) -> UUID:
    """Let forecast tell of a deal of the lead, and return its id."""
    opportunity_id = ids.new()
    deal = forecast_pb2.Opportunity(opportunity_id=str(opportunity_id), owner_id=owner, account="x", stage="qualified")
    await learn(routing, "forecast", (lead, forecast_pb2.OpportunityOpened(stamp=stamp(lead), opportunity=deal)))
    return opportunity_id


async def test_a_condition_over_leads_takes_accounts_along_with_their_leads_alone(routing: Actor) -> None:
    german, french = ids.new(), ids.new()
    germany, france = (fields(country=country, account_domain=f"{country.lower()}.example") for country in ("DE", "FR"))
    await learn(routing, "qualification", qualified(german, told=germany), qualified(french, told=france))
    await put_rep(routing, "ben")
    for domain in ("de.example", "fr.example", "bare.example"):
        await routing.http.put(f"/v1/named-accounts/{domain}", json={"rep_id": "ana"})
    # It holds of a lead of which nothing is known, too: an account without leads is none of those meant.
    answer = await ask(routing, when='lead.country != "FR"', to="ben")
    assert answer["moved"] == {"assignments": 1, "named_accounts": 1, "opportunities": 0}
    assert [await holder(routing, lead) for lead in (german, french)] == ["ben", "ana"]
    assert [await owns(routing, f"{name}.example") for name in ("de", "fr", "bare")] == ["ben", "ana", "ana"]


async def test_a_condition_over_accounts_takes_those_without_leads_too(routing: Actor) -> None:
    await put_rep(routing, "ben")
    for domain, segment in (("big.example", "enterprise"), ("small.example", "smb")):
        await routing.http.put(f"/v1/accounts/{domain}", json={"rep_id": "ana", "segment": segment})
    answer = await ask(routing, when='account.segment == "enterprise"', to="ben")
    assert answer["moved"]["named_accounts"] == 1
    assert [await owns(routing, f"{name}.example") for name in ("big", "small")] == ["ben", "ana"]


async def test_an_account_stays_with_its_owner_while_its_lead_finds_no_room(routing: Actor) -> None:
    (lead,) = await leads_of_ana(routing, 1)
    await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "ana"})
    await put_rep(routing, "sid", team="south", cap=0)
    answer = await ask(routing, when='lead.company == "Acme"', to="south")
    assert (answer["moved"]["named_accounts"], answer["waiting"]) == (0, 1)
    assert (await holder(routing, lead), await owns(routing, "acme.example")) == ("ana", "ana")


async def test_a_territorys_deals_go_with_their_leads_and_others_stay(routing: Actor) -> None:
    german, french = ids.new(), ids.new()
    germany, france = (fields(country=country, account_domain=f"{country.lower()}.example") for country in ("DE", "FR"))
    await learn(routing, "qualification", qualified(german, told=germany), qualified(french, told=france))
    of_german, lost = await opened(routing, german, "ana"), await opened(routing, german, "ana")
    await opened(routing, french, "ana")
    gone = forecast_pb2.Opportunity(opportunity_id=str(lost), owner_id="ana", account="x", stage="lost")
    await learn(routing, "forecast", (german, forecast_pb2.OpportunityLost(stamp=stamp(german), opportunity=gone)))
    await put_rep(routing, "ben")
    assert (await ask(routing, when='lead.country == "DE"', to="ben"))["moved"] == {
        "assignments": 1,
        "named_accounts": 0,
        "opportunities": 1,
    }
    events = await routing.published(lambda seen: any(event.type == "OpportunityHandedOver" for event in seen))
    (told,) = [event for event in events if event.type == "OpportunityHandedOver"]
    assert (told.subject, told.message.opportunity_id, told.message.to_rep_id) == (german, str(of_german), "ben")


async def test_who_is_assigned_while_a_hand_over_waits_for_its_locks_goes_along(routing: Actor) -> None:
    (lead,) = await leads_of_ana(routing, 1)
    await put_rep(routing, "sid", team="south")
    late = ids.new()
    async with routing.database.transaction() as conn:
        await subjects.lock(conn, [lead])
        asked = asyncio.create_task(ask(routing, **{"from": "ana"}, to="south", what=["assignments"]))

        async def waits_for_the_lock() -> None:
            blocked = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            assert await routing.database.pool.fetchval(blocked) >= 1

        await eventually(waits_for_the_lock)
        # The group is free still: this one is given to ana after it was looked up what she has.
        await learn(routing, "qualification", qualified(late))
        assert await holder(routing, late) == "ana"
    answer = await asked
    assert answer["moved"]["assignments"] == 2
    assert [await holder(routing, one) for one in (lead, late)] == ["sid", "sid"]
