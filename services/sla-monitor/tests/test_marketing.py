"""Marketing's side of the agreement: what it promised and delivered, what leads waited on, what sales gave back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from backbone.database import Connection, Database
from backbone.testing.stage import Stage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2
from sla_monitor import (
    marketing,
    reports,
    reports_attainment,
    reports_marketing,
    store,
    store_clocks,
    store_links,
    store_marks,
)
from sla_monitor.domain import Assignment, Counts, Mark, Marked, State, Terms, Touch
from sla_monitor.marketing import Event, Held, Promise, Qualified, Zone
from sla_monitor.store import Row
from sla_monitor.store_clocks import Clock

# A Tuesday.
START = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


async def arrived(conn: Connection, at: datetime = START, *, source: str = "web", **fields: Any) -> UUID:
    said = {"live": True, "arrived_at": at, **fields}
    row = Row(ids.new(), created_at=at, recorded_at=at, known_at=at, source=source, changed=True, **said)
    await store.save(conn, [row])
    return row.lead_id


async def mark(
    conn: Connection, of: UUID, kind: Marked, at: datetime, *, known: datetime | None = None, **said: str
) -> None:
    await store_marks.add(conn, [(of, Mark(mark_id=ids.new(), kind=kind, at=at, **said), known or at)])


async def qualified(conn: Connection, at: datetime = START, *, ref: str = "", **fields: Any) -> UUID:
    """Return a lead that arrived ten minutes before it qualified."""
    lead = await arrived(conn, at - 10 * MINUTE, **fields)
    await mark(conn, lead, Marked.QUALIFIED, at, word="saas@3", ref=ref)
    return lead


async def given(conn: Connection, of: UUID, at: datetime, cycle: int = 1) -> None:
    await store.add_assignments(conn, [(of, Assignment(cycle=cycle, rep_id="ana", assigned_at=at), "north")])


async def merged(conn: Connection, lost: UUID, kept: UUID) -> None:
    await conn.execute("UPDATE lead SET closed = true WHERE lead_id = $1", lost)
    await store_links.link(conn, [(lost, kept, START)])


async def promise(conn: Connection, version: int = 3, name: str = "saas", at: datetime = START, **supply: Any) -> None:
    message = qualification_pb2.DefinitionActivated(
        name=name, version=version, at=times.stamp(at), supply=qualification_pb2.Supply(**supply)
    )
    await store_marks.note_promise(conn, message)


async def clock(conn: Connection, of: UUID, kind: str, at: datetime, state: State, decided: datetime) -> None:
    terms = Terms(kind=kind, source="assignment", rep_id="ana", started_at=at, due_at=at + MINUTE, counts=Counts())
    one = Clock(of, f"{kind} {ids.new()}", 1, terms, "north", "", "standard@1", "", [])
    one.state, one.met_at = state, decided if state is State.MET else None
    one.breached_at = decided if state is State.BREACHED else None
    await store_clocks.add(conn, [one])


async def told(conn: Connection, **asked: Any) -> dict[str, list[dict[str, Any]]]:
    said = {"start": START - DAY, "end": START + DAY, "by": "none", "as_of": START + 30 * DAY, **asked}
    return await reports_marketing.report(conn, reports_marketing.Asked(**said))


async def total(conn: Connection, **asked: Any) -> dict[str, Any]:
    (row,) = (await told(conn, **asked))["totals"]
    return row


async def test_each_week_counts_what_qualified_beside_the_promise(db: Database) -> None:
    async with db.transaction() as conn:
        await reports.count_in(conn, "Europe/Berlin", "mon")
        await promise(conn, at=START - 60 * DAY, per_week=4, by_source={"fair": 1})
        # Sunday the 15th, 23:30 in UTC: Monday in Berlin.
        monday = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)
        first = await qualified(conn, source="fair")
        await mark(conn, first, Marked.QUALIFIED, START + 8 * DAY, word="saas@3")
        await qualified(conn, START + MINUTE, ref="company,email")
        await qualified(conn, monday)
        asked = {"start": START - 7 * DAY, "end": START + 7 * DAY}
        weeks = (await told(conn, **asked))["weeks"]
        counts = [(one["week"], one["key"], one["promised"], one["qualified"], one["share_complete"]) for one in weeks]
        assert counts == [
            ("2026-11-02", "all", 4, 0, None),
            ("2026-11-09", "all", 4, 2, 0.5),
            ("2026-11-16", "all", 4, 1, 1.0),
        ]
        by_source = (await told(conn, by="source", **asked))["weeks"]
        assert [(one["week"], one["key"], one["promised"], one["qualified"]) for one in by_source] == [
            ("2026-11-02", "fair", 1, 0),
            ("2026-11-02", "web", None, 0),
            ("2026-11-09", "fair", 1, 1),
            ("2026-11-09", "web", None, 1),
            ("2026-11-16", "fair", 1, 0),
            ("2026-11-16", "web", None, 1),
        ]
        await reports.count_in(conn, "UTC", "sun")
        assert [(one["week"], one["qualified"]) for one in (await told(conn, **asked))["weeks"]] == [
            ("2026-11-01", 0),
            ("2026-11-08", 2),
            ("2026-11-15", 1),
        ]


async def test_a_week_keeps_the_promise_that_was_in_force_then(db: Database) -> None:
    async with db.transaction() as conn:
        monday = datetime(2026, 11, 9, tzinfo=UTC)
        await promise(conn, 1, at=monday + DAY, per_week=10, handoff_within_seconds=60, by_source={"fair": 2})
        await promise(conn, 2, at=monday + 8 * DAY, per_week=99)
        await promise(conn, 1, "enterprise", at=monday + 15 * DAY, per_week=5)
        late, early = await qualified(conn, monday + 9 * DAY), await qualified(conn, monday + 2 * DAY)
        await given(conn, early, monday + 2 * DAY + 2 * MINUTE)
        await given(conn, late, monday + 9 * DAY + 2 * MINUTE)
        asked = {"start": monday - 7 * DAY, "end": monday + 28 * DAY}
        weeks = (await told(conn, **asked))["weeks"]
        assert [one["promised"] for one in weeks] == [None, 10, 99, 104, 104]
        assert [one["handoff"]["promised"] for one in weeks] == [0, 1, 0, 0, 0]
        assert (await total(conn, **asked))["handoff"]["share_within"] == 0
        fair = [one["promised"] for one in (await told(conn, by="source", **asked))["weeks"] if one["key"] == "fair"]
        assert fair == [None, 2, None, None, None]
        # Asked before the change, or for a span that ends before it: the old promise, for what is to come too.
        for said in ({**asked, "as_of": monday + 7 * DAY}, {**asked, "end": monday + 7 * DAY}):
            found = await told(conn, **said)
            assert {one["promised"] for one in found["weeks"][1:]} == {10}
            assert [one["promised"] for one in found["periods"]] == [10, pytest.approx(10 * 52 / 12), 130]


async def test_the_week_the_month_and_the_quarter_to_date_are_projected_to_their_ends(db: Database) -> None:
    async with db.transaction() as conn:
        early = datetime(2026, 10, 2, tzinfo=UTC)
        await promise(conn, 1, at=early, per_month=999)
        await promise(conn, 2, at=early + DAY, per_month=30, by_source={"fair": 10})
        await promise(conn, 3, at=START + DAY, per_month=1)
        await promise(conn, 1, "enterprise", at=early, per_month=20)
        await qualified(conn, early, source="fair")
        for number in range(6):
            await qualified(conn, START - number * DAY, source="fair" if number else "web")
        await qualified(conn, datetime(2026, 9, 30, tzinfo=UTC))
        await qualified(conn, live=False, arrived_at=None)
        # The tenth of thirty days is over: to the end of the span, though more is known.
        end = datetime(2026, 11, 11, tzinfo=UTC)
        week, month, quarter = (await told(conn, end=end, as_of=end))["periods"]
        assert (week["period"], week["name"], week["from"]) == ("week", "2026-11-09", datetime(2026, 11, 9, tzinfo=UTC))
        assert (week["promised"], week["delivered"]) == (pytest.approx(50 * 12 / 52), 2)
        assert (week["share_passed"], week["projection"]) == (pytest.approx(2 / 7), pytest.approx(7))
        assert (month["period"], month["name"], month["from"]) == (
            "month",
            "2026-11",
            datetime(2026, 11, 1, tzinfo=UTC),
        )
        assert (month["promised"], month["delivered"], month["share_passed"]) == (50, 6, pytest.approx(1 / 3))
        assert (month["projection"], month["share_delivered"]) == (pytest.approx(18), pytest.approx(0.12))
        sources = {one["key"]: (one["promised"], one["delivered"]) for one in month["by_source"]}
        assert sources == {"fair": (10, 5), "web": (None, 1)}
        assert (quarter["name"], quarter["delivered"], quarter["promised"]) == ("2026-Q4", 7, pytest.approx(150))
        assert quarter["share_passed"] == pytest.approx(41 / 92)
        later = (await told(conn, end=end, as_of=end + 5 * DAY))["periods"]
        assert [one["share_passed"] for one in later] == [one["share_passed"] for one in (week, month, quarter)]
        # Asked before the end of the span: the month is the one that it is then.
        _, month, _ = (await told(conn, end=end + 90 * DAY, as_of=end))["periods"]
        assert (month["name"], month["delivered"], month["promised"]) == ("2026-11", 6, 50)


async def test_minutes_to_hand_off_say_what_was_waited_on(db: Database) -> None:
    async with db.transaction() as conn:
        await promise(conn, at=START - DAY, handoff_within_seconds=600)
        quick, slow, waits = await qualified(conn), await qualified(conn), await qualified(conn)
        taken = await qualified(conn)
        await given(conn, quick, START + MINUTE)
        await given(conn, taken, START - MINUTE)
        await given(conn, taken, START + DAY, cycle=2)
        await mark(conn, slow, Marked.WAITING, START - MINUTE, word="no_match")
        for minutes, word in ((1, "no_capacity"), (11, "nobody_working"), (41, "no_rule"), (42, "paused")):
            await mark(conn, slow, Marked.WAITING, START + minutes * MINUTE, word=word)
        await given(conn, slow, START + 51 * MINUTE)
        await given(conn, slow, START + DAY, cycle=2)
        await mark(conn, waits, Marked.WAITING, START, word="no_capacity")
        (row,) = (await told(conn))["totals"]
        assert row["handoff"] == {
            "handed": 2,
            "waiting": 1,
            "with_a_rep_already": 1,
            "p50_seconds": 26 * 60,
            "p90_seconds": 46 * 60,
            "promised": 2,
            "within": 1,
            "share_within": 0.5,
        }
        assert row["waited"] == {
            "marketing_seconds": 2 * 600,
            "capacity_seconds": 600,
            "hours_seconds": 39 * 60,
            "policy_seconds": 60,
            "rest_seconds": 120,
        }
        await mark(conn, waits, Marked.OUT, START + DAY, ref="demoted", word="missing_fields")
        assert (await total(conn))["handoff"]["waiting"] == 0
        assert (await total(conn, as_of=START + MINUTE))["handoff"]["handed"] == 1


async def test_what_sales_gave_back_is_counted_once_with_its_reasons(db: Database) -> None:
    async with db.transaction() as conn:
        back, out, judged, lost = [await qualified(conn) for _ in range(4)]
        await qualified(conn)
        for lead in (back, out, lost):
            await given(conn, lead, START + MINUTE)
        # A rep declines, another recycles, and qualification says so too.
        await given(conn, back, START + 5 * MINUTE, cycle=2)
        released = [(back, 1, 4, "declined", ""), (back, 2, 9, "recycled", "timing"), (out, 1, 3, "reassigned", "away")]
        for lead, cycle, minutes, outcome, reason in released:
            await store.note_released(conn, [(lead, cycle, START + minutes * MINUTE, outcome, reason, False)])
        await mark(conn, back, Marked.OUT, START + 10 * MINUTE, ref="recycled", word="timing")
        await mark(conn, out, Marked.OUT, START + 10 * MINUTE, ref="demoted", word="missing_fields")
        await mark(conn, judged, Marked.OUT, START + 10 * MINUTE, ref="disqualified", word="student")
        # Whom sales took and lost is not marketing's fault.
        await mark(conn, lost, Marked.HANDED_BACK, START + MINUTE, word="no_budget")
        await mark(conn, lost, Marked.SALES_QUALIFIED, START + 2 * MINUTE)
        await store.note_released(conn, [(lost, 1, START + DAY, "recycled", "competitor", False)])
        assert (await total(conn))["rejected"] == {
            "leads": 3,
            "share": 0.6,
            "reasons": {"no_budget": 1, "other": 1, "student": 1, "timing": 1},
        }
        assert (await total(conn, as_of=START + 5 * MINUTE))["rejected"]["reasons"] == {"no_budget": 1, "other": 1}


async def test_a_merged_lead_counts_under_its_survivor(db: Database) -> None:
    async with db.transaction() as conn:
        kept = await qualified(conn, START + 30 * MINUTE, source="fair")
        lost = await qualified(conn, START, ref="company")
        before = await arrived(conn, START - 20 * MINUTE)
        await mark(conn, lost, Marked.WAITING, START + MINUTE, word="no_capacity")
        await given(conn, before, START + 5 * MINUTE)
        await merged(conn, before, lost)
        await merged(conn, lost, kept)
        found = await told(conn, by="source")
        assert [(one["key"], one["qualified"], one["complete"]) for one in found["totals"]] == [("fair", 1, 0)]
        (row,) = found["totals"]
        assert (row["handoff"]["p50_seconds"], row["waited"]["capacity_seconds"]) == (300, 240)
        assert row["waited"]["marketing_seconds"] == 20 * 60
        # Its first qualification is what counts, also where the other alone lies within the span.
        assert (await total(conn, start=START + MINUTE))["qualified"] == 0
        assert (await total(conn, end=START + MINUTE))["qualified"] == 1


async def test_history_is_no_delivery_until_it_lives(db: Database) -> None:
    async with db.transaction() as conn:
        past = await qualified(conn, live=False, arrived_at=None)
        assert ((await total(conn))["qualified"], (await total(conn))["history"]) == (0, 1)
        await conn.execute("UPDATE lead SET live = true, arrived_at = $2 WHERE lead_id = $1", past, START + 2 * DAY)
        asked = {"end": START + 7 * DAY}
        assert ((await total(conn, **asked))["qualified"], (await total(conn, **asked))["history"]) == (0, 0)
        await mark(conn, past, Marked.QUALIFIED, START + 2 * DAY + MINUTE, word="saas@3")
        assert (await total(conn, **asked))["qualified"] == 1
        assert (await total(conn))["qualified"] == 0


async def test_as_of_knows_what_was_recorded_by_then(db: Database) -> None:
    async with db.transaction() as conn:
        lead = await arrived(conn)
        await mark(conn, lead, Marked.QUALIFIED, START + MINUTE, known=START + 2 * DAY, word="saas@3")
        assert (await total(conn, as_of=START + DAY))["qualified"] == 0
        assert (await total(conn, as_of=START + 3 * DAY))["qualified"] == 1
        await mark(conn, lead, Marked.QUALIFIED, START + 2 * MINUTE, known=START + DAY, word="saas@3", ref="company")
        assert (await total(conn, as_of=START + DAY))["complete"] == 0
        assert (await total(conn, as_of=START + 3 * DAY))["complete"] == 1


async def test_sales_promises_stand_beside_in_the_week_in_which_they_began(db: Database) -> None:
    async with db.transaction() as conn:
        web, fair = await arrived(conn), await arrived(conn, source="fair")
        for kind, state, decided in (
            ("first_response_5m", State.MET, MINUTE),
            ("first_response_30m", State.BREACHED, 30 * MINUTE),
            ("minimum_touches", State.BREACHED, DAY),
            ("status_update", State.MET, MINUTE),
            ("status_update", State.CANCELLED, MINUTE),
            ("stale", State.BREACHED, MINUTE),
        ):
            await clock(conn, web, kind, START, state, START + decided)
        await clock(conn, fair, "status_update", START - 7 * DAY, State.MET, START)
        (before, week) = (await told(conn, start=START - 7 * DAY, is_now=True))["weeks"]
        names = ("first_response", "minimum_touches", "status_update")
        assert [before[name] for name in names] == [
            {"met": 0, "missed": 0},
            {"met": 0, "missed": 0},
            {"met": 1, "missed": 0},
        ]
        assert [week[name] for name in names] == [
            {"met": 1, "missed": 1},
            {"met": 0, "missed": 1},
            {"met": 1, "missed": 0},
        ]
        rows = (await told(conn, by="source", start=START - 7 * DAY, is_now=True))["weeks"]
        assert [(one["key"], one["status_update"]["met"]) for one in rows if one["week"] == "2026-11-09"] == [
            ("fair", 0),
            ("web", 1),
        ]


async def test_sales_promises_as_of_an_instant_are_judged_by_what_was_known_then(db: Database) -> None:
    async with db.transaction() as conn:
        lead = await arrived(conn)
        await given(conn, lead, START)
        call = Touch(
            touch_id=ids.new(), at=START + MINUTE / 2, rep_id="ana", kind="call", outcome="attempted", automated=False
        )
        await store.add_touches(conn, [(lead, call, START + DAY / 2)])
        await clock(conn, lead, "first_response_5m", START, State.MET, call.at)
        # It fell due, but what fires it has not come to it yet.
        await clock(conn, lead, "status_update", START, State.RUNNING, START)

        async def known(at: datetime) -> list[dict[str, int]]:
            (week,) = (await told(conn, start=START, as_of=at))["weeks"]
            groups = await reports_attainment.attainment(conn, START, START + DAY, by="none", as_of=at)
            beside = {one["kind"]: {"met": one["met"], "missed": one["missed"]} for one in groups}
            found = [week["first_response"], week["status_update"]]
            assert found == [beside["first_response_5m"], beside["status_update"]]
            return found

        assert await known(START + MINUTE / 2) == [{"met": 0, "missed": 0}, {"met": 0, "missed": 0}]
        assert await known(START + MINUTE) == [{"met": 0, "missed": 1}, {"met": 0, "missed": 1}]
        assert await known(START + DAY / 2) == [{"met": 1, "missed": 0}, {"met": 0, "missed": 1}]


@pytest.mark.parametrize(
    ("counts", "period", "key", "leads"),
    [
        ({"month": 52}, "week", "all", 12),
        ({"month": 52}, "quarter", "all", 156),
        ({"week": 10, "month": 50}, "month", "all", 50),
        ({"week": 10, "month": 50}, "quarter", "all", 130),
        ({"week": 10, "month": 50}, "month", "fair", 13),
        ({"quarter": 130}, "week", "fair", 3 / 13),
        ({"month": 52}, "week", "web", None),
        ({}, "week", "all", None),
    ],
)
def test_a_promise_for_one_period_is_one_for_the_others(
    counts: dict[str, float], period: str, key: str, leads: float | None
) -> None:
    one = Promise(definition="saas", since=START, counts=counts, by_source={"fair": 3})
    assert marketing.promised([one], period, key) == (pytest.approx(leads) if leads is not None else None)


def test_a_rejection_that_two_topics_tell_of_is_one() -> None:
    at = [START + number * MINUTE for number in range(6)]
    lead = Qualified(
        lead_id=ids.new(),
        source="web",
        live=True,
        since=START,
        at=START,
        definition="saas",
        complete=True,
        held=[
            Held(start=at[0], end=at[1], outcome="recycled", reason="timing"),
            Held(start=at[2], end=at[3], outcome="handed_back", reason="no_need"),
        ],
        events=[
            Event(kind=Marked.OUT, at=START - MINUTE, ref="recycled", word="spam"),
            Event(kind=Marked.OUT, at=at[1], ref="recycled", word="timing"),
            Event(kind=Marked.HANDED_BACK, at=at[3], word="no_need"),
            Event(kind=Marked.OUT, at=at[4], ref="recycled", word="no_budget"),
        ],
    )
    assert sorted(marketing.rejections(lead)) == ["no_budget", "no_need", "timing"]


def test_periods_are_those_of_the_companys_zone_and_as_long_as_they_are() -> None:
    berlin = Zone("Europe/Berlin")
    name, start, end = berlin.span("quarter", datetime(2026, 3, 31, 21, 59, tzinfo=UTC))
    assert (name, start) == ("2026-Q1", datetime(2025, 12, 31, 23, tzinfo=UTC))
    # The clocks went forward.
    assert end - start == 90 * DAY - timedelta(hours=1)
    assert berlin.span("month", datetime(2026, 12, 31, 23, tzinfo=UTC))[0] == "2027-01"
    assert berlin.span("quarter", datetime(2026, 12, 1, tzinfo=UTC))[0] == "2026-Q4"
    name, start, end = berlin.span("week", datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert (name, end - start) == ("2026-03-23", 7 * DAY - timedelta(hours=1))
    assert Zone("UTC", "sun").span("week", datetime(2026, 3, 29, tzinfo=UTC))[0] == "2026-03-29"
    assert len(berlin.weeks(START, START + 7 * DAY)) == 2
    # A span that ends with a week does not touch the next one.
    midnight = datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert len(berlin.weeks(midnight - 7 * DAY, midnight)) == 1


def test_percentiles_are_interpolated() -> None:
    assert marketing.percentile([], 0.5) is None
    assert marketing.percentile([5.0], 0.9) == 5
    assert marketing.percentile([0.0, 10.0, 20.0, 40.0], 0.5) == 15
    assert marketing.percentile([0.0, 10.0, 20.0, 40.0], 0.9) == pytest.approx(34)


async def test_the_report_is_for_marketing_and_managers_as_json_and_csv(start: Stage) -> None:
    sla = await start("sla")
    lead, at = ids.new(), datetime.now(UTC)
    stamp = common_pb2.Stamp(lead_id=str(lead), live=True)
    for field in (stamp.occurred_at, stamp.recorded_at, stamp.arrived_at):
        field.FromDatetime(at)
    fields = common_pb2.LeadFields(created_at=times.stamp(at), source="fair")
    await sla.publish("intake", [(lead, intake_pb2.LeadCaptured(stamp=stamp, lead=fields))])
    await sla.settled()
    said = common_pb2.Qualification(stage="mql", definition="saas@3", missing=["company"])
    mql = qualification_pb2.LeadQualified(stamp=stamp, qualification=said, lead=fields)
    supply = qualification_pb2.Supply(per_week=50, handoff_within_seconds=900)
    active = qualification_pb2.DefinitionActivated(
        stamp=stamp, name="saas", version=3, at=times.stamp(at), supply=supply
    )
    active.stamp.lead_id = ""
    await sla.publish("qualification", [(ids.derived("definition", "saas"), active), (lead, mql)])
    await sla.settled()
    params = {"from": times.text(at - DAY), "to": times.text(at + DAY)}
    path = "/v1/reports/marketing"
    found = (await sla.as_role("marketing").get(path, params=params)).json()
    assert {"as_of", "complete_until", "unsigned_by"} <= set(found)
    (row,) = found["totals"]
    assert (row["qualified"], row["complete"], row["handoff"]["waiting"]) == (1, 0, 1)
    # Where the span begins in the week before, nothing was promised then.
    assert found["weeks"][-1]["promised"] == 50
    week, month, quarter = found["periods"]
    assert (week["promised"], week["delivered"]) == (50, 1)
    assert (month["delivered"], quarter["by_source"][0]["key"]) == (1, "fair")
    assert times.parse(month["from"]) < at < times.parse(month["to"])
    csv = await sla.as_role("manager").get(path, params={**params, "by": "source"}, headers={"Accept": "text/csv"})
    assert csv.text.startswith("week,key,promised,qualified,history,complete,share_complete,handoff.handed,")
    assert "rejected.reasons" in csv.text.splitlines()[0]
    assert len({line.count(",") for line in csv.text.splitlines()}) == 1
    assert (await sla.as_role("rep", rep="ana").get(path, params=params)).status_code == 403
    for wrong in ({"to": params["from"]}, {"from": "1980-01-01T00:00:00Z"}, {"by": "rep"}):
        assert (await sla.as_role("manager").get(path, params={**params, **wrong})).status_code == 422
