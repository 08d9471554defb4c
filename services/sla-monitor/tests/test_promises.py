"""What marketing promised when: with each version of a definition, while it was in force."""

from datetime import UTC, datetime

import pytest

from backbone import times
from backbone.database import Database
from handoff.events.v1 import qualification_pb2
from sla_monitor import (
    store_marks,
)
from tests.delivering import DAY, MINUTE, given, promise, qualified, told, total


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
        # What is retired promises nothing more; what it promised before that, it did.
        retired = qualification_pb2.DefinitionRetired(name="saas", version=2, at=times.stamp(monday + 20 * DAY))
        await store_marks.note_promise(conn, retired)
        weeks = (await told(conn, **asked))["weeks"]
        assert [one["promised"] for one in weeks] == [None, 10, 99, 5, 5]
        assert (await told(conn, **{**asked, "as_of": monday + 19 * DAY}))["weeks"][3]["promised"] == 104


async def test_a_version_that_comes_into_force_again_promised_before_what_it_promised(db: Database) -> None:
    async with db.transaction() as conn:
        monday = datetime(2026, 11, 9, tzinfo=UTC)
        first = {"per_week": 10, "handoff_within_seconds": 600}
        await promise(conn, 1, at=monday, **first)
        early = await qualified(conn, monday + DAY)
        await given(conn, early, monday + DAY + 2 * MINUTE)
        await promise(conn, 2, at=monday + 7 * DAY, per_week=20)
        asked = {"start": monday, "end": monday + 28 * DAY}
        before = await told(conn, **asked, as_of=monday + 13 * DAY)
        # It was to begin later, and does so earlier; what was to begin in between never does.
        await promise(conn, 3, at=monday + 15 * DAY, said_at=monday + 14 * DAY, per_week=77)
        await promise(conn, 1, at=monday + 16 * DAY, said_at=monday + 14 * DAY, **first)
        await promise(conn, 1, at=monday + 14 * DAY, **first)
        found = await told(conn, **asked)
        assert [one["promised"] for one in found["weeks"]] == [10, 20, 10, 10]
        assert found["totals"][0]["handoff"]["promised"] == 1
        assert await told(conn, **asked, as_of=monday + 13 * DAY) == before


async def test_what_is_retired_before_it_begins_leaves_the_promise_of_before(db: Database) -> None:
    async with db.transaction() as conn:
        monday = datetime(2026, 11, 9, tzinfo=UTC)
        await promise(conn, 1, at=monday, per_week=10)
        await promise(conn, 2, at=monday + 7 * DAY, said_at=monday, per_week=20)
        retired = qualification_pb2.DefinitionRetired(name="saas", version=2, at=times.stamp(monday + DAY))
        await store_marks.note_promise(conn, retired)
        weeks = (await told(conn, start=monday, end=monday + 14 * DAY))["weeks"]
        assert [one["promised"] for one in weeks] == [10, 10]
