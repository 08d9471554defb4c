"""Codes of interface.md in words, and what the sidebar and the keys offer."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pycountry

ROUTING_REASONS: Final = {
    "chosen": "has room and is next",
    "more_load": "more open leads",
    "not_their_turn": "another one's turn",
    "at_cap": "no room",
    "untouched_cap": "too many untouched leads",
    "off_hours": "outside working hours",
    "on_leave": "away",
    "paused": "takes no new leads now",
    "inactive": "no longer here",
    "no_match": "the rule's condition does not hold",
    "skill_missing": "lacks a skill",
    "declined_before": "declined or returned this lead",
    "no_capacity": "nobody has room",
    "nobody_working": "nobody is at work",
    "no_rule": "no rule matched",
}
DECLINE_REASONS: Final = (
    ("bad_contact_data", "Contact data is wrong"),
    ("existing_customer", "Existing customer"),
    ("wrong_country", "Wrong country"),
    ("too_small", "Too small"),
    ("spam", "Spam"),
    ("other", "Another reason"),
)
"""Those that a digit chooses; the service knows more."""
CLOSE_OUTCOMES: Final = (
    ("recycled", "Recycle: back to nurture"),
    ("unreachable", "Could not be reached"),
    ("disqualified", "Disqualify"),
)
STAGES: Final = {
    "new": "New",
    "nurture": "Nurture",
    "mql": "MQL",
    "srl": "SRL",
    "sql": "SQL",
    "customer": "Customer",
    "disqualified": "Disqualified",
}
ACTIONS: Final = {
    "pass": "pass to sales now",
    "review": "SDR review",
    "nurture": "nurture",
    "drop": "drop",
}
CLOCKS: Final = {
    "first_response_5m": "First follow-up",
    "first_response_30m": "30-minute window",
    "first_response_1d": "One day",
    "minimum_touches": "Minimum touches",
    "status_update": "Status",
    "next_step": "Next step",
    "no_show_rebook": "No-show",
    "handoff": "Handoff",
    "acceptance": "Acceptance",
    "review": "Review",
    "stale": "Stale",
}
ROLES: Final = {"admin": "Administrator", "manager": "Manager", "rep": "Rep", "sdr": "SDR", "marketing": "Marketing"}
_SOURCES: Final = {
    "hubspot": "HubSpot",
    "hubspot-workflow": "HubSpot",
    "google-ads": "Google Ads",
    "google_ads": "Google Ads",
    "linkedin": "LinkedIn",
    "meta": "Meta Lead Ads",
    "web-to-lead": "Website form",
}
UNAVAILABLE: Final = {
    "paused": "Paused",
    "inactive": "Not active",
    "on_leave": "Away",
    "off_hours": "Outside your hours",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry of the sidebar."""

    key: str
    title: str
    address: str
    icon: str
    letter: str
    group: str = ""


ENTRIES: Final = (
    Entry(key="inbox", title="Inbox", address="/inbox", icon="inbox", letter="i"),
    Entry(key="leads", title="Leads", address="/leads", icon="contact-round", letter="l"),
    Entry(key="settings", title="Settings", address="/settings/me", icon="settings-2", letter="s", group="System"),
)
"""Those that have a page; who may not see one does not see its entry."""
KEYS: Final = (
    ("Next, previous", "J K"),
    ("Open, back", "↵ Esc"),
    ("Filter this list", "/"),
    ("Commands", "⌘ K"),
    ("Accept", "A"),
    ("Call", "C"),
    ("E-mail", "E"),
    ("Log touch", "L"),
    ("Decline or return", "D"),
    ("Undo, for 30 seconds", "Z"),
    ("Newest lead", "N"),
    ("Pause or resume new leads", "P"),
)


@lru_cache(maxsize=512)
def country(code: str) -> str:
    """Return a country's name."""
    found = pycountry.countries.get(alpha_2=code) if code else None
    return getattr(found, "common_name", found.name) if found is not None else code


def source(code: str) -> str:
    """Return a source's name: the field's own spelling, google-ads is Google Ads."""
    return _SOURCES.get(code.lower(), code[:1].upper() + code[1:].replace("-", " ").replace("_", " ")) or "unknown"


def field(name: str) -> str:
    """Return a field's name as a label: job_title is Job title."""
    return name.replace("_", " ").capitalize()
