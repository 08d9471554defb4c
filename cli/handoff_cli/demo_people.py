"""The people who come to the demo company: invented, each with a company, a story, and what they do."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

COMPANIES: Final = (
    ("Fintrove", "DE", 340, "fintech"),
    ("Casa Verde Retail", "BR", 820, "retail"),
    ("Havenport", "NL", 150, "logistics"),
    ("Northgate Energy", "US", 1200, "energy"),
    ("Brightside Logistics", "GB", 95, "logistics"),
    ("Atelier Nord", "NO", 28, "design"),
    ("Hoshino Parts", "JP", 610, "manufacturing"),
    ("Cobalt Health", "US", 2400, "health"),
    ("Lumen Packaging", "AT", 180, "manufacturing"),
    ("Alpenrad", "CH", 64, "retail"),
    ("Oryx Travel", "SG", 44, "travel"),
    ("Quillon", "CA", 310, "software"),
    ("Sabre Peak", "AU", 75, "mining"),
    ("Larkspur", "IN", 980, "software"),
    ("Oakline", "MX", 130, "construction"),
    ("Hughes & Daughters", "GB", 7, "crafts"),
)
FIRST: Final = (
    "Amara",
    "Luca",
    "Sofie",
    "Daniel",
    "Claire",
    "Piotr",
    "Rahul",
    "Ewa",
    "Mathis",
    "Nadia",
    "Elif",
    "Noah",
)
LAST: Final = (
    "Nwosu",
    "Moretti",
    "Janssens",
    "Osei",
    "Dubois",
    "Keller",
    "Menon",
    "Brandt",
    "Berger",
    "Haddad",
    "Kaya",
)
TITLES: Final = ("CFO", "Head of Sales", "Finance Manager", "CTO", "Operations Manager", "Founder", "Head of Marketing")
SOURCES: Final = ("hubspot", "typeform", "mautic", "google-ads", "website", "webinar", "referral", "linkedin")
TOOLS: Final = ("", "", "spreadsheets", "an old CRM")
BEFORE: Final = (
    ("page_viewed",),
    ("content_downloaded", "page_viewed"),
    ("webinar_attended", "pricing_viewed"),
    ("email_clicked", "pricing_viewed", "pricing_viewed"),
    ("webinar_attended", "content_downloaded", "pricing_viewed"),
)
CALLS_IN: Final = ("demo_requested", "contact_requested", "form_submitted", "pricing_viewed", "content_downloaded")
WEIGHTS: Final = (4, 2, 4, 3, 3)
AFTERWARDS: Final = ("pricing_viewed", "email_opened", "content_downloaded", "page_viewed")
_DIAL: Final = {"DE": "+49 30 901", "GB": "+44 20 7946 0"}


@dataclass(frozen=True, slots=True)
class Visitor:
    """A lead of the demo, and what it did and does."""

    lead: dict[str, Any]
    before: tuple[str, ...]
    calls_in: str

    @property
    def company(self) -> str:
        """Return where it works."""
        return str(self.lead["company"])


def visitor(chance: random.Random, number: int) -> Visitor:
    """Invent somebody."""
    company, country, size, industry = chance.choice(COMPANIES)
    first, last = chance.choice(FIRST), chance.choice(LAST)
    domain = company.lower().replace(" & ", "-").replace(" ", "-")
    lead: dict[str, Any] = {
        "email": f"{first}.{last}.{number}@{domain}.example".lower(),
        "first_name": first,
        "last_name": last,
        "company": company,
        "industry": industry,
        "job_title": chance.choice(TITLES),
        "employees": size,
        "country": country,
        "source": chance.choice(SOURCES),
        "attributes": {"current_tool": chance.choice(TOOLS)},
    }
    if country in _DIAL and chance.random() < 0.7:
        lead["phone"] = f"{_DIAL[country]}{chance.randrange(1000):03d}"
    return Visitor(lead, chance.choice(BEFORE), chance.choices(CALLS_IN, WEIGHTS)[0])


def past(chance: random.Random, now: datetime, count: int, reps: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Invent the last four weeks: leads, what they did, when they were called. History, so nobody is alerted."""
    leads, engagements, touches = [], [], []
    for number in range(count):
        at = now - timedelta(days=chance.uniform(2, 28))
        name = f"demo-{number}"
        who = visitor(chance, number)
        leads.append({**who.lead, "external_id": name, "occurred_at": at.isoformat()})
        for step, kind in enumerate((*who.before, who.calls_in)):
            when = at - timedelta(minutes=chance.uniform(1, 600) * (len(who.before) - step))
            engagements.append(_fact(name, min(when, at), f"{name}-e{step}", kind=kind))
        if chance.random() < 0.8:
            when = at + timedelta(seconds=chance.lognormvariate(6, 1.6))
            said = {"rep_id": chance.choice(reps), "kind": "call", "outcome": chance.choice(("attempted", "connected"))}
            touches.append(_fact(name, when, f"{name}-t", **said))
    return {"leads": leads, "engagements": engagements, "touches": touches}


def _fact(lead: str, at: datetime, name: str, **said: str) -> dict[str, Any]:
    return {"lead_external_id": lead, "occurred_at": at.isoformat(), "external_id": name, **said}
