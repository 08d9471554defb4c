"""Which account a lead belongs to: by domain, by the hierarchy of companies, by the company's name. Pure."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

_STOPS: Final = re.compile(r"[.,]+(?=\s|$)")


def domains(domain: str) -> list[str]:
    """Return a host's domain and those above it, down to two labels: mail.acme.example, acme.example."""
    labels = domain.lower().split(".")
    return [".".join(labels[place:]) for place in range(max(1, len(labels) - 1))] if domain else []


# A lead's company is asked for several times in one transaction.
@lru_cache(maxsize=4096)
def company(name: str) -> str:
    """Return a company's name as names are compared: here alone, as databases differ in what a letter is.

    Without the stops and commas after words: Acme, Inc. is Acme Inc; what stands within a word, as in a domain, stays.
    """
    return " ".join(_STOPS.sub("", unicodedata.normalize("NFKC", name).casefold()).split())


class Accounts:
    """Some accounts, and how they stand to one another."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents
        """By domain."""
        names = {domain: company(document.get("name") or "") for domain, document in documents.items()}
        self._names = {domain: name for domain, name in names.items() if name}
        # Of several with one name the first by domain is meant.
        self._by_name = {self._names[domain]: domain for domain in sorted(self._names, reverse=True)}

    def __len__(self) -> int:
        return len(self._documents)

    def find(self, domain: str, name: str) -> str | None:
        """Return the domain of the account that a lead belongs to."""
        found = next((one for one in domains(domain) if one in self._documents), None)
        return found or self._by_name.get(company(name))

    def match(self, domain: str, name: str) -> Mapping[str, Any] | None:
        """Return the account of a lead with what it inherits: owner and segment from the nearest company above."""
        found = self.find(domain, name)
        if found is None:
            return None
        above = [self._documents[one] for one in self._upwards(found)]
        inherited = {
            key: next((document[key] for document in above if document.get(key)), None) for key in ("rep_id", "segment")
        }
        return {"domain": found, **self._documents[found], **inherited}

    def family(self, domain: str) -> Sequence[str]:
        """Return an account with its whole hierarchy: itself, those above it from the nearest on, all others."""
        upwards = self._upwards(domain)
        return list(dict.fromkeys([*upwards, *self._families[self._top(upwards)]]))

    def name(self, domain: str) -> str:
        """Return an account's name as names are compared, "" where it has none."""
        return self._names.get(domain, "")

    @cached_property
    def _families(self) -> Mapping[str, Sequence[str]]:
        """By the company at the top."""
        found = defaultdict[str, list[str]](list)
        for domain in sorted(self._documents):
            found[self._top(self._upwards(domain))].append(domain)
        return found

    def _top(self, upwards: Sequence[str]) -> str:
        """Return the last company of the way up; companies in a circle have the same one."""
        parent = self._documents[upwards[-1]].get("parent_domain")
        return min(upwards[upwards.index(parent) :]) if parent in upwards else upwards[-1]

    def _upwards(self, domain: str) -> Sequence[str]:
        """Return a company and those above it; a circle ends where it begins again."""
        found: dict[str, None] = {}
        while domain in self._documents and domain not in found:
            found[domain] = None
            domain = self._documents[domain].get("parent_domain") or ""
        return list(found)
