"""What lead-intake publishes: facts of the domain turned into messages, personal data sealed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.struct_pb2 import Struct

from backbone import times, vault
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, intake_pb2
from lead_intake.domain import Lead

_TEXTS = (
    "company",
    "website",
    "job_title",
    "industry",
    "country",
    "source",
    "medium",
    "campaign",
    "email_domain",
    "account_domain",
    "owner_id",
    "status",
    "disqualified_reason",
)
_FLAGS = ("email_is_free", "email_is_disposable", "spam", "test")


def stamp(
    lead_id: UUID, *, live: bool, occurred_at: datetime, recorded_at: datetime, arrived_at: datetime | None
) -> common_pb2.Stamp:
    """Return what stands first in every event."""
    made = common_pb2.Stamp(lead_id=str(lead_id), live=live)
    times.put(made.occurred_at, occurred_at)
    times.put(made.recorded_at, recorded_at)
    if arrived_at is not None:
        times.put(made.arrived_at, arrived_at)
    return made


def sealed_values(lead: Lead) -> dict[str, Any]:
    """Return what only the lead's key opens: the person's data, and the attributes that are."""
    hidden = {name: lead.attributes[name] for name in lead.hidden if name in lead.attributes}
    return {**lead.personal, **({"attributes": hidden} if hidden else {})}


def open_attributes(lead: Lead) -> dict[str, Any]:
    """Return the attributes that may be read without the lead's key."""
    return {name: value for name, value in lead.attributes.items() if name not in lead.hidden}


def fields(lead: Lead) -> common_pb2.LeadFields:
    """Return what may be read of a lead."""
    known, personal = lead.known, lead.personal
    said: dict[str, Any] = {name: known[name] for name in (*_TEXTS, *_FLAGS) if known.get(name)}
    made = common_pb2.LeadFields(
        has_email=bool(personal.get("email")),
        has_phone=bool(personal.get("phone")),
        has_first_name=bool(personal.get("first_name")),
        has_last_name=bool(personal.get("last_name")),
        external_ids=[
            common_pb2.ExternalId(connection_id=connection, external_id=external)
            for connection, external in lead.external_ids
        ],
        **said,
    )
    if known.get("employees") is not None:
        made.employees = known["employees"]
    if known.get("revenue") is not None:
        made.revenue = known["revenue"]
    if readable := open_attributes(lead):
        made.attributes.update(readable)
    for name, touch in (("first_touch", lead.first_touch), ("last_touch", lead.last_touch)):
        if touch:
            getattr(made, name).CopyFrom(_attribution(touch))
    times.put(made.created_at, lead.created_at)
    if known.get("assigned_at"):
        times.put(made.assigned_at, times.parse(known["assigned_at"]))
    made.consents.extend(_word(one) for one in lead.consents)
    return made


def _word(said: Mapping[str, Any]) -> common_pb2.Consent:
    made = common_pb2.Consent(purpose=said["purpose"], basis=said["basis"], granted=said["granted"])
    times.put(made.at, said["at"])
    return made


def _attribution(touch: Mapping[str, Any]) -> common_pb2.Attribution:
    names = ("source", "medium", "campaign", "cost", "currency")
    said: dict[str, Any] = {name: str(touch[name]) for name in names if touch.get(name)}
    made = common_pb2.Attribution(**said)
    times.put(made.at, times.parse(touch["at"]))
    return made


def standing(said: Mapping[str, Any]) -> common_pb2.Standing | None:
    """Return how a lead stands elsewhere, None when nothing was said of it."""
    if not any(said.values()):
        return None
    made = common_pb2.Standing(
        **{
            name: said[name]
            for name in ("owner_id", "stage", "status", "disqualified_reason", "keep")
            if said.get(name)
        }
    )
    if said.get("assigned_at") is not None:
        times.put(made.assigned_at, said["assigned_at"])
    return made


def lead_event(
    shape: type[intake_pb2.LeadCaptured] | type[intake_pb2.LeadUpdated],
    lead: Lead,
    *,
    sealed: bytes,
    occurred_at: datetime,
    received_at: datetime,
    said: Mapping[str, Any],
    event_id: UUID,
    connection_id: str,
    provider: str,
    changed: Iterable[str] = (),
) -> Event:
    """Return LeadCaptured or LeadUpdated with the whole snapshot."""
    message = shape(
        stamp=stamp(
            lead.lead_id,
            live=lead.live,
            occurred_at=occurred_at,
            recorded_at=received_at,
            arrived_at=lead.arrived_at,
        ),
        lead=fields(lead),
        sealed=sealed,
        standing=standing(said),
        event_id=str(event_id),
        connection_id=connection_id,
        provider=provider,
        key_lead_id=str(lead.lead_id),
    )
    if isinstance(message, intake_pb2.LeadUpdated):
        message.changed.extend(changed)
        message.verified = "verified" in said
    return Event(subject=lead.lead_id, message=message, event_id=event_id, occurred_at=occurred_at)


def merged(survivor: Lead, other: UUID, *, sealed: bytes, at: datetime, why: str) -> list[Event]:
    """Return LeadMerged under both keys: the merged lead's last event first, and then the survivor's."""
    made = []
    for subject in (other, survivor.lead_id):
        message = intake_pb2.LeadMerged(
            stamp=stamp(subject, live=survivor.live, occurred_at=at, recorded_at=at, arrived_at=survivor.arrived_at),
            survivor_id=str(survivor.lead_id),
            merged_id=str(other),
            lead=fields(survivor),
            sealed=sealed,
            key_lead_id=str(survivor.lead_id),
            reason=why,
        )
        made.append(Event(subject=subject, message=message, occurred_at=at))
    return made


def unmerged(lead: Lead, survivor: Lead, other: UUID, *, sealed: bytes, at: datetime, why: str) -> Event:
    """Return LeadUnmerged under one of the two keys, with that lead's snapshot."""
    message = intake_pb2.LeadUnmerged(
        stamp=stamp(lead.lead_id, live=lead.live, occurred_at=at, recorded_at=at, arrived_at=lead.arrived_at),
        survivor_id=str(survivor.lead_id),
        unmerged_id=str(other),
        lead=fields(lead),
        sealed=sealed,
        key_lead_id=str(lead.lead_id),
        reason=why,
    )
    if survivor.arrived_at is not None:
        times.put(message.survivor_arrived_at, survivor.arrived_at)
    return Event(subject=lead.lead_id, message=message, occurred_at=at)


def engagement(fact: Mapping[str, Any], lead: Lead, *, hidden: bytes) -> Event:
    """Return EngagementRecorded for the lead that stands for the one that did it."""
    details = fact["details"]
    properties = Struct()
    properties.update(details.get("properties", {}))
    message = intake_pb2.EngagementRecorded(
        stamp=_fact_stamp(fact, lead),
        engagement_id=str(fact["fact_id"]),
        kind=details["kind"],
        external_id=fact["external_id"] or "",
        properties=properties,
        sealed=hidden,
        connection_id=fact["connection_id"],
        original_lead_id=str(fact["lead_id"]),
        source=str(lead.known.get("source") or ""),
    )
    return Event(subject=lead.lead_id, message=message, event_id=fact["fact_id"], occurred_at=fact["occurred_at"])


def touch(fact: Mapping[str, Any], lead: Lead) -> Event:
    """Return TouchRecorded. The note stays here."""
    details = fact["details"]
    message = intake_pb2.TouchRecorded(
        stamp=_fact_stamp(fact, lead),
        touch_id=str(fact["fact_id"]),
        rep_id=details["rep_id"],
        kind=details["kind"],
        outcome=details["outcome"],
        automated=bool(details.get("automated")),
        next_step=details.get("next_step") or "",
        external_id=fact["external_id"] or "",
        original_lead_id=str(fact["lead_id"]),
    )
    if details.get("next_at"):
        times.put(message.next_at, times.parse(details["next_at"]))
    return Event(subject=lead.lead_id, message=message, event_id=fact["fact_id"], occurred_at=fact["occurred_at"])


def _fact_stamp(fact: Mapping[str, Any], lead: Lead) -> common_pb2.Stamp:
    return stamp(
        lead.lead_id,
        live=lead.live,
        occurred_at=fact["occurred_at"],
        recorded_at=fact.get("known_at") or fact["received_at"],
        arrived_at=lead.arrived_at,
    )


def consent(lead: Lead, said: Mapping[str, Any], *, at: datetime) -> Event:
    """Return ConsentChanged."""
    message = intake_pb2.ConsentChanged(
        stamp=stamp(lead.lead_id, live=lead.live, occurred_at=said["at"], recorded_at=at, arrived_at=lead.arrived_at),
        purpose=said["purpose"],
        basis=said["basis"],
        granted=said["granted"],
        text_version=said["text_version"],
    )
    times.put(message.at, said["at"])
    return Event(subject=lead.lead_id, message=message, occurred_at=said["at"])


def erased(lead_id: UUID, others: Iterable[UUID], erasure_id: UUID, *, at: datetime) -> Event:
    """Return PersonalDataErased."""
    message = intake_pb2.PersonalDataErased(
        stamp=stamp(lead_id, live=True, occurred_at=at, recorded_at=at, arrived_at=None),
        erasure_id=str(erasure_id),
        merged_lead_ids=[str(other) for other in others],
    )
    return Event(subject=lead_id, message=message, occurred_at=at)


def personal_data_deleted(lead_id: UUID, erasure_id: UUID, service: str, *, at: datetime) -> Event:
    """Return this service's own answer to an erasure."""
    message = common_pb2.PersonalDataDeleted(
        stamp=stamp(lead_id, live=True, occurred_at=at, recorded_at=at, arrived_at=None),
        erasure_id=str(erasure_id),
        service=service,
    )
    return Event(subject=lead_id, message=message, occurred_at=at)


def seal(key: bytes, lead: Lead) -> bytes:
    """Seal a lead's snapshot of personal data."""
    return vault.seal(key, lead.lead_id, sealed_values(lead))
