"""Which account a lead belongs to: by domain, by the hierarchy of companies, by the company's name. Pure."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

DEEPEST: Final = 20
"""Companies above one another that are followed; a circle ends there."""

Accounts = Mapping[str, Mapping[str, Any]]
"""Documents by domain."""


def domains(domain: str) -> list[str]:
    """Return a host's domain and those above it, down to two labels: mail.acme.example, acme.example."""
    labels = domain.lower().split(".")
    return [".".join(labels[place:]) for place in range(max(1, len(labels) - 1))] if domain else []


def company(name: str) -> str:
    """Return a company's name as names are compared: here alone, as databases differ in what a letter is."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def match(domain: str, name: str, known: Accounts) -> Mapping[str, Any] | None:
    """Return the account of a lead with what it inherits: owner and segment come from the nearest company above."""
    found = next((one for one in domains(domain) if one in known), None)
    if found is None and name:
        wanted = company(name)
        named = (one for one, document in known.items() if company(document.get("name") or "") == wanted)
        found = min(named, default=None)
    if found is None:
        return None
    above = list(_above(found, known))
    inherited = {
        key: next((document[key] for document in above if document.get(key)), None) for key in ("rep_id", "segment")
    }
    return {"domain": found, **known[found], **inherited}


def _above(domain: str, known: Accounts) -> Iterable[Mapping[str, Any]]:
    for _ in range(DEEPEST):
        document = known.get(domain)
        if document is None:
            return
        yield document
        domain = document.get("parent_domain") or ""
