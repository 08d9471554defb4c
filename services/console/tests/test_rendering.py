"""What pages say: durations, times and states in words, and pages that never say what is not known."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from starlette.requests import Request

from backbone.problem import Problem
from console import assets, pages, phrases, rendering, shown, views
from services.console.tests import samples
from services.console.tests.samples import NOW, PERSON, clock


def asked(path: str = "/inbox", query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": raw})


def signed_in(request: Request, person: views.Person = PERSON) -> Request:
    request.state.person = person
    return request


@pytest.mark.parametrize(
    ("seconds", "text", "aloud"),
    [
        (0.4, "0s", "0 seconds"),
        (7, "7s", "7 seconds"),
        (69, "1m 09s", "1 minute 9 seconds"),
        (252, "4m 12s", "4 minutes 12 seconds"),
        (3960, "1h 06m", "1 hour 6 minutes"),
        (7200, "2h 00m", "2 hours"),
        (3 * 86400 + 4 * 3600 + 59, "3d 4h", "3 days 4 hours"),
    ],
)
def test_a_duration_is_its_two_largest_units(seconds: float, text: str, aloud: str) -> None:
    assert (shown.duration(seconds), shown.spoken(seconds)) == (text, aloud)


def test_a_gap_is_as_exact_as_it_is_short() -> None:
    assert [shown.gap(value) for value in (0.012, 2.851, 150)] == ["12 ms", "2.85 s", "2m 30s"]


def test_an_instant_is_named_as_far_off_as_it_is() -> None:
    zone = "Europe/Berlin"
    at = NOW + timedelta(seconds=83, milliseconds=20)
    assert shown.moment(at, NOW, zone) == "14:33:31"
    assert shown.moment(at, NOW, zone, "ms") == "14:33:31.020"
    assert shown.moment(NOW + timedelta(days=1), NOW, zone) == "Wed 14:32"
    assert shown.moment(NOW + timedelta(days=14), NOW, zone) == "24 Nov"
    assert shown.date(NOW - timedelta(days=400), NOW, zone) == "6 Oct 2025"
    assert shown.ago(NOW - timedelta(seconds=7), NOW, zone) == "7s ago"
    assert shown.exactly(at, zone) == "Tue 10 Nov 2026, 14:33:31.020 Europe/Berlin (13:33:31.020 UTC)"
    # Midnight in the reader's zone is another day than in UTC.
    late = datetime(2026, 11, 10, 23, 30, tzinfo=UTC)
    assert shown.moment(late, NOW, zone, "m") == "Wed 00:30"


@pytest.mark.parametrize(
    ("value", "look", "text", "aloud"),
    [
        (clock(234), "running", "3m 54s", "3 minutes 54 seconds left"),
        (clock(120), "running", "2m 00s", "2 minutes left"),
        (clock(119.5), "short", "1m 59s", "running out, 1 minute 59 seconds left"),
        (clock(39, 100), "short", "39s", "running out, 39 seconds left"),
        (clock(41, 100), "running", "41s", "41 seconds left"),
        (clock(-2), "short", "0s", "running out, 0 seconds left"),
        (clock(-3), "checking", "checking", "checking"),
        (clock(6 * 86400 + 7200, 14 * 86400), "long", "6d 2h", "6 days 2 hours left"),
        (clock(-148, state="missed"), "missed", "+2m 28s", "missed by 2 minutes 28 seconds"),
        (
            clock(-300, state="missed", met_at=NOW - timedelta(seconds=152)),
            "late",
            "late 2m 28s",
            "missed, touched 2 minutes 28 seconds late",
        ),
        (clock(100, state="met", met_at=NOW - timedelta(seconds=88)), "met", "1m 52s", "met in 1 minute 52 seconds"),
        (
            clock(9000, state="paused", paused_until=datetime(2026, 11, 11, 7, tzinfo=UTC)),
            "paused",
            "paused, 08:00",
            "paused until 08:00",
        ),
        (None, "none", "–", "no clock runs"),
    ],
)
def test_a_clock_says_its_state_and_never_a_miss_before_the_server_does(
    value: views.Clock | None, look: str, text: str, aloud: str
) -> None:
    zone = PERSON.zone
    said = (shown.look(value, NOW), shown.clock_text(value, NOW, zone), shown.clock_spoken(value, NOW, zone))
    assert said == (look, text, aloud)


def test_a_ring_is_as_empty_as_its_window_is_gone() -> None:
    assert [shown.arc(clock(left), NOW) for left in (300, 150, 0, -9)] == [0, 0.5, 1, 1]


def test_money_and_counts_have_no_more_than_is_needed() -> None:
    assert shown.money(Decimal("48000"), "EUR") == "€\u202f48,000"
    assert shown.money(Decimal("41.20"), "EUR") == "€\u202f41.20"
    assert shown.money(Decimal("4712000"), "USD") == "$\u202f4.71\u202fM"
    assert (shown.money(None, "EUR"), shown.count(1200), shown.count(11.25)) == ("–", "1,200", "11.2")


def test_the_points_that_the_panel_names_add_up_with_the_rest() -> None:
    named, more, rest = phrases.points(samples.SCORE)
    assert (len(named), more) == (4, 2)
    assert sum(point.counted for point, _ in named) + rest == samples.SCORE.total


def test_why_it_is_yours_is_a_sentence() -> None:
    assert phrases.why_you(samples.DECISION, PERSON) == (
        "Rule “DACH mid-market” gave pool DACH-MM. You had the fewest open leads among 3 reps."
    )
    waiting = replace(samples.DECISION, outcome="waiting", rep_id=None, reason_code="no_capacity")
    assert phrases.why_you(waiting, PERSON) == "It waits: nobody has room."


def test_the_inbox_has_a_group_for_every_promise_and_a_row_says_everything_aloud() -> None:
    html = pages.render_inbox(asked(), PERSON, samples.inbox(), {"inbox": 13})
    assert [html.index(f'data-group="{key}" aria') for key in views.GROUPS] == sorted(
        html.index(f'data-group="{key}" aria') for key in views.GROUPS
    )
    assert 'aria-label="Amara Nwosu, Fintrove, A1, running out, 1 minute 23 seconds left"' in html
    assert "30-minute window ends 14:54:40" in html
    chosen = re.findall(r'<a class="row"[^>]*aria-current="true"', html)
    assert len(chosen) == 1
    assert "name follows" in html
    assert "<script>" not in html
    assert "onclick" not in html


def test_a_fragment_is_the_part_that_was_asked_for() -> None:
    page = samples.inbox()
    a_list = pages.render_inbox(asked(hx_request="true", hx_target="list"), PERSON, page, {})
    a_panel = pages.render_inbox(asked(hx_request="true", hx_target="panel"), PERSON, page, {})
    assert a_list.startswith('<div class="list" id="list"')
    assert "<html" not in a_list
    assert a_panel.startswith('<aside class="panel" id="panel"')
    assert 'id="deed"' in a_panel


def test_a_row_of_the_stream_is_the_row_of_the_page() -> None:
    row = pages.render_row(samples.AMARA, PERSON)
    assert row.startswith(f'<li id="lead-{samples.AMARA.lead_id}"')
    assert 'data-v="2"' in row
    assert "aria-current" not in row


def test_what_a_person_is_called_cannot_break_out_of_the_page() -> None:
    evil = '"><img src=x onerror=alert(1)>'
    row = pages.render_row(replace(samples.AMARA, name=evil, company=evil, why_passed=evil, source=evil), PERSON)
    assert "<img" not in row
    identity = replace(samples.IDENTITY, name=evil, email=evil, phone=evil, attributes={evil: evil})
    html = pages.render_lead(asked(), PERSON, samples.lead(identity=identity), {})
    assert "<img" not in html


def test_a_lead_of_which_nothing_is_known_yet_has_a_page() -> None:
    identity = replace(
        samples.IDENTITY, opened=False, name=None, email=None, phone=None, company="", job_title="", website="",
        industry="", employees=None, country="", their_zone=None, sources=(), merged=(),
    )  # fmt: skip
    bare: dict[str, Any] = {"identity": identity, "consents": (), "first_touch": None, "last_touch": None}
    bare |= {"assignment": None, "row": None, "journey": (), "score": None, "decision": None, "clocks": ()}
    bare |= {"opportunities": (), "arrived_at": None, "created_at": None, "grade": "", "hot": False, "of": 0}
    html = pages.render_lead(asked(), PERSON, samples.lead(**bare), {})
    for said in ("name follows", "No consent is on record", "Nobody was asked yet", "No clock runs", "Not scored"):
        assert said in html
    assert "Log a touch" not in html


@pytest.mark.parametrize(
    ("live", "why"), [(True, "only a qualified lead is routed"), (False, "it is history, which is not routed until it")]
)
def test_a_lead_that_nobody_was_asked_about_has_a_page_that_says_why(live: bool, why: str) -> None:
    html = pages.render_lead(asked(), PERSON, samples.lead(decision=None, live=live), {})
    assert f"Nobody was asked yet: {why}" in html


def test_the_journey_names_a_second_once() -> None:
    html = pages.render_lead(asked(), PERSON, samples.lead(), {})
    assert [text in html for text in (">14:28:28.104<", ">.131<", ">14:28:31.020<", ">.052<")] == [True] * 4


def test_a_milestone_is_timed_by_the_milestone_before_whatever_lies_between() -> None:
    first, third = samples.entry(1, 10.9, "captured", "Received"), samples.entry(3, 9.2, "routed", "Routed to you")
    between = samples.entry(2, 9.6, "engagement", "Page viewed", milestone=False)
    steps = phrases.steps((first, between, third))
    assert [(before, since) for _, before, since in steps] == [(None, None), (first.at, 1.3), (first.at, 1.7)]


@pytest.mark.parametrize(
    ("why", "title"),
    [
        ("no_rep", "You are not a rep"),
        ("no_leads", "Your first lead will appear here by itself"),
        ("no_clock", "No clock is running"),
        ("filtered", "Nothing matches"),
    ],
)
def test_an_empty_list_says_why_and_what_next(why: Any, title: str) -> None:
    page = samples.inbox(rows=(), empty=views.Empty(why=why, next_due_at=NOW + timedelta(hours=20)))
    html = pages.render_inbox(asked(), PERSON, page, {})
    assert title in html
    assert ("The next deadline is Wed 10:32" in html) == (why == "no_clock")


def test_a_refusal_is_a_page_that_says_what_to_do() -> None:
    refused = Problem(403, "Not yours to see", "A rep sees own leads only.")
    inside = pages.render_problem(signed_in(asked("/leads/1")), refused)
    assert "Not yours to see" in inside
    assert "Your role is Rep" in inside
    outside = pages.render_problem(asked("/nowhere"), Problem(404, "Not found", "x"))
    assert "There is no such page" in outside
    assert 'class="app"' not in outside
    again = pages.render_problem(
        asked("/signin", "next=/leads"), Problem(401, "No", "E-mail and password do not match.")
    )
    assert "E-mail and password do not match." in again
    assert 'value="/leads"' in again


def test_filters_are_read_from_the_address_and_what_it_does_not_mean_is_left_out() -> None:
    read = pages.filters_of({"due": "hot", "grade": "A1", "lead": "no id", "q": " fin "})
    assert (read.show, read.grade, read.lead, read.q) == ("hot", "A1", None, "fin")
    assert pages.filters_of({"due": "tomorrow"}).show == "due"
    assert rendering.query(read, due="due", source="a&b") == "grade=A1&source=a%26b&q=fin"


def test_the_address_of_a_file_changes_with_its_content() -> None:
    found = assets.load()["clock.js"]
    assert assets.url("clock.js").endswith(f"?v={found.version}")
    assert found.packed is not None
    assert len(found.packed) < len(found.content)
