"""The transaction in which a batch of events becomes leads: who is who, what changed, what is told to everybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import ids, streams, subjects, vault
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from backbone.problem import Problem
from handoff.events.v1 import intake_pb2
from lead_intake import domain, events, store, store_events
from lead_intake.asks import Ask
from lead_intake.domain import Identifier, Lead, Outcome
from lead_intake.vaulting import Vault

Answer = dict[str, Any] | Problem


@dataclass(kw_only=True, slots=True)
class Batch:
    """What is known while the batch goes on, in memory; written at its end."""

    owners: domain.Owners
    erased: Mapping[Identifier, datetime]
    survivors: dict[UUID, UUID]
    leads: dict[UUID, Lead]
    keys: dict[UUID, bytes]
    gone: set[UUID]
    sealed_names: dict[UUID, tuple[str, ...]] = field(default_factory=dict)
    fresh: set[UUID] = field(default_factory=set)
    dirty: dict[UUID, None] = field(default_factory=dict)
    claimed: list[Identifier] = field(default_factory=list)
    links: list[tuple[UUID, UUID]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    settled: list[tuple[UUID, UUID]] = field(default_factory=list)
    consents: list[tuple[UUID, Mapping[str, Any]]] = field(default_factory=list)
    announcements: list[Any] = field(default_factory=list)
    """Made into events at the end, when every lead has its key: callables of (batch) -> list of events."""


async def accept(conn: Connection, keeper: Vault, outbox: Outbox, asks: Sequence[Ask]) -> list[Answer]:
    """Accept the events in order and return an answer for each."""
    doubles = await _doubles(conn, asks)
    batch = await _begin(conn, keeper, asks)
    known_facts = await store_events.find_facts(conn, [one for ask in asks if (one := _fact_key(ask)) is not None])
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    answers: list[Answer] = []
    accepted: list[tuple[Ask, dict[str, Any]]] = []
    for ask in asks:
        key = (ask.connection_id, ask.dedupe) if ask.dedupe is not None else None
        double = doubles.get(key) if key is not None else None
        if double is None and key is not None and key in seen:
            answers.append({**seen[key], **({} if ask.body_hash else {"outcome": Outcome.DUPLICATE})})
            continue
        if double is not None:
            answers.append(_same_again(ask, double))
            continue
        answer = _accept_one(batch, ask, known_facts)
        answers.append(answer)
        if not isinstance(answer, Problem):
            accepted.append((ask, answer))
            if key is not None:
                seen[key] = answer
    await _release_waiting(conn, batch)
    await _write(conn, keeper, outbox, batch, accepted)
    return answers


async def _doubles(conn: Connection, asks: Sequence[Ask]) -> dict[tuple[str, str], Any]:
    keys = [(ask.connection_id, ask.dedupe) for ask in asks if ask.dedupe is not None]
    return await store_events.find_doubles(conn, keys) if keys else {}


def _same_again(ask: Ask, double: Any) -> Answer:
    if ask.body_hash is not None and double["body_hash"] != ask.body_hash:
        return Problem(422, "Another body", "This Idempotency-Key was used with another body. Take a new key.")
    outcome = double["outcome"] if ask.body_hash is not None else Outcome.DUPLICATE
    return _answer(double["event_id"], double["lead_id"], outcome)


def _answer(event_id: UUID, lead_id: UUID | None, outcome: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "event_id": str(event_id),
        **({"lead_id": str(lead_id)} if lead_id is not None else {}),
        "outcome": str(outcome),
        **({"reason": reason} if reason is not None else {}),
    }


def _fact_key(ask: Ask) -> tuple[str, str, str] | None:
    if ask.fact is None or ask.fact.external_id is None:
        return None
    return (ask.fact.what, ask.connection_id, ask.fact.external_id)


async def _begin(conn: Connection, keeper: Vault, asks: Sequence[Ask]) -> Batch:
    """Lock identifiers, then leads, and read what is known of them."""
    wanted = {one for ask in asks for one in ask.identifiers}
    wanted |= {ask.fact.identifier for ask in asks if ask.fact is not None and ask.fact.identifier is not None}
    owners, erased = await store.lock_identifiers(conn, wanted) if wanted else (domain.Owners(), {})
    lead_ids = set(owners.leads.values())
    lead_ids |= {ask.lead_id for ask in asks if ask.lead_id is not None}
    lead_ids |= {ask.fact.lead_id for ask in asks if ask.fact is not None and ask.fact.lead_id is not None}
    locked = await subjects.lock(conn, lead_ids) if lead_ids else {}
    survivors = {lead_id: subject.subject_id for lead_id, subject in locked.items()}
    keys = await keeper.fetch(set(survivors.values())) if survivors else {}
    leads = await store.load(conn, set(survivors.values()), keys) if survivors else {}
    gone = {lead_id for lead_id, subject in locked.items() if subject.erased_at is not None}
    return Batch(owners=owners, erased=erased, survivors=survivors, leads=leads, keys=keys, gone=gone)


def _accept_one(batch: Batch, ask: Ask, known_facts: dict[tuple[str, str, str], Any]) -> Answer:
    if ask.held_because is not None:
        return _answer(ask.event_id, None, Outcome.HELD, ask.held_because)
    if ask.ignored_because is not None:
        return _answer(ask.event_id, None, Outcome.IGNORED, ask.ignored_because)
    if ask.fact is not None:
        return _accept_fact(batch, ask, known_facts)
    assert ask.capture is not None
    if ask.lead_id is not None:
        return _correct(batch, ask)
    if _was_erased(batch, ask):
        return _answer(ask.event_id, None, Outcome.ERASED)
    return _capture(batch, ask)


def _was_erased(batch: Batch, ask: Ask) -> bool:
    assert ask.capture is not None
    dates = [batch.erased[one] for one in ask.identifiers if one in batch.erased and one not in batch.owners.leads]
    return bool(dates) and ask.capture.occurred_at <= max(dates) and not batch.owners.find(ask.identifiers, {})


def _capture(batch: Batch, ask: Ask) -> Answer:
    capture = ask.capture
    assert capture is not None
    found = [lead_id for lead_id in batch.owners.find(ask.identifiers, batch.survivors) if lead_id in batch.leads]
    if not found:
        lead = domain.begin(ids.new(), capture)
        outcome = Outcome.CREATED
        batch.fresh.add(lead.lead_id)
        batch.survivors[lead.lead_id] = lead.lead_id
    elif len(found) == 1:
        before = batch.leads[found[0]]
        lead = domain.learn(before, capture)
        outcome = (
            Outcome.UPDATED if domain.changed_fields(before, lead) or ask.said or ask.consents else Outcome.DUPLICATE
        )
    else:
        keep = domain.oldest([batch.leads[lead_id] for lead_id in found])
        for other in found:
            if other != keep.lead_id:
                keep = _merge(batch, keep, batch.leads[other], ask, why="the same identifiers")
        lead = domain.learn(keep, capture)
        outcome = Outcome.MERGED
    _keep(batch, ask, lead, outcome, before=batch.leads.get(lead.lead_id))
    batch.claimed += batch.owners.claim(ask.identifiers, lead.lead_id)
    return _answer(ask.event_id, lead.lead_id, outcome)


def _merge(batch: Batch, keep: Lead, other: Lead, ask: Ask, *, why: str) -> Lead:
    united = domain.unite(keep, other)
    batch.leads[keep.lead_id] = united
    batch.links.append((other.lead_id, keep.lead_id))
    for lead_id, survivor in batch.survivors.items():
        if survivor == other.lead_id:
            batch.survivors[lead_id] = keep.lead_id
    batch.survivors[other.lead_id] = keep.lead_id
    batch.dirty.pop(other.lead_id, None)
    batch.dirty[keep.lead_id] = None
    names = batch.sealed_names.setdefault(keep.lead_id, tuple(ask.sealed_names))

    def announce() -> list[Event]:
        sealed = events.seal(batch.keys[united.lead_id], united, names)
        return events.merged(united, other.lead_id, sealed=sealed, sealed_names=names, at=ask.received_at, why=why)

    batch.announcements.append(announce)
    return united


def _keep(batch: Batch, ask: Ask, lead: Lead, outcome: Outcome, *, before: Lead | None) -> None:
    batch.leads[lead.lead_id] = lead
    names = tuple(dict.fromkeys((*batch.sealed_names.get(lead.lead_id, ()), *ask.sealed_names)))
    batch.sealed_names[lead.lead_id] = names
    for said in ask.consents:
        batch.consents.append((lead.lead_id, said))
        batch.announcements.append(lambda said=said: [events.consent(lead, said, at=ask.received_at)])
    if outcome is Outcome.DUPLICATE:
        return
    batch.dirty[lead.lead_id] = None
    shape = intake_pb2.LeadCaptured if outcome is Outcome.CREATED else intake_pb2.LeadUpdated
    changed = domain.changed_fields(before, lead) if before is not None else []
    capture = ask.capture
    assert capture is not None

    def announce() -> list[Event]:
        return [
            events.lead_event(
                shape,
                lead,
                sealed=events.seal(batch.keys[lead.lead_id], lead, names),
                sealed_names=names,
                occurred_at=capture.occurred_at,
                received_at=ask.received_at,
                said={**ask.said, **({"verified": True} if capture.verified else {})},
                event_id=ask.event_id,
                connection_id=ask.connection_id,
                provider=ask.provider,
                changed=changed,
            )
        ]

    batch.announcements.insert(len(batch.announcements) - len(ask.consents), announce)


def _correct(batch: Batch, ask: Ask) -> Answer:
    """Take a person's correction of a lead that they named."""
    assert ask.lead_id is not None
    assert ask.capture is not None
    before = batch.leads.get(batch.survivors.get(ask.lead_id, ask.lead_id))
    if before is None or ask.lead_id in batch.gone:
        return Problem(404, "No such lead", "Send the id of a lead that was not erased.")
    taken = [one for one in ask.identifiers if batch.owners.leads.get(one, before.lead_id) != before.lead_id]
    if taken:
        return Problem(409, "Another lead has it", "Another lead has this identifier. Merge the two leads instead.")
    lead = domain.learn(before, ask.capture)
    outcome = Outcome.UPDATED if domain.changed_fields(before, lead) else Outcome.DUPLICATE
    _keep(batch, ask, lead, outcome, before=before)
    batch.claimed += batch.owners.claim(ask.identifiers, lead.lead_id)
    return _answer(ask.event_id, lead.lead_id, outcome)


def _accept_fact(batch: Batch, ask: Ask, known: dict[tuple[str, str, str], Any]) -> Answer:
    fact = ask.fact
    assert fact is not None
    key = _fact_key(ask)
    if key is not None and key in known:
        return _answer(known[key]["fact_id"], known[key]["lead_id"], Outcome.DUPLICATE)
    named = fact.lead_id if fact.lead_id is not None else batch.owners.leads.get(_one(fact.identifier))
    lead = batch.leads.get(batch.survivors.get(named, named)) if named is not None else None
    if fact.lead_id is not None and (lead is None or fact.lead_id in batch.gone):
        return Problem(404, "No such lead", "Send the id that POST /v1/leads answered with, of a lead not erased.")
    row = {
        "fact_id": ask.event_id,
        "what": fact.what,
        "connection_id": ask.connection_id,
        "external_id": fact.external_id,
        "lead_id": lead.lead_id if lead is not None else None,
        "waits_for": None if lead is not None else _one(fact.identifier).digest,
        "occurred_at": fact.occurred_at,
        "received_at": ask.received_at,
        "live": fact.live,
        "details": dict(fact.details),
        "note": fact.note.encode() if fact.note else None,
    }
    batch.facts.append(row)
    if key is not None:
        known[key] = row
    if lead is None:
        return _answer(ask.event_id, None, Outcome.HELD, "the lead is not known yet")
    _announce_fact(batch, row, lead.lead_id)
    return _answer(ask.event_id, lead.lead_id, Outcome.CREATED)


def _one(identifier: Identifier | None) -> Identifier:
    assert identifier is not None
    return identifier


def _announce_fact(batch: Batch, row: Mapping[str, Any], lead_id: UUID) -> None:
    lead = batch.leads[lead_id]
    if row["what"] == "engagement" and row["live"] and not lead.live:
        lead = replace(lead, arrived_at=row["occurred_at"])
        batch.leads[lead_id] = lead
        batch.dirty[lead_id] = None
    hidden = row["details"].get("sealed") or {}

    def announce() -> list[Event]:
        if row["what"] == "touch":
            return [events.touch(row, lead)]
        sealed = vault.seal(batch.keys[lead_id], lead_id, {"properties": hidden}) if hidden else b""
        return [events.engagement(row, lead, hidden=sealed)]

    batch.announcements.append(announce)


async def _release_waiting(conn: Connection, batch: Batch) -> None:
    """Apply what waited for leads that have just become known."""
    if not batch.claimed:
        return
    leads = {one.digest: batch.survivors[batch.owners.leads[one]] for one in batch.claimed}
    early = [row for row in batch.facts if row["waits_for"] in leads]
    waiting = await store_events.take_waiting(conn, leads)
    batch.settled += [(row["fact_id"], leads[row["waits_for"]]) for row in waiting]
    for row in sorted([*waiting, *early], key=lambda one: (one["occurred_at"], one["fact_id"])):
        row["lead_id"], row["waits_for"] = leads[row["waits_for"]], None
        _announce_fact(batch, row, row["lead_id"])


async def _write(
    conn: Connection, keeper: Vault, outbox: Outbox, batch: Batch, accepted: Sequence[tuple[Ask, Mapping[str, Any]]]
) -> None:
    batch.keys |= await keeper.make(batch.fresh)
    if batch.fresh:
        await subjects.lock(conn, batch.fresh)
    if batch.claimed:
        await store.save_identifiers(conn, batch.owners, batch.claimed)
    if accepted:
        await store_events.add_events(conn, [_event_row(keeper, batch, ask, answer) for ask, answer in accepted])
    if batch.facts:
        await store_events.add_facts(conn, batch.facts)
    if batch.settled:
        await store_events.settle_waiting(conn, batch.settled)
    if batch.consents:
        await store.add_consents(conn, batch.consents)
    await outbox.add(conn, [event for announce in batch.announcements for event in announce()])
    dirty = [batch.leads[lead_id] for lead_id in batch.dirty]
    if dirty:
        sealed = {
            lead.lead_id: events.seal(batch.keys[lead.lead_id], lead, batch.sealed_names.get(lead.lead_id, ()))
            for lead in dirty
        }
        seq = await streams.take(conn, "leads", len(dirty))
        at = max(ask.received_at for ask, _ in accepted)
        await store.save(conn, dirty, sealed, batch.sealed_names, at=at, first_seq=seq)
    for merged, survivor in batch.links:
        await subjects.link(conn, merged, survivor)
        await store.link(conn, merged, survivor, "the same identifiers")


def _event_row(keeper: Vault, batch: Batch, ask: Ask, answer: Mapping[str, Any]) -> dict[str, Any]:
    lead_id = UUID(answer["lead_id"]) if "lead_id" in answer else None
    key = batch.keys.get(lead_id) if lead_id is not None else None
    text = ask.raw.decode(errors="replace")
    # Without a lead there is no key that an erasure could destroy; the master key keeps what nobody could read yet.
    body = vault.seal(key, lead_id, text) if key is not None and lead_id is not None else keeper.seal_secret(text)
    return {
        "event_id": ask.event_id,
        "connection_id": ask.connection_id,
        "lead_id": lead_id,
        "what": ask.fact.what if ask.fact is not None else "lead",
        "outcome": answer["outcome"],
        "reason": answer.get("reason"),
        "sealed": body,
        "headers": dict(ask.headers),
        "received_at": ask.received_at,
        "dedupe": ask.dedupe,
        "body_hash": ask.body_hash,
    }
