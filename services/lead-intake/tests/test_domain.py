"""What is known of a lead, whether it is news, and normal forms: values in, values out."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from lead_intake import domain, hygiene
from lead_intake.domain import Capture, InTheFuture, Lead

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def capture(*, at: datetime = NOW, live: bool = True, verified: bool = False, **said: Any) -> Capture:
    return Capture(
        known=said.get("known", {}),
        personal=said.get("personal", {}),
        attributes=said.get("attributes", {}),
        hidden=frozenset(said.get("hidden", ())),
        external_ids=tuple(said.get("external_ids", ())),
        attribution=said.get("attribution", {}),
        occurred_at=at,
        received_at=NOW,
        live=live,
        verified=verified,
    )


def lead(number: int = 1, **said: Any) -> Lead:
    return domain.begin(UUID(int=number), capture(**said))


def test_a_clock_that_is_a_little_ahead_is_taken_for_ours() -> None:
    assert domain.settle_time(NOW + timedelta(minutes=5), now=NOW) == NOW
    assert domain.settle_time(None, now=NOW) == NOW
    assert domain.settle_time(NOW - DAY, now=NOW) == NOW - DAY
    with pytest.raises(InTheFuture):
        domain.settle_time(NOW + timedelta(minutes=5, microseconds=1), now=NOW)


def test_news_is_what_happened_within_the_window_or_what_the_sender_calls_news() -> None:
    assert domain.is_live(NOW - DAY, now=NOW, window=DAY, asked=False)
    assert not domain.is_live(NOW - DAY - timedelta(seconds=1), now=NOW, window=DAY, asked=False)
    assert domain.is_live(NOW - 30 * DAY, now=NOW, window=DAY, asked=True)


def test_a_lead_arrives_with_its_first_live_fact_and_stays_arrived() -> None:
    old = lead(at=NOW - 30 * DAY, live=False)
    assert not old.live
    came = domain.learn(old, capture(at=NOW))
    assert came.arrived_at == NOW
    assert came.created_at == NOW - 30 * DAY
    assert domain.learn(came, capture(at=NOW - DAY)).arrived_at == NOW
    assert domain.arrive(came, NOW + DAY).arrived_at == NOW


def test_what_a_person_verified_is_changed_by_a_person_alone() -> None:
    known = domain.learn(lead(known={"company": "bee"}), capture(known={"company": "Bee Ltd"}, verified=True))
    assert domain.learn(known, capture(known={"company": "bee", "industry": "it"})).known == {
        "company": "Bee Ltd",
        "industry": "it",
    }
    assert domain.learn(known, capture(known={"company": "Bee SE"}, verified=True)).known["company"] == "Bee SE"


def test_an_attribute_that_was_sealed_once_is_sealed_for_ever() -> None:
    known = lead(attributes={"budget": "5 m"}, hidden={"budget"})
    assert domain.learn(known, capture(attributes={"budget": "6 m"})).hidden == {"budget"}
    assert domain.together([lead(2), known]).hidden == {"budget"}


def test_first_and_last_touch_go_by_when_they_happened() -> None:
    def touch(day: int) -> dict[str, str]:
        return {"source": str(day), "at": (NOW + day * DAY).isoformat()}

    known = lead(attribution=touch(2))
    known = domain.learn(known, capture(attribution=touch(1)))
    known = domain.learn(known, capture(attribution=touch(3)))
    assert (known.first_touch["source"], known.last_touch["source"]) == ("1", "3")


def test_a_survivor_keeps_what_it_knew_and_learns_the_rest() -> None:
    a = lead(1, known={"company": "A"}, at=NOW - DAY, external_ids=[("direct", "1")])
    b = lead(2, known={"company": "B", "industry": "it"}, live=False, at=NOW - 9 * DAY, external_ids=[("x", "2")])
    united = domain.unite(a, b)
    assert united.lead_id == a.lead_id
    assert united.known == {"company": "A", "industry": "it"}
    assert united.external_ids == (("direct", "1"), ("x", "2"))
    assert (united.created_at, united.arrived_at) == (NOW - 9 * DAY, NOW - DAY)


def test_the_same_again_changes_nothing() -> None:
    said: dict[str, Any] = {"known": {"company": "A"}, "personal": {"email": "a@b.example"}, "attributes": {"x": 1}}
    known = lead(**said)
    assert domain.changed_fields(known, domain.learn(known, capture(**said))) == []
    assert domain.changed_fields(known, domain.learn(known, capture(known={"company": "B"}))) == ["company"]


@pytest.mark.parametrize(
    ("text", "region", "normal"),
    [
        ("+49 30 901820", None, "+4930901820"),
        ("(415) 555-0123", "US", "+14155550123"),
        ("666555444", "CZ", "+420666555444"),
        ("666555444", None, None),
        ("call me", "US", None),
        ("1", "US", None),
    ],
)
def test_phone(text: str, region: str | None, normal: str | None) -> None:
    assert hygiene.phone(text, region) == normal


def test_currencies_and_what_is_personal() -> None:
    assert [hygiene.currency(text) for text in ("eur", "EURO", "ZZZ")] == ["EUR", None, None]
    assert hygiene.has_address({"results": ["x", {"mail": "write to a@b.example"}]})
    assert not hygiene.has_address({"handle": "@amara", "n": 3})
    assert all(map(hygiene.is_personal_name, ("mobile", "hs_calculated_phone_number", "Address1", "ipAddresses")))
    assert not any(map(hygiene.is_personal_name, ("city", "state", "jobtitle", "plan", "lifecyclestage")))
    assert hygiene.is_spam("Win now http://x.example", None)
    assert not hygiene.is_spam("Amara", "Okafor")
