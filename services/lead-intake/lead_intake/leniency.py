"""What senders that never correct themselves get wrong loses no lead: it is kept as it came, among attributes."""

from typing import Any, Final

import msgspec

from backbone import normal_forms
from lead_intake import hygiene, payloads
from lead_intake.payloads import LeadPost

PERSONAL: Final = frozenset({"email_as_sent", "phone_as_sent", "first_name_as_sent", "last_name_as_sent"})
"""Of these, the attributes that are sealed."""
_SHORTENED: Final = ("first_name", "last_name", "company", "website", "job_title", "industry", "source", "medium")


def relax(post: LeadPost, default_region: str | None) -> tuple[LeadPost, dict[str, Any]]:
    """Return the post without what has no normal form, and that as attributes named `…_as_sent`."""
    wrong: dict[str, Any] = {}
    if post.email and normal_forms.email(post.email) is None:
        wrong["email"] = post.email
    code = normal_forms.country(post.country) if post.country else None
    if post.country and code is None:
        wrong["country"] = post.country
    if post.phone and hygiene.phone(post.phone, code or default_region) is None:
        wrong["phone"] = post.phone
    for name in (*_SHORTENED, "campaign"):
        value = getattr(post, name)
        if value is not None and len(value) > payloads.LONGEST_TEXT:
            wrong[name] = value
    if post.currency and hygiene.currency(post.currency) is None:
        wrong["currency"] = post.currency
    if not wrong:
        return post, {}
    return msgspec.structs.replace(post, **dict.fromkeys(wrong)), {f"{name}_as_sent": wrong[name] for name in wrong}
