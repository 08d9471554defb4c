"""Marketing's side of the agreement: what it delivered, what leads waited on, what sales gave back."""

from datetime import UTC, datetime

import pytest

from backbone.database import Database
from sla_monitor import (
    reports,
    store,
)
from sla_monitor.domain import Marked
from tests.delivering import DAY, MINUTE, START, arrived, given, mark, merged, promise, qualified, told, total


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
            # One waits still.
            "promised": 3,
            "within": 1,
            "share_within": 1 / 3,
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
        back, out, judged, lost, dealt = [await qualified(conn) for _ in range(5)]
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
        await mark(conn, dealt, Marked.DEAL_OPENED, START + MINUTE, ref="deal", word="qualified")
        await mark(conn, dealt, Marked.OUT, START + 2 * MINUTE, ref="recycled", word="no_need")
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
        lives = "UPDATE lead SET live = true, arrived_at = $2, live_known_at = $2 WHERE lead_id = $1"
        await conn.execute(lives, past, START + 2 * DAY)
        asked = {"end": START + 7 * DAY}
        assert ((await total(conn, **asked))["qualified"], (await total(conn, **asked))["history"]) == (0, 0)
        await mark(conn, past, Marked.QUALIFIED, START + 2 * DAY + MINUTE, word="saas@3")
        assert (await total(conn, **asked))["qualified"] == 1
        assert (await total(conn))["qualified"] == 0
        # Before anybody knew that it would live, it was history.
        before = await total(conn, as_of=START + DAY)
        assert (before["qualified"], before["history"], before["handoff"]["waiting"]) == (0, 1, 0)


async def test_as_of_knows_what_was_recorded_by_then(db: Database) -> None:
    async with db.transaction() as conn:
        lead = await arrived(conn)
        await mark(conn, lead, Marked.QUALIFIED, START + MINUTE, known=START + 2 * DAY, word="saas@3")
        assert (await total(conn, as_of=START + DAY))["qualified"] == 0
        assert (await total(conn, as_of=START + 3 * DAY))["qualified"] == 1
        await mark(conn, lead, Marked.QUALIFIED, START + 2 * MINUTE, known=START + DAY, word="saas@3", ref="company")
        assert (await total(conn, as_of=START + DAY))["complete"] == 0
        assert (await total(conn, as_of=START + 3 * DAY))["complete"] == 1


async def test_who_waits_for_longer_than_was_promised_was_not_handed_over_in_time(db: Database) -> None:
    async with db.transaction() as conn:
        await promise(conn, at=START - DAY, handoff_within_seconds=600)
        await qualified(conn)
        out = await qualified(conn)
        await mark(conn, out, Marked.OUT, START + MINUTE, ref="disqualified")
        await given(conn, await qualified(conn), START + MINUTE)
        shown = [(await total(conn, as_of=START + minutes * MINUTE))["handoff"] for minutes in (9, 11)]
    assert [(one["waiting"], one["promised"], one["within"], one["share_within"]) for one in shown] == [
        (1, 1, 1, 1.0),
        (1, 2, 1, 0.5),
    ]


async def test_what_an_sdr_accepts_that_was_no_mql_before_is_delivered_with_that(db: Database) -> None:
    async with db.transaction() as conn:
        lead, mql = await arrived(conn), await qualified(conn)
        for one in (lead, mql):
            await mark(conn, one, Marked.SALES_READY, START + MINUTE, word="saas@3", ref="company")
        row = await total(conn)
        assert (row["qualified"], row["complete"], row["handoff"]["waiting"]) == (2, 1, 1)
        await given(conn, lead, START + 3 * MINUTE)
        assert (await total(conn))["handoff"]["p50_seconds"] == 120.0
