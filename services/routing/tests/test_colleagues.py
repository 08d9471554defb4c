"""Leads of one account stay with one rep where the policy says so: by domain, by hierarchy, by the company's name."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2
from routing import store_accounts
from services.routing.tests.desk import (
    fields,
    holder,
    learn,
    put,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
    waiting,
)

RULES = """
rules:
  - {rule: colleagues, when: account.active_rep != "", to: account_rep, wait: true}
  - {rule: rest, to: sdr}
"""
POLICY = f'pools: [{{pool: sdr, reps: rep.role == "sdr"}}]{RULES}'
PARENT, DAUGHTER, SISTER = "acme.example", "zenith.example", "apex.example"


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    for rep_id in ("ana", "ben", "cem"):
        await put_rep(actor, rep_id)
    await put(actor, f"/v1/accounts/{PARENT}", json={"name": "Acme Seven"})
    for domain in (DAUGHTER, SISTER):
        await put(actor, f"/v1/accounts/{domain}", json={"parent_domain": PARENT})
    return actor


def of(domain: str = "", company: str = "") -> tuple[UUID, Any]:
    return qualified(ids.new(), told=fields(company=company, account_domain=domain))


async def come(routing: Actor, *some: tuple[UUID, Any]) -> list[str | None]:
    """Let leads come at once, and return who has them."""
    await learn(routing, "qualification", *some)
    return [await holder(routing, lead) for lead, _ in some]


ALIKE = [
    (PARENT, "Acme"),
    ("", "ACME  seven"),
    ("gone.example", "Acme Seven"),
    (DAUGHTER, ""),
    (SISTER, "Other"),
]


@pytest.mark.parametrize("first", ALIKE)
async def test_leads_of_one_account_stay_with_one_rep_whichever_comes_first(
    routing: Actor, first: tuple[str, str]
) -> None:
    held = await come(routing, of(*first))
    for one in ALIKE:
        held += await come(routing, of(*one))
    assert len(set(held)) == 1
    others = await come(routing, of("a.example"), of("b.example"), of("", "Acme Eight"))
    assert len(set(others)) == 3


async def test_leads_of_one_account_stay_with_one_rep_also_when_they_come_at_once(routing: Actor) -> None:
    held = await come(routing, *(of(*one) for one in ALIKE * 2))
    assert len(set(held)) == 1


async def test_whoever_has_an_account_of_their_domain_is_no_colleague_by_name(routing: Actor) -> None:
    await put(routing, "/v1/accounts/own.example", json={"name": "Own"})
    (own,) = await come(routing, of("own.example", "Acme Seven"))
    (acme,) = await come(routing, of(PARENT))
    assert (await come(routing, of("own.example"), of("", "Acme Seven"))) == [own, acme]
    assert own != acme


async def test_a_companys_own_rep_comes_before_that_of_a_company_above_it(routing: Actor) -> None:
    await put(routing, f"/v1/accounts/{DAUGHTER}", json={})
    apart = await come(routing, of(DAUGHTER), of(PARENT))
    assert len(set(apart)) == 2
    await put(routing, f"/v1/accounts/{DAUGHTER}", json={"parent_domain": PARENT})
    assert await come(routing, of(DAUGHTER), of(PARENT)) == apart


async def test_a_rep_who_has_no_lead_of_the_account_any_more_gets_no_other_for_it(routing: Actor) -> None:
    lead, message = of("", "Acme Seven")
    (first,) = await come(routing, (lead, message))
    await learn(routing, "qualification", recycled(lead))
    assert await come(routing, of(DAUGHTER)) != [first]


@pytest.mark.parametrize("waiter", [(DAUGHTER, ""), ("", "Acme Seven")])
async def test_who_waits_goes_to_whoever_begins_to_work_the_account(routing: Actor, waiter: tuple[str, str]) -> None:
    for rep_id in ("ana", "ben", "cem"):
        await put_rep(routing, rep_id, cap=0)
    await put_rep(routing, "zoe", role="sales")
    lead, message = of(*waiter)
    assert await come(routing, (lead, message)) == [None]
    assert str(lead) in await waiting(routing)
    colleague, _ = of()
    standing = common_pb2.Standing(owner_id="zoe", stage="srl")
    told = fields(company="Acme", account_domain=PARENT)
    taken_over = intake_pb2.LeadCaptured(stamp=stamp(colleague), lead=told, standing=standing)
    await learn(routing, "intake", (colleague, taken_over))
    assert await holder(routing, lead) == "zoe"


async def test_what_is_ready_for_sales_does_not_stay_with_an_sdr_for_the_account(routing: Actor) -> None:
    await put_rep(routing, "zoe", role="sales")
    await put_policy(
        routing,
        """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules:
  - {rule: colleagues, when: account.active_rep != "", to: account_rep, wait: true}
  - {rule: ready, when: lead.stage == "srl", to: sales}
  - {rule: rest, to: sdr}
""",
    )
    (one, told), (two, other) = of(PARENT), of(DAUGHTER)
    sdr, same = await come(routing, (one, told), (two, other))
    assert sdr == same
    ready = qualified(one, stage="srl", sdr_id=str(sdr), told=fields(account_domain=PARENT))
    assert await come(routing, ready) == ["zoe"]
    # The other one, too, goes on to whoever has the account in sales.
    ready = qualified(two, stage="srl", sdr_id=str(sdr), told=fields(account_domain=DAUGHTER))
    assert await come(routing, ready) == ["zoe"]


async def test_companies_in_a_circle_are_one_account(routing: Actor) -> None:
    await put(routing, f"/v1/accounts/{PARENT}", json={"parent_domain": DAUGHTER})
    held = await come(routing, of(DAUGHTER), of(PARENT), of(SISTER))
    assert len(set(held)) == 1


async def test_colleagues_and_deals_are_found_by_indexes_alone(routing: Actor) -> None:
    async with routing.database.transaction() as conn:
        await conn.execute(
            "INSERT INTO lead (lead_id, account_domain, company)"
            " SELECT gen_random_uuid(), n || '.example', 'company ' || n FROM generate_series(1, 20000) AS n"
        )
        await conn.execute(
            "INSERT INTO assignment (lead_id, rep_id, cycle, pool, decision_id, assigned_at, touched)"
            " SELECT lead_id, 'ana', 1, 'sdr', lead_id, now(), true FROM lead"
        )
        await conn.execute(
            "INSERT INTO account (domain, document, name)"
            " SELECT n || '.example', '{}', 'company ' || n FROM generate_series(1, 20000) AS n"
        )
        await conn.execute("INSERT INTO opportunity SELECT gen_random_uuid(), lead_id, company, 'ana', true FROM lead")
        await conn.execute("INSERT INTO subject (subject_id) SELECT lead_id FROM lead")
        await conn.execute("ANALYZE lead, assignment, account, opportunity, subject")
        # As after some executions, when nothing is known any more of what is asked for.
        await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for query, types, asked in (
            (store_accounts.COLLEAGUES_OF, "text[], text[], int", "'{7.example}', '{company 7}', 20"),
            (store_accounts.FAMILIES_OF, "text[], text[], int", "'{7.example}', '{company 7}', 20"),
            (store_accounts.DEALS_OF, "text[]", "'{7.example, company 7}'"),
        ):
            await conn.execute(f"PREPARE asked ({types}) AS {query}")
            plan = await conn.fetch(f"EXPLAIN EXECUTE asked ({asked})")
            await conn.execute("DEALLOCATE asked")
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan" not in text, text
