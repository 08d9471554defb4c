"""What is known of leads' companies: accounts, colleagues in work, open deals. Read under the group's lock."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from backbone.database import Connection
from routing import accounts
from routing.accounts import Accounts
from routing.domain import ACTIVE_REP, OPEN_DEALS

COLLEAGUES: Final = 20
"""Of one company, those who are worked longest."""
DAUGHTERS: Final = 100
"""Of one company, those whose leads are colleagues of its own: the first by domain."""
TEXTS: Final = ("domain", "name", "status", "rep_id", "parent_domain", "segment", "target")
NOTHING_KNOWN: Final = {
    **{f"account.{key}": "" for key in TEXTS},
    ACTIVE_REP: "",
    OPEN_DEALS: 0,
}


class Colleague(NamedTuple):
    """A lead of the company that a rep has."""

    assigned_at: datetime
    lead_id: UUID
    rep_id: str


@dataclass(slots=True)
class Companies:
    """The companies of some leads."""

    accounts: Accounts = field(default_factory=lambda: Accounts({}))
    colleagues: dict[str, list[Colleague]] = field(default_factory=dict)
    """By their own domain and by their account's, the longest first."""
    deals: dict[str, dict[UUID, set[UUID]]] = field(default_factory=dict)
    """Open ones, by domain or by the company's name: whose each is, a merged lead's also its survivor's."""
    changes: list[tuple[str, str, UUID, Colleague | None]] = field(default_factory=list)
    """Of a lead, by its company's domain and name."""
    taken: int = 0
    """How many of the changes were told of to those who wait."""

    def values(
        self, domain: str, name: str, roles: Mapping[str, str], *, but: UUID | None, role: str
    ) -> Mapping[str, Any]:
        """Return what conditions read of a company; `roles` are the reps', `role` is whose work it is asked for.

        `but`: a lead that is asked about. Who has it, and what it brought about, do not stand in its own way.
        """
        if not (self.accounts or self.colleagues or self.deals):
            return NOTHING_KNOWN
        account = self.accounts.match(domain, name) or {}
        colleagues = (one for place in self.places(domain, name) for one in self.colleagues.get(place, ()))
        others = [one.rep_id for one in colleagues if one.lead_id != but]
        same = [rep_id for rep_id in others if roles.get(rep_id) == role]
        return {
            **{f"account.{key}": account.get(key) or "" for key in TEXTS},
            ACTIVE_REP: next(iter([*same, *others]), ""),
            OPEN_DEALS: sum(but not in whose for whose in self.deals_of(domain, name).values()),
        }

    def deals_of(self, domain: str, name: str) -> Mapping[UUID, Collection[UUID]]:
        """Return the open deals of a company, and of which leads each is."""
        return {deal: whose for one in self.names(domain, name) for deal, whose in self.deals.get(one, {}).items()}

    def names(self, domain: str, name: str) -> Collection[str]:
        """Return by which domains and names a company's deals go: a lead's own, and its account's."""
        account = self.accounts.find(domain, name)
        own = {domain, accounts.company(name)}
        return (own if account is None else {*own, account, self.accounts.name(account)}) - {""}

    def places(self, domain: str, name: str) -> Sequence[str]:
        """Return under which domains a lead's colleagues are, the nearest first: its own, its account's, the family's.

        Leads of one account are colleagues as they have one owner: by domain, by hierarchy, by the company's name.
        """
        account = self.accounts.find(domain, name)
        own = [domain] if domain else []
        return own if account is None else list(dict.fromkeys([*own, *self.accounts.family(account)]))

    def note(self, domain: str, name: str, lead_id: UUID, now_with: Colleague | None) -> None:
        """Note who has a lead of the company since a moment of this transaction, None: nobody."""
        if domain or name:
            self.changes.append((domain, name, lead_id, now_with))
            self._apply(domain, name, lead_id, now_with)

    def after(self, before: "Companies") -> "Companies":
        """Return these with what changed since the transaction began."""
        self.changes, self.taken = before.changes, before.taken
        for change in self.changes:
            self._apply(*change)
        return self

    def take_changed(self) -> tuple[set[str], set[str]]:
        """Return the domains and the names of the companies whose leads' colleagues changed hands since the last time.

        These changes' companies have to be looked up.
        """
        changed = {(domain, name) for domain, name, _, _ in self.changes[self.taken :]}
        self.taken = len(self.changes)
        domains = {place for one in changed for place in self.places(*one)}
        return domains, {self.accounts.name(one) for one in domains} - {""}

    def _apply(self, domain: str, name: str, lead_id: UUID, now_with: Colleague | None) -> None:
        if not self.colleagues:
            return
        for place in {domain, self.accounts.find(domain, name)}:
            if place is not None and (known := self.colleagues.get(place)) is not None:
                others = [one for one in known if one.lead_id != lead_id]
                self.colleagues[place] = others if now_with is None else [*others, now_with]


async def companies(
    conn: Connection,
    of: Iterable[tuple[str, str]],
    reads: Collection[str],
    *,
    has_accounts: bool,
    before: Companies | None = None,
) -> Companies:
    """Look companies up by domain and name; colleagues and deals where they are read. What changed `before` stays."""
    before = before or Companies()
    reads_colleagues = ACTIVE_REP in reads
    wanted = set(of)
    if reads_colleagues:
        wanted |= {(domain, name) for domain, name, _, _ in before.changes}
    domains = sorted({domain for domain, _ in wanted if domain})
    names = sorted({accounts.company(name) for _, name in wanted if name})
    found = Companies()
    if has_accounts:
        found.accounts = await _accounts(conn, domains, names, daughters=DAUGHTERS if reads_colleagues else 0)
    if reads_colleagues:
        places = {place for one in wanted for place in found.places(*one)}
        found.colleagues = await _colleagues(conn, {place: found.accounts.name(place) for place in sorted(places)})
    if OPEN_DEALS in reads:
        found.deals = await _deals(conn, {name for one in wanted for name in found.names(*one)})
    return found.after(before)


FAMILIES_OF: Final = """
WITH RECURSIVE up AS (
    SELECT domain, document FROM account WHERE domain = ANY($1::text[])
    UNION SELECT domain, document FROM account WHERE name = ANY($2::text[]) AND name <> ''
    UNION SELECT a.domain, a.document FROM up JOIN account a ON a.domain = up.document->>'parent_domain'
), family AS (
    SELECT domain, document FROM up
    UNION SELECT a.domain, a.document FROM family CROSS JOIN LATERAL
        (SELECT domain, document FROM account WHERE document->>'parent_domain' = family.domain
         ORDER BY domain LIMIT $3) AS a
)
SELECT domain, document FROM family
"""
"""The accounts of these domains and names, those above them, and so many right below each of all these."""


async def _accounts(conn: Connection, domains: list[str], names: list[str], *, daughters: int) -> Accounts:
    hosts = sorted({one for domain in domains for one in accounts.domains(domain)})
    rows = await conn.fetch(FAMILIES_OF, hosts, names, daughters)
    return Accounts({row["domain"]: row["document"] for row in rows})


COLLEAGUES_OF: Final = """
SELECT place.domain, a.assigned_at, a.lead_id, a.rep_id
FROM unnest($1::text[], $2::text[]) AS place(domain, name) CROSS JOIN LATERAL (
    (SELECT a.assigned_at, a.lead_id, a.rep_id FROM lead l JOIN assignment a USING (lead_id)
     WHERE l.account_domain = place.domain AND l.account_domain <> '' ORDER BY a.assigned_at, a.lead_id LIMIT $3)
    UNION
    (SELECT a.assigned_at, a.lead_id, a.rep_id FROM lead l JOIN assignment a USING (lead_id)
     WHERE l.company = place.name AND l.company <> ''
     AND NOT EXISTS (SELECT FROM account o WHERE o.domain = l.account_domain)
     AND NOT EXISTS (SELECT FROM account o
         WHERE o.name = place.name AND o.name <> '' AND o.domain < place.domain COLLATE "C")
     ORDER BY a.assigned_at, a.lead_id LIMIT $3)
) AS a ORDER BY a.assigned_at, a.lead_id
"""
"""Whoever has an account of their domain is no colleague by name, and of accounts with one name the first counts."""


async def _colleagues(conn: Connection, names: Mapping[str, str]) -> dict[str, list[Colleague]]:
    """Return the leads that reps have by domain, of accounts also by their names."""
    rows = await conn.fetch(COLLEAGUES_OF, list(names), list(names.values()), COLLEAGUES)
    found: dict[str, list[Colleague]] = {domain: [] for domain in names}
    for row in rows:
        found[row["domain"]].append(Colleague(row["assigned_at"], row["lead_id"], row["rep_id"]))
    return found


DEALS_OF: Final = """
WITH RECURSIVE deal AS (
    SELECT l.account_domain AS company, o.opportunity_id, o.lead_id FROM lead l JOIN opportunity o USING (lead_id)
    WHERE o.open AND l.account_domain = ANY($1::text[]) AND l.account_domain <> ''
    UNION SELECT account, opportunity_id, lead_id FROM opportunity WHERE open AND account = ANY($1::text[])
), whose AS (
    SELECT company, opportunity_id, lead_id FROM deal
    UNION SELECT w.company, w.opportunity_id, s.merged_into FROM whose w JOIN subject s ON s.subject_id = w.lead_id
    WHERE s.merged_into IS NOT NULL
)
SELECT company, opportunity_id, lead_id FROM whose
"""


async def _deals(conn: Connection, names: Collection[str]) -> dict[str, dict[UUID, set[UUID]]]:
    found: dict[str, dict[UUID, set[UUID]]] = {}
    for row in await conn.fetch(DEALS_OF, sorted(names)):
        whose = found.setdefault(row["company"], {}).setdefault(row["opportunity_id"], set())
        whose |= {row["lead_id"]} - {None}
    return found


class Deal(NamedTuple):
    """An opportunity as far as routing knows it."""

    lead_id: UUID | None
    account: str
    owner_id: str
    is_open: bool


async def save_deals(conn: Connection, deals: Mapping[UUID, Deal]) -> None:
    """Write deals by their ids."""
    await conn.execute(
        "INSERT INTO opportunity (opportunity_id, lead_id, account, owner_id, open)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::boolean[])"
        " ON CONFLICT (opportunity_id) DO UPDATE SET lead_id = excluded.lead_id, account = excluded.account,"
        " owner_id = excluded.owner_id, open = excluded.open",
        list(deals),
        [deal.lead_id for deal in deals.values()],
        [accounts.company(deal.account) for deal in deals.values()],
        [deal.owner_id for deal in deals.values()],
        [deal.is_open for deal in deals.values()],
    )


class OpenDeal(NamedTuple):
    """An open opportunity, whose it is and of which lead or account."""

    opportunity_id: UUID
    lead_id: UUID | None
    account: str
    owner_id: str


async def open_deals(conn: Connection, owner_id: str | None) -> list[OpenDeal]:
    """Return the open opportunities of a rep, or of everybody."""
    rows = await conn.fetch(
        "SELECT opportunity_id, lead_id, account, owner_id FROM opportunity"
        " WHERE open AND ($1::text IS NULL OR owner_id = $1) ORDER BY opportunity_id",
        owner_id,
    )
    return [OpenDeal(*row) for row in rows]


async def owned(conn: Connection, rep_id: str | None) -> dict[str, Mapping[str, Any]]:
    """Return the accounts that a rep owns, or all that have an owner."""
    rows = await conn.fetch(
        "SELECT domain, document FROM account WHERE document->>'rep_id' IS NOT NULL"
        " AND ($1::text IS NULL OR document->>'rep_id' = $1) ORDER BY domain",
        rep_id,
    )
    return {row["domain"]: row["document"] for row in rows}


async def save_account(conn: Connection, domain: str, document: Mapping[str, Any]) -> None:
    """Write an account."""
    await conn.execute(
        "INSERT INTO account (domain, document, name) VALUES ($1, $2, $3)"
        " ON CONFLICT (domain) DO UPDATE SET document = excluded.document, name = excluded.name",
        domain,
        document,
        accounts.company(document.get("name") or ""),
    )
