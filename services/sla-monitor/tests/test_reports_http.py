"""Every report over HTTP: what it says beside its numbers, who may see it, and the same as a table."""

import csv
from datetime import datetime, timedelta
from typing import Any

import pytest

from backbone import ids, process, times
from backbone.database import Database
from backbone.settings import ServiceSettings
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from backbone.testing.tap import garbage
from sla_monitor import api_reports, store_policies
from sla_monitor.domain import State
from tests.telling import captured, now

SPAN = {"from": "2024-11-12T12:00:00Z", "to": "2024-11-13T12:00:00Z"}
THEN = "2024-11-12T12:59:00.000000Z"
NAMES = ("speed", "attainment", "persistence", "meetings", "leaks", "conversion")


@pytest.fixture
async def served(start: Stage, db: Database) -> Actor:
    """Serves the reports alone."""

    async def compose(service: process.Service[ServiceSettings]) -> None:
        async def ignore(*_: Any) -> None: ...

        consumer = service.consume(["intake"], ignore)
        service.serve(api_reports.router(service.database, consumer))

    return await start.bare("sla", compose, database_url=db.url)


async def test_every_report_says_as_of_when_how_far_facts_are_known_and_who_has_not_signed(served: Actor) -> None:
    for name in NAMES:
        path = f"/v1/reports/{name}"
        body = (await served.http.get(path, params=SPAN)).json()
        assert isinstance(body["items" if name == "leaks" else "groups"], list)
        assert (body["unsigned_by"], "complete_until" in body) == (["marketing", "sales"], True)
        assert (await served.http.get(path, params={**SPAN, "as_of": THEN})).json()["as_of"] == THEN
        # Nobody knows the future.
        ahead = (await served.http.get(path, params={**SPAN, "as_of": "2199-01-01T00:00:00Z"})).json()["as_of"]
        assert body["as_of"] <= ahead < "2199-"
        assert ("note" in body) == (name == "conversion")


async def test_a_table_says_in_its_headers_what_its_rows_cannot(served: Actor, db: Database) -> None:
    async def unsigned_by(name: str) -> str | None:
        path, table = f"/v1/reports/{name}", {"Accept": "text/csv"}
        said = (await served.http.get(path, params={**SPAN, "as_of": THEN}, headers=table)).headers
        assert said["handoff-as-of"] == THEN
        return said.get("handoff-unsigned-by")

    for name in (*NAMES, "marketing"):
        assert await unsigned_by(name) == "marketing, sales"
    async with db.transaction() as conn:
        version = await store_policies.add(conn, "standard", "", {"clocks": []}, "mia")
    for party, others in (("sales", "marketing"), ("marketing", None)):
        async with db.transaction() as conn:
            await store_policies.sign(conn, "standard", version, party, party, "sign", None)
        assert await unsigned_by("speed") == others
    operation = (await served.http.get("/openapi.json")).json()["paths"]["/v1/reports/speed"]["get"]
    described = operation["responses"]["200"]["headers"]
    assert set(described) == {"Handoff-As-Of", "Handoff-Complete-Until", "Handoff-Unsigned-By"}


async def test_one_partition_that_lags_is_as_far_as_facts_are_known_whatever_came_by_the_others(
    served: Actor, db: Database, telling: Any
) -> None:
    before = now()
    await served.publish("intake", [captured(ids.new(), before)])
    sent = now()
    await served.settled()
    async with db.transaction() as conn:
        told = telling(conn)
        await told.lead((now() - told.start).total_seconds())

    async def known_until() -> datetime:
        answer = await served.http.get("/v1/reports/speed", params=SPAN, headers={"Accept": "text/csv"})
        return times.parse(answer.headers["handoff-complete-until"])

    async def is_known() -> None:
        """Where the topics end is asked now and then, so that it may be of before the event came."""
        assert await known_until() > sent

    await eventually(is_known)
    async with db.transaction() as conn:
        # As if it had not been read yet.
        await conn.execute("UPDATE consumer_offset SET next_offset = next_offset - 1 WHERE next_offset > 0")
    assert before - timedelta(minutes=1) < await known_until() <= sent


async def test_what_is_parked_is_not_known_yet(start: Stage, served: Actor) -> None:
    async def known_until() -> datetime:
        """While Kafka does not answer in time, nobody knows."""
        said = (await served.http.get("/v1/reports/speed", params=SPAN)).json()["complete_until"]
        assert said is not None
        return times.parse(said)

    await served.publish("intake", [captured(ids.new(), now())])
    before = now()
    await garbage(start.settings(""), ids.new())
    await served.settled()
    after = now()
    assert before - timedelta(minutes=1) < await eventually(known_until) <= after
    (parked,) = (await served.http.get("/v1/parked")).json()["items"]
    await served.http.post(f"/v1/parked/{parked['parked_id']}/discard", json={"reason": "no event"})
    assert await eventually(known_until) > after


async def test_every_report_is_for_marketing_and_managers_and_refuses_what_is_no_span(served: Actor) -> None:
    for name in NAMES:
        path = f"/v1/reports/{name}"
        for role, status in (("marketing", 200), ("manager", 200), ("rep", 403)):
            assert (await served.as_role(role, rep="ana").get(path, params=SPAN)).status_code == status
        answer = await served.http.get(path, params={**SPAN, "to": SPAN["from"]})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/to")
        if name != "leaks":
            assert (await served.http.get(path, params={**SPAN, "by": "weekday"})).status_code == 200
            assert (await served.http.get(path, params={**SPAN, "by": "moon"})).status_code == 422


async def test_every_report_is_a_table_too_with_leads_joined_by_a_space(
    served: Actor, db: Database, telling: Any
) -> None:
    async with db.transaction() as conn:
        told = telling(conn)
        leads = [await told.lead(), await told.lead()]
        for lead in leads:
            await told.given(lead, 0, recycled=60)
            await told.clock(lead, told.plan("minimum_touches", needs={"call": 3}), state=State.CANCELLED)
        await told.clock(leads[0], told.plan(), state=State.MET)
        await told.touch(leads[0], 10)

    async def table(name: str) -> list[dict[str, str]]:
        params = {**SPAN, "as_of": THEN}
        answer = await served.http.get(f"/v1/reports/{name}", params=params, headers={"Accept": "text/csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        return list(csv.DictReader(answer.text.splitlines()))

    (persistence,), kinds = await table("persistence"), await table("leaks")
    both = " ".join(map(str, sorted(leads)))
    assert (persistence["given_up.leads"], persistence["given_up.lead_ids"]) == ("2", both)
    assert [row["lead_ids"] for row in kinds] == [str(leads[1]), *[""] * 5]
    assert (await table("meetings"))[0]["not_rebooked.unknown"] == "0"
    first, *others = await table("conversion")
    assert (first["bucket"], first["leads"], first["won_odds.ratio"], len(others)) == ("0-300", "1", "", 6)
    assert first["note"] == others[-1]["note"] != ""
    assert (await table("speed"))[0]["from_arrival.leads"] == "2"
    assert [(row["kind"], row["met"]) for row in await table("attainment")] == [("first_response_5m", "1")]


async def test_a_table_without_rows_has_the_columns_that_one_with_rows_has(
    served: Actor, db: Database, telling: Any
) -> None:
    async with db.transaction() as conn:
        told = telling(conn)
        lead = await told.lead(live=True)
        await told.given(lead, 0, recycled=60)
        await told.clock(lead, told.plan(), state=State.MET)
        await told.mark(lead, "qualified", 60, word="saas@1")
        await told.mark(lead, "meeting_booked", 60)

    async def head(name: str, **asked: str) -> str:
        answer = await served.http.get(f"/v1/reports/{name}", params=asked, headers={"Accept": "text/csv"})
        return answer.text.splitlines()[0]

    long_ago = {"from": "1999-01-01T00:00:00Z", "to": "1999-01-08T00:00:00Z"}
    for name in ("speed", "attainment", "persistence", "meetings", "conversion", "leaks"):
        by = {} if name == "leaks" else {"by": "source"}
        assert await head(name, **by, **long_ago) == await head(name, **by, **SPAN, as_of=THEN)
    for table in ("weeks", "totals"):
        asked = {"by": "source", "table": table}
        assert await head("marketing", **asked, **long_ago) == await head("marketing", **asked, **SPAN, as_of=THEN)


async def test_marketings_report_is_three_tables(served: Actor, db: Database, telling: Any) -> None:
    async with db.transaction() as conn:
        told = telling(conn)
        for source in ("web", "fair", "fair"):
            await told.mark(await told.lead(source=source, live=True), "qualified", 60, word="saas@1")
    path, params = "/v1/reports/marketing", {**SPAN, "as_of": "2024-11-12T18:00:00Z"}
    (week, month, quarter) = (await served.http.get(path, params=params)).json()["periods"]

    async def table(**asked: str) -> list[dict[str, str]]:
        answer = await served.http.get(path, params={**params, **asked}, headers={"Accept": "text/csv"})
        return list(csv.DictReader(answer.text.splitlines()))

    assert [(row["week"], row["qualified"]) for row in await table()] == [("2024-11-11", "3")]
    assert await table(table="weeks") == await table()
    totals = await table(table="totals", by="source")
    assert [(row["key"], row["qualified"], row["handoff.waiting"]) for row in totals] == [
        ("fair", "2", "2"),
        ("web", "1", "1"),
    ]
    periods = await table(table="periods")
    expected = [
        (one["name"], key, n) for one in (week, month, quarter) for key, n in (("all", 3), ("fair", 2), ("web", 1))
    ]
    assert [(row["name"], row["key"], int(row["delivered"])) for row in periods] == expected
    assert [float(row["projection"]) for row in periods if row["key"] == "all"] == [
        one["projection"] for one in (week, month, quarter)
    ]
    assert ",".join(periods[0]) == (
        "period,name,key,from,to,share_passed,promised,delivered,share_delivered,projection"
    )
    assert (periods[0]["from"], periods[0]["promised"]) == (week["from"], "")
    assert (await served.http.get(path, params={**params, "table": "days"})).status_code == 422
    operation = (await served.http.get("/openapi.json")).json()["paths"][path]["get"]
    (described,) = [one["schema"] for one in operation["parameters"] if one["name"] == "table"]
    assert (described["enum"], described["default"]) == (["weeks", "periods", "totals"], "weeks")


async def test_attainment_without_as_of_is_what_is_stored(served: Actor, db: Database, telling: Any) -> None:
    async with db.transaction() as conn:
        told = telling(conn)
        lead = await told.lead()
        await told.given(lead, 0)
        await told.clock(lead, told.plan(), state=State.MET)

    async def shown(**params: str) -> tuple[int, int]:
        (group,) = (await served.http.get("/v1/reports/attainment", params={**SPAN, **params})).json()["groups"]
        return group["met"], group["running"]

    assert await shown() == (1, 0)
    assert await shown(as_of="2024-11-12T12:01:00Z") == (0, 1)
