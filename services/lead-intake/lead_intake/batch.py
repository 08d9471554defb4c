"""What a batch of events knows and changes: read under locks at its beginning, written at its end, all at once."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import streams, subjects, vault
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import intake_pb2
from lead_intake import domain, events, store, store_events, store_identity
from lead_intake.domain import Lead
from lead_intake.identity import Edge, Identifier, Join, Part, People
from lead_intake.vaulting import Vault

Announce = Callable[["Batch"], list[Event]]
"""Made into events at the end, when every lead has its key."""


@dataclass(kw_only=True, slots=True)
class Batch:
    """The state in memory."""

    people: People
    erased: Mapping[Identifier, datetime]
    gone: set[UUID]
    """Leads that were erased."""
    leads: dict[UUID, Lead]
    """Survivors as they show."""
    own: dict[UUID, Lead]
    """What each lead of a tree knows by itself, so that parting finds both sides as they were."""
    keys: dict[UUID, bytes]
    fresh: dict[UUID, None] = field(default_factory=dict)
    dirty: dict[UUID, None] = field(default_factory=dict)
    linked: dict[UUID, None] = field(default_factory=dict)
    edges_before: set[Edge] = field(default_factory=set)
    facts: list[dict[str, Any]] = field(default_factory=list)
    settled: list[dict[str, Any]] = field(default_factory=list)
    consents: list[tuple[UUID, Mapping[str, Any]]] = field(default_factory=list)
    announcements: list[Announce] = field(default_factory=list)
    _sealed: dict[UUID, tuple[Lead, bytes]] = field(default_factory=dict)

    def shown(self, lead_id: UUID) -> Lead | None:
        """Return the lead that stands for this one, None when it is not known or erased."""
        return self.leads.get(self.people.survivor(lead_id))

    def put(self, lead_id: UUID, change: Callable[[Lead], Lead]) -> Lead:
        """Change what a lead knows, and what its survivor shows; returns the survivor."""
        survivor = self.people.survivor(lead_id)
        if lead_id in self.own:
            self.own[lead_id] = change(self.own[lead_id])
            self.dirty[lead_id] = None
        self.leads[survivor] = change(self.leads[survivor])
        self.dirty[survivor] = None
        return self.leads[survivor]

    def seal(self, lead: Lead) -> bytes:
        """Return the sealed snapshot of a lead, sealed once for its event and its row."""
        known = self._sealed.get(lead.lead_id)
        if known is None or known[0] is not lead:
            known = self._sealed[lead.lead_id] = (lead, events.seal(self.keys[lead.lead_id], lead))
        return known[1]

    def apply(self, change: Join | Part, *, at: datetime) -> None:
        """Join two leads, or part them, as it was decided."""
        if isinstance(change, Join):
            self._join(change, at)
        else:
            self._part(change, at)

    def _join(self, join: Join, at: datetime) -> None:
        for root in (join.merged, join.survivor):
            self.own.setdefault(root, self.leads[root])
        united = domain.unite(self.leads[join.survivor], self.leads.pop(join.merged))
        self.leads[join.survivor] = united
        self._note(self.people.members(join.survivor))
        self.announcements.append(lambda batch: batch.told_merged(united, join.merged, at=at, why=join.why))

    def _part(self, part: Part, at: datetime) -> None:
        for root, members in ((part.lead, part.members), (part.parted_from, part.stays)):
            rest = [self.own[lead_id] for lead_id in members if lead_id != root]
            self.leads[root] = domain.together([self.own[root], *rest])
            if not rest:
                del self.own[root]
        self._note((*part.members, *part.stays))
        sides = [self.leads[part.lead], self.leads[part.parted_from]]
        self.announcements.append(lambda batch: batch._told_parted(part, sides, at))

    def _note(self, members: Iterable[UUID]) -> None:
        self.linked |= dict.fromkeys(members)
        self.dirty |= dict.fromkeys(members)

    def told_merged(self, survivor: Lead, merged: UUID, *, at: datetime, why: str) -> list[Event]:
        """Return what everybody is told of a merge."""
        return events.merged(survivor, merged, sealed=self.seal(survivor), at=at, why=why)

    def _told_parted(self, part: Part, sides: Sequence[Lead], at: datetime) -> list[Event]:
        """Part the two, then say anew who stands for the others: a reader may have known them through either."""
        why = "not one person any more"
        made = [events.unmerged(one, sides[1], part.lead, sealed=self.seal(one), at=at, why=why) for one in sides]
        for lead, members in zip(sides, (part.members, part.stays), strict=True):
            for member in members:
                if member != lead.lead_id:
                    made += self.told_merged(lead, member, at=at, why="as before")
        return made


async def begin(
    conn: Connection, keeper: Vault, identifiers: Mapping[Identifier, UUID | None], named: Collection[UUID]
) -> Batch:
    """Lock identifiers, then leads, and read what is known of them."""
    people, erased = await store_identity.lock_identifiers(conn, identifiers) if identifiers else (People(), {})
    wanted = {*named, *people.owners.values()}
    wanted.update(holder for phone in people.phones.values() for holder in phone.holders)
    batch = Batch(people=people, erased=erased, gone=set(), leads={}, own={}, keys={})
    if not wanted:
        return batch
    locked = await subjects.lock(conn, wanted)
    people.survivors |= {lead_id: subject.subject_id for lead_id, subject in locked.items()}
    batch.gone = {lead_id for lead_id, subject in locked.items() if subject.erased_at is not None}
    survivors = set(people.survivors.values())
    await store_identity.load_trees(conn, people, survivors)
    batch.edges_before = set(people.edges)
    members = {lead_id for tree in people.trees.values() for lead_id in tree}
    batch.keys = await keeper.fetch(survivors | members)
    living = survivors - batch.gone
    batch.leads = await store.load(conn, living, batch.keys)
    batch.own = await store.load_own(conn, members, batch.keys) if members else {}
    await _read_consents(conn, batch)
    return batch


async def _read_consents(conn: Connection, batch: Batch) -> None:
    """Give each lead the consents that were said of it, and each survivor those of all that it stands for."""
    own: dict[UUID, list[Mapping[str, Any]]] = {}
    shown: dict[UUID, list[Mapping[str, Any]]] = {}
    for lead_id, said in await store.last_consents(conn, {*batch.leads, *batch.own}):
        own.setdefault(lead_id, []).append(said)
        shown.setdefault(batch.people.survivor(lead_id), []).append(said)
    batch.leads |= {lead_id: _consenting(lead, shown.get(lead_id, ())) for lead_id, lead in batch.leads.items()}
    batch.own |= {lead_id: _consenting(lead, own.get(lead_id, ())) for lead_id, lead in batch.own.items()}


def _consenting(lead: Lead, said: Iterable[Mapping[str, Any]]) -> Lead:
    return replace(lead, consents=domain.last_words(said))


async def write(conn: Connection, keeper: Vault, outbox: Outbox, batch: Batch, *, at: datetime) -> None:
    """Write everything that the batch changed. Keys first: they are committed before what they seal."""
    batch.keys |= await keeper.make(batch.fresh)
    subjects.make(conn, batch.fresh)
    people = batch.people
    await _write_facts(conn, keeper, batch)
    if batch.consents:
        await store.add_consents(conn, batch.consents)
    told = [event for announce in batch.announcements for event in announce(batch)]
    if batch.linked:
        # Those who were merged into the two before are told of as well.
        await subjects.lock(conn, {*batch.linked, *(event.subject for event in told)})
        _number_merges(conn, told)
    await outbox.add(conn, told)
    await _write_leads(conn, batch, at)
    if batch.linked:
        survivors = {lead_id: people.survivor(lead_id) for lead_id in batch.linked}
        await store_identity.link(conn, survivors)
        await store_identity.save_edges(conn, people.edges - batch.edges_before, batch.edges_before - people.edges)
        for lead_id, survivor in sorted(survivors.items()):
            subjects.unlink(conn, lead_id) if lead_id == survivor else subjects.link(conn, lead_id, survivor)
    elif people.edges - batch.edges_before:
        await store_identity.save_edges(conn, people.edges - batch.edges_before, ())


async def _write_leads(conn: Connection, batch: Batch, at: datetime) -> None:
    dirty = [batch.leads.get(lead_id) or batch.own[lead_id] for lead_id in batch.dirty]
    if dirty:
        own = {lead_id: batch.own[lead_id] for lead_id in batch.own if lead_id in batch.leads}
        seq = await streams.take(conn, "leads", len(dirty))
        await store.save(conn, dirty, list(map(batch.seal, dirty)), own, batch.keys, at=at, first_seq=seq)


async def _write_facts(conn: Connection, keeper: Vault, batch: Batch) -> None:
    def hidden(row: Mapping[str, Any]) -> bytes | None:
        if not row["hides"]:
            return None
        lead_id = row["lead_id"]
        return vault.seal(batch.keys[lead_id], lead_id, row["hides"]) if lead_id else keeper.seal_json(row["hides"])

    for row in batch.facts:
        row["hidden"] = hidden(row)
    if batch.facts:
        await store_events.add_facts(conn, batch.facts)
    if batch.settled:
        leads = {row["fact_id"]: row["lead_id"] for row in batch.settled}
        await store_events.settle_waiting(
            conn, [(row["fact_id"], row["lead_id"], hidden(row)) for row in batch.settled]
        )
        given = []
        for event_id, sealed in await store_events.bodies(conn, list(leads)):
            lead_id = leads[event_id]
            body = keeper.open_json(sealed)
            given.append((event_id, lead_id, vault.seal(batch.keys[lead_id], lead_id, body)))
        await store_events.give_bodies(conn, given)


def _number_merges(conn: Connection, told: Sequence[Event]) -> None:
    """Say of whoever is merged, or is no more, with which version its own key tells that."""
    versions = {event.subject: subjects.version(conn, event.subject) for event in told}
    for event in told:
        versions[event.subject] += 1
        if isinstance(event.message, intake_pb2.LeadMerged):
            event.message.merged_version = versions[UUID(event.message.merged_id)]
        elif isinstance(event.message, intake_pb2.LeadUnmerged):
            event.message.unmerged_version = versions[UUID(event.message.unmerged_id)]
