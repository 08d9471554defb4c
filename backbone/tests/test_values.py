"""Values: times, keys, partitions, cursors, seals."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from fastapi import Request

from backbone import envelope, ids, kafka, pages, tables, telemetry, times, vault
from backbone.problem import Problem
from handoff.events import topics
from handoff.events.v1 import routing_pb2


def test_times_are_utc_with_z_and_microseconds() -> None:
    east = datetime(2026, 11, 10, 14, 33, 31, 20_000, tzinfo=timezone(timedelta(hours=1)))
    assert times.text(east) == "2026-11-10T13:33:31.020000Z"
    assert times.parse(times.text(east)) == east


@pytest.mark.parametrize("value", ["2026-11-10T14:33:31", "9999-12-31T23:59:59Z", "yesterday"])
def test_times_without_a_zone_or_out_of_range_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        times.parse(value)


def test_new_ids_sort_by_time_and_derived_ids_are_stable() -> None:
    made = [ids.new() for _ in range(100)]
    assert made == sorted(made)
    assert made[0].version == 7
    assert ids.derived("rep", "ana") == ids.derived("rep", "ana") != ids.derived("opportunity", "ana")


def test_partitions_are_the_same_for_ever() -> None:
    key = UUID("0190d9a8-0000-7000-8000-000000000001").bytes
    assert kafka.partition_of(key, 6) == 2


def test_a_record_survives_its_headers() -> None:
    lead, event = ids.new(), ids.new()
    message = routing_pb2.AssignmentAccepted(rep_id="ana", cycle=2)
    at = datetime(2026, 11, 10, tzinfo=UTC)
    headers = envelope.headers(
        event_id=event,
        ce_type=topics.event_type("routing", message),
        source="/handoff/routing",
        key=lead.bytes,
        version=3,
        occurred_at=at,
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )
    opened = envelope.open_record(
        topic="routing", partition=0, offset=0, key=lead.bytes, raw_headers=headers, value=message.SerializeToString()
    )
    assert (opened.id, opened.subject, opened.version, opened.time) == (event, lead, 3, at)
    assert opened.message == message


def test_a_cursor_comes_back_and_a_forged_one_does_not() -> None:
    assert pages.page(10, pages.cursor("a", 1)).after == ("a", 1)
    with pytest.raises(Problem):
        pages.page(10, "forged")


def test_a_seal_opens_with_its_key_for_its_lead_alone() -> None:
    key, lead = vault.new_key(), ids.new()
    sealed = vault.seal(key, lead, {"email": "amara@fintrove.example"})
    assert b"amara" not in sealed
    assert vault.open_sealed(key, lead, sealed) == {"email": "amara@fintrove.example"}
    with pytest.raises(ValueError, match="sealed"):
        vault.open_sealed(key, ids.new(), sealed)
    with pytest.raises(ValueError, match="sealed"):
        vault.open_sealed(vault.new_key(), lead, sealed)


def test_a_logged_exception_names_its_class_and_place_and_nobody() -> None:
    def fail(email: str) -> None:
        raise ValueError(email)

    try:
        try:
            fail("amara@fintrove.example")
        except ValueError as error:
            raise RuntimeError("of amara@fintrove.example") from error
    except RuntimeError as error:
        for info in (True, error, (type(error), error, error.__traceback__)):
            said = telemetry.without_values(None, "error", {"event": "failed", "exc_info": info})["exception"]
            assert (said["type"], said["because"]["type"]) == ("RuntimeError", "ValueError")
            assert said["because"]["where"][-1].endswith(" fail")
            assert "amara" not in str(said)
    assert telemetry.without_values(None, "info", {"event": "fine"}) == {"event": "fine"}


@pytest.mark.parametrize(
    ("accept", "is_table"),
    [
        ("text/csv", True),
        ("Text/CSV; charset=utf-8, */*", True),
        ("text/csv;q=0.5, application/json", False),
        ("application/json;q=0.5, text/csv", True),
        ("text/csv;q=0", False),
        ("text/csv;q=much", True),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_report_is_a_table_for_who_accepts_one_and_does_not_rather_have_json(accept: str, is_table: bool) -> None:
    request = Request({"type": "http", "headers": [(b"accept", accept.encode())]})
    answer = tables.answer(request, {"leads": 1}, [{"leads": 1}], {}, columns=["leads"])
    assert answer.headers["content-type"].startswith("text/csv") == is_table
