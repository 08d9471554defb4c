"""What notifications publishes."""

from datetime import datetime
from typing import Any

from backbone import ids, times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, notifications_pb2


def told(row: Any, at: datetime, *, delivered: bool, reason: str = "", unknown: bool = False) -> Event:
    """Return NotificationDelivered or NotificationFailed."""
    lead_id = row["lead_id"]
    stamp = common_pb2.Stamp(lead_id=str(lead_id or ""), live=True)
    times.put(stamp.occurred_at, at)
    times.put(stamp.recorded_at, at)
    notification = notifications_pb2.Notification(
        notification_id=str(row["message_id"]),
        event_id=str(row["event_id"]),
        rep_id=row["rep_id"],
        channel=row["channel"],
        kind=row["kind"],
        attempts=row["attempts"],
    )
    times.put(notification.at, at)
    message: Any = notifications_pb2.NotificationDelivered(stamp=stamp, notification=notification)
    if not delivered:
        message = notifications_pb2.NotificationFailed(
            stamp=stamp, notification=notification, reason=reason, unknown=unknown
        )
    return Event(subject=lead_id or ids.derived("rep", row["rep_id"]), message=message, occurred_at=at)


def deleted(stamp: common_pb2.Stamp, erasure_id: str, lead_id: Any) -> Event:
    """Return this service's answer to an erasure."""
    message = common_pb2.PersonalDataDeleted(stamp=stamp, erasure_id=erasure_id, service="notifications")
    return Event(subject=lead_id, message=message)
