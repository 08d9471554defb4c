"""A hand-over while it is made, and what goes along with leads in it: named accounts and opportunities."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from backbone.conditions import Condition
from backbone.database import Connection
from routing import deciding, events, store_accounts
from routing.desk import Desk
from routing.domain import OPEN_DEALS, WhyNot
from routing.store import Row
from routing.store_accounts import Companies, OpenDeal

LISTED: Final = 500
"""Accounts, and deals, that stay and are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOver:
    """What goes from whom to whom. `from_rep` or `when` says whose; `to` is a rep, a pool, or the policy."""

    from_rep: str | None
    when: str | None
    to: str
    what: Sequence[str]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What an order may be about, as the database has it at a moment."""

    leads: Sequence[UUID]
    """Assigned ones."""
    owned: Mapping[str, Mapping[str, Any]]
    """Accounts with an owner, by domain."""
    deals: Sequence[OpenDeal]

    def concerned(self) -> set[UUID]:
        """Return the leads that are handed over, or whose deals are."""
        return {*self.leads, *(deal.lead_id for deal in self.deals if deal.lead_id is not None)}

    def subjects(self) -> set[UUID]:
        """Return what is locked before any of it is changed."""
        return {
            *self.leads,
            *(deal.lead_id or deal.opportunity_id for deal in self.deals),
            *map(events.account_subject, self.owned),
        }

    def of(self, ours: Mapping[UUID, UUID]) -> "Reach":
        """Return what is locked of it, leads under the names that they go by since they were merged."""
        return Reach(
            leads=sorted({ours[lead_id] for lead_id in self.leads if lead_id in ours}),
            owned={domain: one for domain, one in self.owned.items() if events.account_subject(domain) in ours},
            deals=[
                deal._replace(lead_id=ours[deal.lead_id] if deal.lead_id is not None else None)
                for deal in self.deals
                if (deal.lead_id or deal.opportunity_id) in ours
            ],
        )


@dataclass(slots=True)
class Work:
    """A hand-over while it is made."""

    order: HandOver
    desk: Desk
    condition: Condition | None
    before: dict[UUID, str] = field(default_factory=dict)
    """Who had the leads that are meant."""
    moved: set[UUID] = field(default_factory=set)
    """Those of them that somebody else has by now."""
    given: Counter[str] = field(default_factory=Counter)
    over_cap: int = 0
    accounts: int = 0
    deals: int = 0
    stays: dict[str, list[str]] = field(default_factory=lambda: {"named_accounts": [], "opportunities": []})
    """What is meant and goes to nobody."""
    turn: int = 0

    @property
    def to_rep(self) -> str | None:
        return self.order.to if self.order.to in self.desk.group.index.reps else None

    @property
    def to_pool(self) -> str | None:
        policy = self.desk.group.policy
        known = policy is not None and self.order.to in policy.pools
        return self.order.to if known and self.to_rep is None else None

    @property
    def moves_leads(self) -> bool:
        return "assignments" in self.order.what

    def holds(self, row: Row, rep_id: str) -> bool:
        """Say whether the condition holds of a lead and a rep who has something of it; its own deals count."""
        assert self.condition is not None
        held = self.desk.assignments.get(row.lead_id)
        touched = row.touched or (held is not None and held.touched)
        deals = self.desk.companies.deals_of(row.domain, row.company)
        values = {**deciding.lead_of(self.desk, row).values, OPEN_DEALS: len(deals), "lead.touched": touched}
        return self.condition.holds({**values, **self._rep(rep_id)})

    def holds_of_account(self, known: Companies, domain: str, name: str, rep_id: str) -> bool:
        """Say whether the condition holds of a company that a rep owns, or has a deal with that is no lead's."""
        assert self.condition is not None
        if speaks_of_leads(self.condition):
            return False  # An account goes with its leads, and not without.
        roles = self.desk.group.roles
        values = known.values(domain, name, roles, but=None, role=roles.get(rep_id, ""))
        return self.condition.holds({**values, **self._rep(rep_id)})

    def next_but(self, owner: str | None) -> str | None:
        """Return who gets what is no assignment: the rep, or the pool's active reps in turn; nobody by the policy."""
        if self.to_rep is not None:
            return self.to_rep
        policy, reps = self.desk.group.policy, self.desk.group.index.reps
        members = policy.pools[self.to_pool].members if policy is not None and self.to_pool is not None else ()
        able = [one for one in members if one in reps and reps[one].away is not WhyNot.INACTIVE]
        others = [one for one in able if one not in (self.order.from_rep, owner)]
        if not others:
            return None
        self.turn += 1
        return others[(self.turn - 1) % len(others)]

    def stay(self, what: str, name: str) -> None:
        """Note what is meant and goes to nobody."""
        if len(self.stays[what]) < LISTED:
            self.stays[what].append(name)

    def _rep(self, rep_id: str) -> Mapping[str, Any]:
        rep = self.desk.group.index.reps.get(rep_id)
        return rep.values if rep is not None else {}


def speaks_of_leads(condition: Condition) -> bool:
    """Say whether a condition reads anything of a lead."""
    return any(name.startswith("lead.") for name in condition.reads)


def speaks_of_reps(condition: Condition) -> bool:
    """Say whether a condition reads anything of the rep who has the lead."""
    return any(name.startswith("rep.") for name in condition.reads)


async def accounts(conn: Connection, work: Work, owned: Mapping[str, Mapping[str, Any]]) -> None:
    """Give named accounts to whoever got most of their leads, else in turn."""
    led = _led(work, owned)
    got = _got(work, led)
    names = {domain: document.get("name") or "" for domain, document in owned.items()}
    known = await _companies(conn, work, names.items())
    for domain, document in owned.items():
        owner = document["rep_id"]
        is_meant = work.condition is None or domain in got or work.holds_of_account(known, domain, names[domain], owner)
        if not is_meant:
            if domain in led.values():
                work.stay("named_accounts", domain)
            continue
        most = got.get(domain, Counter[str]()).most_common(1)
        to = work.to_rep or (most[0][0] if most else work.next_but(owner))
        if to is None:
            work.stay("named_accounts", domain)
        if to is None or to == owner:
            continue
        changed = {**document, "rep_id": to}
        await store_accounts.save_account(conn, domain, changed)
        work.desk.outgoing.append(events.account_changed(domain, changed, work.desk.now))
        work.accounts += 1


def _led(work: Work, owned: Mapping[str, Mapping[str, Any]]) -> dict[UUID, str]:
    """Return the accounts of leads that are meant, as far as the account's owner had the lead."""
    of = {lead_id: fields.account_domain for lead_id in work.before if (fields := work.desk.rows[lead_id].fields)}
    return {lead_id: one for lead_id, one in of.items() if owned.get(one, {}).get("rep_id") == work.before[lead_id]}


def _got(work: Work, led: Mapping[UUID, str]) -> dict[str, Counter[str]]:
    """Return which accounts' leads go from their owner, and who got how many of them; nobody where leads stay."""
    got: dict[str, Counter[str]] = {}
    for lead_id, domain in led.items():
        if lead_id in work.moved or not work.moves_leads:
            of = got.setdefault(domain, Counter())
            of.update([work.desk.assignments[lead_id].rep_id] if work.moves_leads else [])
    return got


async def meant_deals(conn: Connection, work: Work, reach: Reach) -> list[OpenDeal]:
    """Return the deals that are meant: the rep's, or those of whose lead, account and owner the condition holds."""
    if work.condition is None or not reach.deals:
        return list(reach.deals)
    of_accounts = [(deal.account, deal.account) for deal in reach.deals if deal.lead_id is None]
    known = await _companies(conn, work, of_accounts)
    return [deal for deal in reach.deals if _is_deal_meant(work, deal, known)]


async def _companies(conn: Connection, work: Work, of: Iterable[tuple[str, str]]) -> Companies:
    """Return what a condition over companies alone reads of some, by domain and name."""
    if work.condition is None or speaks_of_leads(work.condition):
        return Companies()
    reads, has_accounts = work.condition.reads, work.desk.group.has_accounts
    return await store_accounts.companies(conn, of, reads, has_accounts=has_accounts)


def _is_deal_meant(work: Work, deal: OpenDeal, known: Companies) -> bool:
    if deal.lead_id is None:
        return work.holds_of_account(known, deal.account, deal.account, deal.owner_id)
    row = work.desk.rows[deal.lead_id]
    return row.fields is not None and work.holds(row, deal.owner_id)


def deals(work: Work, meant: Iterable[OpenDeal]) -> None:
    """Tell forecast who owns deals now."""
    for deal in meant:
        to = _new_owner(work, deal)
        if to is None:
            work.stay("opportunities", str(deal.opportunity_id))
        if to is None or to == deal.owner_id:
            continue
        work.desk.outgoing.append(
            events.deal_handed_over(
                deal.lead_id or deal.opportunity_id,
                deal.opportunity_id,
                lead_id=deal.lead_id,
                from_rep=deal.owner_id,
                to_rep=to,
                reason=work.desk.group.why(work.order.reason).code,
                at=work.desk.now,
            )
        )
        work.deals += 1


def _new_owner(work: Work, deal: OpenDeal) -> str | None:
    """Return who gets a deal: who got its lead, or does the owner's work on it already; else in turn."""
    if deal.lead_id is not None and work.moves_leads and deal.lead_id in work.before.keys() - work.moved:
        return None  # It stays with its lead, for which there was no room.
    if work.to_rep is not None:
        return work.to_rep
    held = work.desk.assignments.get(deal.lead_id) if deal.lead_id is not None else None
    if held is None or held.rep_id == deal.owner_id:
        return work.next_but(deal.owner_id)
    # A lead that was recycled since may be with an SDR, whose deal it is not.
    roles = work.desk.group.roles
    is_theirs = deal.lead_id in work.moved or roles.get(held.rep_id) == roles.get(deal.owner_id)
    return held.rep_id if is_theirs else work.next_but(deal.owner_id)
