"""Who is told over which channel, how long a message is tried, and which addresses are nobody's business."""

import ipaddress

import pytest

from notifications import domain, reaching
from notifications.domain import Channel, Kind, Recipient
from notifications.reaching import Refused

EVERYTHING = Recipient(rep_id="ana", email="ana@kestrel.example", webhook_url="https://kestrel.example/hook")


def test_a_message_takes_the_channels_chosen_for_its_kind_else_all_that_there_are() -> None:
    assert domain.channels_for(EVERYTHING, Kind.ROUTED, email_on=True) == list(Channel)
    assert domain.channels_for(EVERYTHING, Kind.ROUTED, email_on=False) == [Channel.CONSOLE, Channel.WEBHOOK]
    assert domain.channels_for(Recipient(rep_id="ben"), Kind.BREACH, email_on=True) == [Channel.CONSOLE]
    chosen = Recipient(rep_id="ana", email="ana@kestrel.example", channels={"breach": ["email"], "routed": []})
    assert domain.channels_for(chosen, Kind.BREACH, email_on=True) == [Channel.EMAIL]
    assert domain.channels_for(chosen, Kind.ROUTED, email_on=True) == []


def test_pauses_grow_and_end_within_a_morning() -> None:
    pauses = [domain.retry_after(attempt) for attempt in range(1, domain.MOST_ATTEMPTS + 1)]
    known = [pause for pause in pauses if pause is not None]
    assert known == sorted(known)
    assert (known[0], pauses[-1]) == (domain.FIRST_RETRY_S, None)
    assert 3600 < sum(known) < 8 * 3600


def test_what_a_form_was_filled_in_with_stays_on_one_line() -> None:
    body = {"company": "Fin\r\ntrove\nBcc: everybody@kestrel.example"}
    row = {"kind": "routed", "message_id": "m", "lead_id": None}
    letter = reaching.letter(row, body, to="ana@kestrel.example", sender="Handoff <h@localhost>", console="http://c")
    assert letter["Subject"] == "Fin trove Bcc: everybody@kestrel.example is yours"
    assert letter["Bcc"] is None


@pytest.mark.parametrize("address", [None, "", "nobody", "a@b.example, c@d.example", "ana@kestrel.example\nBcc: x@y.z"])
def test_an_address_that_is_none_is_refused_and_ends_nothing(address: str | None) -> None:
    row = {"kind": "routed", "message_id": "m", "lead_id": None}
    with pytest.raises(Refused):
        reaching.letter(row, {}, to=address, sender="Handoff <h@localhost>", console="http://c")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_public_addresses_are_public(address: str, public: bool) -> None:
    assert reaching.is_public(ipaddress.ip_address(address)) is public
