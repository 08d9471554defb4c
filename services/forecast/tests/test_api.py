"""Deals by hand, the forecast and the four Vs, and what is refused."""

import asyncio
import csv
import gzip
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")


async def test_a_deal_moves_between_leaves_and_its_win_is_told(company: Any) -> None:
    deal = await company.open(amount="1200.50", close_date="2026-12-01", category="commit", stage="qualified")
    path = deal["opportunity_id"]
    assert await company.sums("2026-Q4") == await company.sums("2026-12") == await company.sums("2026")
    assert (await company.sums("2026-12"))["commit"] == "1200.50"
    await company.move(path, amount="1000", close_date="2027-01-31")
    assert "commit" not in await company.sums("2026-12")
    assert (await company.sums("2027-Q1"))["commit"] == "1000.00"
    await company.move(path, stage="won", occurred_at="2026-11-12T08:00:00Z")
    assert (await company.sums("2026-11"))["closed"] == "1000.00"
    (won,) = await company.told("OpportunityWon", UUID(path))
    assert (won.opportunity.amount, won.opportunity.category) == ("1000", "closed")
    shown = (await company.http.get(f"/v1/opportunities/{path}")).json()
    assert [(move.get("amount"), move.get("stage")) for move in shown["history"]] == [(None, "won"), ("1000", None)]
    await company.move(path, stage="lost", reason="no_budget")
    assert all(amount == "0.00" for amount in (await company.sums("2026-11")).values())
    assert (await company.sums("2026")).get("closed", "0.00") == "0.00"
    await company.check_counters()


async def test_a_move_before_its_opening_is_held_and_each_is_taken_once(company: Any) -> None:
    name = f"crm-{ids.new()}"
    move = {"stage": "won", "amount": "10", "external_id": "m1", "occurred_at": "2026-11-02T00:00:00Z"}
    path = f"external:{name}"
    assert [(await company.move(path, **move))["outcome"] for _ in range(2)] == ["held", "duplicate"]
    opened = await company.open(external_id=name, occurred_at="2026-11-01T00:00:00Z")
    assert (opened["stage"], opened["amount"]) == ("won", "10")
    assert (await company.move(path, **move))["outcome"] == "duplicate"
    assert (await company.open(external_id=name))["opportunity_id"] == opened["opportunity_id"]
    late = await company.move(path, amount="9", occurred_at="2026-11-01T12:00:00Z")
    assert (late["outcome"], late["amount"]) == ("moved", "10")
    await company.told("OpportunityWon", UUID(opened["opportunity_id"]))
    for unknown in (f"{ids.new()}", "nonsense", "external:"):
        answer = await company.http.post(f"/v1/opportunities/{unknown}/moves", json={"stage": "won"})
        assert answer.status_code == 404


async def test_the_counters_equal_the_facts_under_doubles_and_moves_at_once(company: Any) -> None:
    chance = random.Random(3)
    names = [f"crm-{ids.new()}" for _ in range(4)]
    leads = {name: ids.new() for name in names}
    calls: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        opening = {"external_id": name, "lead_id": str(leads[name]), "owner_id": company.rep, "amount": "5"}
        calls += [("/v1/opportunities", {**opening, "occurred_at": "2026-05-01T00:00:00Z"})] * 2
        for number in range(12):
            said = {
                "external_id": f"m{number}",
                "occurred_at": f"2026-05-{number + 2:02}T00:00:00Z",
                "amount": str(number),
                "close_date": f"2026-{6 + number % 3:02}-01",
                "category": chance.choice(["pipeline", "upside", "commit"]),
                "stage": chance.choice(["qualified", "qualified", "won", "lost"]),
            }
            calls += [(f"/v1/opportunities/external:{name}/moves", said)] * chance.choice([1, 2])
    chance.shuffle(calls)

    # Qualification and routing move the same deals at the same time.
    events = [company.said(lead, "LeadSalesQualified", "2026-05-03T12:00:00Z") for lead in leads.values()]
    routed = [company.routed(lead, company.rep, "2026-05-04T12:00:00Z") for lead in leads.values()]
    await asyncio.gather(
        *(company.post(path, body) for path, body in calls),
        company.tell("qualification", *events),
        company.tell("routing", *routed),
    )
    await company.check_counters()
    for name in names:
        deal = (await company.http.get(f"/v1/opportunities/external:{name}")).json()
        mine = [body for path, body in calls if path.endswith(f":{name}/moves")]
        last = max(mine, key=lambda body: body["occurred_at"])
        assert (deal["amount"], deal["stage"], deal["close_date"]) == (
            last["amount"],
            last["stage"],
            last["close_date"],
        )
        assert len([move for move in deal["history"] if "amount" in move]) == 12


async def test_the_forecast_is_of_each_node_and_all_beneath_it(company: Any) -> None:
    boss, ben, cem = company.rep, f"ben-{ids.new()}", f"cem-{ids.new()}"
    tree = [
        {"node_id": f"n-{boss}", "rep_id": boss, "name": "Boss"},
        {"node_id": f"n-{ben}", "parent_id": f"n-{boss}", "rep_id": ben, "name": "Ben"},
        {"node_id": f"n-{cem}", "parent_id": f"n-{ben}", "rep_id": cem, "name": "Cem"},
    ]
    assert (await company.http.put("/v1/hierarchy", json=tree)).status_code == 200
    targets = [{"node_id": f"n-{boss}", "period": "2026-Q3", "amount": "100"}]
    assert (await company.http.put("/v1/targets", json=targets)).status_code == 200
    for rep, amount, category in ((boss, "1", "commit"), (ben, "10", "commit"), (cem, "50", "pipeline")):
        await company.open(owner_id=rep, amount=amount, close_date="2026-08-01", category=category)
    await company.open(owner_id=cem, amount="40", stage="won", occurred_at="2026-08-05T00:00:00Z")
    params = {"period": "2026-Q3", "node": f"n-{boss}"}
    answer = (await company.http.get("/v1/forecast", params=params)).json()
    nodes = {node["name"]: node for node in answer["nodes"]}
    assert {name: node["categories"]["commit"]["all"] for name, node in nodes.items()} == {
        "Boss": "11.00",
        "Ben": "10.00",
        "Cem": "0.00",
    }
    commit = nodes["Boss"]["categories"]["commit"]
    assert (commit["own"], commit["final"], commit["without_owner_adjustments"]) == ("1.00", "11.00", "11.00")
    assert (nodes["Boss"]["target"], nodes["Boss"]["coverage"]) == ("100.00", pytest.approx(61 / 60))
    assert answer["as_of"]
    assert "complete_until" in answer
    cumulative = (await company.http.get("/v1/forecast", params={**params, "view": "cumulative"})).json()["nodes"][0]
    assert {name: sums["all"] for name, sums in cumulative["categories"].items()} == {
        "closed": "40.00",
        "commit": "51.00",
        "upside": "51.00",
        "pipeline": "101.00",
        "omitted": "0.00",
    }
    assert cumulative["coverage"] == nodes["Boss"]["coverage"]
    beneath = (await company.http.get("/v1/forecast", params={**params, "node": f"n-{ben}"})).json()["nodes"]
    assert [node["name"] for node in beneath] == ["Ben", "Cem"]
    missing = await company.http.get("/v1/forecast", params={**params, "node": "nobody"})
    assert missing.status_code == 404
    table = await company.http.get("/v1/forecast", params=params, headers={"Accept": "text/csv"})
    assert f"n-{cem},Cem,,closed,40.00" in table.text
    assert table.headers["handoff-provisional"] in ("true", "false")
    for wrong, pointer in (
        ([*tree, tree[0]], "/3/node_id"),
        ([*tree, {**tree[0], "node_id": "x"}], "/3/rep_id"),
        ([{**tree[0], "parent_id": f"n-{cem}"}, *tree[1:]], "/0/parent_id"),
        (tree[1:], "/0/parent_id"),
    ):
        refused = await company.http.put("/v1/hierarchy", json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_amount_without_a_rate_is_in_no_sum_and_what_was_reported_stays(company: Any) -> None:
    await company.open(amount="100", currency="SEK", close_date="2026-09-01", category="commit")
    answer = (await company.http.get("/v1/forecast", params={"period": "2026-09"})).json()
    assert {"currency": "SEK", "amount": "100.00"} in answer["unconverted"]
    assert await company.sums("2026-09") == {}
    # From a day on: what counts is the last rate that the month knew.
    rates = [
        {"currency": "SEK", "from": "2026-01-01", "rate": "0.1"},
        {"currency": "SEK", "from": "2027-01-01", "rate": "0.5"},
    ]
    assert (await company.http.put("/v1/rates", json=rates)).status_code == 200
    assert (await company.sums("2026-09"))["commit"] == "10.00"
    then = (await company.http.get("/v1/forecast", params={"period": "2026-09"})).json()["as_of"]
    await company.http.put("/v1/rates", json=[{**rates[0], "rate": "0.2"}])
    assert (await company.sums("2026-09"))["commit"] == "20.00"
    assert (await company.sums("2026-09", as_of=then))["commit"] == "10.00"
    won = await company.open(amount="50", currency="SEK", stage="won", occurred_at="2026-04-05T00:00:00Z")
    span = {"from": "2026-04-01T00:00:00Z", "to": "2026-05-01T00:00:00Z"}
    months = (await company.http.get("/v1/velocity", params=span)).json()["won_by_month"]
    assert won["currency"] == "SEK"
    assert months == [{"month": "2026-04", "count": 1, "amount": "10.00", "currency": "USD"}]


async def test_as_of_an_instant_is_what_was_known_then(company: Any) -> None:
    deal = await company.open(amount="7", close_date="2026-10-01", occurred_at="2026-01-01T00:00:00Z")
    then = (await company.http.get("/v1/forecast", params={"period": "2026-10"})).json()["as_of"]
    # What happened before, and is told after it, was not known.
    await company.move(deal["opportunity_id"], amount="8", occurred_at="2026-01-02T00:00:00Z")
    assert (await company.sums("2026-10"))["pipeline"] == "8.00"
    assert (await company.sums("2026-10", as_of=then))["pipeline"] == "7.00"
    assert await company.sums("2026-10", as_of="2020-01-01T00:00:00Z") == {}


async def test_the_four_vs_are_of_the_qualified_pipeline(company: Any) -> None:
    day = "2025-03-{:02}T00:00:00Z".format
    for number, stage in enumerate(("won", "won", "lost", "early", "renewed", "qualified")):
        kind = "renewal" if stage == "renewed" else "new"
        deal = (await company.open(amount="10", type=kind, occurred_at=day(1 + number)))["opportunity_id"]
        if stage != "early":
            await company.move(deal, stage="qualified", occurred_at=day(11 + number))
        end = {"early": "lost", "renewed": "won"}.get(stage, stage)
        await company.move(deal, stage=end, occurred_at=day(21 + number))
    span = {"from": day(1), "to": day(20)}
    found = (await company.http.get("/v1/velocity", params=span)).json()
    assert (found["volume"], found["value"], found["win_rate"]) == (4, "40.00", {"new": 2 / 3, "existing": None})
    assert found["win_rate_by_amount"]["new"] == pytest.approx(2 / 3)
    assert [one["p50_seconds"] for one in found["velocity"]] == [10 * 86400, 10 * 86400, 20 * 86400]
    assert [one["share"] for one in found["conversion"]] == [0.8, 0.5]
    assert (await company.http.get("/v1/velocity", params={"from": day(20), "to": day(31)})).json()["won_by_month"] == [
        {"month": "2025-03", "count": 3, "amount": "30.00", "currency": "USD"}
    ]


async def test_reps_act_on_their_own_deals_alone(company: Any) -> None:
    ben, cem = (company.actor.as_role("rep", rep=f"{name}-{company.rep}") for name in ("ben", "cem"))
    nobody = company.actor.as_role("rep")
    name = f"crm-{ids.new()}"
    body = {"external_id": name, "owner_id": f"cem-{company.rep}"}
    assert (await ben.post("/v1/opportunities", json=body)).status_code == 403
    assert (await cem.post("/v1/opportunities", json=body)).status_code == 201
    mine = {**body, "owner_id": f"ben-{company.rep}"}
    assert (await ben.post("/v1/opportunities", json=mine)).status_code == 403
    path = f"/v1/opportunities/external:{name}"
    assert (await ben.post(f"{path}/moves", json={"stage": "won"})).status_code == 403
    assert (await ben.get(path)).status_code == 403
    assert (await ben.post("/v1/opportunities/external:not-yet/moves", json={"stage": "won"})).status_code == 404
    assert [len((await client.get("/v1/opportunities")).json()["items"]) for client in (ben, cem, nobody)] == [0, 1, 0]
    assert (await ben.get("/v1/forecast", params={"period": "2026-Q4"})).status_code == 403
    assert (await company.actor.as_role("marketing").put("/v1/rates", json=[])).status_code == 403


async def test_an_idempotency_key_opens_and_moves_once(company: Any) -> None:
    key = {"Idempotency-Key": str(ids.new())}
    body = {"owner_id": company.rep, "amount": "4", "close_date": "2026-12-24"}
    answers = [await company.http.post("/v1/opportunities", json=body, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    other = await company.http.post("/v1/opportunities", json={**body, "amount": "5"}, headers=key)
    assert other.status_code == 422
    path = f"/v1/opportunities/{answers[0].json()['opportunity_id']}/moves"
    for _ in range(2):
        assert (await company.http.post(path, json={"category": "commit"}, headers=key)).status_code == 201
    assert len((await company.http.get(path.removesuffix("/moves"))).json()["history"]) == 1


OPEN, MOVE = "POST /v1/opportunities", "POST /v1/opportunities/{deal}/moves"
BAD: list[tuple[str, Any, str]] = [
    (OPEN, {"amount": "-1"}, "/amount"),
    (OPEN, {"amount": "NaN"}, "/amount"),
    (OPEN, {"amount": "Infinity"}, "/amount"),
    (OPEN, {"amount": "1e400"}, "/amount"),
    (OPEN, {"amount": 10**30}, "/amount"),
    (OPEN, {"amount": "1.00001"}, "/amount"),
    (OPEN, {"amount": {}}, "/amount"),
    (OPEN, {"currency": "usd"}, "/currency"),
    (OPEN, {"currency": "QQQ"}, "/currency"),
    (OPEN, {"close_date": "9999-12-31"}, "/close_date"),
    (OPEN, {"close_date": "2026-02-30"}, "/close_date"),
    (OPEN, {"occurred_at": "9999-12-31T23:59:59-12:00"}, "/occurred_at"),
    (OPEN, {"occurred_at": "2199-01-01T00:00:00Z"}, "/occurred_at"),
    (OPEN, {"occurred_at": "2026-01-01T00:00:00"}, "/occurred_at"),
    (OPEN, {"stage": "handed_back"}, "/stage"),
    (OPEN, {"category": "best"}, "/category"),
    (OPEN, {"type": "old"}, "/type"),
    (OPEN, {"lead_id": "x"}, "/lead_id"),
    (OPEN, {"external_id": ""}, "/external_id"),
    (OPEN, {"external_id": "x" * 129}, "/external_id"),
    (OPEN, {"name": "a\x00b"}, "/name"),
    (OPEN, {"colour": "red"}, "/colour"),
    (MOVE, {"stage": "nowhere"}, "/stage"),
    (MOVE, {"amount": "-0.01"}, "/amount"),
    (MOVE, {"currency": "EURO"}, "/currency"),
    (MOVE, {"reason": "because"}, "/"),
    (MOVE, {"stage": "lost", "reason": "\x00"}, "/reason"),
    (MOVE, {}, "/"),
    ("PUT /v1/rates", [{"currency": "EUR", "from": "9999-01-01", "rate": "1"}], "/0/from"),
    ("PUT /v1/rates", [{"currency": "EUR", "from": "2026-01-01", "rate": "0"}], "/0/rate"),
    ("PUT /v1/rates", [{"currency": "EUR", "from": "2026-01-01", "rate": "1e300"}], "/0/rate"),
    ("PUT /v1/rates", [{"currency": "EUR", "from": "2026-01-01", "rate": "1"}] * 2, "/1/from"),
    ("PUT /v1/targets", [{"node_id": "n", "period": "soon", "amount": "1"}], "/0/period"),
    ("PUT /v1/hierarchy", [{"node_id": "a\x00", "name": "A"}], "/0/node_id"),
    ("GET /v1/forecast?period=2026-Q5", None, "query/period"),
    ("GET /v1/forecast?period=2026-Q4&as_of=9999-12-31T23:59:59-12:00", None, "query/as_of"),
    ("GET /v1/forecast?period=2026-Q4&view=both", None, "query/view"),
    ("GET /v1/funnel?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", None, "query/to"),
    ("GET /v1/funnel?from=0001-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", None, "query/from"),
    ("GET /v1/funnel?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&by=moon", None, "query/by"),
    ("GET /v1/velocity?from=2026-01-01", None, "query/from"),
    ("GET /v1/opportunities?cursor=WzFd", None, "query/cursor"),
    ("GET /v1/opportunities?limit=0", None, "query/limit"),
]


async def test_bad_input_is_refused_with_its_place_and_changes_nothing(company: Any) -> None:
    deal = await company.open()
    for call, body, pointer in BAD:
        method, path = call.split(" ")
        full = {"owner_id": company.rep, **body} if call == OPEN else body
        answer = await company.http.request(method, path.format(deal=deal["opportunity_id"]), json=full)
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (call, body)
        assert problem["errors"][0]["pointer"] == pointer, (call, body)
    shown = (await company.http.get(f"/v1/opportunities/{deal['opportunity_id']}")).json()
    assert (shown["history"], shown["stage"]) == ([], "unqualified")
    mine = (await company.http.get("/v1/opportunities", params={"owner_id": company.rep})).json()["items"]
    assert len(mine) == 1


LOSERS = 5


def desk() -> list[tuple[str, str, dict[str, Any]]]:
    """Return what the desk told of its deals as (time, path, body): of all that were won, and some that were not."""
    with gzip.open(DATA / "bpic_oct2011_events.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    opened: dict[str, str] = {}
    calls = []
    for row in rows:
        if row["type"] == "lead.qualified":
            opened.setdefault(row["lead_id"], row["at"])
    won_leads = {row["lead_id"] for row in rows if row["type"] == "deal.won"}
    opened = {lead: at for number, (lead, at) in enumerate(opened.items()) if lead in won_leads or number % LOSERS == 0}
    told: set[str] = set()
    for number, row in enumerate(rows):
        lead = row["lead_id"]
        if lead not in opened:
            continue
        body: dict[str, Any] = {"occurred_at": row["at"]}
        if row["type"] == "lead.qualified" and lead not in told:
            told.add(lead)
            calls.append((row["at"], "/v1/opportunities", {**body, "external_id": lead, "lead_external_id": lead}))
        elif row["type"] in ("deal.won", "deal.lost_cancelled", "lead.rejected"):
            won = {"stage": "won", "amount": row["amount"]} if row["type"] == "deal.won" else {"stage": "lost"}
            path = f"/v1/opportunities/external:{lead}/moves"
            calls.append((row["at"], path, {**body, **won, "external_id": f"row-{number}"}))
    return calls


@needs_data
@pytest.mark.timeout(300)
async def test_what_a_real_desk_won_equals_its_truth(company: Any) -> None:
    truth = json.loads((DATA / "bpic_oct2011_truth.json").read_text())
    chance = random.Random(1)
    # Shuffled within ten minutes, and one in twenty sent twice.
    calls = sorted(desk(), key=lambda call: times.parse(call[0]).timestamp() + chance.uniform(0, 600))
    calls += [call for call in calls if chance.random() < 0.05]
    waiting = iter(calls)

    async def post() -> None:
        for _, path, body in waiting:
            await company.post(path, body)

    await asyncio.gather(*(post() for _ in range(8)))
    span = {"from": "2011-01-01T00:00:00Z", "to": "2013-01-01T00:00:00Z"}
    months = (await company.http.get("/v1/velocity", params=span)).json()["won_by_month"]
    assert sum(month["count"] for month in months) == truth["funnel"]["deal.won"]
    assert {month["month"]: Decimal(month["amount"]) for month in months} == {
        month: Decimal(str(amount)) for month, amount in truth["won_amount_by_month"].items()
    }
