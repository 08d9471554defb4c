"""Conditions that read every field of a lead, and of a rep, that the interface promises."""

from typing import Final

_TEXTS: Final = (
    *("external_id", "company", "website", "job_title", "industry", "country", "source", "medium", "campaign"),
    *("currency", "owner_id", "status", "disqualified_reason", "email_domain", "grade", "persona"),
)
_NUMBERS: Final = ("employees", "revenue", "cost", "fit", "interest")
_FLAGS: Final = ("has_email", "has_phone", "email_is_free")
_INSTANTS: Final = ("occurred_at", "assigned_at")
OF_NOBODY: Final = " && ".join(
    [
        *(f'lead.{name} == ""' for name in _TEXTS),
        *(f"lead.{name} == 0" for name in _NUMBERS),
        *(f"!lead.{name}" for name in (*_FLAGS, "live")),
        *(f"lead.{name} == timestamp(0)" for name in _INSTANTS),
        'size(lead.consent) == 0 && size(lead.attributes) == 0 && lead.cycle == 1 && lead.stage == "new"',
        *(f'"{name}" in lead.missing' for name in ("email", "employees", "owner_id", "assigned_at", "cost", "consent")),
    ]
)
"""Holds for a lead of which nothing is known, and for no other."""
OF_REPS: Final = " && ".join(
    [
        *(f'rep.{name} != "?"' for name in ("rep_id", "name", "email", "team", "manager_id", "role", "kind")),
        *(f'rep.{name} != "?"' for name in ("time_zone", "holidays")),
        *(f'!("?" in rep.{name})' for name in ("skills", "languages", "territories")),
        'rep.working_hours.exists(one, "mon" in one.days && one.start <= "09:00" && one.end > "12:00")',
        "rep.cap > 0 && rep.weight > 0.0 && rep.active",
    ]
)
"""Holds for whoever works on Monday mornings."""
