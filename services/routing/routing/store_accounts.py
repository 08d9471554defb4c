"""What is known of leads' companies: accounts, colleagues in work, open deals. Read under the group's lock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from backbone.database import Connection
from routing import accounts
from routing.domain import Policy

COLLEAGUES: Final = 20
"""Of one company, those who are worked longest."""
TEXTS: Final = ("domain", "name", "status", "rep_id", "parent_domain", "segment", "target")
NOTHING_KNOWN: Final = {
    **{f"account.{key}": "" for key in TEXTS},
    "account.active_rep": "",
    "account.open_opportunities": 0,
}


class Colleague(NamedTuple):
    """A lead of the company that a rep has."""

    assigned_at: datetime
    lead_id: UUID
    rep_id: str


@dataclass(slots=True)
class Companies:
    """The companies of some leads."""

    accounts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By domain."""
    colleagues: dict[str, list[Colleague]] = field(default_factory=dict)
    """By domain, the longest first."""
    deals: dict[str, set[UUID]] = field(default_factory=dict)
    """Open ones, by domain or by the company's name."""
    changes: list[tuple[str, UUID, Colleague | None]] = field(default_factory=list)
    taken: int = 0
    """How many of the changes were told of to those who wait."""

    def values(self, domain: str, name: str, roles: Mapping[str, str], *, but: UUID, role: str) -> Mapping[str, Any]:
        """Return what conditions read of a lead's company; `roles` are the reps', `role` is whose work the lead is."""
        if not (self.accounts or self.colleagues or self.deals):
            return NOTHING_KNOWN
        account = accounts.match(domain, name, self.accounts) or {}
        others = [one.rep_id for one in self.colleagues.get(domain, ()) if one.lead_id != but]
        same = [rep_id for rep_id in others if roles.get(rep_id) == role]
        deals = self.deals.get(domain, set()) | self.deals.get(accounts.company(name), set())
        return {
            **{f"account.{key}": account.get(key) or "" for key in TEXTS},
            "account.active_rep": next(iter([*same, *others]), ""),
            "account.open_opportunities": len(deals),
        }

    def note(self, domain: str, lead_id: UUID, now_with: Colleague | None) -> None:
        """Note who has a lead of the company since a moment of this transaction, None: nobody."""
        if not domain:
            return
        self.changes.append((domain, lead_id, now_with))
        self._apply(domain, lead_id, now_with)

    def after(self, before: "Companies") -> "Companies":
        """Return these with what changed since the transaction began."""
        self.changes, self.taken = before.changes, before.taken
        for change in self.changes:
            self._apply(*change)
        return self

    def take_changed(self) -> set[str]:
        """Return the domains whose leads changed hands since the last time."""
        changed = {domain for domain, _, _ in self.changes[self.taken :]}
        self.taken = len(self.changes)
        return changed

    def _apply(self, domain: str, lead_id: UUID, now_with: Colleague | None) -> None:
        if (known := self.colleagues.get(domain)) is not None:
            others = [one for one in known if one.lead_id != lead_id]
            self.colleagues[domain] = others if now_with is None else [*others, now_with]


async def companies(
    conn: Connection, of: Iterable[tuple[str, str]], policy: Policy | None, *, has_accounts: bool
) -> Companies:
    """Look companies up by domain and name: only what the policy reads."""
    wanted = set(of)
    domains = sorted({domain for domain, _ in wanted if domain})
    names = sorted({accounts.company(name) for _, name in wanted if name})
    found = Companies()
    if has_accounts:
        found.accounts = await _accounts(conn, domains, names)
    if policy is not None and policy.reads_colleagues:
        found.colleagues = await _colleagues(conn, domains)
    if policy is not None and policy.reads_deals:
        found.deals = await _deals(conn, domains, names)
    return found


async def _accounts(conn: Connection, domains: list[str], names: list[str]) -> dict[str, Mapping[str, Any]]:
    hosts = sorted({one for domain in domains for one in accounts.domains(domain)})
    rows = await conn.fetch(
        "WITH RECURSIVE up AS ("
        " SELECT domain, document FROM account"
        " WHERE domain = ANY($1::text[]) OR name = ANY($2::text[])"
        " UNION SELECT a.domain, a.document FROM up JOIN account a ON a.domain = up.document->>'parent_domain')"
        " SELECT domain, document FROM up",
        hosts,
        names,
    )
    return {row["domain"]: row["document"] for row in rows}


async def _colleagues(conn: Connection, domains: list[str]) -> dict[str, list[Colleague]]:
    rows = await conn.fetch(
        "SELECT d.domain, a.assigned_at, a.lead_id, a.rep_id FROM unnest($1::text[]) AS d(domain) CROSS JOIN LATERAL"
        " (SELECT a.assigned_at, a.lead_id, a.rep_id FROM lead l JOIN assignment a USING (lead_id)"
        " WHERE l.account_domain = d.domain ORDER BY a.assigned_at, a.lead_id LIMIT $2) AS a",
        domains,
        COLLEAGUES,
    )
    found: dict[str, list[Colleague]] = {domain: [] for domain in domains}
    for row in rows:
        found[row["domain"]].append(Colleague(row["assigned_at"], row["lead_id"], row["rep_id"]))
    return found


async def _deals(conn: Connection, domains: list[str], names: list[str]) -> dict[str, set[UUID]]:
    rows = await conn.fetch(
        "SELECT l.account_domain AS company, o.opportunity_id FROM opportunity o JOIN lead l USING (lead_id)"
        " WHERE o.open AND l.account_domain = ANY($1::text[])"
        " UNION SELECT account, opportunity_id FROM opportunity WHERE open AND account = ANY($2::text[])",
        domains,
        [*domains, *names],
    )
    found: dict[str, set[UUID]] = {}
    for row in rows:
        found.setdefault(row["company"], set()).add(row["opportunity_id"])
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
