"""The transaction in which a batch of events becomes leads: who is who, what changed, what is told to everybody."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from backbone import ids, telemetry, times, vault
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from backbone.problem import Problem
from handoff.events.v1 import intake_pb2
from lead_intake import batch as batches
from lead_intake import bodies, domain, events, payloads, repeating, store_events, store_identity
from lead_intake.asks import Ask, Fact
from lead_intake.batch import Batch
from lead_intake.domain import Lead, Outcome
from lead_intake.identity import Identifier, Join, Kind
from lead_intake.repeating import Answer, answer_of
from lead_intake.vaulting import Vault

FactKey = tuple[str, str, str]


async def accept(conn: Connection, keeper: Vault, outbox: Outbox, asks: Sequence[Ask]) -> list[Answer]:
    """Accept the events in order and return an answer for each."""
    repeated = await repeating.find(conn, asks)
    named = {ask.lead_id for ask in asks if ask.lead_id is not None}
    batch = await batches.begin(conn, keeper, _expected(asks), named)
    fact_keys = [one for ask in asks if (one := _fact_key(ask)) is not None]
    known_facts = await store_events.find_facts(conn, fact_keys) if fact_keys else {}
    answers: list[Answer] = []
    accepted: list[tuple[Ask, Mapping[str, Any]]] = []
    for ask in asks:
        answer = repeated.answer(ask)
        if answer is None:
            answer = _accept_one(batch, keeper, ask, known_facts)
            if not isinstance(answer, Problem):
                accepted.append((ask, answer))
                repeated.remember(ask, answer)
        answers.append(answer)
    await _release_waiting(conn, keeper, batch)
    await store_identity.save_identifiers(conn, batch.people)
    if accepted:
        with telemetry.following(_traces(batch, accepted)):
            await batches.write(conn, keeper, outbox, batch, at=max(ask.received_at for ask, _ in accepted))
        await store_events.add_events(conn, [_event_row(keeper, batch, ask, answer) for ask, answer in accepted])
    return answers


def _expected(asks: Sequence[Ask]) -> dict[Identifier, UUID | None]:
    """Return what is named, each with the lead that it makes if nobody has it yet."""
    expected: dict[Identifier, UUID | None] = {}
    for ask in asks:
        ask.own_lead = ids.new() if ask.may_begin_a_lead else None
        for one in ask.identifiers:
            expected.setdefault(one, None if one.is_phone else ask.own_lead)
    return expected


def _traces(batch: Batch, accepted: Sequence[tuple[Ask, Mapping[str, Any]]]) -> list[tuple[UUID, str, str]]:
    """Return which lead belongs to which request's trace."""
    return [
        (batch.people.survivor(ask.origin), "lead-intake accept", ask.trace)
        for ask, _ in accepted
        if ask.origin is not None
    ]


def _accept_one(batch: Batch, keeper: Vault, ask: Ask, known_facts: dict[FactKey, Any]) -> Answer:
    if ask.held_because is not None:
        return answer_of(ask.event_id, None, Outcome.HELD, ask.held_because)
    if ask.ignored_because is not None:
        return answer_of(ask.event_id, None, Outcome.IGNORED, ask.ignored_because)
    if ask.fact is not None:
        return _accept_fact(batch, ask, ask.fact, known_facts)
    if ask.lead_id is not None:
        return _correct(batch, keeper, ask, ask.lead_id)
    if _was_erased(batch, ask):
        return answer_of(ask.event_id, None, Outcome.ERASED)
    return _capture(batch, ask)


def _was_erased(batch: Batch, ask: Ask) -> bool:
    """Say whether this is an old event of somebody who was erased; a later one makes a new lead."""
    assert ask.capture is not None
    people = batch.people
    dates = [batch.erased[one] for one in ask.identifiers if one in batch.erased]
    known = any(
        one in people.owners or (one in people.phones and people.phones[one].holders) for one in ask.identifiers
    )
    return bool(dates) and not known and ask.capture.occurred_at <= max(dates)


def _capture(batch: Batch, ask: Ask) -> Answer:
    capture = ask.capture
    assert capture is not None
    assert ask.own_lead is not None
    place = batch.people.place(ask.identifiers, ask.own_lead)
    ask.origin = place.lead
    if place.is_new:
        batch.leads[place.lead] = domain.begin(place.lead, capture)
        batch.fresh[place.lead] = None
        batch.dirty[place.lead] = None
    for change in place.changes:
        batch.apply(change, at=ask.received_at)
    joined = any(isinstance(change, Join) for change in place.changes)
    if place.is_new and not joined:
        return _keep(batch, ask, batch.leads[place.lead], Outcome.CREATED, [])
    before = batch.leads[batch.people.survivor(place.lead)]
    lead = domain.learn(before, capture)
    changed = domain.changed_fields(before, lead)
    if joined:
        outcome = Outcome.UPDATED if place.is_new else Outcome.MERGED
    else:
        outcome = Outcome.UPDATED if changed or ask.said or capture.consents else Outcome.DUPLICATE
    if outcome is not Outcome.DUPLICATE:
        payloads.check_size(lead.attributes)
        lead = batch.put(place.lead, lambda known: domain.learn(known, capture))
    return _keep(batch, ask, lead, outcome, changed)


def _correct(batch: Batch, keeper: Vault, ask: Ask, lead_id: UUID) -> Answer:
    """Take a person's correction of a lead that they named."""
    capture = ask.capture
    assert capture is not None
    before = batch.shown(lead_id)
    if before is None or lead_id in batch.gone:
        return Problem(404, "No such lead", "Send the id of a lead that was not erased.")
    owners = {batch.people.survivor(owner) for one in ask.identifiers if (owner := batch.people.find(one)) is not None}
    if owners - {before.lead_id}:
        return Problem(409, "Another lead has it", "Another lead has this identifier. Merge the two leads instead.")
    ask.origin = before.lead_id
    batch.people.claim([one for one in ask.identifiers if not one.is_phone], before.lead_id)
    email = capture.personal.get("email") or before.personal.get("email")
    for phone in ask.identifiers:
        if phone.is_phone:
            emails = {keeper.digest(Kind.EMAIL, email)} if email else set()
            for change in batch.people.tell(phone, emails, before.lead_id):
                batch.apply(change, at=ask.received_at)
    before = batch.leads[batch.people.survivor(before.lead_id)]
    payloads.check_size({**before.attributes, **capture.attributes})
    lead = batch.put(ask.origin, lambda known: domain.learn(known, capture))
    changed = domain.changed_fields(before, lead)
    return _keep(batch, ask, lead, Outcome.UPDATED if changed else Outcome.DUPLICATE, changed)


def _keep(batch: Batch, ask: Ask, lead: Lead, outcome: Outcome, changed: Sequence[str]) -> Answer:
    """Tell everybody what was learned, and what was allowed."""
    assert ask.capture is not None
    if outcome is not Outcome.DUPLICATE:
        batch.announcements.append(partial(_told, ask=ask, lead=lead, outcome=outcome, changed=changed))
    for said in ask.capture.consents:
        assert ask.origin is not None
        batch.consents.append((ask.origin, said))
        batch.announcements.append(partial(_told_consent, said=said, lead=lead, at=ask.received_at))
    return answer_of(ask.event_id, lead.lead_id, outcome)


def _told(batch: Batch, *, ask: Ask, lead: Lead, outcome: Outcome, changed: Sequence[str]) -> list[Event]:
    capture = ask.capture
    assert capture is not None
    return [
        events.lead_event(
            intake_pb2.LeadCaptured if outcome is Outcome.CREATED else intake_pb2.LeadUpdated,
            lead,
            sealed=batch.seal(lead),
            occurred_at=capture.occurred_at,
            received_at=ask.received_at,
            said={**ask.said, **({"verified": True} if capture.verified else {})},
            event_id=ask.event_id,
            connection_id=ask.connection_id,
            provider=ask.provider,
            changed=changed,
        )
    ]


def _told_consent(_: Batch, *, said: Mapping[str, Any], lead: Lead, at: datetime) -> list[Event]:
    return [events.consent(lead, said, at=at)]


def _accept_fact(batch: Batch, ask: Ask, fact: Fact, known: dict[FactKey, Any]) -> Answer:
    key = _fact_key(ask)
    if key is not None and key in known:
        double = known[key]
        lead_id = batch.people.survivor(double["lead_id"]) if double["lead_id"] is not None else None
        return answer_of(double["fact_id"], lead_id, Outcome.DUPLICATE)
    origins = [ask.lead_id] if ask.lead_id is not None else []
    origins += [owner for one in ask.identifiers if (owner := batch.people.find(one)) is not None]
    if len({batch.people.survivor(origin) for origin in origins}) > 1:
        return Problem(409, "Two leads", "What you name it by belongs to two leads. Send lead_id alone.")
    origin = origins[0] if origins else None
    lead = batch.shown(origin) if origin is not None else None
    if lead is None and ask.lead_id is not None:
        return Problem(404, "No such lead", "Send the id that POST /v1/leads answered with, of a lead not erased.")
    if lead is None and any(batch.erased.get(one, fact.occurred_at) > fact.occurred_at for one in ask.identifiers):
        return answer_of(ask.event_id, None, Outcome.ERASED)
    row = {
        "fact_id": ask.event_id,
        "what": fact.what,
        "connection_id": ask.connection_id,
        "external_id": fact.external_id,
        "lead_id": origin,
        "waits_for": [] if lead is not None else [one.digest for one in ask.identifiers],
        "occurred_at": fact.occurred_at,
        "received_at": ask.received_at,
        "live": fact.live,
        "details": dict(fact.details),
        "note": fact.note.encode() if fact.note else None,
        "hides": dict(fact.hides),
        "ask": ask,
    }
    batch.facts.append(row)
    if key is not None:
        known[key] = row
    if lead is None:
        return answer_of(ask.event_id, None, Outcome.HELD, "the lead is not known yet")
    ask.origin = origin
    _announce_fact(batch, row)
    return answer_of(ask.event_id, lead.lead_id, Outcome.CREATED)


def _fact_key(ask: Ask) -> FactKey | None:
    if ask.fact is None or ask.fact.external_id is None:
        return None
    return (ask.fact.what, ask.connection_id, ask.fact.external_id)


def _announce_fact(batch: Batch, row: Mapping[str, Any]) -> None:
    """Tell everybody what a lead or a rep did; a lead that does something today is news from then on."""
    at, origin = row["occurred_at"], row["lead_id"]
    lead = batch.shown(origin)
    assert lead is not None
    if row["what"] == "engagement" and row["live"] and not lead.live:
        lead = batch.put(origin, lambda known: domain.arrive(known, at))
    batch.announcements.append(partial(_told_fact, row=row, lead=lead))


def _told_fact(batch: Batch, *, row: Mapping[str, Any], lead: Lead) -> list[Event]:
    if row["what"] == "touch":
        return [events.touch(row, lead)]
    key = batch.keys[lead.lead_id]
    hidden = vault.seal(key, lead.lead_id, {"properties": row["hides"]}) if row["hides"] else b""
    return [events.engagement(row, lead, hidden=hidden)]


async def _release_waiting(conn: Connection, keeper: Vault, batch: Batch) -> None:
    """Apply what waited for leads that have just become known."""
    leads = {one.digest: batch.people.owners[one] for one in batch.people.claimed}
    if not leads:
        return
    early = [row for row in batch.facts if not leads.keys().isdisjoint(row["waits_for"])]
    waiting = await store_events.take_waiting(conn, leads)
    for row in waiting:
        row["hides"] = keeper.open_json(row["hidden"]) if row["hidden"] is not None else {}
    batch.settled += waiting
    # Of whom it was is known from now on: a report of before does not change.
    now = await times.now(conn) if waiting else None
    for row in waiting:
        row["known_at"] = now
    for row in sorted([*waiting, *early], key=lambda one: (one["occurred_at"], one["fact_id"])):
        row["lead_id"] = leads[next(digest for digest in row["waits_for"] if digest in leads)]
        row["waits_for"] = []
        if "ask" in row:
            row["ask"].origin = row["lead_id"]
        _announce_fact(batch, row)


def _event_row(keeper: Vault, batch: Batch, ask: Ask, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "event_id": ask.event_id,
        "connection_id": ask.connection_id,
        "lead_id": ask.origin,
        "what": ask.fact.what if ask.fact is not None else "lead",
        "outcome": answer["outcome"],
        "reason": answer.get("reason"),
        "sealed": _sealed_body(keeper, batch, ask, answer),
        "headers": dict(ask.headers),
        "received_at": ask.received_at,
        "dedupe": ask.dedupe,
        "body_hash": ask.body_hash,
    }


def _sealed_body(keeper: Vault, batch: Batch, ask: Ask, answer: Mapping[str, Any]) -> bytes | None:
    """Seal what came: with its lead's key; without a lead there is no key that an erasure could destroy but ours."""
    if answer["outcome"] == Outcome.ERASED:
        return None
    body = bodies.as_json(ask.raw)
    if ask.origin is None:
        return keeper.seal_json(body)
    return vault.seal(batch.keys[ask.origin], ask.origin, body)
