"""Who gets what by every kind of rule: accounts, colleagues, hosts, who had it before, who does well."""

import json
from collections import Counter
from typing import Any
from uuid import UUID

from backbone import ids, times
from backbone.testing import eventually, promised
from backbone.testing.stage import Actor
from handoff.events.v1 import forecast_pb2
from services.routing.tests.desk import (
    booked,
    decision,
    fields,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    recycled,
    stamp,
    waiting,
)

POOLS = """
pools:
  - {pool: sdr, reps: rep.role == "sdr"}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
"""


def told(domain: str = "", company: str = "Acme") -> Any:
    return fields(company=company, account_domain=domain)


async def given(routing: Actor, *, stage: str = "mql", **more: Any) -> tuple[str | None, dict[str, Any]]:
    """Let a lead come, and return who has it and why."""
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead, stage=stage, **more))
    return await holder(routing, lead), await decision(routing, lead)


def deal(kind: Any, lead: UUID | None, **said: Any) -> tuple[UUID, Any]:
    subject = lead or ids.new()
    message = kind(stamp=stamp(subject), opportunity=forecast_pb2.Opportunity(opportunity_id=str(ids.new()), **said))
    if lead is None:
        message.stamp.lead_id = ""
    return subject, message


async def test_an_account_is_found_by_domain_by_hierarchy_and_by_name(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "fred", kind="farmer", team="farm")
    rules = "rules: [{rule: named, to: owner}, {rule: rest, to: north}]"
    await put_policy(routing, f'pools: [{{pool: north, reps: rep.team == "north"}}]\n{rules}')
    group = {"name": "Acme Holding", "status": "customer", "rep_id": "fred"}
    await routing.http.put("/v1/accounts/acme.example", json=group)
    daughter = {"name": "Zenith Works", "status": "prospect", "parent_domain": "acme.example"}
    await routing.http.put("/v1/accounts/zenith.example", json=daughter)
    assert (await given(routing, told=told("acme.example")))[0] == "fred"
    assert (await given(routing, told=told("mail.eu.acme.example")))[0] == "fred"
    assert (await given(routing, told=told("zenith.example")))[0] == "fred"
    assert (await given(routing, told=told("", "zenith  WORKS")))[0] == "fred"
    assert (await given(routing, told=told("acme.test", "Acme")))[0] == "ana"
    await routing.http.delete("/v1/accounts/acme.example")
    assert (await given(routing, told=told("zenith.example")))[0] == "ana"


async def test_conditions_see_how_a_company_stands(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "cem", "dee"):
        await put_rep(routing, rep_id, team=rep_id)
    pools = "".join(f'  - {{pool: {one}, reps: rep.team == "{one}"}}\n' for one in ("ana", "ben", "cem", "dee"))
    rules = """
rules:
  - {rule: rivals, when: account.status == "competitor", to: ana}
  - {rule: in talks, when: account.open_opportunities > 0, to: ben}
  - {rule: big ones, when: account.segment == "enterprise" && account.active_rep == "", to: cem}
  - {rule: rest, to: dee}
"""
    await put_policy(routing, f"pools:\n{pools}{rules}")
    await routing.http.put("/v1/accounts/rival.example", json={"status": "competitor"})
    await routing.http.put("/v1/accounts/big.example", json={"status": "prospect", "segment": "enterprise"})
    await routing.http.put("/v1/accounts/part.example", json={"parent_domain": "big.example"})
    assert (await given(routing, told=told("rival.example")))[0] == "ana"
    assert (await given(routing, told=told("part.example")))[0] == "cem"
    assert (await given(routing, told=told("part.example")))[0] == "dee", "a colleague is in work by then"
    talking = ids.new()
    await learn(routing, "qualification", qualified(talking, told=told("talks.example"), live=False))
    opened = deal(forecast_pb2.OpportunityOpened, talking, stage="qualified")
    await learn(routing, "forecast", opened, deal(forecast_pb2.OpportunityOpened, None, account="Named Corp"))
    assert (await given(routing, told=told("talks.example")))[0] == "ben"
    assert (await given(routing, told=told("", "Named  corp")))[0] == "ben"
    lost = forecast_pb2.OpportunityLost(stamp=opened[1].stamp, opportunity=opened[1].opportunity)
    await learn(routing, "forecast", (talking, lost))
    assert (await given(routing, told=told("talks.example")))[0] == "dee"


async def test_leads_of_one_account_stay_with_one_rep_also_when_they_come_at_once(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "cem"):
        await put_rep(routing, rep_id)
    await put_policy(routing, f"{POOLS}rules: [{{rule: colleagues, to: account_rep}}, {{rule: rest, to: sdr}}]")
    same = [ids.new() for _ in range(6)]
    others = [ids.new() for _ in range(6)]
    await learn(
        routing,
        "qualification",
        *(qualified(lead, told=told("same.example")) for lead in same),
        *(qualified(lead, told=told(f"{lead}.example")) for lead in others),
    )
    assert len({await holder(routing, lead) for lead in same}) == 1
    assert len({await holder(routing, lead) for lead in others}) == 3
    late = ids.new()
    await learn(routing, "qualification", qualified(late, told=told("same.example")))
    assert await holder(routing, late) == await holder(routing, same[0])


async def test_a_booked_meeting_is_its_hosts(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", email="Ben.Host@kestrel.example")
    pools = 'pools: [{pool: sdr, reps: rep.rep_id == "ana"}]'
    await put_policy(routing, f"{pools}\nrules: [{{rule: host, to: host}}, {{rule: rest, to: sdr}}]")
    one, other, off = ids.new(), ids.new(), ids.new()
    await learn(routing, "intake", booked(one, "ben.host@KESTREL.example"), booked(other, "who@kestrel.example"))
    await learn(routing, "intake", booked(off, "ben.host@kestrel.example"), booked(off, "", "meeting_cancelled"))
    await learn(routing, "qualification", qualified(one), qualified(other), qualified(off))
    assert [await holder(routing, lead) for lead in (one, other, off)] == ["ben", "ana", "ana"]
    # What made it qualify is read only after that it did.
    early = ids.new()
    await learn(routing, "qualification", qualified(early, host_email="ben.host@kestrel.example"))
    assert await holder(routing, early) == "ben"


async def test_a_meeting_that_is_called_off_leaves_the_lead_with_the_host_of_the_other(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "cem"):
        await put_rep(routing, rep_id, email=f"{rep_id}@kestrel.example")
    pools = 'pools: [{pool: sdr, reps: rep.rep_id == "ana"}]'
    await put_policy(routing, f"{pools}\nrules: [{{rule: host, to: host}}, {{rule: rest, to: sdr}}]")
    moved, called_off, unnamed, twice = (ids.new() for _ in range(4))
    told = {
        moved: [("ben", "meeting_booked", 7), ("cem", "meeting_booked", 8), ("", "meeting_cancelled", "7")],
        called_off: [("ben", "meeting_booked", "a"), ("cem", "meeting_booked", "b"), ("", "meeting_cancelled", "b")],
        unnamed: [("ben", "meeting_booked", "a"), ("cem", "meeting_booked", None), ("", "meeting_cancelled", None)],
        twice: [("ben", "meeting_booked", "a"), ("", "meeting_booked", "a"), ("", "meeting_cancelled", "a")],
    }
    for lead, some in told.items():
        hosts = [(f"{host}@kestrel.example" if host else "", kind, meeting) for host, kind, meeting in some]
        await learn(routing, "intake", *(booked(lead, *one) for one in hosts))
    await learn(routing, "qualification", *(qualified(lead) for lead in told))
    assert [await holder(routing, lead) for lead in told] == ["cem", "ben", "ben", "ana"]


async def test_a_lead_that_comes_back_goes_to_the_last_rep_of_that_role(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "cem"):
        await put_rep(routing, rep_id)
    await put_rep(routing, "sam", role="sales")
    rules = """
rules:
  - {rule: came back, when: lead.cycle > 1, to: previous, within: 180d}
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: rest, to: sdr}
"""
    await put_policy(routing, f"{POOLS}{rules}")
    leads = [ids.new() for _ in range(3)]
    first = {}
    for lead in leads:
        await learn(routing, "qualification", qualified(lead))
        first[lead] = await holder(routing, lead)
        await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id=first[lead]))
        assert await holder(routing, lead) == "sam"
        await learn(routing, "qualification", recycled(lead))
    assert sorted(first.values()) == ["ana", "ben", "cem"]
    for lead in leads:
        await learn(routing, "qualification", qualified(lead, cycle=2))
        assert await holder(routing, lead) == first[lead], "the SDR, not who had it last"


async def test_a_performance_weighted_pool_gives_more_to_whose_leads_end_well(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben")
    # Sales win so few of what SDRs make ready that beside them each SDR would be a star.
    for name in ("sam", "sue"):
        await put_rep(routing, name, role="sales")
    await have_ended(routing, {"ana": 30, "ben": 10}, {"ana": 10, "ben": 30, "sam": 200, "sue": 200})
    pools = POOLS.replace('rep.role == "sdr"}', 'rep.role == "sdr", strategy: performance_weighted}')
    await put_policy(routing, f"{pools}rules: [{{rule: rest, to: sdr}}]")

    async def weighed() -> None:
        async with routing.database.reading() as conn:
            assert await conn.fetchval("SELECT performance_at FROM routing_group") is not None

    await eventually(weighed)
    await learn(routing, "qualification", *(qualified(ids.new()) for _ in range(60)))
    given_to = Counter(await loads(routing))
    assert given_to == {"ana": 40, "ben": 20, "sam": 0, "sue": 0}
    # Whoever looks back sees the factors that the decisions went by.
    asked = {"pool": "sdr", "from": "2026-01-01T00:00:00Z"}
    seen = (await routing.http.get("/v1/fairness", params=asked)).json()["reps"]
    assert [(one["rep_id"], one["expected"]) for one in seen] == [("ana", 39.99), ("ben", 20.01)]


async def have_ended(routing: Actor, *outcomes: dict[str, int]) -> None:
    """Keep so many assignments of each rep that were converted, and that were recycled."""
    ended = [
        (ids.new(), rep_id, outcome)
        for outcome, counts in zip(("converted", "recycled"), outcomes, strict=True)
        for rep_id, count in counts.items()
        for _ in range(count)
    ]
    async with routing.database.transaction() as conn:
        await conn.executemany("INSERT INTO ended_assignment VALUES ($1, 1, $2, 'sdr', now(), now(), true, $3)", ended)


async def test_the_dry_run_reads_a_lead_as_intake_would_have_told_of_it(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "fay"):
        await put_rep(routing, rep_id)
    await put_rep(routing, "sam", role="sales")
    account = {"status": "customer", "rep_id": "fay"}
    await routing.http.put("/v1/accounts/fintrove.co.uk", json=account)
    own = "{pool: ana, reps: 'rep.rep_id == \"ana\"'}, {pool: ben, reps: 'rep.rep_id == \"ben\"'}"
    rules = """
  - {rule: named, to: owner}
  - {rule: back, when: lead.cycle > 1, to: previous, within: 30d}
  - {rule: free, when: lead.email_is_free, to: ana}
  - {rule: german, when: lead.country == "DE", to: ben}
"""
    await put_policy(routing, f"pools: [{own}]\nrules:{rules}")

    async def explained(**said: Any) -> tuple[str, str | None]:
        answer = await routing.http.post("/v1/policy/explain", json={"lead": said})
        assert answer.status_code == 200, answer.text
        return answer.json()["rule"], answer.json()["rep_id"]

    assert await explained(email="jo@Mail.Fintrove.co.uk") == ("named", "fay")
    assert await explained(website="https://www.fintrove.co.uk/en") == ("named", "fay")
    assert await explained(email="jo@x.example", account_domain="fintrove.co.uk") == ("named", "fay")
    assert await explained(email="jo@gmail.com", country="de") == ("free", "ana")
    assert await explained(email="jo@gmail.com", country="Germany", email_is_free=False) == ("german", "ben")
    assert await explained(country="de") == ("german", "ben")
    # Who had it last counts for as long as the rule says, and for their own work.
    back = {"cycle": 2, "country": "DE", "previous_rep": "ana"}
    assert await explained(**back) == ("back", "ana")
    assert await explained(**back, previous_at="2026-01-01T00:00:00Z") == ("german", "ben")
    assert await explained(**{**back, "previous_rep": "sam"}) == ("german", "ben")
    for field, value in (("country", "Atlantis"), ("email", "nobody")):
        answer = await routing.http.post("/v1/policy/explain", json={"lead": {field: value}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/lead/{field}")


async def test_conditions_see_a_reps_address_and_whose_holidays_they_keep(routing: Actor) -> None:
    await put_rep(routing, "ana", email="ana@kestrel.example", holidays="US-CA")
    await put_rep(routing, "ben", email="ben@partner.example", holidays="DE")
    await put_rep(routing, "cem", email="cem@partner.example")
    members = 'rep.email.endsWith("@partner.example") && rep.holidays == "DE"'
    await put_policy(routing, f"pools: [{{pool: german, reps: '{members}'}}]\nrules: [{{rule: all, to: german}}]")
    assert (await given(routing))[0] == "ben"


async def test_conditions_read_every_field_that_is_promised(routing: Actor) -> None:
    await put_rep(routing, "ana")
    nobody = promised.OF_NOBODY.replace("!lead.live", "lead.live").replace('lead.stage == "new"', 'lead.stage == "mql"')
    owned = 'lead.live && lead.owner_id == "ben" && lead.assigned_at < timestamp("2026-01-01T00:00:00Z")'
    rules = f"""
pools: [{{pool: sdr, reps: {json.dumps(promised.OF_REPS)}}}]
rules:
  - {{rule: nobody, when: {json.dumps(nobody.replace("lead.occurred_at ==", "lead.occurred_at !="))}, to: sdr}}
  - {{rule: owned, when: {json.dumps(owned)}, to: sdr}}
  - {{rule: dear, when: lead.cost > 10, to: sdr}}
  - {{rule: asked, when: 'lead.consent.exists(one, one.purpose == "calls" && one.granted)', to: sdr}}
"""
    await put_policy(routing, rules)
    for rule, said in {
        "nobody": {},
        "owned": {"owner_id": "ben", "assigned_at": "2025-12-31T00:00:00Z"},
        "dear": {"cost": "12.50", "currency": "eur"},
        "asked": {"consent": [{"purpose": "calls"}]},
    }.items():
        answer = (await routing.http.post("/v1/policy/explain", json={"lead": said})).json()
        assert (answer["rule"], answer["rep_id"]) == (rule, "ana")
    owner = fields(owner_id="ben", assigned_at=times.stamp(times.parse("2025-12-31T00:00:00Z")))
    assert (await given(routing, told=owner))[1]["rule"] == "owned"


async def test_who_all_declined_is_not_said_to_wait_for_somebody_to_work(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "gone", active=False)
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    await routing.http.post(f"/v1/assignments/{lead}/decline", json={"reason": "other"})
    assert await waiting(routing) == {str(lead): "no_match"}
    thought = {one["rep_id"]: one["reason"] for one in (await decision(routing, lead))["considered"]}
    assert thought == {"ana": "declined_before", "gone": "inactive"}
