"""forecast with its neighbours' topics in the test's hands."""

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
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, qualification_pb2, routing_pb2

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")
AT = "2026-11-10T12:00:00Z"


@pytest.fixture
async def forecast(start: Stage) -> Actor:
    return await start("forecast")


def stamp(lead: UUID) -> common_pb2.Stamp:
    at = times.stamp(times.parse(AT))
    return common_pb2.Stamp(lead_id=str(lead), live=True, occurred_at=at, recorded_at=at)


def sales_ready(lead: UUID) -> tuple[UUID, Any]:
    fields = common_pb2.LeadFields(company="Acme", account_domain="acme.example")
    qualification = common_pb2.Qualification(stage="srl", definition="saas@1")
    return lead, qualification_pb2.LeadSalesReady(
        stamp=stamp(lead), qualification=qualification, lead=fields, sdr_id="ana"
    )


def routed(lead: UUID, rep_id: str) -> tuple[UUID, Any]:
    rep = common_pb2.Rep(rep_id=rep_id, role="sales")
    return lead, routing_pb2.LeadRouted(stamp=stamp(lead), rep_id=rep_id, cycle=2, rep=rep)


@pytest.mark.parametrize("routed_first", [False, True])
async def test_an_srl_opens_a_deal_owned_by_its_sales_rep(forecast: Actor, routed_first: bool) -> None:
    lead = ids.new()
    steps = [("qualification", sales_ready(lead)), ("routing", routed(lead, "ben"))]
    for topic, event in reversed(steps) if routed_first else steps:
        await forecast.publish(topic, [event])
        await forecast.settled()
    (deal,) = (await forecast.http.get("/v1/opportunities", params={"lead_id": str(lead)})).json()["items"]
    assert (deal["stage"], deal["category"], deal["owner_id"], deal["sourced_by"]) == (
        "unqualified",
        "pipeline",
        "ben",
        "ana",
    )
    assert (deal["amount"], deal["undated"]) == (None, True)


async def test_a_confirmed_lead_moves_its_deal_and_a_win_is_counted_and_told(forecast: Actor) -> None:
    lead = ids.new()
    await forecast.publish("qualification", [sales_ready(lead)])
    confirmed = qualification_pb2.LeadSalesQualified(stamp=stamp(lead), rep_id="ben")
    await forecast.publish("qualification", [(lead, confirmed)])
    await forecast.publish("routing", [routed(lead, "ben")])
    await forecast.settled()
    (deal,) = (await forecast.http.get("/v1/opportunities")).json()["items"]
    assert deal["stage"] == "qualified"
    moves = f"/v1/opportunities/{deal['opportunity_id']}/moves"
    await forecast.http.post(moves, json={"amount": "1200.50", "close_date": "2026-12-01", "category": "commit"})
    sums = (await forecast.http.get("/v1/forecast", params={"period": "2026-Q4"})).json()["nodes"][0]["categories"]
    assert (sums["commit"]["all"], sums["closed"]["all"]) == ("1200.50", "0.00")
    await forecast.http.post(moves, json={"stage": "won", "occurred_at": "2026-11-12T08:00:00Z"})
    sums = (await forecast.http.get("/v1/forecast", params={"period": "2026-11"})).json()["nodes"][0]["categories"]
    assert (sums["commit"]["all"], sums["closed"]["all"]) == ("0.00", "1200.50")
    events = await forecast.published(lambda seen: any(event.type == "OpportunityWon" for event in seen))
    assert events[-1].message.opportunity.amount == "1200.50"
    async with forecast.database.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM counter WHERE deals < 0 OR amount < 0") == 0


async def test_a_move_before_its_opening_is_held_and_applied_then(forecast: Actor) -> None:
    move = {"stage": "won", "amount": "10", "external_id": "m1", "occurred_at": "2026-11-02T00:00:00Z"}
    held = await forecast.http.post("/v1/opportunities/external:o1/moves", json=move)
    assert (held.status_code, held.json()["outcome"]) == (202, "held")
    body = {"external_id": "o1", "account": "acme.example", "owner_id": "ben", "occurred_at": "2026-11-01T00:00:00Z"}
    opened = await forecast.http.post("/v1/opportunities", json=body)
    assert (opened.status_code, opened.json()["stage"]) == (201, "won")
    again = await forecast.http.post("/v1/opportunities/external:o1/moves", json=move)
    assert again.json()["outcome"] == "duplicate"


async def test_the_state_does_not_depend_on_the_order_of_moves(forecast: Actor) -> None:
    await forecast.http.post("/v1/opportunities", json={"external_id": "o1", "owner_id": "ben", "occurred_at": AT})
    path = "/v1/opportunities/external:o1/moves"
    await forecast.http.post(path, json={"amount": "2", "occurred_at": "2026-11-12T00:00:00Z"})
    await forecast.http.post(path, json={"amount": "1", "occurred_at": "2026-11-11T00:00:00Z"})
    assert (await forecast.http.get("/v1/opportunities/external:o1")).json()["amount"] == "2"


async def test_a_lost_deal_is_in_no_sum(forecast: Actor) -> None:
    body = {"external_id": "o1", "owner_id": "ben", "amount": "100", "close_date": "2026-11-30", "occurred_at": AT}
    await forecast.http.post("/v1/opportunities", json=body)
    await forecast.http.post("/v1/opportunities/external:o1/moves", json={"stage": "lost", "reason": "no_budget"})
    nodes = (await forecast.http.get("/v1/forecast", params={"period": "2026-Q4"})).json()["nodes"]
    assert all(cell["all"] == "0.00" for node in nodes for cell in node["categories"].values())


async def test_reps_act_on_their_own_deals_alone(forecast: Actor) -> None:
    ben, cem = forecast.as_role("rep", rep="ben"), forecast.as_role("rep", rep="cem")
    assert (await ben.post("/v1/opportunities", json={"external_id": "o1", "owner_id": "cem"})).status_code == 403
    assert (await ben.post("/v1/opportunities", json={"external_id": "o1", "owner_id": "ben"})).status_code == 201
    assert (await cem.post("/v1/opportunities/external:o1/moves", json={"stage": "won"})).status_code == 403
    assert (await cem.get("/v1/opportunities/external:o1")).status_code == 403


def desk() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the desk's deals as (lead, path, body), in order of time."""
    with gzip.open(DATA / "bpic_oct2011_events.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    opened: dict[str, str] = {}
    calls = []
    for row in rows:
        if row["type"] == "lead.qualified":
            opened.setdefault(row["lead_id"], row["at"])
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
@pytest.mark.parametrize(("shuffle", "twice"), [(False, 0.0), (True, 0.05)], ids=["in order", "shuffled and doubled"])
async def test_what_a_real_desk_won_equals_its_truth(forecast: Actor, shuffle: bool, twice: float) -> None:
    truth = json.loads((DATA / "bpic_oct2011_truth.json").read_text())
    chance = random.Random(1)
    calls = desk()
    if shuffle:
        calls.sort(key=lambda call: times.parse(call[0]).timestamp() + chance.uniform(0, 600))
    calls += [call for call in calls if chance.random() < twice]
    at_once = asyncio.Semaphore(16)

    async def post(path: str, body: dict[str, Any]) -> None:
        async with at_once:
            answer = await forecast.http.post(path, json=body)
            assert answer.status_code in (200, 201, 202), answer.text

    for start in range(0, len(calls), 200):
        await asyncio.gather(*(post(path, body) for _, path, body in calls[start : start + 200]))
    span = {"from": "2011-01-01T00:00:00Z", "to": "2013-01-01T00:00:00Z"}
    months = (await forecast.http.get("/v1/velocity", params=span)).json()["won_by_month"]
    assert sum(month["count"] for month in months) == truth["funnel"]["deal.won"]
    assert {month["month"]: Decimal(month["amount"]) for month in months} == {
        month: Decimal(str(amount)) for month, amount in truth["won_amount_by_month"].items()
    }
