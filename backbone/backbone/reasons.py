"""Reasons travel as codes; the words that people typed stay in the database of the service that took them."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

OTHER: Final = "other"
"""Stands for words that are no code."""
SHIPPED: Final[Mapping[str, tuple[str, str]]] = {
    "competitor": ("Works for a competitor", "lead"),
    "student": ("Student or research", "marketing"),
    "job_seeker": ("Looks for a job", "marketing"),
    "spam": ("Spam", "nobody"),
    "too_small": ("Too small for us", "marketing"),
    "existing_customer": ("Is a customer already", "marketing"),
    "open_opportunity": ("A colleague works the account", "nobody"),
    "wrong_country": ("Not a country that we sell to", "marketing"),
    "bad_contact_data": ("Cannot be reached with this data", "marketing"),
    "no_need": ("Has no need", "lead"),
    "no_budget": ("Has no budget", "lead"),
    "timing": ("Not now", "lead"),
    "unreachable": ("Did not answer", "nobody"),
    OTHER: ("Other", "nobody"),
}
"""The codes until qualification tells of others, each with its label and whose fault it is."""


class Why(NamedTuple):
    """Why something ended: a code, which is told, and what somebody typed instead, which is not."""

    code: str = ""
    words: str = ""


NO_REASON: Final = Why()


def why(typed: str, codes: Collection[str]) -> Why:
    """Return what somebody typed as a code of those in force, with the words where it is none."""
    return Why(typed) if not typed or typed in codes else Why(OTHER, typed)
