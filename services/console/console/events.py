"""What the console publishes."""

from datetime import datetime
from typing import Any, Final

from backbone import ids
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
    message.stamp.occurred_at.FromDatetime(at)
    message.stamp.recorded_at.FromDatetime(at)
    return Event(subject=SETTINGS_SUBJECT, message=message, occurred_at=at)
