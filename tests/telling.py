"""Events as other services tell them, for tests of those who read them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from backbone import ids, times
from backbone.testing.stage import Actor
from handoff.events.v1 import common_pb2, forecast_pb2, intake_pb2, qualification_pb2, routing_pb2

HOURS = [common_pb2.WorkingHours(days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], start="00:00", end="24:00")]
Told = tuple[UUID, Any]
"""(Lead, message)."""


def now() -> datetime:
    """Return the instant, as this machine sees it."""
    return datetime.now(UTC)


def stamp(lead: UUID, at: datetime, *, live: bool = True, recorded_at: datetime | None = None) -> common_pb2.Stamp:
    """Return what stands first."""
    made = common_pb2.Stamp(lead_id=str(lead), live=live, occurred_at=times.stamp(at))
    made.recorded_at.CopyFrom(times.stamp(recorded_at or at))
    if live:
        made.arrived_at.CopyFrom(times.stamp(at))
    return made


# lead-intake


def captured(lead: UUID, at: datetime, *, live: bool = True, **fields: Any) -> Told:
    """A lead came."""
    said = {"source": "web", **fields}
    return lead, intake_pb2.LeadCaptured(
        stamp=stamp(lead, at, live=live), lead=common_pb2.LeadFields(created_at=times.stamp(at), **said)
    )


def touch(lead: UUID, at: datetime, *, next_at: datetime | None = None, **fields: Any) -> Told:
    """Ana called."""
    given = {"rep_id": "ana", "kind": "call", "outcome": "attempted", **fields}
    message = intake_pb2.TouchRecorded(
        stamp=stamp(lead, at), touch_id=str(ids.new()), original_lead_id=str(lead), **given
    )
    if next_at is not None:
        message.next_at.CopyFrom(times.stamp(next_at))
    return lead, message


def engaged(lead: UUID, at: datetime, kind: str, **properties: Any) -> Told:
    """The lead did something."""
    message = intake_pb2.EngagementRecorded(
        stamp=stamp(lead, at), engagement_id=str(ids.new()), kind=kind, original_lead_id=str(lead)
    )
    message.properties.update(properties)
    return lead, message


def merged(survivor: UUID, lost: UUID, at: datetime, *, came_at: datetime | None = None) -> list[Told]:
    """Two leads are one: told under both keys. `came_at` is when the survivor came."""
    message = intake_pb2.LeadMerged(stamp=stamp(survivor, at), survivor_id=str(survivor), merged_id=str(lost))
    message.stamp.arrived_at.CopyFrom(times.stamp(came_at or at))
    message.lead.created_at.CopyFrom(times.stamp(came_at or at))
    return [(survivor, message), (lost, message)]


def unmerged(survivor: UUID, other: UUID, at: datetime, *, came: Mapping[UUID, datetime] | None = None) -> list[Told]:
    """They are two after all: told under both keys, each with its own snapshot. `came` is when each did, if it says."""
    told = []
    for one in (survivor, other):
        message = intake_pb2.LeadUnmerged(
            stamp=stamp(one, at),
            survivor_id=str(survivor),
            unmerged_id=str(other),
            lead=common_pb2.LeadFields(created_at=times.stamp(at)),
        )
        message.stamp.ClearField("arrived_at")
        if came is not None:
            message.stamp.arrived_at.CopyFrom(times.stamp(came[one]))
            message.survivor_arrived_at.CopyFrom(times.stamp(came[survivor]))
        told.append((one, message))
    return told


def numbered(told: Sequence[Told]) -> Sequence[Told]:
    """Say of whoever is merged, or is no more, which version its own key tells that with, as intake does."""
    last: dict[UUID, int] = {}
    own: dict[tuple[UUID, int], int] = {}
    for subject, message in told:
        last[subject] = last.get(subject, 0) + 1
        if isinstance(message, intake_pb2.LeadMerged | intake_pb2.LeadUnmerged) and subject == _parted(message):
            own[subject, message.stamp.recorded_at.ToNanoseconds()] = last[subject]
    for _, message in told:
        if isinstance(message, intake_pb2.LeadMerged | intake_pb2.LeadUnmerged):
            version = own[_parted(message), message.stamp.recorded_at.ToNanoseconds()]
            if isinstance(message, intake_pb2.LeadMerged):
                message.merged_version = version
            else:
                message.unmerged_version = version
    return told


def _parted(message: intake_pb2.LeadMerged | intake_pb2.LeadUnmerged) -> UUID:
    return UUID(message.merged_id if isinstance(message, intake_pb2.LeadMerged) else message.unmerged_id)


# qualification


def qualified(lead: UUID, at: datetime, *, queue: str = "", stage: str = "mql", reason: str = "") -> Told:
    """It is an MQL."""
    said = common_pb2.Qualification(stage=stage, definition="saas@1", queue=queue, reason=reason)
    return lead, qualification_pb2.LeadQualified(
        stamp=stamp(lead, at), qualification=said, lead=common_pb2.LeadFields(created_at=times.stamp(at))
    )


def queued(lead: UUID, at: datetime) -> Told:
    """An SDR is to judge it."""
    return lead, qualification_pb2.ReviewQueued(stamp=stamp(lead, at))


def judged(lead: UUID, at: datetime, *, decided: bool = True, queue: str = "review") -> Told:
    """Nobody has to judge it any more."""
    return lead, qualification_pb2.ReviewEnded(stamp=stamp(lead, at), queue=queue, decided=decided)


def converted(lead: UUID, at: datetime) -> Told:
    """Return that the lead is a customer at its source."""
    said = common_pb2.Qualification(stage="customer", definition="imported")
    return lead, qualification_pb2.LeadConverted(stamp=stamp(lead, at), qualification=said)


def demoted(lead: UUID, at: datetime) -> Told:
    """It no longer meets the definition."""
    said = common_pb2.Qualification(stage="nurture", previous_stage="mql")
    return lead, qualification_pb2.LeadDemoted(stamp=stamp(lead, at), qualification=said)


def disqualified(lead: UUID, at: datetime, reason: str = "spam", *, by_score: bool = False) -> Told:
    """It is out."""
    said = common_pb2.Qualification(stage="disqualified", reason=reason)
    return lead, qualification_pb2.LeadDisqualified(stamp=stamp(lead, at), qualification=said, by_score=by_score)


# routing


def rep(rep_id: str = "ana", **fields: Any) -> common_pb2.Rep:
    """A rep who always works."""
    said: dict[str, Any] = {
        "team": "north",
        "manager_id": "tom",
        "role": "sdr",
        "active": True,
        "time_zone": "UTC",
        "working_hours": HOURS,
        "version": 1,
        **fields,
    }
    return common_pb2.Rep(rep_id=rep_id, **said)


def rep_changed(who: common_pb2.Rep, at: datetime) -> Told:
    """A rep has other hours, another team, or another manager."""
    message = routing_pb2.RepChanged(stamp=stamp(ids.new(), now()), rep=who, changed_at=times.stamp(at))
    message.stamp.lead_id = ""
    return ids.derived("rep", who.rep_id), message


def routed(lead: UUID, at: datetime, *, cycle: int = 1, who: common_pb2.Rep | None = None, **fields: Any) -> Told:
    """A rep has it."""
    given = who or rep()
    said: dict[str, Any] = {"starts_clocks": True, **fields}
    message = routing_pb2.LeadRouted(stamp=stamp(lead, at), cycle=cycle, rep_id=given.rep_id, rep=given, **said)
    message.assigned_at.FromDatetime(at)
    return lead, message


def waiting(lead: UUID, at: datetime, reason: str = "no_capacity") -> Told:
    """Nobody can take it now."""
    return lead, routing_pb2.LeadWaiting(stamp=stamp(lead, at), reason_code=reason)


def accepted(lead: UUID, at: datetime, *, cycle: int = 1, rep_id: str = "ana") -> Told:
    """The rep takes it on."""
    message = routing_pb2.AssignmentAccepted(stamp=stamp(lead, at), cycle=cycle, rep_id=rep_id)
    message.accepted_at.FromDatetime(at)
    return lead, message


def updated(
    lead: UUID,
    at: datetime,
    *,
    cycle: int = 1,
    rep_id: str = "ana",
    status: str = "working",
    next_at: datetime | None = None,
) -> Told:
    """The rep says how it stands, and when to go on."""
    message = routing_pb2.AssignmentUpdated(stamp=stamp(lead, at), cycle=cycle, rep_id=rep_id, status=status)
    message.updated_at.FromDatetime(at)
    if next_at is not None:
        message.next_at.FromDatetime(next_at)
    return lead, message


def released(
    lead: UUID, at: datetime, *, cycle: int = 1, outcome: str = "recycled", rep_id: str = "ana", **fields: Any
) -> Told:
    """The assignment is over."""
    message = routing_pb2.AssignmentReleased(
        stamp=stamp(lead, at), cycle=cycle, rep_id=rep_id, outcome=outcome, **fields
    )
    message.released_at.FromDatetime(at)
    return lead, message


# forecast


def opened(lead: UUID, at: datetime, stage: str, deal: str = "deal", **said: Any) -> Told:
    """A deal of it was opened."""
    one = forecast_pb2.Opportunity(opportunity_id=deal, stage=stage, **said)
    return lead, forecast_pb2.OpportunityOpened(stamp=stamp(lead, at), opportunity=one)


def moved(lead: UUID, at: datetime, stage: str, deal: str = "deal", **said: Any) -> list[Told]:
    """Its deal is at another stage; that it is won is told beside."""
    one = forecast_pb2.Opportunity(opportunity_id=deal, stage=stage, **said)
    told: list[Told] = [(lead, forecast_pb2.OpportunityMoved(stamp=stamp(lead, at), opportunity=one))]
    if stage == "won":
        told.append((lead, forecast_pb2.OpportunityWon(stamp=stamp(lead, at), opportunity=one)))
    return told


async def learn(actor: Actor, topic: str, *some: Told) -> None:
    """Tell a service, and wait until all that follows is told."""
    await actor.publish(topic, list(some))
    await actor.settled()
