"""What the console publishes."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone import ids, times
from backbone.outbox import Event
from handoff.events.v1 import common_pb2, console_pb2

SETTINGS_SUBJECT: Final = ids.derived("settings", "reporting")


def settings_changed(said: dict[str, Any], at: datetime) -> Event:
    """Return SettingsChanged."""
    message = console_pb2.SettingsChanged(
        stamp=common_pb2.Stamp(live=True),
        zone=said["zone"],
        week_starts=said["week_starts"],
        base_currency=said["base_currency"],
        version=said["version"],
    )
    times.put(message.stamp.occurred_at, at)
    times.put(message.stamp.recorded_at, at)
    return Event(subject=SETTINGS_SUBJECT, message=message, occurred_at=at)


def deleted(message: Any, subject: UUID) -> Event:
    """Return PersonalDataDeleted, the answer to PersonalDataErased."""
    answer = common_pb2.PersonalDataDeleted(stamp=message.stamp, erasure_id=message.erasure_id, service="console")
    return Event(subject=subject, message=answer)
