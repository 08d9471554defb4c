"""What goes along in a hand-over and what does not: deals and accounts by whose they are, as the locks find them."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, subjects
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import forecast_pb2, intake_pb2
from routing import events
from services.routing.tests.desk import (
    FIELDS,
    fields,
    holder,
    learn,
    put,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
)

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales"}
rules:
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: rest, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    return actor


async def ask(routing: Actor, **body: Any) -> dict[str, int]:
    answer = await routing.http.post("/v1/hand-over", json={"reason": "left", **body})
    assert answer.status_code == 200, answer.text
    moved: dict[str, int] = answer.json()["moved"]
    return moved


async def given(routing: Actor, **more: Any) -> UUID:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, **more))
    return lead


async def opened(routing: Actor, lead: UUID | None, owner: str, account: str = "x") -> UUID:
    """Let forecast tell of a deal, and return its id."""
    opportunity_id = ids.new()
    deal = forecast_pb2.Opportunity(opportunity_id=str(opportunity_id), owner_id=owner, account=account)
    subject = lead or opportunity_id
    message = forecast_pb2.OpportunityOpened(stamp=stamp(subject), opportunity=deal)
    if lead is None:
        message.stamp.lead_id = ""
    await learn(routing, "forecast", (subject, message))
    return opportunity_id


async def told(routing: Actor) -> list[tuple[str, str, str]]:
    seen = await routing.published(lambda some: any(one.type == "OpportunityHandedOver" for one in some))
    deals = [event.message for event in seen if event.type == "OpportunityHandedOver"]
    return [(deal.opportunity_id, deal.from_rep_id, deal.to_rep_id) for deal in deals]


async def test_anothers_deal_with_a_lead_that_moves_stays_theirs(routing: Actor) -> None:
    await put_rep(routing, "zoe", role="sales")
    lead = await given(routing)
    of_ana = await opened(routing, lead, "ana")
    await opened(routing, lead, "zoe")
    await put_rep(routing, "ben")
    moved = await ask(routing, when='rep.rep_id == "ana"', to="ben")
    assert moved == {"assignments": 1, "named_accounts": 0, "opportunities": 1}
    assert await told(routing) == [(str(of_ana), "ana", "ben")]


async def test_a_sales_reps_deal_goes_to_sales_though_an_sdr_has_the_lead_again(routing: Actor) -> None:
    await put_rep(routing, "sue", role="sales")
    lead = await given(routing, stage="srl")
    deal = await opened(routing, lead, "sue")
    await learn(routing, "qualification", recycled(lead))
    await learn(routing, "qualification", qualified(lead, cycle=2))
    assert await holder(routing, lead) == "ana"
    await put_rep(routing, "sid", role="sales")
    assert (await ask(routing, **{"from": "sue"}, to="sales"))["opportunities"] == 1
    assert await told(routing) == [(str(deal), "sue", "sid")]


@pytest.mark.parametrize("to", ["ben", "sdr"])
async def test_deals_alone_go_by_a_condition_and_leads_stay(routing: Actor, to: str) -> None:
    lead = await given(routing)
    deal = await opened(routing, lead, "ana")
    await put_rep(routing, "ben")
    when = 'rep.rep_id == "ana" && lead.company == "Acme"'
    moved = await ask(routing, when=when, to=to, what=["opportunities"])
    assert moved == {"assignments": 0, "named_accounts": 0, "opportunities": 1}
    assert (await told(routing), await holder(routing, lead)) == ([(str(deal), "ana", "ben")], "ana")


async def test_deals_without_a_lead_go_by_their_account_and_owner(routing: Actor) -> None:
    await put(routing, "/v1/accounts/big.example", json={"name": "Big Ones", "segment": "enterprise"})
    big, _small = await opened(routing, None, "ana", "BIG  ones"), await opened(routing, None, "ana", "Small")
    await put_rep(routing, "ben")
    moved = await ask(routing, when='account.segment == "enterprise"', to="ben", what=["opportunities"])
    assert moved["opportunities"] == 1
    assert await told(routing) == [(str(big), "ana", "ben")]


async def test_accounts_alone_go_by_a_condition_over_their_leads(routing: Actor) -> None:
    germany, france = (fields(country=country, account_domain=f"{country.lower()}.example") for country in ("DE", "FR"))
    leads = [await given(routing, told=one) for one in (germany, france)]
    for domain in ("de.example", "fr.example"):
        await put(routing, f"/v1/named-accounts/{domain}", json={"rep_id": "ana"})
    await put_rep(routing, "ben")
    moved = await ask(routing, when='lead.country == "DE"', to="sdr", what=["named_accounts"])
    assert moved == {"assignments": 0, "named_accounts": 1, "opportunities": 0}
    assert (await routing.http.get("/v1/accounts/de.example")).json()["rep_id"] == "ben"
    assert [await holder(routing, lead) for lead in leads] == ["ana", "ana"]


@pytest.mark.parametrize("whose", [{"from": "ana"}, {"when": 'rep.rep_id == "ana"'}])
async def test_deals_of_a_lead_that_was_merged_away_go_with_the_survivor(routing: Actor, whose: dict[str, str]) -> None:
    survivor, merged = await given(routing), await given(routing)
    deal = await opened(routing, merged, "ana")
    message = intake_pb2.LeadMerged(
        stamp=stamp(survivor), survivor_id=str(survivor), merged_id=str(merged), lead=FIELDS
    )
    await learn(routing, "intake", (survivor, message), (merged, message))
    await put_rep(routing, "ben")
    moved = await ask(routing, **whose, to="ben")
    assert moved == {"assignments": 1, "named_accounts": 0, "opportunities": 1}
    assert await told(routing) == [(str(deal), "ana", "ben")]


async def test_what_changes_while_a_hand_over_waits_for_its_locks_is_not_written_back(routing: Actor) -> None:
    await put(routing, "/v1/accounts/acme.example", json={"status": "prospect", "rep_id": "ana"})
    lead = await given(routing)
    deal = await opened(routing, lead, "ana")
    await put_rep(routing, "ben")
    await put_rep(routing, "cem")
    async with routing.database.transaction() as conn:
        await subjects.lock(conn, [events.account_subject("acme.example")])
        asked = asyncio.create_task(ask(routing, **{"from": "ana"}, to="ben"))

        async def waits_for_the_lock() -> None:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert await routing.database.pool.fetchval(f"{waiting} AND wait_event_type = 'Lock'") >= 1

        await eventually(waits_for_the_lock)
        await conn.execute("""UPDATE account SET document = document || '{"status": "customer"}'""")
        await conn.execute("UPDATE opportunity SET owner_id = 'cem' WHERE opportunity_id = $1", deal)
    assert await asked == {"assignments": 1, "named_accounts": 1, "opportunities": 0}
    found = (await routing.http.get("/v1/accounts/acme.example")).json()
    assert (found["status"], found["rep_id"]) == ("customer", "ben")


async def test_what_nobody_gets_by_the_policy_is_named(routing: Actor) -> None:
    await put_rep(routing, "ben")
    for domain in ("acme.example", "bee.example", "cog.example"):
        await put(routing, f"/v1/named-accounts/{domain}", json={"rep_id": "ana"})
    await put_rep(routing, "ben", active=False)
    await given(routing, told=fields(company="Acme", account_domain="acme.example"))
    await put_rep(routing, "ben", cap=1)
    deal = await opened(routing, None, "ana", account="bee.example")
    leaver = {"from": "ana", "to": "policy", "reason": "left"}
    for tried in (True, False):
        answer = (await routing.http.post("/v1/hand-over", json={**leaver, "dry_run": tried})).json()
        assert answer["moved"] == {"assignments": 1, "named_accounts": 1, "opportunities": 0}
        assert answer["stays"] == {"named_accounts": ["bee.example", "cog.example"], "opportunities": [str(deal)]}
    # By a condition over leads, an account whose lead finds no room stays with it.
    await put_rep(routing, "ana", cap=0)
    await routing.http.put("/v1/named-accounts/acme.example", json={"rep_id": "ben"})
    when = 'rep.rep_id == "ben" && lead.company == "Acme"'
    order = {"when": when, "to": "sdr", "what": ["assignments", "named_accounts"], "reason": "x"}
    answer = (await routing.http.post("/v1/hand-over", json=order)).json()
    assert (answer["waiting"], answer["stays"]["named_accounts"]) == (1, ["acme.example"])


DEALS = "account.open_opportunities"


@pytest.mark.parametrize("account", ["acme.example", "ACME holding"])
@pytest.mark.parametrize("what", ["assignments", "named_accounts", "opportunities"])
async def test_all_open_deals_of_a_company_count_in_a_condition_of_a_hand_over(
    routing: Actor, what: str, account: str
) -> None:
    await put(routing, "/v1/accounts/acme.example", json={"name": "Acme Holding", "rep_id": "ana"})
    await put(routing, "/v1/accounts/calm.example", json={"rep_id": "ana"})
    lead = await given(routing)
    await given(routing, told=fields(account_domain="calm.example"))
    await opened(routing, None, "ana", account)
    await opened(routing, lead, "ana", "elsewhere.example")
    await put_rep(routing, "ben")
    order = {"to": "ben", "what": [what], "dry_run": True}
    own_deal = int(what == "opportunities")  # Of the lead, and so is the other one of its company.
    for condition, count in ((f"{DEALS} == 2", 1 + own_deal), (f"{DEALS} == 0", 1 - own_deal), (f"{DEALS} == 1", 0)):
        assert (await ask(routing, when=condition, **order))[what] == count, condition


@pytest.mark.parametrize("what", ["assignments", "named_accounts", "opportunities"])
async def test_a_condition_of_a_hand_over_sees_who_works_the_company(routing: Actor, what: str) -> None:
    for domain in ("acme.example", "calm.example"):
        await put(routing, f"/v1/accounts/{domain}", json={"rep_id": "ana"})
        await opened(routing, None, "ana", domain)
    for _ in range(2):
        await given(routing)
    await given(routing, told=fields(account_domain="calm.example"))
    await put_rep(routing, "ben")
    order = {"to": "ben", "what": [what], "dry_run": True}
    # Leads of one company see one another; a lead alone sees nobody, and its company sees who has it.
    assert (await ask(routing, when='account.active_rep == "ana"', **order))[what] == 2
