"""What intake alone looks at: phones in E.164, currencies, personal data in free fields, obvious spam."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import phonenumbers
import pycountry

from backbone import normal_forms

_ADDRESS: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"']+")
_LINK: Final = re.compile(r"https?://|www\.|\[url", re.IGNORECASE)
_PERSONAL_PARTS: Final = ("phone", "mobile", "fullname", "ipaddress", "birth")
_PERSONAL_NAMES: Final = frozenset(
    {"firstname", "lastname", "name", "fax", "address", "address1", "address2", "street", "streetaddress", "facebook"}
    | {"twitter", "twitterhandle", "twitterusername", "linkedin", "linkedinbio", "linkedinurl", "skype", "instagram"}
    | {"googleplus", "foursquare", "profileurl", "email", "workemail", "message", "comment", "comments", "notes"}
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
    return isinstance(value, str) and normal_forms.email(value) is not None


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
