"""Rules that compare the lead with the rep: who has its territory, its language, its size of company."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import fields, holder, learn, put_policy, put_rep, qualified, waiting

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: territories, reps: lead.country in rep.territories, to: sdr}]
"""
TERRITORIES = {"ana": ["DE", "AT"], "ben": ["DE", "FR"], "cem": ["FR"]}


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    for rep_id, territories in TERRITORIES.items():
        await put_rep(actor, rep_id, territories=territories)
    return actor


async def come(routing: Actor, *countries: str) -> list[UUID]:
    """Let leads of these countries come, one after the other."""
    leads = [ids.new() for _ in countries]
    for lead, country in zip(leads, countries, strict=True):
        await learn(routing, "qualification", qualified(lead, told=fields(country=country)))
    return leads


async def decisions(routing: Actor, lead: UUID) -> list[dict[str, Any]]:
    answer = await routing.http.get(f"/v1/leads/{lead}/decisions")
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_lead_goes_in_turn_to_those_who_have_its_territory(routing: Actor) -> None:
    had = Counter[tuple[str, str | None]]()
    for country in ("DE", "FR") * 4 + ("AT",):
        (lead,) = await come(routing, country)
        had[country, await holder(routing, lead)] += 1
    turns = {("DE", "ana"): 2, ("DE", "ben"): 2, ("FR", "ben"): 2, ("FR", "cem"): 2, ("AT", "ana"): 1}
    assert had == turns
    report = (await routing.http.get("/v1/fairness", params={"pool": "sdr"})).json()
    assert {one["rep_id"]: (one["expected"], one["actual"]) for one in report["reps"]} == {
        "ana": (3.0, 3),
        "ben": (4.0, 4),
        "cem": (2.0, 2),
    }


async def test_each_decision_says_who_has_another_territory_and_is_made_again_the_same(routing: Actor) -> None:
    leads = await come(routing, "DE", "FR", "AT", "DE")
    for lead, others in zip(leads, ({"cem"}, {"ana"}, {"ben", "cem"}, {"cem"}), strict=True):
        (made,) = await decisions(routing, lead)
        assert {one["rep_id"] for one in made["considered"] if one["reason"] == "no_match"} == others
        again = await routing.http.post(f"/v1/decisions/{made['decision_id']}/replay")
        assert again.json()["same"] is True
    simulated = await routing.http.post("/v1/policy/simulate", json={"policy": POLICY})
    assert (simulated.json()["leads"], simulated.json()["same"]) == (4, 4)


async def test_who_waits_for_a_territory_gets_the_room_of_its_reps_alone(routing: Actor) -> None:
    for rep_id, territories in TERRITORIES.items():
        await put_rep(routing, rep_id, territories=territories, cap=1)
    austrian, german, second, french = await come(routing, "AT", "DE", "DE", "FR")
    assert [await holder(routing, one) for one in (austrian, german, french)] == ["ana", "ben", "cem"]
    assert set(await waiting(routing)) == {str(second)}
    cem, ben = (routing.as_role("rep", rep=one) for one in ("cem", "ben"))
    closed = {"outcome": "recycled", "reason": "timing"}
    assert (await cem.post(f"/v1/assignments/{french}/close", json=closed)).is_success
    assert set(await waiting(routing)) == {str(second)}
    assert (await ben.post(f"/v1/assignments/{german}/close", json=closed)).is_success
    await routing.published(lambda seen: any(event.type == "LeadRouted" and event.subject == second for event in seen))
    assert (await holder(routing, second), await waiting(routing)) == ("ben", {})


async def test_nobodys_territory_waits_for_whoever_gets_it(routing: Actor) -> None:
    (lead,) = await come(routing, "SE")
    assert await waiting(routing) == {str(lead): "no_match"}
    await put_rep(routing, "cem", territories=["FR", "SE"])
    assert (await holder(routing, lead), await waiting(routing)) == ("cem", {})


async def test_leads_that_the_same_reps_may_have_are_shared_in_one_round_whatever_their_values(routing: Actor) -> None:
    """Each lead has another number of employees; a round of its own for each would begin with the same rep."""
    await put_policy(
        routing,
        """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: by size, reps: 'lead.employees < 500 || "FR" in rep.territories', to: sdr}]
""",
    )
    had = Counter[str | None]()
    for employees in range(10, 16):
        lead = ids.new()
        await learn(routing, "qualification", qualified(lead, told=fields(employees=employees)))
        had[await holder(routing, lead)] += 1
    assert had == {"ana": 2, "ben": 2, "cem": 2}


@pytest.mark.parametrize(
    "rule",
    [
        "{rule: a, when: lead.country in rep.territories, to: sdr}",
        "{rule: a, reps: lead.nation in rep.territories, to: sdr}",
        "{rule: a, reps: lead.country + rep.team, to: sdr}",
    ],
)
async def test_what_cannot_be_compared_is_refused_with_its_place(routing: Actor, rule: str) -> None:
    text = f"pools: [{{pool: sdr, reps: 'true'}}]\nrules:\n  - {rule}\n"
    answer = await routing.http.put("/v1/policy", content=text, headers={"content-type": "application/yaml"})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"].rpartition("/")[0], fault["line"]) == ("/rules/0", 3)
