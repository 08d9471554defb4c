"""Normal forms: e-mail, company domain, country."""

import pytest

from backbone import normal_forms


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" Amara@Fintrove.Example ", "amara@fintrove.example"),
        ("jürgen@bücher.example", "jürgen@bücher.example"),
        ("a" * 243 + "@b.example", None),
        ("a" * 300 + "@b.example", None),
        ("nobody", None),
        ("a@b", None),
        ("a b@c.example", None),
        ("", None),
    ],
)
def test_e_mail(text: str, normal: str | None) -> None:
    assert normal_forms.email(text) == normal


def test_a_free_address_is_no_company() -> None:
    assert normal_forms.account_domain("gmail.com", "") == ""
    assert normal_forms.account_domain("mail.fintrove.co.uk", "") == "fintrove.co.uk"
    assert normal_forms.account_domain("gmail.com", "https://www.fintrove.example/en") == "fintrove.example"
    for written in ("müller.example", "xn--mller-kva.example"):
        assert normal_forms.account_domain(written, "") == "müller.example"
        assert normal_forms.account_domain("", f"https://www.{written}") == "müller.example"
    assert normal_forms.account_domain("xn--a\u20ac.example", "") == "xn--a\u20ac.example", "nobody can read it"
    assert normal_forms.is_disposable("mailinator.com")


def test_countries() -> None:
    assert [normal_forms.country(text) for text in ("de", "Germany", "Czech Republic", "Atlantis")] == [
        "DE",
        "DE",
        "CZ",
        None,
    ]
