"""What engagements say of meetings, as marks."""

from datetime import datetime
from typing import Final
from uuid import UUID

from backbone import normal_forms, times
from handoff.events.v1 import intake_pb2
from sla_monitor.domain import Mark, Marked

_KINDS: Final = (Marked.MEETING_BOOKED, Marked.MEETING_CANCELLED, Marked.MEETING_MISSED)


def mark(message: intake_pb2.EngagementRecorded) -> Mark | None:
    """Return what an engagement says of a meeting; None where it says nothing of one."""
    if message.kind not in _KINDS:
        return None
    said = message.properties.fields
    meeting = normal_forms.identifier(dict(message.properties).get("meeting_id"))
    starts_at = _instant_of(said["starts_at"].string_value) if "starts_at" in said else None
    return Mark(
        mark_id=UUID(message.engagement_id),
        kind=message.kind,
        at=times.at(message.stamp.occurred_at),
        ref=meeting or (times.text(starts_at) if starts_at is not None else ""),
        until=starts_at,
    )


def _instant_of(text: str) -> datetime | None:
    try:
        return times.parse(text)
    except ValueError:
        return None  # Properties are whatever the source sends.


def host(message: intake_pb2.EngagementRecorded) -> str:
    """Return the address of whoever hosts it, as the source names it, in small letters; "" where it does not."""
    return str(dict(message.properties).get("host_email") or "").strip().lower()
