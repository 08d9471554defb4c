"""Who is who: leads that share an e-mail or an external id are one person; a phone joins while it can be one person's.

Leads are never moved and never deleted: edges join them and removing edges parts them. So who is who depends on the set
of what was said, and not on the order in which it came.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What identifies a lead. An external id's kind has its connection behind it."""

    EMAIL = "email"
    PHONE = "phone"
    EXTERNAL = "external"
    ALONE = "alone"
    """A phone that came with nothing else; it names the lead that is known by this phone only."""


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """A keyed hash of something that identifies a person; never the thing itself."""

    kind: str
    digest: bytes

    @property
    def is_phone(self) -> bool:
        """Say whether it is the one kind that two people may share."""
        return self.kind == Kind.PHONE


def named_by(identifiers: Sequence[Identifier]) -> list[Identifier]:
    """Return what names a lead: these, and where there is nothing but a phone, that the phone came alone."""
    alone = [Identifier(Kind.ALONE, one.digest) for one in identifiers if one.is_phone]
    return [*identifiers, *alone] if len(alone) == len(identifiers) else list(identifiers)


class Why(StrEnum):
    """Why two leads are one person."""

    SAME = "the same identifiers"
    PHONE = "the same phone"
    HAND = "by hand"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """Two leads that are one person. A phone's edge has the phone's digest and lasts as long as the phone joins."""

    one: UUID
    other: UUID
    why: Why
    digest: bytes = b""


def between(one: UUID, other: UUID, why: Why, digest: bytes = b"") -> Edge:
    """Return the edge of two leads, whichever is named first."""
    return Edge(min(one, other), max(one, other), why, digest)


@dataclass(slots=True)
class Phone:
    """Who came with a phone, and with which e-mails it came."""

    holders: list[UUID] = field(default_factory=list)
    emails: set[bytes] = field(default_factory=set)

    @property
    def joins(self) -> bool:
        """Say whether it can be one person's: it was seen with one e-mail at most."""
        return len(self.emails) <= 1


@dataclass(frozen=True, slots=True)
class Join:
    """`merged` is `survivor` from now on."""

    merged: UUID
    survivor: UUID
    why: Why


@dataclass(frozen=True, slots=True)
class Part:
    """`lead` is a lead of its own again, with `members` (itself among them); `stays` keep the other one."""

    lead: UUID
    parted_from: UUID
    members: Sequence[UUID]
    stays: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a capture belongs: its own lead, which may be a part of the survivor, and what changed by it."""

    lead: UUID
    is_new: bool
    changes: Sequence[Join | Part]


@dataclass(slots=True)
class People:
    """What is known of who is who, as far as a batch needs it; it changes as the batch goes on."""

    owners: dict[Identifier, UUID] = field(default_factory=dict)
    phones: dict[Identifier, Phone] = field(default_factory=dict)
    survivors: dict[UUID, UUID] = field(default_factory=dict)
    trees: dict[UUID, set[UUID]] = field(default_factory=dict)
    """The members of those survivors that have others merged into them."""
    edges: set[Edge] = field(default_factory=set)
    claimed: list[Identifier] = field(default_factory=list)
    expected: dict[Identifier, UUID] = field(default_factory=dict)
    """Identifiers that nobody had, written already with the lead that was expected to have them."""
    heard: set[Identifier] = field(default_factory=set)

    def find(self, identifier: Identifier) -> UUID | None:
        """Return the lead that an e-mail or an external id belongs to, not its survivor."""
        return self.owners.get(identifier)

    def misplaced(self) -> list[Identifier]:
        """Return what belongs to another lead than is written, sorted; phones with what was heard of them."""
        claimed = [one for one in self.claimed if self.expected.get(one) != self.owners[one]]
        unclaimed = [one for one in self.expected if one not in self.owners]
        return sorted({*claimed, *unclaimed, *self.heard})

    def survivor(self, lead: UUID) -> UUID:
        """Return the lead that stands for this one."""
        return self.survivors.get(lead, lead)

    def members(self, survivor: UUID) -> set[UUID]:
        """Return the leads that a survivor stands for, itself among them."""
        return self.trees.get(survivor, {survivor})

    def place(self, identifiers: Sequence[Identifier], new: UUID) -> Place:
        """Say to which lead a capture with these identifiers belongs; `new` when it belongs to none yet."""
        phone = next((one for one in identifiers if one.is_phone), None)
        strong = [one for one in identifiers if not one.is_phone]
        changes: list[Join | Part] = []
        if phone is not None:
            changes += self._hear(phone, {one.digest for one in strong if one.kind == Kind.EMAIL})
        origins = list(dict.fromkeys(self.owners[one] for one in strong if one in self.owners))
        lead = origins[0] if origins else new
        if not origins:
            self.survivors[new] = new
        for other in origins[1:]:
            changes += self.join(between(lead, other, Why.SAME))
        self.claim(strong, lead)
        if phone is not None:
            changes += self._hold(phone, lead)
        return Place(lead, not origins, changes)

    def claim(self, identifiers: Iterable[Identifier], lead: UUID) -> None:
        """Give the lead what belongs to nobody yet."""
        for one in identifiers:
            if one.is_phone:
                phone = self.phones.setdefault(one, Phone())
                if lead not in phone.holders:
                    phone.holders.append(lead)
                self.heard.add(one)
            elif one not in self.owners:
                self.owners[one] = lead
                self.claimed.append(one)

    def tell(self, phone: Identifier, emails: set[bytes], lead: UUID) -> list[Join | Part]:
        """Note that a lead has a phone, as a person says who corrects it; `emails` are those that the lead has."""
        return [*self._hear(phone, emails), *self._hold(phone, lead)]

    def join(self, edge: Edge) -> list[Join]:
        """Note that two leads are one person; the older one survives."""
        self.edges.add(edge)
        keep, gone = sorted((self.survivor(edge.one), self.survivor(edge.other)))
        return [] if keep == gone else [self.merge(gone, keep, edge.why)]

    def merge(self, gone: UUID, keep: UUID, why: Why) -> Join:
        """Let `keep` stand for everybody that `gone` stood for."""
        both = self.members(keep) | self.members(gone)
        self.trees.pop(gone, None)
        self.trees[keep] = both
        self.survivors |= dict.fromkeys(both, keep)
        return Join(gone, keep, why)

    def part(self, survivor: UUID, other: UUID) -> list[Part]:
        """Undo what joins `other` to `survivor`; whoever is joined to `other` alone goes with it."""
        reach = _component(survivor, {edge for edge in self.edges if other not in (edge.one, edge.other)})
        self.edges -= {
            edge for edge in self.edges if other in (edge.one, edge.other) and {edge.one, edge.other} & reach
        }
        return self._regroup(survivor)

    def _hear(self, phone: Identifier, emails: set[bytes]) -> list[Part]:
        """Note the e-mails that a phone came with; the second one parts whom the phone alone had joined."""
        known = self.phones.setdefault(phone, Phone())
        joined = known.joins
        known.emails |= emails
        self.heard.add(phone)
        if known.joins or not joined:
            return []
        self.edges -= {edge for edge in self.edges if edge.why is Why.PHONE and edge.digest == phone.digest}
        survivors = dict.fromkeys(self.survivor(holder) for holder in known.holders)
        return [part for survivor in survivors for part in self._regroup(survivor)]

    def _hold(self, phone: Identifier, lead: UUID) -> list[Join]:
        known = self.phones[phone]
        first = known.holders[0] if known.holders else lead
        if lead in known.holders:
            return []
        known.holders.append(lead)
        return self.join(between(lead, first, Why.PHONE, phone.digest)) if known.joins and first != lead else []

    def _regroup(self, survivor: UUID) -> list[Part]:
        """Part whoever no edge joins any more to the survivor."""
        left = set(self.members(survivor))
        stays = _component(survivor, self.edges) & left
        left -= stays
        parts = []
        while left:
            root = min(left)
            members = _component(root, self.edges) & left
            left -= members
            self._gather(root, members)
            parts.append(Part(root, survivor, sorted(members), sorted(stays)))
        self._gather(survivor, stays)
        return parts

    def _gather(self, survivor: UUID, members: set[UUID]) -> None:
        self.survivors |= dict.fromkeys(members, survivor)
        self.trees.pop(survivor, None)
        if len(members) > 1:
            self.trees[survivor] = members


def _component(start: UUID, edges: Iterable[Edge]) -> set[UUID]:
    """Return everybody that edges join to `start`, directly or not."""
    near: dict[UUID, list[UUID]] = {}
    for edge in edges:
        near.setdefault(edge.one, []).append(edge.other)
        near.setdefault(edge.other, []).append(edge.one)
    reached, waiting = {start}, [start]
    while waiting:
        for lead in near.get(waiting.pop(), ()):
            if lead not in reached:
                reached.add(lead)
                waiting.append(lead)
    return reached
