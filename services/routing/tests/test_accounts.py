"""Accounts as people write them: whose a company's leads are, whatever the case of its domain, and after its owner."""

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import fields, holder, learn, put, put_policy, put_rep, qualified

POLICY = """
pools: [{pool: north, reps: rep.team == "north"}]
rules: [{rule: named, to: owner}, {rule: rest, to: north}]
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    await put_rep(actor, "ana")
    await put_rep(actor, "fred", kind="farmer", team="farm")
    return actor


async def given(routing: Actor, domain: str) -> str | None:
    """Let a lead of the company come, and return who has it."""
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, told=fields(company="Acme", account_domain=domain)))
    return await holder(routing, lead)


async def test_a_parent_is_found_however_its_domain_is_written(routing: Actor) -> None:
    await put(routing, "/v1/accounts/Acme.Example", json={"rep_id": "fred"})
    answer = await put(routing, "/v1/accounts/zenith.example", json={"parent_domain": "ACME.Example"})
    assert answer.json()["parent_domain"] == "acme.example"
    assert await given(routing, "zenith.example") == "fred"
    # As machines write it, and as leads have it.
    await put(routing, "/v1/named-accounts/xn--mller-kva.example", json={"rep_id": "fred"})
    assert await given(routing, "müller.example") == "fred"


async def test_who_loses_the_owner_keeps_the_rest_of_the_account(routing: Actor) -> None:
    said = {
        "name": "Acme",
        "status": "customer",
        "segment": "enterprise",
        "target": "q4",
        "parent_domain": "up.example",
    }
    await put(routing, "/v1/accounts/acme.example", json=said)
    await put(routing, "/v1/named-accounts/acme.example", json={"rep_id": "fred"})
    assert await given(routing, "acme.example") == "fred"
    assert (await routing.http.delete("/v1/named-accounts/ACME.example")).status_code == 204
    found = (await routing.http.get("/v1/accounts/acme.example")).json()
    assert found == {"domain": "acme.example", **said, "rep_id": None}
    assert await given(routing, "acme.example") == "ana"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Österreich Ärzte AG", "ÖSTERREICH ÄRZTE AG"),
        ("Zenith  Works ", " zenith works"),
        ("Straße GmbH", "STRASSE GMBH"),
        ("Acme, Inc.", "ACME Inc"),
        ("Acme Corp", "Acme Corp."),
        ("Café", "Cafe\u0301"),
    ],
)
async def test_a_company_is_found_by_its_name_however_it_is_written(routing: Actor, name: str, said: str) -> None:
    await put(routing, "/v1/accounts/a.example", json={"name": name, "rep_id": "fred"})
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, told=fields(company=said)))
    assert await holder(routing, lead) == "fred"


@pytest.mark.parametrize("kind", ["accounts", "named-accounts"])
async def test_what_there_is_not_cannot_be_deleted(routing: Actor, kind: str) -> None:
    assert (await routing.http.delete(f"/v1/{kind}/nope.example")).status_code == 404
    assert (await routing.http.get("/v1/accounts/nope.example")).status_code == 404


@pytest.mark.parametrize("kind", ["accounts", "named-accounts"])
@pytest.mark.parametrize("said", ["www.foo77.example", "Foo77.example.", "WWW.foo77.Example."])
async def test_a_domain_is_that_of_the_companys_leads_however_it_is_written(
    routing: Actor, kind: str, said: str
) -> None:
    answer = await put(routing, f"/v1/{kind}/{said}", json={"rep_id": "fred"})
    assert answer.json()["domain"] == "foo77.example"
    assert await given(routing, "foo77.example") == "fred"
    assert (await routing.http.get(f"/v1/{kind}/{said}")).json()["rep_id"] == "fred"
    await put(routing, "/v1/accounts/zenith.example", json={"parent_domain": said})
    assert await given(routing, "zenith.example") == "fred"
    assert (await routing.http.delete(f"/v1/{kind}/{said}")).status_code == 204
    assert await given(routing, "foo77.example") == "ana"


@pytest.mark.parametrize("said", ["acme", "www.", "a..example", "-a.example", "foo bar.example", "jo@acme.example"])
async def test_what_is_no_domain_is_no_company(routing: Actor, said: str) -> None:
    for kind in ("accounts", "named-accounts"):
        answer = await routing.http.put(f"/v1/{kind}/{said}", json={"rep_id": "fred"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "path/domain")
    answer = await routing.http.put("/v1/accounts/a.example", json={"parent_domain": said})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parent_domain")
